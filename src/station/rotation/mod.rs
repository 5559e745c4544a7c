//! What comes next (THINK): rules, history, clock and library in, decision out.
//! It reads no clock and touches no file.
//!
//! The history is the only memory, so a restart changes nothing: cadence, gaps
//! and the ID of this hour are counted from it each time. What is decided and not
//! yet played belongs into the history that is passed, or it is chosen again.
//!
//! Nothing is kept between two choices but the state of the dice. One pass over
//! the catalogue is cheap enough, and it costs no more after a change of the library (`tests/rotation_cost.rs` counts it).
//!
//! ```text
//! choose = [outro of the song that just played] [station ID, else jingle] [intro] song
//! ```

mod dice;
mod keys;
mod memory;
mod moment;
mod reason;
pub mod rules;
mod shelves;
mod song;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use moment::{HOUR_ID_EARLY_MS, Moment, UNKNOWN_OTHER_MS, UNKNOWN_SONG_MS, length_ms};
pub use reason::{GivenUp, Reason};

use self::{
    dice::Dice,
    memory::{Memory, RecentFiles},
    rules::Rules,
    shelves::{Shelves, rested},
    song::Asked,
};
use super::{
    history::History,
    track::{Catalogue, Track, TrackKind},
};

/// One track that comes next, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// What is played.
    pub track: Arc<Track>,
    /// For the log and for whoever asks.
    pub reason: Reason,
}

/// Chooses by the rules.
#[derive(Debug, Clone)]
pub struct Rotation {
    rules: Rules,
    dice: Dice,
}

impl Rotation {
    /// The same seed, catalogue, history and moment give the same choice.
    pub fn new(rules: Rules, seed: u64) -> Self {
        Self { rules, dice: Dice::new(seed) }
    }

    /// What comes after the newest play of `history`, complete and in order. `now`
    /// is when it will begin. Empty only when there is neither a song nor a jingle
    /// nor a station ID.
    pub fn choose(&mut self, catalogue: &Catalogue, history: &History, now: Moment) -> Vec<Choice> {
        let shelves = Shelves::sort(catalogue);
        let mut next: Vec<Choice> = shelves.outro_of_last(history).into_iter().collect();
        let after_outro = now.later(lengths_ms(&next));
        let memory = Memory::read(&self.rules, history, after_outro);
        next.extend(self.station_break(&shelves, &memory, history, after_outro));

        let begins = now.later(lengths_ms(&next));
        // An ID that is due by now is in `next`; the next one is due an hour on.
        let end_by = (self.rules.hour_id && !shelves.ids.is_empty()).then(|| after_outro.next_hour_unix_ms());
        let asked = Asked {
            rules: &self.rules,
            memory: &memory,
            recent_files: RecentFiles::new(&self.rules, history, after_outro),
            shelves: &shelves,
            begins,
            hour_unix_ms: end_by,
        };
        match song::choose(&mut self.dice, catalogue, &asked) {
            Some((track, reason)) => {
                next.extend(shelves.intro_of(&track));
                next.push(Choice { track, reason });
            }
            None if next.is_empty() => next.extend(self.without_songs(&shelves, history)),
            None => {}
        }
        next
    }

    /// Opens the programme.
    pub fn sign_on(&mut self, catalogue: &Catalogue, history: &History) -> Option<Choice> {
        self.one_of(&of_kind(catalogue, TrackKind::SignOn), history, Reason::SignOn)
    }

    /// Ends it.
    pub fn sign_off(&mut self, catalogue: &Catalogue, history: &History) -> Option<Choice> {
        self.one_of(&of_kind(catalogue, TrackKind::SignOff), history, Reason::SignOff)
    }

    /// An ID, if one is due, else a jingle, if one is due and there was no ID: it
    /// then waits for the next join.
    fn station_break(
        &mut self,
        shelves: &Shelves<'_>,
        memory: &Memory,
        history: &History,
        at: Moment,
    ) -> Option<Choice> {
        if let Some(reason) = self.id_is_due(memory, at)
            && let Some(id) = self.one_of(&shelves.ids, history, reason)
        {
            return Some(id);
        }
        let every = self.rules.jingle_every_songs;
        let due = every > 0 && memory.songs_since_jingle >= every;
        if due { self.one_of(&shelves.jingles, history, Reason::JingleAfter(memory.songs_since_jingle)) } else { None }
    }

    fn id_is_due(&self, memory: &Memory, at: Moment) -> Option<Reason> {
        let since = at.hour_unix_ms() - HOUR_ID_EARLY_MS;
        if self.rules.hour_id && memory.last_id_unix_ms.is_none_or(|id| id < since) {
            return Some(Reason::TopOfHour);
        }
        let every = self.rules.id_every_songs;
        (every > 0 && memory.songs_since_id >= every).then_some(Reason::IdAfter(memory.songs_since_id))
    }

    /// A station with no song is still a station.
    fn without_songs(&mut self, shelves: &Shelves<'_>, history: &History) -> Option<Choice> {
        self.one_of(&shelves.jingles, history, Reason::NoSong)
            .or_else(|| self.one_of(&shelves.ids, history, Reason::NoSong))
    }

    fn one_of(&mut self, tracks: &[&Arc<Track>], history: &History, reason: Reason) -> Option<Choice> {
        let track = self.dice.among_rested(&rested(tracks, history))?;
        Some(Choice { track: Arc::clone(track), reason })
    }
}

/// A track named by hand, with its intro, after the outro of the song that just
/// played. The rules are not asked.
pub fn asked_for(catalogue: &Catalogue, history: &History, track: &Arc<Track>) -> Vec<Choice> {
    let shelves = Shelves::sort(catalogue);
    let mut next: Vec<Choice> = shelves.outro_of_last(history).into_iter().collect();
    if track.kind == TrackKind::Song {
        next.extend(shelves.intro_of(track));
    }
    next.push(Choice { track: Arc::clone(track), reason: Reason::AskedFor });
    next
}

fn of_kind(catalogue: &Catalogue, kind: TrackKind) -> Vec<&Arc<Track>> {
    catalogue.tracks.iter().filter(|track| track.kind == kind).collect()
}

fn lengths_ms(choices: &[Choice]) -> i64 {
    choices.iter().map(|choice| length_ms(&choice.track)).sum()
}
