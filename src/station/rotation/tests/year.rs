//! A simulated year: a library of songs of every length, jingles, IDs, intros, day
//! parts, summer time, crossfades that nobody foresaw, and a restart every day that
//! leaves nothing but the history as it lies on the disk.

use std::collections::HashMap;

use super::{dice::Dice, rules::DayPart, rules::Weight, *};

const DAY_MS: i64 = 24 * HOUR_MS;
const YEAR_MS: i64 = 365 * DAY_MS;
/// A debug build takes a smaller library and a shorter memory, to be done in time: the rules are the same.
const SCALE: u64 = if cfg!(debug_assertions) { 1 } else { 4 };
const ARTISTS: u64 = 75 * SCALE;
/// Songs of the top, of Rock, of Jazz.
const SONGS: [u64; 3] = [130 * SCALE, 250 * SCALE, 120 * SCALE];
const PLAYS_MAX: usize = if cfg!(debug_assertions) { 400 } else { 2000 };
/// The longest overlap of two songs.
const CROSSFADE_MS: u64 = 4000;

fn rules() -> Rules {
    let part = |text| DayPart::parse(text).expect(text);
    Rules {
        // Longer than by default, so that it matters; 400 plays reach back some 18 hours.
        title_gap_min: 15 * 60 * SCALE,
        weights: vec![Weight::parse("Rock=2").expect("weight")],
        day_parts: vec![part("mon-fri 06:00-10:00: Rock=3, Jazz=0"), part("fri-sun 20:00-02:00: .=5, Jazz=3")],
        ..Rules::default()
    }
}

/// Songs of 1.5 to 9 minutes, 4 on average; every tenth has an intro or an outro.
fn library() -> Catalogue {
    let mut dice = Dice::new(2026);
    let mut tracks = Vec::new();
    let mut key = 0;
    for (folder, songs) in (0..).zip(SONGS) {
        for _ in 0..songs {
            key += 1;
            // Every twentieth is by nobody known; the others' artists have few songs or many.
            let artist = if key % 20 == 0 { 0 } else { 1 + dice.below(ARTISTS).min(dice.below(ARTISTS)) };
            let ms = 90_000 + dice.below(450_000).min(dice.below(450_000));
            let path = format!("music/{folder}/{key:05}.flac");
            tracks.push(track(TrackKind::Song, folder, &path, key, artist, u32::try_from(ms).ok()));
            let companion = [(3, TrackKind::Intro, "intros"), (7, TrackKind::Outro, "outros")];
            if let Some((_, kind, place)) = companion.iter().find(|(digit, ..)| key % 20 == *digit) {
                tracks.push(short(*kind, &format!("{place}/{key:05}.mp3"), 1_000_000 + key));
            }
        }
    }
    tracks.extend((0..9).map(|n| short(TrackKind::Jingle, &format!("jingles/{n}.mp3"), 2_000_000)));
    tracks.extend((0..5).map(|n| short(TrackKind::StationId, &format!("ids/{n}.mp3"), 3_000_000)));
    catalogue(tracks)
}

/// A zone one hour ahead, two in summer.
fn local(unix_ms: i64) -> Moment {
    let since = unix_ms - MONDAY_MS;
    let summer = (83 * DAY_MS + HOUR_MS..293 * DAY_MS + HOUR_MS).contains(&since);
    let offset = if summer { 2 * HOUR_MS } else { HOUR_MS };
    Moment { unix_ms, ..moment(since + offset) }
}

/// What a listener with a notebook would have written.
#[derive(Default)]
struct Notebook {
    songs: u64,
    plays: HashMap<u64, u64>,
    last_start_ms: HashMap<u64, i64>,
    shortest_rest_ms: Option<i64>,
    last_artist: u64,
    ids_ms: Vec<i64>,
    since_jingle: u64,
    since_id: u64,
    /// By day part (the last: none), by folder.
    by_part: [[u64; 3]; 3],
    history_bytes_max: usize,
}

