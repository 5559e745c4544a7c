//! The replay window: PCM that may have to be encoded once more.
//!
//! Every frame is kept with its number until its MP3 frame is on air and a
//! lead-in before that. Positions count frames since start; numbers are the
//! pump's, and equal positions unless the pump's queue overflowed.

use crate::{
    frame::PumpFrame,
    limits::{LEAD_IN_FRAMES, REPLAY},
};

/// The last 256 pump frames.
pub struct Replay {
    frames: Box<[(u64, PumpFrame)]>,
    end: u64,
}

impl Replay {
    /// An empty window; its memory is taken here.
    pub fn new() -> Self {
        Self { frames: vec![(0, PumpFrame::SILENCE); REPLAY.frames_max].into_boxed_slice(), end: 0 }
    }

    /// Keeps a frame. The oldest goes.
    pub fn push(&mut self, number: u64, frame: &PumpFrame) {
        let slot = self.slot(self.end);
        self.frames[slot] = (number, *frame);
        self.end += 1;
    }

    /// The position after the newest frame.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The position of the oldest frame kept.
    pub fn oldest(&self) -> u64 {
        self.end.saturating_sub(self.frames.len() as u64)
    }

    /// The frame at `position`, with its number; `None` if it is gone or yet to come.
    pub fn get(&self, position: u64) -> Option<(u64, &PumpFrame)> {
        if !(self.oldest()..self.end).contains(&position) {
            return None;
        }
        let (number, frame) = &self.frames[self.slot(position)];
        Some((*number, frame))
    }

    /// Where a new encoder starts: 64 frames before the first number that is
    /// still owed, or as far back as there is.
    pub fn lead_in_to(&self, first_owed: u64) -> u64 {
        let owed = (self.oldest()..self.end)
            .find(|position| self.get(*position).is_some_and(|(number, _)| number >= first_owed))
            .unwrap_or(self.end);
        owed.saturating_sub(LEAD_IN_FRAMES as u64).max(self.oldest())
    }

    fn slot(&self, position: u64) -> usize {
        usize::try_from(position % self.frames.len() as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(frames: u64) -> Replay {
        let mut replay = Replay::new();
        (0..frames).for_each(|number| replay.push(number, &PumpFrame::SILENCE));
        replay
    }

    #[test]
    fn s8_a_new_encoder_starts_64_frames_before_what_is_owed() {
        for (frames, first_owed, start) in [
            (0, 0, 0),
            (10, 0, 0),
            (10, 5, 0),       // nothing before the start
            (200, 170, 106),  // 64 of lead-in
            (200, 200, 136),  // all delivered: lead-in to what comes next
            (1000, 700, 744), // the window holds 256
            (1000, 990, 926),
        ] {
            assert_eq!(filled(frames).lead_in_to(first_owed), start, "{frames} frames, {first_owed} owed");
        }
    }

    #[test]
    fn s8_positions_outside_the_window_are_gone() {
        let replay = filled(300);
        assert_eq!(replay.get(43).map(|(n, _)| n), None);
        assert_eq!(replay.get(44).map(|(n, _)| n), Some(44));
        assert_eq!(replay.get(299).map(|(n, _)| n), Some(299));
        assert_eq!(replay.get(300).map(|(n, _)| n), None);
    }

    #[test]
    fn s8_numbers_lost_to_a_full_queue_are_passed_over() {
        let mut replay = Replay::new();
        (0..100).chain(150..200).for_each(|number| replay.push(number, &PumpFrame::SILENCE));
        // 120 never came: the first owed is 150, at position 100.
        assert_eq!(replay.lead_in_to(120), 36);
    }
}
