//! Which song. Every song is judged by the rules; the best that are left go into
//! one draw: first for the folder, by its weight and the number of its songs, then
//! for the song, among the half of the folder's that rested longest.
//!
//! So a weight holds for each song: one of `Rock=3` comes three times as often as
//! one of a folder of weight 1. Were the resting half taken from all folders
//! together, heavy folders would seldom be in it.
//!
//! A song longer than what is left of the hour with its ID's window waits for
//! another hour; one that lasts longer than an hour and the window comes only when
//! nothing else is left.

use std::sync::Arc;

use super::{
    GivenUp, Moment, Reason,
    dice::Dice,
    keys::ABSENT,
    length_ms,
    memory::{FilesIndex, Memory, RecentFiles},
    rules::Rules,
    shelves::{CompanionsIndex, Shelves},
};
use crate::station::track::{Catalogue, Track, TrackKind};

/// What the choice depends on beside the catalogue.
pub(super) struct Asked<'a> {
    pub rules: &'a Rules,
    pub memory: &'a Memory,
    pub recent_files: RecentFiles<'a>,
    pub shelves: &'a Shelves<'a>,
    /// When the song, or its intro, begins.
    pub begins: Moment,
    /// The hour whose ID must not come too late; none: no hour matters.
    pub hour_unix_ms: Option<i64>,
}

/// A song that is among the best so far.
struct Candidate {
    /// In the catalogue.
    at: usize,
    /// In [`Folders`].
    folder: usize,
    /// Songs since its title was played, or [`ABSENT`].
    title_ago: u32,
    /// Songs since its artist was played, or [`ABSENT`].
    artist_ago: u32,
    /// How much later than allowed it ends; not above 0: in time.
    over_ms: i64,
    /// `over_ms` counts its intro and outro.
    named: bool,
}

/// By folder: its weight now, and its songs. The last is for tracks whose folder
/// the catalogue does not name.
struct Folders {
    weights: Vec<u32>,
    songs: Vec<u64>,
}

/// What needs paths to be compared. Nearly always a song can be chosen without, and
/// only that one is looked at closely; when it breaks a rule after all, every song is.
struct Close<'a> {
    companions: CompanionsIndex<'a>,
    recent_files: FilesIndex<'a>,
}

pub(super) fn choose(dice: &mut Dice, catalogue: &Catalogue, asked: &Asked<'_>) -> Option<(Arc<Track>, Reason)> {
    let (mut song, mut given_up) = choose_with(dice, catalogue, asked, None)?;
    if !holds_closely(asked, song, given_up) {
        let close = Close { companions: asked.shelves.companions_index(), recent_files: asked.recent_files.index() };
        (song, given_up) = choose_with(dice, catalogue, asked, Some(&close))?;
    }
    let reason = if given_up.0 == 0 { Reason::Rotation } else { Reason::BestThereIs(given_up) };
    Some((Arc::clone(song), reason))
}

/// Whether a song breaks no more than it seemed to, now that its intro and outro
/// and its path are looked at.
fn holds_closely(asked: &Asked<'_>, song: &Track, given_up: GivenUp) -> bool {
    let late = !given_up.has(GivenUp::HOUR)
        && asked.left_ms().is_some_and(|left_ms| length_ms(song) + asked.shelves.companions_ms(song) > left_ms);
    let recent = !given_up.has(GivenUp::TITLE) && asked.recent_files.hold(&song.path);
    !late && !recent
}

fn choose_with<'c>(
    dice: &mut Dice,
    catalogue: &'c Catalogue,
    asked: &Asked<'_>,
    close: Option<&Close<'_>>,
) -> Option<(&'c Arc<Track>, GivenUp)> {
    let mut folders = Folders::new(catalogue, asked);
    let (given_up, mut left) = judge_all(catalogue, asked, close, &mut folders);
    if given_up.has(GivenUp::ARTIST) {
        keep_max(&mut left, |song| i64::from(song.artist_ago));
    }
    if given_up.has(GivenUp::TITLE) {
        keep_max(&mut left, |song| i64::from(song.title_ago));
    }
    if given_up.has(GivenUp::HOUR) {
        keep_least_late(catalogue, asked, &mut left);
    }
    let folder = draw_folder(dice, &folders, &left, given_up)?;
    let there: Vec<(u32, usize)> =
        left.iter().filter(|song| song.folder == folder).map(|song| (song.title_ago, song.at)).collect();
    let at = dice.among_rested(&there)?;
    Some((&catalogue.tracks[at], given_up))
}

