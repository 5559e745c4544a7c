//! What a name says: whether FFmpeg plays the file, what its folder is for, and
//! what it is called when its tags do not say.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use crate::{limits::TAG_TEXT_CHARS_MAX, station::track::TrackKind};

/// Endings of files that FFmpeg plays. By name, because opening every file of a
/// large folder to look into it takes minutes; what lies, the decoder finds out.
const AUDIO: [&str; 37] = [
    "3gp", "aac", "ac3", "aif", "aifc", "aiff", "alac", "amr", "ape", "au", "caf", "dff", "dsf", "eac3", "flac", "m4a",
    "m4b", "mka", "mov", "mp+", "mp1", "mp2", "mp3", "mp4", "mpc", "mpga", "oga", "ogg", "opus", "ra", "spx", "tta",
    "wav", "wave", "webm", "wma", "wv",
];
/// The longest of them.
const ENDING_BYTES_MAX: usize = 4;

/// FFmpeg plays files of such a name.
pub fn is_audio(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else { return false };
    let ending = &name[dot + 1..];
    let mut lower = [0; ENDING_BYTES_MAX];
    let Some(lower) = lower.get_mut(..ending.len()) else { return false };
    lower.copy_from_slice(ending);
    lower.make_ascii_lowercase();
    AUDIO.binary_search_by(|audio| audio.as_bytes().cmp(lower)).is_ok()
}

/// Hidden, as `ls` has it; also what copying programs write beside the target.
pub fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().first() == Some(&b'.')
}

/// What the files of a folder at the top of a music folder are for.
pub fn kind_of(folder: &OsStr) -> TrackKind {
    let name = folder.to_string_lossy().to_lowercase();
    let name: String = name.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).collect();
    match name.as_str() {
        "jingle" | "jingles" => TrackKind::Jingle,
        "id" | "ids" | "stationid" | "stationids" => TrackKind::StationId,
        "intro" | "intros" => TrackKind::Intro,
        "outro" | "outros" => TrackKind::Outro,
        "signon" => TrackKind::SignOn,
        "signoff" => TrackKind::SignOff,
        _ => TrackKind::Song,
    }
}

/// Text for people: on one line, without blanks around, of bounded length. Empty: nothing.
pub fn clean(text: &str) -> Option<Box<str>> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    if text.is_empty() {
        return None;
    }
    let line = text.chars().take(TAG_TEXT_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c });
    Some(line.collect::<String>().into())
}

/// Artist and title by a file's name: `Artist - Title.mp3`, `03 - Title.mp3`.
pub fn artist_and_title(name: &OsStr) -> (Option<Box<str>>, Box<str>) {
    let name = name.to_string_lossy();
    let stem = name.rsplit_once('.').map_or(&*name, |(stem, _)| stem);
    let stem = stem.replace('_', " ");
    let stem = without_number(stem.trim());
    let split = stem.split_once(" - ").and_then(|(artist, title)| Some((clean(artist)?, clean(title)?)));
    match split {
        Some((artist, title)) => (Some(artist), title),
        None => (None, clean(stem).unwrap_or_else(|| "Untitled".into())),
    }
}

/// `03 - Title`, `03. Title`: but `99 Luftballons` keeps its number.
fn without_number(stem: &str) -> &str {
    let rest = stem.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = stem.len() - rest.len();
    let after = [" - ", ". ", "- "].iter().find_map(|mark| rest.strip_prefix(mark)).map(str::trim);
    after.filter(|after| (1..=3).contains(&digits) && !after.is_empty()).unwrap_or(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st3_files_that_ffmpeg_plays_by_their_ending() {
        assert!(AUDIO.is_sorted() && AUDIO.iter().all(|audio| audio.len() <= ENDING_BYTES_MAX));
        for name in ["a.mp3", "a.FLAC", "a.b.Ogg", "a.aiff", "a.m4a", "a.mka", "a.webm", "a.wv", ".mp3"] {
            assert!(is_audio(OsStr::new(name)), "{name}");
        }
        for name in ["a", "mp3", "a.mp3.part", "a.jpg", "a.", "", "a.mp33", "a.webmm"] {
            assert!(!is_audio(OsStr::new(name)), "{name}");
        }
        assert!(is_audio(OsStr::from_bytes(b"\xff\n.mp3")));
        assert!(is_hidden(OsStr::new("._a.mp3")) && !is_hidden(OsStr::new("a.mp3")));
    }

    #[test]
    fn st3_kinds_by_folder() {
        let table = [
            ("Jingles", TrackKind::Jingle),
            ("jingle", TrackKind::Jingle),
            ("IDs", TrackKind::StationId),
            ("Station_IDs", TrackKind::StationId),
            ("intros", TrackKind::Intro),
            ("OUTROS", TrackKind::Outro),
            ("sign on", TrackKind::SignOn),
            ("sign-off", TrackKind::SignOff),
            ("Rock", TrackKind::Song),
            ("jingles of 1980", TrackKind::Song),
        ];
        for (name, kind) in table {
            assert_eq!(kind_of(OsStr::new(name)), kind, "{name}");
        }
    }

    #[test]
    fn st3_names_become_titles() {
        let table: [(&[u8], Option<&str>, &str); 10] = [
            (b"Artist - Title.mp3", Some("Artist"), "Title"),
            (b"03 - Title.mp3", None, "Title"),
            (b"03. Artist - Title.mp3", Some("Artist"), "Title"),
            (b"03_-_Some_Title.mp3", None, "Some Title"),
            (b"99 Luftballons.mp3", None, "99 Luftballons"),
            (b"1984 - Title.mp3", Some("1984"), "Title"),
            (b"two\nlines.mp3", None, "two lines"),
            (b"\xff.mp3", None, "\u{fffd}"),
            (b" - .mp3", None, "-"),
            (b".mp3", None, "Untitled"),
        ];
        for (name, artist, title) in table {
            let (found_artist, found_title) = artist_and_title(OsStr::from_bytes(name));
            assert_eq!((found_artist.as_deref(), &*found_title), (artist, title), "{name:?}");
        }
        assert_eq!(clean(&"x".repeat(5000)).map(|text| text.len()), Some(TAG_TEXT_CHARS_MAX));
    }
}
