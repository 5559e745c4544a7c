//! What was played, newest first, with a bound. Memory only: `state` keeps it
//! through a restart, `rotation` asks it.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{
    lossless_path,
    track::{Track, TrackKind},
};

/// One track that went on air.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Play {
    /// When it began, milliseconds since 1970.
    pub at_unix_ms: i64,
    /// The file.
    #[serde(with = "lossless_path")]
    pub path: PathBuf,
    /// As it was announced.
    pub title: Box<str>,
    /// As it was announced.
    pub artist: Option<Box<str>>,
    /// [`Track::title_key`]
    pub title_key: u64,
    /// [`Track::artist_key`]
    pub artist_key: u64,
    /// What it was for.
    pub kind: TrackKind,
}

impl Play {
    /// `track` begins now.
    pub fn of(track: &Track, at_unix_ms: i64) -> Self {
        Self {
            at_unix_ms,
            path: track.path.clone(),
            title: track.title.clone(),
            artist: track.artist.clone(),
            title_key: track.title_key,
            artist_key: track.artist_key,
            kind: track.kind,
        }
    }
}

/// The plays that are remembered.
#[derive(Debug, Clone, Default)]
pub struct History {
    bound: usize,
    /// Oldest first.
    plays: VecDeque<Play>,
    /// When a title was last pushed; rotation asks this for every candidate.
    last_of_title: HashMap<u64, i64>,
}

impl History {
    /// Remembers at most `bound` plays; the oldest goes.
    pub fn new(bound: usize) -> Self {
        Self { bound, plays: VecDeque::new(), last_of_title: HashMap::new() }
    }

    /// One more.
    pub fn push(&mut self, play: Play) {
        self.last_of_title.insert(play.title_key, play.at_unix_ms);
        self.plays.push_back(play);
        while self.plays.len() > self.bound {
            let Some(gone) = self.plays.pop_front() else { break };
            // Unless it was pushed again since.
            if self.last_of_title.get(&gone.title_key) == Some(&gone.at_unix_ms) {
                self.last_of_title.remove(&gone.title_key);
            }
        }
    }

    /// The last play first.
    pub fn newest_first(&self) -> impl DoubleEndedIterator<Item = &Play> + ExactSizeIterator {
        self.plays.iter().rev()
    }

    /// When a title was last played (milliseconds since 1970), if that is remembered.
    pub fn last_title(&self, title_key: u64) -> Option<i64> {
        self.last_of_title.get(&title_key).copied()
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.plays.len()
    }

    /// Nothing was played yet.
    pub fn is_empty(&self) -> bool {
        self.plays.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(at_unix_ms: i64, title_key: u64) -> Play {
        Play {
            at_unix_ms,
            path: "a.mp3".into(),
            title: "a".into(),
            artist: None,
            title_key,
            artist_key: 0,
            kind: TrackKind::Song,
        }
    }

    #[test]
    fn st3_history_is_newest_first_and_bounded() {
        let mut history = History::new(3);
        assert!(history.is_empty());
        for (at, title) in [(1, 10), (2, 20), (3, 10), (4, 30), (5, 40)] {
            history.push(play(at, title));
        }
        assert_eq!(history.newest_first().map(|play| play.at_unix_ms).collect::<Vec<_>>(), [5, 4, 3]);
        assert_eq!(history.len(), 3);
        // Title 10 was played at 1, which is forgotten, and at 3, which is not.
        assert_eq!([10, 20, 30, 40].map(|key| history.last_title(key)), [Some(3), None, Some(4), Some(5)]);
        assert_eq!(history.last_of_title.len(), 3);
    }

    #[test]
    fn st3_a_history_of_nothing_remembers_nothing() {
        let mut history = History::new(0);
        history.push(play(1, 1));
        assert!(history.is_empty() && history.last_title(1).is_none());
    }
}
