//! What the history says, read anew for each choice: which titles and artists are
//! too near, and how long ago the station last said its name.
//!
//! The order of the history counts, not its times, wherever that is enough: the
//! clock of a box without a battery may have been years off for a while.

use std::{collections::HashMap, ffi::OsStr, path::Path};

use super::{
    Moment, Rules,
    keys::{ABSENT, KeyTable},
};
use crate::station::{
    history::{History, Play},
    track::TrackKind,
};

pub(super) struct Memory {
    titles: KeyTable,
    artists: KeyTable,
    /// All songs that are remembered, when no jingle is.
    pub songs_since_jingle: u64,
    /// All songs that are remembered, when no ID is.
    pub songs_since_id: u64,
    /// When the last ID began; none from the future, where a wrong clock put it.
    pub last_id_unix_ms: Option<i64>,
}

impl Memory {
    pub fn read(rules: &Rules, history: &History, now: Moment) -> Self {
        let plays = history.newest_first().count();
        let mut memory = Self {
            titles: KeyTable::with_room(plays),
            artists: KeyTable::with_room(rules.artist_gap_songs.min(plays)),
            songs_since_jingle: 0,
            songs_since_id: 0,
            last_id_unix_ms: None,
        };
        let gap_ms = gap_ms(rules);
        let (mut songs, mut jingle_seen, mut id_seen) = (0u32, false, false);
        for play in history.newest_first() {
            match play.kind {
                TrackKind::Song => {
                    memory.song(rules, play, songs, play.at_unix_ms.abs_diff(now.unix_ms) < gap_ms);
                    songs += 1;
                    memory.songs_since_jingle += u64::from(!jingle_seen);
                    memory.songs_since_id += u64::from(!id_seen);
                }
                TrackKind::Jingle => jingle_seen = true,
                TrackKind::StationId => {
                    id_seen = true;
                    if memory.last_id_unix_ms.is_none() && play.at_unix_ms <= now.unix_ms {
                        memory.last_id_unix_ms = Some(play.at_unix_ms);
                    }
                }
                TrackKind::Intro | TrackKind::Outro | TrackKind::SignOn | TrackKind::SignOff => {}
            }
        }
        memory
    }

    fn song(&mut self, rules: &Rules, play: &Play, songs_ago: u32, recent: bool) {
        self.titles.add(play.title_key, songs_ago << 1 | u32::from(recent));
        if (songs_ago as usize) < rules.artist_gap_songs && play.artist_key != 0 {
            self.artists.add(play.artist_key, songs_ago);
        }
    }

    /// How many songs ago the title was played, or [`ABSENT`], and whether that is
    /// within the gap.
    pub fn title(&self, title_key: u64) -> (u32, bool) {
        match self.titles.get(title_key) {
            ABSENT => (ABSENT, false),
            seen => (seen >> 1, seen & 1 == 1),
        }
    }

    /// How many songs ago the artist was played, if within the gap; else [`ABSENT`].
    pub fn artist(&self, artist_key: u64) -> u32 {
        if artist_key == 0 { ABSENT } else { self.artists.get(artist_key) }
    }
}

/// Files that were played within the gap, for a file may have other tags now.
/// Asked for the one song that was chosen; all of them are looked up only when
/// that one is among them.
pub(super) struct RecentFiles<'h> {
    history: &'h History,
    gap_ms: u64,
    now: Moment,
}

impl<'h> RecentFiles<'h> {
    pub fn new(rules: &Rules, history: &'h History, now: Moment) -> Self {
        Self { history, gap_ms: gap_ms(rules), now }
    }

    /// Each with how many songs ago it was played, the newest first.
    fn all(&self) -> impl Iterator<Item = (u32, &Play)> {
        let songs = (0..).zip(self.history.newest_first().filter(|play| matches!(play.kind, TrackKind::Song)));
        songs.filter(|(_, play)| play.at_unix_ms.abs_diff(self.now.unix_ms) < self.gap_ms)
    }

    pub fn hold(&self, path: &Path) -> bool {
        self.all().any(|(_, play)| play.path.as_os_str() == path.as_os_str())
    }

    /// By path.
    pub fn index(&self) -> FilesIndex<'_> {
        let mut by_path = HashMap::new();
        for (songs_ago, play) in self.all() {
            by_path.entry(play.path.as_os_str()).or_insert(songs_ago);
        }
        let mut ends = KeyTable::with_room(by_path.len());
        by_path.keys().for_each(|path| ends.add(end_of(path), 0));
        FilesIndex { ends, by_path }
    }
}

/// The files of [`RecentFiles`], to be asked for every song.
pub(super) struct FilesIndex<'h> {
    /// Told apart by their last letters first, which is cheap.
    ends: KeyTable,
    by_path: HashMap<&'h OsStr, u32>,
}

impl FilesIndex<'_> {
    /// How many songs ago this file was played, if within the gap.
    pub fn songs_ago(&self, path: &Path) -> Option<u32> {
        let path = path.as_os_str();
        if self.ends.get(end_of(path)) == ABSENT { None } else { self.by_path.get(path).copied() }
    }
}

/// The eight bytes before an ending like `flac`.
fn end_of(path: &OsStr) -> u64 {
    let bytes = path.as_encoded_bytes();
    let end = bytes.len().saturating_sub(4);
    let tail = &bytes[end.saturating_sub(8)..end];
    let mut eight = [0; 8];
    eight[..tail.len()].copy_from_slice(tail);
    u64::from_le_bytes(eight)
}

fn gap_ms(rules: &Rules) -> u64 {
    rules.title_gap_min.saturating_mul(60_000)
}
