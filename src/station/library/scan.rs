//! One look at the music folders: what is new is read, what is gone leaves.
//!
//! A folder is read when its mtime has changed since, when something in it may
//! still be written, or when the look is a full one; else a single `stat` tells
//! that nothing came or went. Files are never opened here: names and `stat` say
//! what is a candidate, and another process reads the tags.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ffi::{OsStr, OsString},
    fs::{self, FileType, Metadata},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{
    complaints::Complaints,
    index::{Folder, Index, Known},
    keys::{artist_key, title_key},
    names::{artist_and_title, is_audio, is_hidden, kind_of},
    progress::Progress,
    reader::{BATCH, Outcome, TagReader},
    tags::Tags,
};
use crate::{
    limits::{LIBRARY_DEPTH_MAX, LIBRARY_FOLDERS_MAX},
    station::track::{Stamp, Track, TrackKind},
};

const SEC_NS: i64 = 1_000_000_000;
/// A file that was written within this time may still be.
const WRITTEN_NOW_NS: i64 = 2 * SEC_NS;
/// A folder with anything this young in it is read at each look: a copy may pause,
/// and a folder's mtime is as coarse as two seconds.
const YOUNG_NS: i64 = 60 * SEC_NS;
/// A file from further in the future was not written now: the clock is wrong.
const FUTURE_NS: i64 = 24 * 3600 * SEC_NS;

/// What a look needs besides the index.
pub struct Look<'a> {
    /// Grows with each look.
    pub number: u64,
    /// Reads every folder, and so finds files that were changed in place.
    pub full: bool,
    /// Nanoseconds since 1970.
    pub now_ns: i64,
    /// More tracks are refused.
    pub tracks_max: usize,
    /// Ends the look at once.
    pub stop: &'a AtomicBool,
    /// Told as the look goes on.
    pub progress: &'a Progress,
    /// Reads tags.
    pub reader: &'a mut TagReader,
    /// What is wrong with files and folders.
    pub complaints: &'a mut Complaints,
    /// Called now and then, when the index is consistent.
    pub meanwhile: &'a mut dyn FnMut(&Index),
}

/// The look was asked to stop.
#[derive(Debug)]
pub struct Stopped;

/// A folder to be visited.
struct Visit {
    path: PathBuf,
    depth: usize,
    kind: TrackKind,
    top: u16,
}

/// What reading a folder found.
#[derive(Default)]
struct Found {
    files: Vec<(OsString, Stamp)>,
    waiting: Vec<(OsString, Stamp)>,
    subfolders: Vec<(bool, OsString)>,
    young: bool,
}

struct Walk<'a, 'b> {
    look: &'a mut Look<'b>,
    index: &'a mut Index,
    /// Device and inode of each folder that was visited: loops end here.
    visited: HashSet<(u64, u64)>,
    open: Vec<Visit>,
    /// Folders by way of links wait until all others are done: a folder's own place counts.
    links: VecDeque<Visit>,
    tracks: usize,
    refused: usize,
    changed: bool,
}

/// Looks at `music`; says whether the catalogue is another one now.
///
/// # Errors
/// [`Stopped`]: the index is consistent, and the look incomplete.
pub fn look(index: &mut Index, music: &[PathBuf], look: &mut Look<'_>) -> Result<bool, Stopped> {
    look.progress.begin();
    let mut walk = Walk {
        look,
        index,
        visited: HashSet::new(),
        open: Vec::new(),
        links: VecDeque::new(),
        tracks: 0,
        refused: 0,
        changed: false,
    };
    let done = walk.music_folders(music);
    let changed = walk.changed;
    look.reader.rest();
    look.complaints.end_of_look();
    look.progress.looking.store(false, Relaxed);
    done.map(|()| changed)
}

impl Walk<'_, '_> {
    fn music_folders(&mut self, music: &[PathBuf]) -> Result<(), Stopped> {
        for folder in music {
            self.open.push(Visit { path: folder.clone(), depth: 0, kind: TrackKind::Song, top: 0 });
            self.drain()?;
        }
        while let Some(visit) = self.links.pop_front() {
            self.open.push(visit);
            self.drain()?;
        }
        if self.refused > 0 {
            let line = format!("{} tracks beyond the first {} are left out", self.refused, self.look.tracks_max);
            self.look.complaints.say(Path::new("the library"), &line);
        }
        let before = self.index.folders.len();
        let number = self.look.number;
        self.index.folders.retain(|_, folder| folder.absent || folder.seen == number);
        self.changed |= self.index.folders.len() != before;
        Ok(())
    }

