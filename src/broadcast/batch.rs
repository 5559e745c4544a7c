//! How many frames a listener gets at once, and in which tick it has its turn.
//!
//! Cost is per `send`, so a batch of twice as many frames costs nearly half; and it is delay, since its first
//! frame waits for its last. So few listeners get small batches, and many larger ones.
//!
//! Each listener belongs to a phase. The tick serves the phases that are due, all of them within one batch's
//! ticks. The sizes that the number of listeners chooses divide each other, so a listener keeps its phase when
//! the size changes, and nobody waits for longer than the larger of the two.
//!
//! Pure: listeners and ticks in, phases out.

use crate::{
    frame::TICK_MS,
    limits::{BATCH_BY_LISTENERS, BATCH_FRAMES_AUTO_MAX},
};

/// The batch now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    frames: u64,
    /// A whole multiple of `frames`.
    phases: u64,
    is_automatic: bool,
}

impl Batch {
    /// Of so many milliseconds, whole frames; 0: by the number of listeners.
    pub fn new(batch_ms: u64) -> Self {
        match batch_ms / TICK_MS {
            0 => Self { frames: frames_for(0, 0), phases: BATCH_FRAMES_AUTO_MAX, is_automatic: true },
            frames => Self { frames, phases: frames, is_automatic: false },
        }
    }

    /// Phases, whatever the batch.
    pub fn phases(self) -> usize {
        usize::try_from(self.phases).unwrap_or(1)
    }

    /// Frames of a batch, and ticks from one turn of a listener to its next.
    pub fn frames(self) -> u64 {
        self.frames
    }

    /// Once each time when every phase has had its turn.
    pub fn is_round(self, tick: u64) -> bool {
        tick.is_multiple_of(self.phases)
    }

    /// Suits the batch to the listeners.
    pub fn suit(&mut self, listeners: usize) {
        if self.is_automatic {
            self.frames = frames_for(listeners, self.frames);
        }
    }

    /// The phases whose turn is in this tick.
    pub fn due(self, tick: u64) -> impl Iterator<Item = usize> {
        (usize::try_from(tick % self.frames).unwrap_or(0)..self.phases())
            .step_by(usize::try_from(self.frames).unwrap_or(1))
    }
}

/// Frames for so many listeners. They come and go around a bound, so a batch narrows only
/// when a quarter of those have gone whose coming has widened it.
pub fn frames_for(listeners: usize, frames_now: u64) -> u64 {
    let of = |listeners: usize| {
        let fits = BATCH_BY_LISTENERS.iter().find(|(listeners_max, _)| listeners <= *listeners_max);
        fits.map_or(BATCH_FRAMES_AUTO_MAX, |(_, frames)| *frames)
    };
    // With a third more than there are, so many frames would still be right.
    of(listeners).max(frames_now.min(of(listeners + listeners / 3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h4_the_batch_by_listeners_as_a_table() {
        let table = [
            // listeners, frames now, frames then
            (0, 0, 2),
            (50, 2, 2),
            (51, 2, 4),
            (39, 4, 4),
            (38, 4, 2),
            (150, 4, 4),
            (151, 4, 8),
            (114, 8, 8),
            (113, 8, 4),
            (20, 8, 2),
            (10_000, 2, 8),
            (100_000, 8, 8),
        ];
        for (listeners, now, then) in table {
            assert_eq!(frames_for(listeners, now), then, "{listeners} listeners, {now} frames");
        }
    }

    #[test]
    fn h4_each_phase_has_its_turn_once_a_batch_however_the_batch_changes() {
        let crowds = [0, 2000, 2000, 100, 0, 0, 100, 2000];
        for batch_ms in [0, 24, 72, 144, 288] {
            let mut batch = Batch::new(batch_ms);
            // The tick of each phase's last turn, and what the batch was then.
            let mut last = vec![(0u64, batch.frames()); batch.phases()];
            let mut turns = 0;
            for tick in 1..2000u64 {
                if batch.is_round(tick) {
                    batch.suit(crowds[usize::try_from(tick / 100).expect("small") % crowds.len()]);
                }
                for phase in batch.due(tick) {
                    let (at, frames) = last[phase];
                    assert!(tick - at <= batch.frames().max(frames), "{batch_ms} ms: {at}, {tick}");
                    last[phase] = (tick, batch.frames());
                    turns += 1;
                }
                assert!(last.iter().all(|(at, _)| tick - at < batch.phases));
            }
            assert!(turns >= 1999, "{turns}");
        }
    }
}