impl Notebook {
    fn join(&mut self, rules: &Rules, choices: &[Choice]) {
        let has = |kind| choices.iter().any(|choice| choice.track.kind == kind);
        let (jingle, id) = (has(TrackKind::Jingle), has(TrackKind::StationId));
        assert!(!(jingle && id), "a jingle and an ID at one join");
        let jingle_due = self.since_jingle >= rules.jingle_every_songs;
        assert_eq!(jingle, jingle_due && !id, "jingle {} songs after the last", self.since_jingle);
        assert!(id || self.since_id < rules.id_every_songs, "no ID for {} songs", self.since_id);
        if id && choices.iter().all(|choice| choice.reason != Reason::TopOfHour) {
            assert_eq!(self.since_id, rules.id_every_songs, "an ID too early");
        }
    }

    fn song(&mut self, rules: &Rules, choice: &Choice, at_ms: i64, planned: Moment) {
        let song = &choice.track;
        assert_eq!(choice.reason, Reason::Rotation, "the library is large enough for all rules");
        if let Some(last) = self.last_start_ms.insert(song.title_key, at_ms) {
            let rest_ms = at_ms - last;
            self.shortest_rest_ms = Some(self.shortest_rest_ms.map_or(rest_ms, |rest| rest.min(rest_ms)));
        }
        assert!(song.artist_key == 0 || song.artist_key != self.last_artist, "artist {} twice", self.last_artist);
        self.last_artist = song.artist_key;
        self.songs += 1;
        *self.plays.entry(song.title_key).or_default() += 1;
        let part = rules.day_parts.iter().position(|part| part.holds(planned.weekday, planned.minute()));
        self.by_part[part.unwrap_or(2)][usize::from(song.folder)] += 1;
        self.since_jingle += 1;
        self.since_id += 1;
    }

    /// What was played is noted at its own time; `planned` is when the song was to begin.
    fn play(&mut self, rules: &Rules, choice: &Choice, at_ms: i64, planned: Moment) {
        match choice.track.kind {
            TrackKind::Song => self.song(rules, choice, at_ms, planned),
            TrackKind::Jingle => self.since_jingle = 0,
            TrackKind::StationId => {
                self.since_id = 0;
                self.ids_ms.push(at_ms);
            }
            _ => {}
        }
    }
}

/// The plays go to the disk and come back; nothing else survives.
fn restart(history: &History, note: &mut Notebook) -> History {
    let plays: Vec<&Play> = history.newest_first().collect();
    let text = serde_json::to_string(&plays).expect("serialised");
    note.history_bytes_max = note.history_bytes_max.max(text.len());
    let read: Vec<Play> = serde_json::from_str(&text).expect("read back");
    assert!((1..=PLAYS_MAX).contains(&read.len()), "{} plays", read.len());
    let mut again = History::new(PLAYS_MAX);
    read.into_iter().rev().for_each(|play| again.push(play));
    again
}

fn a_year(rules: &Rules, library: &Catalogue) -> Notebook {
    let mut note = Notebook::default();
    let mut crossfades = Dice::new(1);
    let (mut history, mut rotation, mut day) = (History::new(PLAYS_MAX), Rotation::new(rules.clone(), 0), 0);
    let mut now_ms = MONDAY_MS;
    // What was foreseen is that much later than what came.
    let mut early_ms = 0;
    while now_ms < MONDAY_MS + YEAR_MS {
        if (now_ms - MONDAY_MS) / DAY_MS > day {
            day += 1;
            history = restart(&history, &mut note);
            rotation = Rotation::new(rules.clone(), u64::try_from(day).expect("forward"));
        }
        let mut planned = local(now_ms + early_ms);
        let choices = rotation.choose(library, &history, planned);
        note.join(rules, &choices);
        assert_eq!(choices.last().map(|choice| choice.track.kind), Some(TrackKind::Song));
        for choice in &choices {
            // The weights are those of the moment when the intro, or the song, was to begin.
            let lead_in = if choices.iter().any(|other| other.reason == Reason::Intro) { 10_000 } else { 0 };
            note.play(rules, choice, now_ms, planned.later(-lead_in));
            played(&mut history, &choice.track, local(now_ms));
            now_ms += length_ms(&choice.track);
            planned = planned.later(length_ms(&choice.track));
        }
        early_ms = i64::try_from(crossfades.below(CROSSFADE_MS)).expect("small");
        now_ms -= early_ms;
    }
    note
}