    fn drain(&mut self) -> Result<(), Stopped> {
        while let Some(visit) = self.open.pop() {
            if self.look.stop.load(Relaxed) {
                return Err(Stopped);
            }
            self.visit(visit)?;
            (self.look.meanwhile)(self.index);
        }
        Ok(())
    }

    fn visit(&mut self, visit: Visit) -> Result<(), Stopped> {
        let about = match fs::metadata(&visit.path) {
            Ok(about) if about.is_dir() => about,
            Ok(_) => {
                self.lost(&visit, "is not a folder");
                return Ok(());
            }
            Err(error) => {
                self.lost(&visit, &error.to_string());
                return Ok(());
            }
        };
        if self.visited.len() >= LIBRARY_FOLDERS_MAX {
            let line = format!("folders beyond the first {LIBRARY_FOLDERS_MAX} are not entered");
            self.look.complaints.say(Path::new("the library"), &line);
            return Ok(());
        }
        if !self.visited.insert((about.dev(), about.ino())) {
            return Ok(());
        }
        Progress::add(&self.look.progress.folders, 1);
        if !self.unchanged(&visit, &about) {
            self.read_folder(&visit, &about)?;
        }
        if visit.depth == 0 && self.index.folders.get(&visit.path).is_some_and(|folder| !folder.absent) {
            self.look.complaints.music_is_back(&visit.path);
        }
        self.descend(&visit);
        Ok(())
    }

    /// Nothing came or went: what is known still holds.
    fn unchanged(&mut self, visit: &Visit, about: &Metadata) -> bool {
        let full = self.look.full;
        let number = self.look.number;
        let Some(folder) = self.index.folders.get_mut(&visit.path) else { return false };
        let same = folder.id == (about.dev(), about.ino())
            && folder.mtime_ns == mtime_ns(about)
            && (folder.kind, folder.top) == (visit.kind, visit.top);
        if full || !same || !folder.settled || folder.absent {
            return false;
        }
        folder.seen = number;
        self.tracks += folder.files.len();
        Progress::add(&self.look.progress.files, folder.files.len());
        Progress::add(&self.look.progress.tracks, folder.files.len());
        true
    }

    fn read_folder(&mut self, visit: &Visit, about: &Metadata) -> Result<(), Stopped> {
        let before = self.index.folders.get(&visit.path);
        let last_seen = before.map(last_stamps).unwrap_or_default();
        let mut found = match self.list(visit, &last_seen) {
            Ok(found) => found,
            Err(error) => {
                self.lost(visit, &error.to_string());
                return Ok(());
            }
        };
        let empty = found.files.is_empty() && found.waiting.is_empty() && found.subfolders.is_empty();
        if visit.depth == 0 && empty && self.index.knows_within(&visit.path) {
            // The place where a stick was mounted is still there, and empty.
            self.lost(visit, "holds nothing any more");
            return Ok(());
        }
        let room = self.look.tracks_max.saturating_sub(self.tracks);
        self.refused += found.files.len().saturating_sub(room);
        found.files.truncate(room);
        self.take(visit, about, found)
    }

    /// Puts what was found into the index: known files first, then the new ones as
    /// their tags are read, so that a stop or a look from outside finds a whole.
    fn take(&mut self, visit: &Visit, about: &Metadata, found: Found) -> Result<(), Stopped> {
        let before = self.index.folders.remove(&visit.path);
        let was_absent = before.as_ref().is_some_and(|folder| folder.absent);
        let files_before = before.as_ref().map_or(0, |folder| folder.files.len());
        let same_place = before.as_ref().is_some_and(|folder| (folder.kind, folder.top) == (visit.kind, visit.top));
        let mut known: HashMap<OsString, Known> =
            before.into_iter().flat_map(|folder| folder.files).map(|file| (name_of(&file.track), file)).collect();
        let mut kept = Vec::new();
        let mut new = Vec::new();
        let mut asked_again = 0;
        for (name, stamp) in found.files {
            match known.remove(&name).filter(|file| file.track.stamp == stamp) {
                Some(file) if file.tags_read && same_place => kept.push(file),
                Some(file) if file.tags_read => kept.push(moved(&file, visit)),
                file => {
                    asked_again += usize::from(file.is_some());
                    new.push((name, stamp));
                }
            }
        }
        self.changed |= was_absent || !same_place;
        self.changed |= new.len() > asked_again || kept.len() + asked_again != files_before;
        let count = kept.len();
        let folder = Folder {
            id: (about.dev(), about.ino()),
            mtime_ns: mtime_ns(about),
            kind: visit.kind,
            top: visit.top,
            settled: false,
            absent: false,
            seen: self.look.number,
            files: kept,
            waiting: found.waiting,
            subfolders: found.subfolders,
        };
        self.index.folders.insert(visit.path.clone(), folder);
        self.tracks += count;
        Progress::add(&self.look.progress.tracks, count);
        let all_read = self.read_new(visit, &new)?;
        let settled = all_read && !found.young && !self.is_young(mtime_ns(about));
        if let Some(folder) = self.index.folders.get_mut(&visit.path) {
            folder.files.sort_by(|a, b| a.track.path.as_os_str().cmp(b.track.path.as_os_str()));
            folder.settled = settled && folder.waiting.is_empty();
        }
        Ok(())
    }

