//! What a scan found, for people: `station scan`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{
    complaints::{Complaints, LISTED_MAX},
    index::Index,
    now_ns,
    progress::Progress,
    reader::{ReaderCommand, TagReader},
    scan::{self, Look},
};
use crate::{
    limits::LIBRARY_TRACKS_MAX,
    station::{
        lossless_path::shown,
        track::{Catalogue, TrackKind},
    },
};

/// `on_progress` is called at most this often.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// What a scan of music folders found.
#[derive(Debug)]
pub struct Report {
    /// All that can be played.
    pub catalogue: Catalogue,
    /// Songs that go by their file names.
    pub songs_without_artist: usize,
    /// Tracks by folder at the top, and what they are for.
    pub by_folder: BTreeMap<(String, &'static str), usize>,
    /// Milliseconds of songs whose duration is known.
    pub songs_ms: u64,
    /// Songs of unknown duration.
    pub songs_of_unknown_length: usize,
    /// What was left out, and why: the first 50.
    pub skipped: Vec<(PathBuf, String)>,
    /// Music folders that could not be read.
    pub gone: Vec<PathBuf>,
    /// Playable by name, but left out.
    pub skipped_files: u64,
    /// Files, of whatever sort.
    pub files: u64,
    /// How long it took.
    pub took: Duration,
}

/// Scans `music` here and now, without a cache. Files that are being written at
/// this moment are not in it.
pub fn scan_report(music: &[PathBuf], reader: ReaderCommand, mut on_progress: impl FnMut(&Progress)) -> Report {
    let begun = Instant::now();
    let progress = Progress::default();
    let stop = AtomicBool::new(false);
    let mut index = Index::new();
    let mut complaints = Complaints::default();
    let mut next = PROGRESS_EVERY;
    let mut meanwhile = |_: &Index| {
        if begun.elapsed() >= next {
            next = begun.elapsed() + PROGRESS_EVERY;
            on_progress(&progress);
        }
    };
    let mut look = Look {
        number: 1,
        full: true,
        now_ns: now_ns(),
        tracks_max: LIBRARY_TRACKS_MAX,
        stop: &stop,
        progress: &progress,
        reader: &mut TagReader::new(reader),
        complaints: &mut complaints,
        meanwhile: &mut meanwhile,
    };
    // Nobody stops it.
    let _ = scan::look(&mut index, music, &mut look);
    let gone: BTreeSet<PathBuf> = complaints.music_gone().map(PathBuf::from).collect();
    Report {
        skipped: std::mem::take(&mut complaints.listed),
        gone: gone.into_iter().collect(),
        skipped_files: progress.skipped.load(Relaxed),
        files: progress.files.load(Relaxed),
        took: begun.elapsed(),
        ..Report::of(index.catalogue())
    }
}

impl Report {
    fn of(catalogue: Catalogue) -> Self {
        let mut by_folder = BTreeMap::new();
        for track in &catalogue.tracks {
            let folder = catalogue.folders.get(usize::from(track.folder)).cloned().unwrap_or_default();
            *by_folder.entry((folder, name_of(track.kind))).or_default() += 1;
        }
        let songs = || catalogue.tracks.iter().filter(|track| track.kind == TrackKind::Song);
        Self {
            songs_without_artist: songs().filter(|track| track.artist.is_none()).count(),
            songs_ms: songs().filter_map(|track| track.duration_ms).map(u64::from).sum(),
            songs_of_unknown_length: songs().filter(|track| track.duration_ms.is_none()).count(),
            by_folder,
            catalogue,
            skipped: Vec::new(),
            gone: Vec::new(),
            skipped_files: 0,
            files: 0,
            took: Duration::ZERO,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", by_kind(&self.catalogue))?;
        for ((folder, kind), count) in &self.by_folder {
            let folder = if folder.is_empty() { "." } else { folder };
            writeln!(f, "  {count:>6}  {} ({kind})", shown(folder.as_ref()))?;
        }
        writeln!(f, "{} h {:02} min of songs", self.songs_ms / 3_600_000, self.songs_ms / 60_000 % 60)?;
        if self.songs_of_unknown_length > 0 {
            writeln!(f, "{} songs do not say how long they are", self.songs_of_unknown_length)?;
        }
        if self.songs_without_artist > 0 {
            writeln!(f, "{} songs do not say who plays them", self.songs_without_artist)?;
        }
        for folder in &self.gone {
            writeln!(f, "music folder {} cannot be read", shown(folder))?;
        }
        for (path, why) in &self.skipped {
            writeln!(f, "left out: {}: {why}", shown(path))?;
        }
        if self.skipped_files > LISTED_MAX as u64 {
            writeln!(f, "left out: {} files in all", self.skipped_files)?;
        }
        write!(f, "{} files in {:.1} s", self.files, self.took.as_secs_f32())
    }
}

/// `40 tracks: 30 songs, 10 jingles`
pub(super) fn by_kind(catalogue: &Catalogue) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for track in &catalogue.tracks {
        *counts.entry(name_of(track.kind)).or_default() += 1;
    }
    let kinds: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(": {}", kinds.join(", ")) };
    format!("{} tracks{kinds}", catalogue.tracks.len())
}

fn name_of(kind: TrackKind) -> &'static str {
    match kind {
        TrackKind::Song => "songs",
        TrackKind::Jingle => "jingles",
        TrackKind::StationId => "station IDs",
        TrackKind::Intro => "intros",
        TrackKind::Outro => "outros",
        TrackKind::SignOn => "sign-ons",
        TrackKind::SignOff => "sign-offs",
    }
}
