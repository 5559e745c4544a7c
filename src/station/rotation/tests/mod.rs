//! The rules of rotation, one table each, and what the tests share.

mod breaks;
mod companions;
mod properties;
mod songs;
mod year;

use std::{path::PathBuf, sync::Arc};

use super::*;
use crate::station::{
    history::Play,
    track::{Stamp, TrackKind},
};

/// Monday, 2026-01-05 00:00 UTC.
const MONDAY_MS: i64 = 1_767_571_200_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// That long after [`MONDAY_MS`], in a zone without an offset.
fn moment(after_ms: i64) -> Moment {
    Moment { unix_ms: MONDAY_MS, weekday: 0, second_of_day: 0 }.later(after_ms)
}

/// At `hour:minute:second` of that Monday.
fn at(hour: i64, minute: i64, second: i64) -> Moment {
    moment(hour * HOUR_MS + minute * MINUTE_MS + second * 1000)
}

/// `path` is `folder/name`; `key` is the title's, `artist` the artist's.
fn track(kind: TrackKind, folder: u16, path: &str, key: u64, artist: u64, duration_ms: Option<u32>) -> Track {
    Track {
        path: PathBuf::from(path),
        stamp: Stamp { size: 1, mtime_ns: 1 },
        kind,
        folder,
        title: path.into(),
        artist: None,
        album: None,
        year: None,
        duration_ms,
        tag_lufs: None,
        title_key: key,
        artist_key: artist,
    }
}

/// A song of folder 0, of four minutes unless told.
fn song(key: u64, artist: u64) -> Track {
    track(TrackKind::Song, 0, &format!("music/{key:05}.flac"), key, artist, Some(240_000))
}

/// A jingle, an ID, an intro …: ten seconds.
fn short(kind: TrackKind, path: &str, key: u64) -> Track {
    track(kind, 0, path, key, 0, Some(10_000))
}

fn catalogue(tracks: Vec<Track>) -> Catalogue {
    let mut tracks: Vec<Arc<Track>> = tracks.into_iter().map(Arc::new).collect();
    tracks.sort_by(|a, b| a.path.cmp(&b.path));
    Catalogue { tracks, folders: vec![String::new(), "Rock".to_owned(), "Jazz".to_owned()] }
}

fn played(history: &mut History, track: &Track, at: Moment) {
    history.push(Play::of(track, at.unix_ms));
}

/// No rule but those a test is about.
fn no_rules() -> Rules {
    Rules {
        title_gap_min: 0,
        artist_gap_songs: 0,
        jingle_every_songs: 0,
        id_every_songs: 0,
        hour_id: false,
        ..Rules::default()
    }
}

/// The song of a choice, which comes last.
fn song_of(choices: &[Choice]) -> (u64, Reason) {
    let last = choices.last().expect("a song");
    assert_eq!(last.track.kind, TrackKind::Song);
    (last.track.title_key, last.reason)
}

/// Every song that may come, each with its reason, over many throws of the dice.
fn all_that_come(rules: &Rules, catalogue: &Catalogue, history: &History, now: Moment) -> Vec<(u64, Reason)> {
    let mut came: Vec<(u64, Reason)> = Vec::new();
    for seed in 0..300 {
        let one = song_of(&Rotation::new(rules.clone(), seed).choose(catalogue, history, now));
        if !came.contains(&one) {
            came.push(one);
        }
    }
    came.sort_by_key(|(key, _)| *key);
    came
}
