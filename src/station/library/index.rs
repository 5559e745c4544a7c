//! What is known of the music folders: each folder, what it looked like when it
//! was read, and its tracks. Data only; `scan` fills it, `cache` keeps it.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    limits::LIBRARY_TRACKS_MAX,
    station::track::{Catalogue, Stamp, Track, TrackKind},
};

/// A file that may be played.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// As the catalogue has it.
    pub track: Arc<Track>,
    /// No: there was no reader; asked again.
    pub tags_read: bool,
}

/// One folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Folder {
    /// Device and inode.
    pub id: (u64, u64),
    /// Changes when an entry comes or goes.
    pub mtime_ns: i64,
    /// What the files are for.
    pub kind: TrackKind,
    /// Place of the folder at the top in [`Index::tops`].
    pub top: u16,
    /// Nothing in it may still be changing: it need not be read until `mtime_ns` does.
    pub settled: bool,
    /// It could not be reached when last looked for. Its tracks are not played, but
    /// remembered: the USB stick that returns is known at once.
    pub absent: bool,
    /// Number of the look that saw it last.
    pub seen: u64,
    /// By name.
    pub files: Vec<Known>,
    /// Files that wait for the next look, since they may still be written.
    pub waiting: Vec<(OsString, Stamp)>,
    /// Folders in it: by way of a link?, name.
    pub subfolders: Vec<(bool, OsString)>,
}

/// All folders.
#[derive(Debug, Default)]
pub struct Index {
    /// By path.
    pub folders: BTreeMap<PathBuf, Folder>,
    tops: Vec<String>,
    top_places: HashMap<String, u16>,
}

impl Index {
    /// Knows nothing.
    pub fn new() -> Self {
        let mut index = Self::default();
        index.top(OsStr::new(""));
        index
    }

    /// Place of the folder at the top called `name`. Places are never given away
    /// again, so tracks keep theirs; beyond the last there is, files count as at the top.
    pub fn top(&mut self, name: &OsStr) -> u16 {
        let name = name.to_string_lossy().into_owned();
        if let Some(&place) = self.top_places.get(&name) {
            return place;
        }
        let Ok(place) = u16::try_from(self.tops.len()) else { return 0 };
        self.tops.push(name.clone());
        self.top_places.insert(name, place);
        place
    }

    /// Names of the folders at the top.
    pub fn tops(&self) -> &[String] {
        &self.tops
    }

    /// `folder` and all in it cannot be reached; says how many tracks that costs.
    pub fn set_absent(&mut self, folder: &Path) -> usize {
        let below = self.folders.range_mut(folder.to_path_buf()..).take_while(|(path, _)| path.starts_with(folder));
        let present = below.filter_map(|(_, folder)| (!std::mem::replace(&mut folder.absent, true)).then_some(folder));
        present.map(|folder| folder.files.len()).sum()
    }

    /// Anything is known of what is inside `folder`.
    pub fn knows_within(&self, folder: &Path) -> bool {
        let below = self.folders.range(folder.to_path_buf()..).take_while(|(path, _)| path.starts_with(folder));
        below.into_iter().any(|(_, folder)| !folder.files.is_empty())
    }

    /// Some file was being written when it was seen.
    pub fn has_waiting(&self) -> bool {
        self.folders.values().any(|folder| !folder.waiting.is_empty())
    }

    /// What can be played.
    pub fn catalogue(&self) -> Catalogue {
        let present = self.folders.values().filter(|folder| !folder.absent);
        let mut tracks: Vec<Arc<Track>> =
            present.flat_map(|folder| folder.files.iter().map(|file| file.track.clone())).collect();
        // Nearly sorted already, which the stable sort makes use of; bytes compare faster than paths.
        tracks.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
        tracks.truncate(LIBRARY_TRACKS_MAX);
        Catalogue { tracks, folders: self.tops.clone() }
    }
}