impl Asked<'_> {
    /// How long a song may last, with its intro and outro.
    fn left_ms(&self) -> Option<i64> {
        let window_ms = i64::try_from(self.rules.hour_id_window_min.saturating_mul(60_000)).unwrap_or(i64::MAX);
        self.hour_unix_ms.map(|hour| hour.saturating_add(window_ms).saturating_sub(self.begins.unix_ms))
    }
}

impl Folders {
    fn new(catalogue: &Catalogue, asked: &Asked<'_>) -> Self {
        let (weekday, minute) = (asked.begins.weekday, asked.begins.minute());
        let mut weights = asked.rules.weights_at(&catalogue.folders, weekday, minute);
        weights.push(1);
        Self { songs: vec![0; weights.len()], weights }
    }
}

/// The songs that break the least, and what they break. This is the one loop over
/// the whole catalogue, so it is written to be cheap without an optimiser too.
fn judge_all(
    catalogue: &Catalogue,
    asked: &Asked<'_>,
    close: Option<&Close<'_>>,
    folders: &mut Folders,
) -> (GivenUp, Vec<Candidate>) {
    let unnamed = folders.weights.len() - 1;
    // Without an hour to be in time for, everything is.
    let left_ms = asked.left_ms().unwrap_or(i64::MAX);
    let companions_ms_max = asked.shelves.companions_ms_max();
    let mut best = u8::MAX;
    let mut left = Vec::with_capacity(catalogue.tracks.len());
    for (at, track) in catalogue.tracks.iter().enumerate() {
        let track: &Track = track;
        if !matches!(track.kind, TrackKind::Song) {
            continue;
        }
        let folder = if (track.folder as usize) < unnamed { track.folder as usize } else { unnamed };
        folders.songs[folder] += 1;
        let mut over_ms = length_ms(track) - left_ms;
        let (mut title_ago, mut title_recent) = asked.memory.title(track.title_key);
        let artist_ago = asked.memory.artist(track.artist_key);
        let mut named = false;
        if let Some(close) = close {
            // Names matter only where they decide.
            if over_ms <= 0 && over_ms + companions_ms_max > 0 {
                over_ms += close.companions.ms(track);
                named = true;
            }
            if let Some(songs_ago) = close.recent_files.songs_ago(&track.path) {
                (title_ago, title_recent) = (title_ago.min(songs_ago), true);
            }
        }
        let mut broken = 0;
        if over_ms > 0 {
            broken |= GivenUp::HOUR.0;
        }
        if title_recent {
            broken |= GivenUp::TITLE.0;
        }
        if artist_ago != ABSENT {
            broken |= GivenUp::ARTIST.0;
        }
        if folders.weights[folder] == 0 {
            broken |= GivenUp::WEIGHT.0;
        }
        if broken < best {
            best = broken;
            left.clear();
        }
        if broken == best {
            left.push(Candidate { at, folder, title_ago, artist_ago, over_ms, named });
        }
    }
    (GivenUp(if left.is_empty() { 0 } else { best }), left)
}

fn keep_max(songs: &mut Vec<Candidate>, value: impl Fn(&Candidate) -> i64) {
    let max = songs.iter().map(&value).max();
    songs.retain(|song| Some(value(song)) == max);
}

/// Those that end first, intro and outro included; whoever is later without them
/// than another is with them needs no look at names.
fn keep_least_late(catalogue: &Catalogue, asked: &Asked<'_>, songs: &mut Vec<Candidate>) {
    if asked.shelves.companions_ms_max() > 0 {
        let companions = asked.shelves.companions_index();
        let mut least_ms = i64::MAX;
        for song in songs.iter_mut() {
            if !song.named && song.over_ms <= least_ms {
                song.over_ms += companions.ms(&catalogue.tracks[song.at]);
            }
            least_ms = least_ms.min(song.over_ms);
        }
    }
    keep_max(songs, |song| -song.over_ms);
}

/// A folder that has a song left. All its songs count for its share, also those
/// that must rest: else a folder would come less for having been played.
fn draw_folder(dice: &mut Dice, folders: &Folders, left: &[Candidate], given_up: GivenUp) -> Option<usize> {
    let mut open = vec![false; folders.songs.len()];
    for song in left {
        open[song.folder] = true;
    }
    let share = |folder: usize| {
        let weight = if given_up.has(GivenUp::WEIGHT) { 1 } else { u64::from(folders.weights[folder]) };
        if open[folder] { folders.songs[folder] * weight } else { 0 }
    };
    let all: u64 = (0..open.len()).map(share).sum();
    let mut drawn = dice.below(all);
    (0..open.len()).find(|folder| {
        let share = share(*folder);
        let here = drawn < share;
        drawn = drawn.saturating_sub(share);
        here
    })
}
