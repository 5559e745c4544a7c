//! Which title is true of which frame on air.
//!
//! The station says a title ahead of its sound: "from frame n that I send". The sound then waits in the
//! station's queue, is popped by a tick, and is on air as the frame of that tick's number, a cushion
//! later. So a title waits here for the pop of its frame, and then for its frame's number on air. Titles of
//! the stream that is pulled come the same way, and are true while that is heard.
//! While the card, the fallback or the tone is heard, the station's own name stands instead of a title; in
//! a pause what was heard last stays.
//!
//! Pure: what the tick saw in, what changes out. Never more than `WAITING_MAX` wait; one
//! more is dropped, and counted by who sent it.

use std::collections::VecDeque;

use crate::{limits::TITLES_WAITING_MAX as WAITING_MAX, pump::selector::Source, router::InputId};

/// A title whose sound never comes (a sender that told of more than it sent) is true after this long.
const PATIENCE_TICKS: u64 = 60_000 / crate::frame::TICK_MS;

/// What an input says it plays, and from where in its queue; none: from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The station, or the stream that is pulled; others have no titles.
    pub of: InputId,
    /// Position in that input's queue of the first frame of it.
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
    /// The same, of the relay's queue.
    pub relay_popped: u64,
}

/// What an input has told.
#[derive(Default)]
struct Told {
    /// With the numbers at which they were told.
    waiting: VecDeque<(Announcement, u64)>,
    heard: Option<String>,
}

impl Told {
    fn take(&mut self, announcement: Announcement, now_number: u64) -> bool {
        let has_room = self.waiting.len() < WAITING_MAX;
        if has_room {
            self.waiting.push_back((announcement, now_number));
        }
        has_room
    }

    fn tick(&mut self, number: u64, popped: u64) {
        while let Some((announcement, taken_at)) = self.waiting.front() {
            let heard = announcement.from.is_none_or(|from| popped > from);
            if !heard && number < taken_at + PATIENCE_TICKS {
                break;
            }
            self.heard = self.waiting.pop_front().and_then(|(announcement, _)| announcement.text);
        }
    }
}

/// The desk.
pub struct TitleDesk {
    name: String,
    station: Told,
    relay: Told,
    shown: String,
    /// Changes that are not on air yet, by the number of their first frame.
    ahead: VecDeque<(u64, String)>,
}

impl TitleDesk {
    /// Under the station's name.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            station: Told::default(),
            relay: Told::default(),
            shown: name.into(),
            ahead: VecDeque::new(),
        }
    }

    /// Takes an announcement at a tick. False: too many wait already.
    pub fn take(&mut self, announcement: Announcement, now_number: u64) -> bool {
        match announcement.of {
            InputId::Station => self.station.take(announcement, now_number),
            InputId::Relay => self.relay.take(announcement, now_number),
            InputId::Live => true,
        }
    }

    /// One tick of the pump.
    pub fn tick(&mut self, sight: TickSight) {
        self.station.tick(sight.number, sight.popped);
        self.relay.tick(sight.number, sight.relay_popped);
        let wanted = match sight.source {
            Source::Station => self.station.heard.as_ref().unwrap_or(&self.name),
            Source::Relay => self.relay.heard.as_ref().unwrap_or(&self.name),
            Source::Live | Source::File | Source::Tone => &self.name,
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
        Announcement { of: InputId::Station, from, text: Some(text.into()) }
    }

    /// What comes on air at which number, of ticks with their sources and pops.
    fn play(desk: &mut TitleDesk, ticks: &[(u64, Source, u64)]) -> Vec<(u64, String)> {
        for (number, source, popped) in ticks {
            desk.tick(TickSight { number: *number, source: *source, popped: *popped, relay_popped: *popped / 2 });
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
    fn h6_a_pulled_streams_titles_are_true_while_it_is_heard_and_the_stations_stay_its_own() {
        let mut desk = TitleDesk::new("Radio");
        let pulled =
            |from, text: Option<&str>| Announcement { of: InputId::Relay, from, text: text.map(str::to_owned) };
        assert!(desk.take(says(None, "A"), 0) && desk.take(pulled(Some(1), Some("B")), 0));
        assert!(desk.take(pulled(Some(4), None), 0), "a stream that says no more");
        let ticks = [
            (0, Source::Station, 2),
            (1, Source::Relay, 3),
            (2, Source::Relay, 4),
            (3, Source::Station, 5),
            (4, Source::Relay, 6),
            (5, Source::Relay, 10),
        ];
        let expected = [(0, "A"), (1, "Radio"), (2, "B"), (3, "A"), (4, "B"), (5, "Radio")];
        assert_eq!(play(&mut desk, &ticks), expected.map(|(at, text)| (at, text.to_owned())));
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
