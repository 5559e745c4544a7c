//! What the station remembers through a restart: how loud files are, which are
//! bad, and what was played.
//!
//! One JSON file, replaced as a whole (`atomic_file`), at most every ten minutes
//! and at the end, so that an SD card lives long (W2). A power cut costs at most
//! those ten minutes. A file that cannot be read is set aside and a fresh one
//! begun; one that cannot be written costs a log line, and is tried again.
//!
//! THINK owns it. `save` waits for the disk, so DO must never call it. Time comes
//! in from outside.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    history::{History, Play},
    lossless_path::{self, shown},
    track::{Measured, Stamp, Track},
};
use crate::{atomic_file, limits};

/// Its name in the state folder.
pub const FILE_NAME: &str = "station.state.json";
/// Written at most this often (W2).
const SAVE_EVERY: Duration = Duration::from_secs(600);
/// But after the first time, which may hold no more than one file's loudness.
const SAVE_EARLY: Duration = Duration::from_secs(30);
/// After a failure.
const SAVE_AGAIN: Duration = Duration::from_secs(60);
/// Another version is not read.
const VERSION: u32 = 1;
const DAY_MS: i64 = 24 * 3600 * 1000;
/// The longest quarantine: 32 days.
const QUARANTINE_DOUBLINGS_MAX: u32 = 5;

/// A file that could not be played.
///
/// Every reason may pass (a loose cable, a codec that the next FFmpeg brings),
/// so nobody guesses from FFmpeg's words: quarantine ends when the file changes,
/// or after a day, and lasts twice as long each time the file fails again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFile {
    /// How the file looked.
    pub stamp: Stamp,
    /// One line.
    pub why: Box<str>,
    /// When it failed last, milliseconds since 1970.
    pub at_unix_ms: i64,
    /// How often it failed, looking like this.
    pub failures: u32,
}

impl BadFile {
    fn until_unix_ms(&self) -> i64 {
        let doublings = self.failures.saturating_sub(1).min(QUARANTINE_DOUBLINGS_MAX);
        self.at_unix_ms.saturating_add(DAY_MS << doublings)
    }
}

#[derive(Debug, Clone, Copy)]
struct Loudness {
    stamp: Stamp,
    measured: Measured,
    /// Grows with each use: the smallest goes first.
    used: u64,
}

/// What the station remembers.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    measured: HashMap<PathBuf, Loudness>,
    uses: u64,
    bad: HashMap<PathBuf, BadFile>,
    history: History,
    changed: bool,
    save_at: Option<Instant>,
    /// It has been saved at most once.
    early: bool,
    failing: bool,
}

/// The file. Entries of `measured` are in the order of their last use.
#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    measured: Vec<WrittenLoudness>,
    bad: Vec<WrittenBad>,
    history: Vec<Play>,
}

#[derive(Serialize, Deserialize)]
struct WrittenLoudness {
    #[serde(with = "lossless_path")]
    path: PathBuf,
    stamp: Stamp,
    measured: Measured,
}

#[derive(Serialize, Deserialize)]
struct WrittenBad {
    #[serde(with = "lossless_path")]
    path: PathBuf,
    stamp: Stamp,
    why: Box<str>,
    at_unix_ms: i64,
    failures: u32,
}

impl Memory {
    /// What is remembered in `state_dir`; nothing, if there is nothing to be read.
    pub fn load(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE_NAME);
        atomic_file::clean(&path);
        let mut memory = Self {
            path,
            measured: HashMap::new(),
            uses: 0,
            bad: HashMap::new(),
            history: History::new(limits::HISTORY_MAX),
            changed: false,
            save_at: None,
            early: true,
            failing: false,
        };
        match atomic_file::read(&memory.path, limits::STATE_FILE_BYTES_MAX) {
            Ok(content) => memory.take(&content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => memory.begin_afresh(&error.to_string()),
            // It may be readable tomorrow: left where it is.
            Err(error) => log::warn!("cannot read {}: {error}; the station begins afresh", shown(&memory.path)),
        }
        memory
    }

    fn take(&mut self, content: &[u8]) {
        let written = match serde_json::from_slice::<Written>(content) {
            Ok(written) if written.version == VERSION => written,
            Ok(written) => return self.begin_afresh(&format!("version {} where {VERSION} is read", written.version)),
            Err(error) => return self.begin_afresh(&error.to_string()),
        };
        for WrittenLoudness { path, stamp, measured } in written.measured {
            self.put_loudness(path, stamp, measured);
        }
        for WrittenBad { path, stamp, why, at_unix_ms, failures } in written.bad {
            self.put_bad(path, BadFile { stamp, why, at_unix_ms, failures });
        }
        for play in written.history {
            self.history.push(play);
        }
    }

    fn begin_afresh(&self, why: &str) {
        let aside = match atomic_file::set_aside(&self.path) {
            Ok(aside) => format!("it is now {}", shown(&aside)),
            Err(error) => format!("and it cannot be moved aside: {error}"),
        };
        log::warn!("{} cannot be used ({why}); {aside}, and the station begins afresh", shown(&self.path));
    }

    /// What a measurement of this file, as it is now, found.
    pub fn measured(&mut self, track: &Track) -> Option<Measured> {
        let known = self.measured.get_mut(&track.path).filter(|known| known.stamp == track.stamp)?;
        self.uses += 1;
        known.used = self.uses;
        Some(known.measured)
    }

    /// A measurement is through.
    pub fn remember(&mut self, track: &Track, measured: Measured) {
        self.put_loudness(track.path.clone(), track.stamp, measured);
        self.changed = true;
    }