#[test]
fn st3_a_simulated_year_of_rotation() {
    let (rules, library) = (rules(), library());
    let note = a_year(&rules, &library);
    println!("{} songs, shortest rest of a title {:?} ms", note.songs, note.shortest_rest_ms);
    assert!(note.songs > 100_000);

    // A title begins at the earliest a gap after it began, less the one crossfade that was not foreseen.
    let gap_ms = i64::try_from(rules.title_gap_min).expect("small") * MINUTE_MS;
    assert!(note.shortest_rest_ms.expect("repeats") >= gap_ms - 4000);
    the_hours_have_their_ids(&rules, &note);
    the_weights_hold(&note);
    everything_comes_round(&library, &note);
    println!("history at most {} bytes", note.history_bytes_max);
    assert!((1..=PLAYS_MAX * 200).contains(&note.history_bytes_max), "{} bytes", note.history_bytes_max);
}

/// No hour of the year is exempt.
fn the_hours_have_their_ids(rules: &Rules, note: &Notebook) {
    let window_ms = i64::try_from(rules.hour_id_window_min).expect("small") * MINUTE_MS;
    let (mut hours, mut latest_ms, mut early) = (0, i64::MIN, 0);
    for hour in (0..YEAR_MS / HOUR_MS).map(|hour| MONDAY_MS + hour * HOUR_MS) {
        let first = note.ids_ms.partition_point(|id| *id < hour - HOUR_ID_EARLY_MS);
        let after_ms = note.ids_ms.get(first).map_or(i64::MAX, |id| id - hour);
        assert!(after_ms <= window_ms, "hour {hours}: the ID came after {after_ms} ms");
        hours += 1;
        early += i32::from(after_ms < 0);
        latest_ms = latest_ms.max(after_ms);
    }
    println!("{hours} hours, the latest ID {latest_ms} ms after its hour, {early} up to 10 s before it");
    assert_eq!(hours, 8760);
}

fn the_weights_hold(note: &Notebook) {
    for (plays, weights) in note.by_part.iter().zip([[1, 3, 0], [5, 2, 3], [1, 2, 1]]) {
        let shares = [0, 1, 2].map(|folder| f64::from(u32::try_from(SONGS[folder] * weights[folder]).expect("small")));
        let counts = plays.map(|count| f64::from(u32::try_from(count).expect("small")));
        let (all_shares, all): (f64, f64) = (shares.iter().sum(), counts.iter().sum());
        println!("weights {weights:?}: {plays:?} plays");
        assert!(all > 5000.0);
        for (count, share) in counts.iter().zip(shares.map(|share| share / all_shares)) {
            let five_sigma = 5.0 * (all * share * (1.0 - share)).sqrt();
            assert!((count - all * share).abs() <= five_sigma, "{plays:?} plays for weights {weights:?}");
        }
    }
}

fn everything_comes_round(library: &Catalogue, note: &Notebook) {
    for folder in 0..3u16 {
        let songs = library.tracks.iter().filter(|track| track.kind == TrackKind::Song && track.folder == folder);
        let plays: Vec<u64> = songs.map(|song| note.plays.get(&song.title_key).copied().unwrap_or(0)).collect();
        let (min, max) = (plays.iter().min().copied(), plays.iter().max().copied());
        let mean = plays.iter().sum::<u64>() / plays.len() as u64;
        println!("folder {folder}: each of {} songs came {min:?} to {max:?} times, {mean} on average", plays.len());
        assert!(min.is_some_and(|min| min >= mean / 2) && max.is_some_and(|max| max <= mean * 3 / 2));
    }
}
