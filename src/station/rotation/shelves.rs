//! The catalogue by what its tracks are for, and which intro or outro belongs to
//! which song: the one whose file has the song's name, else the one that has its
//! title.

use std::{collections::HashMap, path::Path, sync::Arc};

use super::{Choice, Reason, keys::ABSENT, length_ms};
use crate::station::{
    history::History,
    track::{Catalogue, Track, TrackKind},
};

pub(super) struct Shelves<'a> {
    pub ids: Vec<&'a Arc<Track>>,
    pub jingles: Vec<&'a Arc<Track>>,
    intros: Companions<'a>,
    outros: Companions<'a>,
}

impl<'a> Shelves<'a> {
    pub fn sort(catalogue: &'a Catalogue) -> Self {
        let mut shelves =
            Self { ids: Vec::new(), jingles: Vec::new(), intros: Companions::default(), outros: Companions::default() };
        for track in &catalogue.tracks {
            match track.kind {
                TrackKind::Song | TrackKind::SignOn | TrackKind::SignOff => {}
                TrackKind::Jingle => shelves.jingles.push(track),
                TrackKind::StationId => shelves.ids.push(track),
                TrackKind::Intro => shelves.intros.add(track),
                TrackKind::Outro => shelves.outros.add(track),
            }
        }
        shelves
    }

    /// The intro that belongs before this song.
    pub fn intro_of(&self, song: &Track) -> Option<Choice> {
        let track = self.intros.of(&song.path, song.title_key)?;
        Some(Choice { track: Arc::clone(track), reason: Reason::Intro })
    }

    /// The outro of the song that was played last, unless something came since.
    pub fn outro_of_last(&self, history: &History) -> Option<Choice> {
        let last = history.newest_first().next().filter(|play| play.kind == TrackKind::Song)?;
        let track = self.outros.of(&last.path, last.title_key)?;
        Some(Choice { track: Arc::clone(track), reason: Reason::Outro })
    }

    /// The longest that an intro and an outro may last together.
    pub fn companions_ms_max(&self) -> i64 {
        self.intros.ms_max + self.outros.ms_max
    }

    /// How long this song's intro and outro last together.
    pub fn companions_ms(&self, song: &Track) -> i64 {
        let of =
            |companions: &Companions<'_>| companions.of(&song.path, song.title_key).map_or(0, |one| length_ms(one));
        of(&self.intros) + of(&self.outros)
    }

    /// The same for many songs: names are looked up and not compared one by one.
    pub fn companions_index(&self) -> CompanionsIndex<'a> {
        CompanionsIndex([&self.intros, &self.outros].map(Companions::index))
    }
}

/// All the intros, or all the outros. Of several that fit one song, the first by
/// path counts.
#[derive(Default)]
struct Companions<'a> {
    tracks: Vec<&'a Arc<Track>>,
    ms_max: i64,
}

impl<'a> Companions<'a> {
    fn add(&mut self, track: &'a Arc<Track>) {
        self.tracks.push(track);
        self.ms_max = self.ms_max.max(length_ms(track));
    }

    fn of(&self, path: &Path, title_key: u64) -> Option<&'a Arc<Track>> {
        let name = path.file_stem()?.as_encoded_bytes();
        let ascii = name.is_ascii();
        let by_name = self.tracks.iter().find(|track| {
            let other = track.path.file_stem().unwrap_or_default().as_encoded_bytes();
            other.len() == name.len()
                && if ascii { other.eq_ignore_ascii_case(name) } else { small(other) == small(name) }
        });
        by_name.or_else(|| self.tracks.iter().find(|track| track.title_key == title_key)).copied()
    }

    fn index(&self) -> Index<'a> {
        let (mut by_name, mut by_title) = (HashMap::new(), HashMap::new());
        for track in &self.tracks {
            let name = track.path.file_stem().unwrap_or_default().as_encoded_bytes();
            by_name.entry((name.len(), small(name))).or_insert(*track);
            by_title.entry(track.title_key).or_insert(*track);
        }
        Index { by_name, by_title }
    }
}

/// In small letters.
fn small(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_lowercase()
}

/// Intros and outros, each by name and by title.
pub(super) struct CompanionsIndex<'a>([Index<'a>; 2]);

struct Index<'a> {
    by_name: HashMap<(usize, String), &'a Arc<Track>>,
    by_title: HashMap<u64, &'a Arc<Track>>,
}

impl CompanionsIndex<'_> {
    /// As [`Shelves::companions_ms`].
    pub fn ms(&self, song: &Track) -> i64 {
        let Some(name) = song.path.file_stem().map(|stem| stem.as_encoded_bytes()) else { return 0 };
        let name = (name.len(), small(name));
        let of = |index: &Index<'_>| {
            index.by_name.get(&name).or_else(|| index.by_title.get(&song.title_key)).map_or(0, |one| length_ms(one))
        };
        self.0.iter().map(of).sum()
    }
}

/// Each track with how many of these were played since it, or [`ABSENT`]. By
/// path: jingles often share one title.
pub(super) fn rested<'a>(tracks: &[&'a Arc<Track>], history: &History) -> Vec<(u32, &'a Arc<Track>)> {
    let Some(kind) = tracks.first().map(|track| track.kind) else { return Vec::new() };
    let mut ranks: HashMap<&[u8], u32> = HashMap::new();
    for (rank, play) in (0..).zip(history.newest_first().filter(|play| play.kind == kind)) {
        ranks.entry(play.path.as_os_str().as_encoded_bytes()).or_insert(rank);
    }
    let rank = |track: &Track| ranks.get(track.path.as_os_str().as_encoded_bytes()).copied().unwrap_or(ABSENT);
    tracks.iter().map(|track| (rank(track), *track)).collect()
}
