//! Where the pump is in an input: what it has taken, and as of when.
//!
//! The capture thread steers the card's rate by how much of its sound waits, so it
//! has to know the two together: a count from before a tick with the time after it would
//! be wrong by a whole frame. A sequence lock with one writer: the pump never waits,
//! and a reader that met it in the middle of writing simply has no answer this time.

use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

/// What the pump has done with an input, as of one of its ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The tick's deadline.
    pub tick_ns: u64,
    /// Frames taken from the input since the start, that tick's included.
    pub taken: u64,
    /// A frame was wanted in that tick; the input is not gathering its preroll.
    pub flowing: bool,
}

/// Written by the pump once a tick, read by the capture thread.
#[derive(Debug, Default)]
pub struct PumpPosition {
    /// Odd while being written; 0: never written.
    sequence: AtomicU64,
    tick_ns: AtomicU64,
    taken: AtomicU64,
    flowing: AtomicBool,
}

impl PumpPosition {
    /// The pump's tick is over. Never waits.
    pub fn publish(&self, position: Position) {
        let sequence = self.sequence.load(Relaxed);
        self.sequence.store(sequence + 1, Relaxed);
        fence(Release);
        self.tick_ns.store(position.tick_ns, Relaxed);
        self.taken.store(position.taken, Relaxed);
        self.flowing.store(position.flowing, Relaxed);
        self.sequence.store(sequence + 2, Release);
    }

    /// The last tick; `None` before the first one, and while it is being written.
    pub fn read(&self) -> Option<Position> {
        let before = self.sequence.load(Acquire);
        let position = Position {
            tick_ns: self.tick_ns.load(Relaxed),
            taken: self.taken.load(Relaxed),
            flowing: self.flowing.load(Relaxed),
        };
        fence(Acquire);
        let after = self.sequence.load(Relaxed);
        (before == after && before > 0 && before.is_multiple_of(2)).then_some(position)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn v2_a_reader_never_sees_half_a_tick() {
        let position = Arc::new(PumpPosition::default());
        assert_eq!(position.read(), None, "before the first tick");
        let reader = position.clone();
        let seen = std::thread::spawn(move || {
            let mut seen = 0u64;
            loop {
                let Some(Position { tick_ns, taken, flowing }) = reader.read() else { continue };
                assert_eq!((tick_ns, flowing), (taken * 24, taken.is_multiple_of(3)), "torn");
                seen += 1;
                if taken == 200_000 {
                    return seen;
                }
            }
        });
        for taken in 1..=200_000u64 {
            position.publish(Position { tick_ns: taken * 24, taken, flowing: taken.is_multiple_of(3) });
        }
        assert!(seen.join().expect("reader") > 0);
    }
}