    fn put_loudness(&mut self, path: PathBuf, stamp: Stamp, measured: Measured) {
        self.uses += 1;
        self.measured.insert(path, Loudness { stamp, measured, used: self.uses });
        // A hundredth at a time, or each insertion would look at them all.
        if self.measured.len() > limits::MEASURED_MAX {
            self.forget_measured(limits::MEASURED_MAX / 100);
        }
    }

    fn forget_measured(&mut self, count: usize) {
        let mut uses: Vec<u64> = self.measured.values().map(|known| known.used).collect();
        if uses.is_empty() {
            return;
        }
        let last = count.min(uses.len() - 1);
        let (_, keep_from, _) = uses.select_nth_unstable(last);
        let keep_from = *keep_from;
        self.measured.retain(|_, known| known.used >= keep_from);
    }

    /// This file, as it is now, is not to be chosen for a while.
    pub fn quarantine(&mut self, track: &Track, why: &str, now_unix_ms: i64) {
        let before = self.bad.get(&track.path).filter(|bad| bad.stamp == track.stamp);
        let failures = before.map_or(1, |bad| bad.failures.saturating_add(1));
        let bad = BadFile { stamp: track.stamp, why: one_line(why), at_unix_ms: now_unix_ms, failures };
        log::warn!(
            "{} is quarantined for {} d or until it changes: {}",
            shown(&track.path),
            (bad.until_unix_ms() - now_unix_ms) / DAY_MS,
            bad.why
        );
        self.put_bad(track.path.clone(), bad);
        self.changed = true;
    }

    fn put_bad(&mut self, path: PathBuf, bad: BadFile) {
        self.bad.insert(path, bad);
        if self.bad.len() > limits::BAD_FILES_MAX {
            let oldest = self.bad.iter().min_by_key(|(_, bad)| bad.at_unix_ms).map(|(path, _)| path.clone());
            oldest.and_then(|path| self.bad.remove(&path));
        }
    }

    /// This file, as it looks now, is in quarantine.
    pub fn is_bad(&self, path: &Path, stamp: Stamp, now_unix_ms: i64) -> bool {
        // A clock that was put back leaves the file in quarantine until it has caught up.
        self.bad.get(path).is_some_and(|bad| bad.stamp == stamp && now_unix_ms < bad.until_unix_ms())
    }

    /// Quarantined files, in no order.
    pub fn bad_files(&self) -> impl Iterator<Item = (&Path, &BadFile)> {
        self.bad.iter().map(|(path, bad)| (path.as_path(), bad))
    }

    /// What was played.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// A track went on air.
    pub fn played(&mut self, play: Play) {
        self.history.push(play);
        self.changed = true;
    }

    /// Saves if something changed and the last time is long enough ago. The first
    /// change is written soon: who tries the station for a minute keeps that minute.
    pub fn save_if_due(&mut self, now: Instant) {
        if self.changed && self.save_at.is_none_or(|at| now >= at) {
            let saved = self.save();
            let rest = match saved {
                true if std::mem::take(&mut self.early) => SAVE_EARLY,
                true => SAVE_EVERY,
                false => SAVE_AGAIN,
            };
            self.save_at = Some(now + rest);
        }
    }

    /// Saves if something changed; says whether the disk has all there is.
    pub fn save(&mut self) -> bool {
        if !self.changed {
            return true;
        }
        match self.content().and_then(|content| atomic_file::write(&self.path, &content)) {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    log::info!("{} can be written again", shown(&self.path));
                }
                self.changed = false;
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    log::warn!("cannot write {}: {error}; tried again every minute", shown(&self.path));
                }
                false
            }
        }
    }

    /// The file; should it be too long to be read again, the least used half of the loudness goes.
    fn content(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let content = serde_json::to_vec(&self.written())?;
            if content.len() <= limits::STATE_FILE_BYTES_MAX {
                return Ok(content);
            }
            if self.measured.is_empty() {
                return Err(io::Error::other("too long, even without any loudness"));
            }
            match self.measured.len() {
                0..=100 => self.measured.clear(),
                many => self.forget_measured(many / 2),
            }
        }
    }

    fn written(&self) -> Written {
        let mut measured: Vec<_> = self.measured.iter().collect();
        measured.sort_unstable_by_key(|(_, known)| known.used);
        let loudness = |(path, known): (&PathBuf, &Loudness)| WrittenLoudness {
            path: path.clone(),
            stamp: known.stamp,
            measured: known.measured,
        };
        let bad = |(path, bad): (&PathBuf, &BadFile)| WrittenBad {
            path: path.clone(),
            stamp: bad.stamp,
            why: bad.why.clone(),
            at_unix_ms: bad.at_unix_ms,
            failures: bad.failures,
        };
        Written {
            version: VERSION,
            measured: measured.into_iter().map(loudness).collect(),
            bad: self.bad.iter().map(bad).collect(),
            history: self.history.newest_first().rev().cloned().collect(),
        }
    }
}

/// FFmpeg's words may be many.
fn one_line(why: &str) -> Box<str> {
    let mut line = why
        .split(|c: char| c.is_control())
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .fold(String::new(), |line, part| if line.is_empty() { part.to_owned() } else { line + "; " + part });
    // `str::floor_char_boundary` is younger than our Rust.
    let end = (0..=limits::BAD_FILE_WHY_BYTES_MAX.min(line.len())).rev().find(|&at| line.is_char_boundary(at));
    line.truncate(end.unwrap_or(0));
    line.into()
}

#[cfg(test)]
mod tests;