    /// Says whether the tags of all were read.
    fn read_new(&mut self, visit: &Visit, new: &[(OsString, Stamp)]) -> Result<bool, Stopped> {
        let mut all_read = true;
        for batch in new.chunks(BATCH) {
            let paths: Vec<PathBuf> = batch.iter().map(|(name, _)| visit.path.join(name)).collect();
            let outcomes = self.look.reader.read(&paths, self.look.stop);
            let stopped = outcomes.len() < batch.len();
            Progress::add(&self.look.progress.parsed, outcomes.len());
            Progress::add(&self.look.progress.tracks, outcomes.len());
            self.tracks += outcomes.len();
            let mut tracks = Vec::with_capacity(batch.len());
            for ((path, (_, stamp)), outcome) in paths.into_iter().zip(batch).zip(outcomes) {
                let tags_read = outcome != Outcome::NoReader;
                all_read &= tags_read;
                self.changed |= tags_read;
                if let Outcome::Deadly(why) = outcome {
                    self.look.complaints.say(&path, &format!("its tags are not read: {why}"));
                }
                tracks
                    .push(Known { track: Arc::new(track(path, *stamp, (visit.kind, visit.top), outcome)), tags_read });
            }
            if let Some(folder) = self.index.folders.get_mut(&visit.path) {
                folder.files.append(&mut tracks);
            }
            (self.look.meanwhile)(self.index);
            if stopped || self.look.stop.load(Relaxed) {
                return Err(Stopped);
            }
        }
        Ok(all_read)
    }

    fn list(&mut self, visit: &Visit, last_seen: &HashMap<OsString, Stamp>) -> io::Result<Found> {
        let mut found = Found::default();
        for entry in fs::read_dir(&visit.path)? {
            let entry = entry?;
            let name = entry.file_name();
            if is_hidden(&name) {
                continue;
            }
            // Of the entry itself, usually without a system call.
            let Ok(own_type) = entry.file_type() else { continue };
            if own_type.is_dir() {
                found.subfolders.push((false, name));
                continue;
            }
            Progress::add(&self.look.progress.files, 1);
            let audio = is_audio(&name);
            if !audio && !own_type.is_symlink() {
                continue;
            }
            match fs::metadata(entry.path()) {
                Ok(about) if about.is_dir() => found.subfolders.push((true, name)),
                Ok(about) if audio => self.judge(&entry.path(), name, &about, last_seen, &mut found),
                Err(error) if audio => self.skip(&entry.path(), &error.to_string()),
                Ok(_) | Err(_) => {}
            }
            // Beyond the bound, names are not even kept.
            if found.files.len() > self.look.tracks_max {
                found.files.truncate(self.look.tracks_max);
                self.refused += 1;
            }
        }
        found.files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        found.subfolders.sort_unstable();
        Ok(found)
    }

    fn judge(
        &mut self,
        path: &Path,
        name: OsString,
        about: &Metadata,
        last_seen: &HashMap<OsString, Stamp>,
        found: &mut Found,
    ) {
        if !about.is_file() {
            return self.skip(path, what_it_is(about.file_type()));
        }
        let stamp = Stamp { size: about.len(), mtime_ns: mtime_ns(about) };
        found.young |= self.is_young(stamp.mtime_ns);
        if must_wait(stamp, last_seen.get(&name).copied(), self.look.now_ns) {
            found.waiting.push((name, stamp));
        } else if stamp.size == 0 {
            self.skip(path, "is empty");
        } else {
            found.files.push((name, stamp));
        }
    }

