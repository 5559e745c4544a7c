//! A file that somebody asks for by name, and that is in no music folder.

use std::{fs, os::unix::fs::MetadataExt, path::Path, sync::atomic::AtomicBool};

use super::{
    reader::{Outcome, ReaderCommand, TagReader},
    scan,
};
use crate::station::track::{Stamp, Track, TrackKind};

/// It belongs to no folder of the catalogue, so no weight holds for it.
const NO_FOLDER: u16 = u16::MAX;

/// The file as a song. Waits for the disk and for the process that reads tags, for
/// some seconds at most.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn track_at(file: &Path, reader: &ReaderCommand) -> Result<Track, String> {
    let wrong = |why: String| format!("{}: {why}", file.display());
    let about = fs::metadata(file).map_err(|error| wrong(error.to_string()))?;
    if !about.is_file() {
        return Err(wrong("is not a file; give a file of music".into()));
    }
    if about.size() == 0 {
        return Err(wrong("is empty".into()));
    }
    let mtime_ns = about.mtime().saturating_mul(1_000_000_000).saturating_add(about.mtime_nsec());
    let stamp = Stamp { size: about.size(), mtime_ns };
    let read = TagReader::new(reader.clone()).read(&[file.to_owned()], &AtomicBool::new(false)).pop();
    Ok(scan::track(file.to_owned(), stamp, (TrackKind::Song, NO_FOLDER), read.unwrap_or(Outcome::NoTags)))
}
