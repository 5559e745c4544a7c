//! What is wrong with files and folders, said once each, and never in floods.

use std::{
    collections::HashSet,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::keys::Fnv;
use crate::{limits::LIBRARY_LINES_PER_LOOK, station::lossless_path::shown};

/// What was said is remembered for so many; then it is forgotten, and may be said again.
const SAID_MAX: usize = 10_000;
/// Complaints of one look that a report can list.
pub const LISTED_MAX: usize = 50;

/// Who says what is wrong.
#[derive(Debug, Default)]
pub struct Complaints {
    /// Hashes of path and reason.
    said: HashSet<u64>,
    lines: usize,
    unsaid: usize,
    gone: HashSet<PathBuf>,
    /// Of this look, for a report: the first [`LISTED_MAX`].
    pub listed: Vec<(PathBuf, String)>,
}

impl Complaints {
    /// `path` has this fault.
    pub fn say(&mut self, path: &Path, why: &str) {
        if self.listed.len() < LISTED_MAX {
            self.listed.push((path.to_path_buf(), why.to_owned()));
        }
        let mut hash = Fnv::new();
        hash.update(path.as_os_str().as_bytes());
        hash.update(b"\0");
        hash.update(why.as_bytes());
        if self.said.contains(&hash.value()) {
            return;
        }
        if self.said.len() >= SAID_MAX {
            self.said.clear();
        }
        self.said.insert(hash.value());
        if self.lines < LIBRARY_LINES_PER_LOOK {
            self.lines += 1;
            log::warn!("library: {}: {why}", shown(path));
        } else {
            self.unsaid += 1;
        }
    }

    /// A music folder cannot be reached; said once until it is back.
    pub fn music_is_gone(&mut self, path: &Path, why: &str, tracks: usize) {
        if self.gone.insert(path.to_path_buf()) {
            log::warn!("music folder {}: {why}; its {tracks} tracks leave until it is back", shown(path));
        }
    }

    /// A music folder can be reached.
    pub fn music_is_back(&mut self, path: &Path) {
        if self.gone.remove(path) {
            log::info!("music folder {} is back", shown(path));
        }
    }

    /// Music folders that cannot be reached.
    pub fn music_gone(&self) -> impl Iterator<Item = &Path> {
        self.gone.iter().map(PathBuf::as_path)
    }

    /// A look begins.
    pub fn begin_look(&mut self) {
        self.listed.clear();
        self.lines = 0;
        self.unsaid = 0;
    }

    /// The look is over.
    pub fn end_of_look(&mut self) {
        if self.unsaid > 0 {
            log::warn!("library: {} more like these", self.unsaid);
        }
    }

    /// Lines that were written in this look, and complaints that were only counted.
    #[cfg(test)]
    pub fn counts(&self) -> (usize, usize) {
        (self.lines, self.unsaid)
    }
}