    fn descend(&mut self, visit: &Visit) {
        let Some(folder) = self.index.folders.get(&visit.path).filter(|folder| !folder.absent) else { return };
        let subfolders = folder.subfolders.clone();
        if !subfolders.is_empty() && visit.depth >= LIBRARY_DEPTH_MAX {
            let line = format!("folders more than {LIBRARY_DEPTH_MAX} deep are not entered");
            self.look.complaints.say(&visit.path, &line);
            return;
        }
        // Last in, first out: the first by name comes first.
        for (link, name) in subfolders.into_iter().rev() {
            let (kind, top) = match visit.depth {
                0 => (kind_of(&name), self.index.top(&name)),
                _ => (visit.kind, visit.top),
            };
            let next = Visit { path: visit.path.join(&name), depth: visit.depth + 1, kind, top };
            if link { self.links.push_back(next) } else { self.open.push(next) }
        }
    }

    /// A folder cannot be reached: its tracks leave, and are remembered.
    fn lost(&mut self, visit: &Visit, why: &str) {
        let tracks = self.index.set_absent(&visit.path);
        self.changed |= tracks > 0;
        if visit.depth == 0 {
            self.look.complaints.music_is_gone(&visit.path, why, tracks);
        } else {
            self.look.complaints.say(&visit.path, why);
        }
    }

    fn skip(&mut self, path: &Path, why: &str) {
        Progress::add(&self.look.progress.skipped, 1);
        self.look.complaints.say(path, why);
    }

    fn is_young(&self, mtime_ns: i64) -> bool {
        (-FUTURE_NS..YOUNG_NS).contains(&self.look.now_ns.saturating_sub(mtime_ns))
    }
}

/// A file that may still be written waits for the next look: it was written a
/// moment ago, or has another size than at the last look.
fn must_wait(stamp: Stamp, last_seen: Option<Stamp>, now_ns: i64) -> bool {
    let written_now = (0..WRITTEN_NOW_NS).contains(&now_ns.saturating_sub(stamp.mtime_ns));
    written_now || last_seen.is_some_and(|last| last.size != stamp.size)
}

fn last_stamps(folder: &Folder) -> HashMap<OsString, Stamp> {
    let files = folder.files.iter().map(|file| (name_of(&file.track), file.track.stamp));
    files.chain(folder.waiting.iter().cloned()).collect()
}

fn name_of(track: &Track) -> OsString {
    track.path.file_name().unwrap_or_default().to_owned()
}

/// A track from what its file says, or else its name.
pub(super) fn track(path: PathBuf, stamp: Stamp, (kind, folder): (TrackKind, u16), outcome: Outcome) -> Track {
    let Tags { title, artist, album, year, duration_ms, lufs } = match outcome {
        Outcome::Tags(tags) => tags,
        Outcome::NoTags | Outcome::Deadly(_) | Outcome::NoReader => Tags::default(),
    };
    let (title, artist) = match title {
        Some(title) => (title, artist),
        None => {
            let (artist_by_name, title) = artist_and_title(path.file_name().unwrap_or(OsStr::new("")));
            (title, artist.or(artist_by_name))
        }
    };
    Track {
        stamp,
        kind,
        folder,
        title_key: title_key(&title, artist.as_deref()),
        artist_key: artist_key(artist.as_deref()),
        title,
        artist,
        album,
        year,
        duration_ms,
        tag_lufs: lufs,
        path,
    }
}

/// The same file, in a folder that is for something else now.
fn moved(file: &Known, visit: &Visit) -> Known {
    let track = Track { kind: visit.kind, folder: visit.top, ..(*file.track).clone() };
    Known { track: Arc::new(track), tags_read: file.tags_read }
}

fn mtime_ns(about: &Metadata) -> i64 {
    about.mtime().saturating_mul(SEC_NS).saturating_add(about.mtime_nsec())
}

fn what_it_is(file_type: FileType) -> &'static str {
    if file_type.is_fifo() {
        "is a FIFO, not a file"
    } else if file_type.is_socket() {
        "is a socket, not a file"
    } else {
        "is a device, not a file"
    }
}

#[cfg(test)]
mod tests;
