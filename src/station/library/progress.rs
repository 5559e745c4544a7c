//! How far the library is: numbers that the scan writes and anybody reads.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// Of the look that runs, or of the last one. Written by `station:scan` alone.
#[derive(Debug, Default)]
pub struct Progress {
    /// A look is under way.
    pub looking: AtomicBool,
    /// Looks begun since the start.
    pub looks: AtomicU64,
    /// Folders that were looked at.
    pub folders: AtomicU64,
    /// Files of those folders, playable or not.
    pub files: AtomicU64,
    /// Tracks found or known in those folders.
    pub tracks: AtomicU64,
    /// Files whose tags were read.
    pub parsed: AtomicU64,
    /// Playable by name, but left out.
    pub skipped: AtomicU64,
}

impl Progress {
    pub(super) fn begin(&self) {
        for number in [&self.folders, &self.files, &self.tracks, &self.parsed, &self.skipped] {
            number.store(0, Relaxed);
        }
        self.looks.fetch_add(1, Relaxed);
        self.looking.store(true, Relaxed);
    }

    pub(super) fn add(number: &AtomicU64, count: usize) {
        number.fetch_add(count as u64, Relaxed);
    }
}

/// `12300 files in 900 folders, 11950 tracks, tags of 400 read, 3 left out`
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [files, folders, tracks, parsed, skipped] =
            [&self.files, &self.folders, &self.tracks, &self.parsed, &self.skipped].map(|number| number.load(Relaxed));
        write!(f, "{files} files in {folders} folders, {tracks} tracks, tags of {parsed} read, {skipped} left out")
    }
}
