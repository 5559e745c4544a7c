//! What was played: the station's only memory of it, bounded, oldest out first.
//! Data only: who writes it to disk is `state`.

use std::{collections::VecDeque, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::track::TrackKind;

/// One play.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Play {
    /// When it began, in milliseconds since 1970.
    pub at_unix_ms: i64,
    /// The file.
    pub path: PathBuf,
    /// As it was announced.
    pub title: Box<str>,
    /// As it was announced.
    pub artist: Option<Box<str>>,
    /// Of the track.
    pub title_key: u64,
    /// Of the track; 0: unknown.
    pub artist_key: u64,
    /// What it was for.
    pub kind: TrackKind,
}

/// The last plays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    plays: VecDeque<Play>,
    bound: usize,
}

impl History {
    /// Empty; keeps the last `bound` plays.
    pub fn new(bound: usize) -> Self {
        Self { plays: VecDeque::new(), bound }
    }

    /// Takes one more; the oldest goes when there are too many.
    pub fn push(&mut self, play: Play) {
        self.plays.push_back(play);
        while self.plays.len() > self.bound {
            self.plays.pop_front();
        }
    }

    /// Every play that is kept, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Play> {
        self.plays.iter().rev()
    }
}
