//! What the history says, read anew for each choice: which titles and artists are
//! too near, and how long ago the station last said its name.
//!
//! The order of the history counts, not its times, wherever that is enough: the
//! clock of a box without a battery may have been years off for a while.

use std::path::Path;

use super::{
    Moment, Rules,
    keys::{ABSENT, KeyTable},
};
use crate::station::{
    history::{History, Play},
    track::{Catalogue, TrackKind},
};

pub(super) struct Memory {
    titles: KeyTable,
    artists: KeyTable,
    /// Places in the catalogue of songs whose file was played within the gap under
    /// another title, for it has other tags now, and how many songs ago. Ascending,
    /// and nearly always empty.
    recent_files: Vec<(usize, u32)>,
    /// All songs that are remembered, when no jingle is.
    pub songs_since_jingle: u64,
    /// All songs that are remembered, when no ID is.
    pub songs_since_id: u64,
    /// When the last ID began; none from the future, where a wrong clock put it.
    pub last_id_unix_ms: Option<i64>,
}

impl Memory {
    pub fn read(rules: &Rules, catalogue: &Catalogue, history: &History, now: Moment) -> Self {
        let plays = history.newest_first().count();
        let mut memory = Self {
            titles: KeyTable::with_room(plays),
            artists: KeyTable::with_room(rules.artist_gap_songs.min(plays)),
            recent_files: Vec::new(),
            songs_since_jingle: 0,
            songs_since_id: 0,
            last_id_unix_ms: None,
        };
        let gap_ms = rules.title_gap_min.saturating_mul(60_000);
        let (mut songs, mut jingle_seen, mut id_seen) = (0u32, false, false);
        for play in history.newest_first() {
            match play.kind {
                TrackKind::Song => {
                    memory.song(rules, catalogue, play, songs, play.at_unix_ms.abs_diff(now.unix_ms) < gap_ms);
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
        memory.recent_files.sort_unstable();
        memory
    }

    fn song(&mut self, rules: &Rules, catalogue: &Catalogue, play: &Play, songs_ago: u32, recent: bool) {
        self.titles.add(play.title_key, songs_ago << 1 | u32::from(recent));
        if (songs_ago as usize) < rules.artist_gap_songs && play.artist_key != 0 {
            self.artists.add(play.artist_key, songs_ago);
        }
        if recent && let Some(at) = place_of(catalogue, &play.path) {
            let renamed = catalogue.tracks[at].title_key != play.title_key;
            self.recent_files.extend(renamed.then_some((at, songs_ago)));
        }
    }

    /// How many songs ago a song of the catalogue was played, or [`ABSENT`], and
    /// whether that is within the gap.
    pub fn title(&self, at: usize, title_key: u64) -> (u32, bool) {
        if !self.recent_files.is_empty()
            && let Ok(found) = self.recent_files.binary_search_by_key(&at, |(place, _)| *place)
        {
            return (self.recent_files[found].1, true);
        }
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

/// The catalogue is in the order of its paths.
fn place_of(catalogue: &Catalogue, path: &Path) -> Option<usize> {
    catalogue.tracks.binary_search_by(|track| track.path.as_path().cmp(path)).ok()
}
