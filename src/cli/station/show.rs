//! The station's answers in words.

use std::fmt::Write;

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    cli::plain,
    station::{
        control::protocol::{Answer, HistoryEntry, Now, PlayState},
        track::TrackKind,
    },
};

/// What a person is told.
pub fn show(answer: &Answer) -> String {
    match answer {
        Answer::Now(now) => show_now(now),
        Answer::Skip => "Skipped.\n".into(),
        Answer::Next => "It comes next.\n".into(),
        Answer::History { entries } if entries.is_empty() => "Nothing was played yet.\n".into(),
        Answer::History { entries } => entries.iter().map(|entry| show_entry(entry, &TimeZone::system())).collect(),
        Answer::Scan => "The station looks through its folders; `station now` shows how far it is.\n".into(),
    }
}

fn show_now(now: &Now) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{:<9}  {}", state(now.state), track(now));
    if let Some(file) = &now.file {
        let _ = writeln!(out, "file       {}", plain(&file.0.to_string_lossy()));
    }
    if let Some(reason) = &now.reason {
        let _ = writeln!(out, "because    {}", plain(reason));
    }
    if let Some(next) = &now.next {
        let _ = writeln!(out, "next       {} ({})", named(&next.title, next.artist.as_deref()), plain(&next.reason));
    }
    let library = &now.library;
    let scan = if library.scanning { format!(", looking: {} files so far", library.files_seen) } else { String::new() };
    let _ = writeln!(out, "library    {} tracks, {} of them songs{scan}", library.tracks, library.songs);
    let tower = &now.tower;
    let link = if tower.connected { "connected" } else { "NOT CONNECTED" };
    let queue = match (tower.fill, tower.capacity) {
        (Some(fill), Some(capacity)) => format!("queue {fill} of {capacity}"),
        _ => "queue unknown".into(),
    };
    let _ = writeln!(
        out,
        "tower      {link}, {queue}, pace {:+} ppm, {} frames sent, {} dropped",
        tower.rate_ppm, tower.frames_sent, tower.frames_dropped
    );
    out
}

fn state(state: PlayState) -> &'static str {
    match state {
        PlayState::Waiting => "waiting",
        PlayState::Playing => "playing",
        PlayState::SigningOff => "ends",
    }
}

fn track(now: &Now) -> String {
    let Some(title) = &now.title else {
        return "nothing".into();
    };
    let album = now.album.as_ref().map(|album| format!(" (from {})", plain(album))).unwrap_or_default();
    let length = now.duration_ms.map(|ms| format!(" of {}", minutes(ms))).unwrap_or_default();
    format!("{}{album}, {}{length}", named(title, now.artist.as_deref()), minutes(now.elapsed_ms))
}

fn named(title: &str, artist: Option<&str>) -> String {
    plain(&artist.map_or_else(|| title.to_owned(), |artist| format!("{artist}: {title}")))
}

fn minutes(ms: u64) -> String {
    format!("{}:{:02}", ms / 60_000, ms / 1000 % 60)
}

fn show_entry(entry: &HistoryEntry, zone: &TimeZone) -> String {
    let at = Timestamp::from_millisecond(entry.at_unix_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let at = at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
    format!("{at}  {:<10}  {}\n", kind(entry.kind), named(&entry.title, entry.artist.as_deref()))
}

fn kind(kind: TrackKind) -> &'static str {
    match kind {
        TrackKind::Song => "song",
        TrackKind::Jingle => "jingle",
        TrackKind::StationId => "station ID",
        TrackKind::Intro => "intro",
        TrackKind::Outro => "outro",
        TrackKind::SignOn => "sign-on",
        TrackKind::SignOff => "sign-off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::station::control::protocol::{FileName, LibraryNow, NextUp, TowerNow};

    #[test]
    fn now_is_told_in_words_that_do_not_steer_the_terminal() {
        let now = Now {
            state: PlayState::Playing,
            title: Some("Blue\u{1b}[31m".into()),
            artist: Some("Who".into()),
            album: Some("Sea".into()),
            kind: Some(TrackKind::Song),
            file: Some(FileName("/music/blue\n.mp3".into())),
            elapsed_ms: 83_900,
            duration_ms: Some(200_000),
            reason: Some("weight 3".into()),
            next: Some(NextUp { title: "Red".into(), artist: None, reason: "jingle is due".into() }),
            library: LibraryNow { tracks: 12, songs: 10, scanning: true, files_seen: 345 },
            tower: TowerNow {
                connected: true,
                fill: Some(50),
                capacity: Some(100),
                rate_ppm: 12,
                frames_sent: 7,
                frames_dropped: 1,
            },
        };
        let told = "playing    Who: Blue?[31m (from Sea), 1:23 of 3:20\n\
                    file       /music/blue?.mp3\n\
                    because    weight 3\n\
                    next       Red (jingle is due)\n\
                    library    12 tracks, 10 of them songs, looking: 345 files so far\n\
                    tower      connected, queue 50 of 100, pace +12 ppm, 7 frames sent, 1 dropped\n";
        assert_eq!(show(&Answer::Now(Box::new(now.clone()))), told);

        let nothing = Now {
            state: PlayState::Waiting,
            title: None,
            file: None,
            reason: None,
            next: None,
            tower: TowerNow::default(),
            ..now
        };
        let told = show(&Answer::Now(Box::new(nothing)));
        assert!(told.starts_with("waiting    nothing\nlibrary "), "{told}");
        assert!(told.contains("NOT CONNECTED, queue unknown, pace +0 ppm"), "{told}");
    }

    #[test]
    fn history_is_a_line_for_each() {
        let entry = HistoryEntry {
            at_unix_ms: 1_700_000_000_123,
            title: "News".into(),
            artist: None,
            kind: TrackKind::StationId,
            file: FileName("/n.mp3".into()),
        };
        assert_eq!(show_entry(&entry, &TimeZone::UTC), "2023-11-14 22:13:20  station ID  News\n");
        assert_eq!(show(&Answer::History { entries: Vec::new() }), "Nothing was played yet.\n");
    }
}
