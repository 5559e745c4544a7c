//! Which title is true of which frame on air.
//!
//! The station says a title ahead of its sound: "from frame n that I send". The sound then waits in the
//! station's queue, is popped by a tick, and is on air as the frame of that tick's number, a cushion
//! later. So a title waits here for the pop of its frame, and then for its frame's number on air.
//! While the card, the fallback or the tone is heard, the station's own name stands instead of a title; in
//! a pause what was heard last stays.
//!
//! Pure: what the tick saw in, what changes out. Never more than `WAITING_MAX` wait; one
//! more is dropped, and counted by who sent it.

use std::collections::VecDeque;

use crate::{limits::TITLES_WAITING_MAX as WAITING_MAX, pump::selector::Source};

/// A title whose sound never comes (a sender that told of more than it sent) is true after this long.
const PATIENCE_TICKS: u64 = 60_000 / crate::frame::TICK_MS;

/// What the station says it plays, and from where in its queue; none: from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Position in the station's queue of the first frame of it.
    pub from: Option<u64>,
    /// Artist and title, as a listener reads them; none: the station's own name.
    pub text: Option<String>,
}

/// What one tick of the pump saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickSight {
    /// The number of the frame that it handed on.
    pub number: u64,
    /// What that frame was of.
    pub source: Source,
    /// Frames popped from the station's queue, since the start.
    pub popped: u64,
}

/// The desk.
pub struct TitleDesk {
    name: String,
    waiting: VecDeque<(Announcement, u64)>,
    station: Option<String>,
    shown: String,
    /// Changes that are not on air yet, by the number of their first frame.
    ahead: VecDeque<(u64, String)>,
}

impl TitleDesk {
    /// Under the station's name.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), waiting: VecDeque::new(), station: None, shown: name.into(), ahead: VecDeque::new() }
    }

    /// Takes an announcement at a tick. False: too many wait already.
    pub fn take(&mut self, announcement: Announcement, now_number: u64) -> bool {
        if self.waiting.len() == WAITING_MAX {
            return false;
        }
        self.waiting.push_back((announcement, now_number));
        true
    }

    /// One tick of the pump.
    pub fn tick(&mut self, sight: TickSight) {
        while let Some((announcement, taken_at)) = self.waiting.front() {
            let heard = announcement.from.is_none_or(|from| sight.popped > from);
            if !heard && sight.number < taken_at + PATIENCE_TICKS {
                break;
            }
            self.station = self.waiting.pop_front().and_then(|(announcement, _)| announcement.text);
        }
        let wanted = match sight.source {
            Source::Station => self.station.as_ref().unwrap_or(&self.name),
            Source::Live | Source::Relay | Source::File | Source::Tone => &self.name,
            Source::Silence => return,
        };
        if *wanted != self.shown {
            self.shown.clone_from(wanted);
            self.ahead.push_back((sight.number, wanted.clone()));
        }
    }

    /// The title that is true from the frame of this number on, if there is a new one.
    pub fn on_air(&mut self, number: u64) -> Option<String> {
        let mut now = None;
        while self.ahead.front().is_some_and(|(first, _)| *first <= number) {
            now = self.ahead.pop_front().map(|(_, text)| text);
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(from: Option<u64>, text: &str) -> Announcement {
        Announcement { from, text: Some(text.into()) }
    }

    /// What comes on air at which number, of ticks with their sources and pops.
    fn play(desk: &mut TitleDesk, ticks: &[(u64, Source, u64)]) -> Vec<(u64, String)> {
        for (number, source, popped) in ticks {
            desk.tick(TickSight { number: *number, source: *source, popped: *popped });
        }
        (0..100_000).filter_map(|number| Some((number, desk.on_air(number)?))).collect()
    }

    #[test]
    fn h6_a_title_is_true_from_the_frame_that_it_was_said_of() {
        let mut desk = TitleDesk::new("Radio");
        assert!(desk.take(says(Some(2), "A"), 0) && desk.take(says(Some(4), "B"), 0));
        let ticks: Vec<_> = (0..8).map(|number| (number, Source::Station, number + 1)).collect();
        assert_eq!(play(&mut desk, &ticks), [(2, "A".into()), (4, "B".into())]);
    }

    #[test]
    fn h6_other_sources_go_by_the_name_of_the_station_and_a_pause_changes_nothing() {
        let mut desk = TitleDesk::new("Radio");
        assert!(desk.take(says(None, "A"), 0));
        let ticks = [
            (0, Source::Tone, 0),
            (1, Source::Station, 1),
            (2, Source::Silence, 1),
            (3, Source::Live, 2),
            (4, Source::Silence, 2),
            (5, Source::Station, 3),
            (6, Source::File, 3),
        ];
        let expected = [(1, "A"), (3, "Radio"), (5, "A"), (6, "Radio")].map(|(at, text)| (at, text.to_owned()));
        assert_eq!(play(&mut desk, &ticks), expected);
    }

    #[test]
    fn h6_a_title_that_never_comes_holds_up_no_other_for_long() {
        let mut desk = TitleDesk::new("Radio");
        assert!(desk.take(says(Some(u64::MAX), "never"), 10) && desk.take(says(Some(1), "next"), 10));
        let ticks = [(10, Source::Station, 5), (2509, Source::Station, 2500), (2510, Source::Station, 2501)];
        assert_eq!(play(&mut desk, &ticks), [(2510, "next".to_owned())]);
    }

    #[test]
    fn h6_only_so_many_wait_and_the_same_title_again_is_no_news() {
        let mut desk = TitleDesk::new("Radio");
        let taken = (0..WAITING_MAX + 5).filter(|_| desk.take(says(Some(3), "A"), 0)).count();
        assert_eq!(taken, WAITING_MAX);
        assert_eq!(play(&mut desk, &[(0, Source::Station, 4), (1, Source::Station, 5)]), [(0, "A".to_owned())]);
    }
}
