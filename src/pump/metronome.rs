//! `Metronome`: which tick is due when, and what a late wake-up means (A4).
//!
//! Deadlines are the origin and a whole number of ticks, so nothing drifts. Late
//! by up to 20 ticks, all are made up, 8 ms apart; later than that, whole ticks
//! are passed over and the phase is kept. Arithmetic only: the pump sleeps.

use crate::{
    frame::TICK_NS,
    limits::{CATCH_UP_SPACING_MS, CATCH_UP_TICKS_MAX},
};

/// The pump's deadlines.
#[derive(Debug)]
pub struct Metronome {
    origin_ns: u64,
    /// The tick that is due next; those passed over are counted in.
    tick: u64,
    /// Not before this: ticks that are made up keep their distance.
    not_before_ns: u64,
}

/// A tick that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Which one, counting those that were passed over.
    pub tick: u64,
    /// When it was due: the time that everything in this tick goes by.
    pub deadline_ns: u64,
    /// How long after the deadline of the tick that was waited for.
    pub lateness_ns: u64,
    /// How long after the moment that was asked for: the deadline, or later where
    /// ticks are made up. One long stall is one long oversleeping, however many
    /// ticks it makes late.
    pub overslept_ns: u64,
    /// Ticks passed over just before this one.
    pub skipped: u64,
}

impl Metronome {
    /// The first tick is due at `origin_ns`.
    pub fn new(origin_ns: u64) -> Self {
        Self { origin_ns, tick: 0, not_before_ns: 0 }
    }

    /// When to wake up next.
    pub fn next_wake_ns(&self) -> u64 {
        self.deadline_ns().max(self.not_before_ns)
    }

    /// The pump woke up at `now_ns`: the tick that happens now.
    pub fn wake(&mut self, now_ns: u64) -> Beat {
        let lateness_ns = now_ns.saturating_sub(self.deadline_ns());
        let overslept_ns = now_ns.saturating_sub(self.next_wake_ns());
        let behind = lateness_ns / TICK_NS;
        let skipped = if behind > CATCH_UP_TICKS_MAX { behind } else { 0 };
        self.tick += skipped;
        let beat = Beat { tick: self.tick, deadline_ns: self.deadline_ns(), lateness_ns, overslept_ns, skipped };
        self.tick += 1;
        self.not_before_ns = now_ns + CATCH_UP_SPACING_MS * 1_000_000;
        beat
    }

    fn deadline_ns(&self) -> u64 {
        self.origin_ns + self.tick * TICK_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: u64 = 1_000_000_000;
    const MS: u64 = 1_000_000;

    #[test]
    fn a1_a4_lateness_decides_what_happens() {
        // late by, skipped, tick that happens, next wake-up after the origin
        let table = [
            (0, 0, 0, 24 * MS),
            (50_000, 0, 0, 24 * MS),
            (15 * MS, 0, 0, 24 * MS),
            (20 * MS, 0, 0, 28 * MS),
            (24 * MS, 0, 0, 32 * MS),
            (20 * TICK_NS, 0, 0, 488 * MS),
            (21 * TICK_NS - 1, 0, 0, 512 * MS - 1),
            (21 * TICK_NS, 21, 21, 22 * TICK_NS),
            (21 * TICK_NS + 23 * MS, 21, 21, 535 * MS),
            (100_000 * TICK_NS + 5, 100_000, 100_000, 100_001 * TICK_NS),
        ];
        for (late_ns, skipped, tick, next_ns) in table {
            let mut metronome = Metronome::new(ORIGIN);
            let beat = metronome.wake(ORIGIN + late_ns);
            assert_eq!((beat.skipped, beat.tick), (skipped, tick), "late by {late_ns}");
            assert_eq!(beat.lateness_ns, late_ns);
            assert_eq!(beat.deadline_ns, ORIGIN + tick * TICK_NS, "the phase is kept");
            assert_eq!(metronome.next_wake_ns(), ORIGIN + next_ns, "late by {late_ns}");
        }
    }

    #[test]
    fn a4_twenty_ticks_are_all_made_up_at_most_two_in_12_ms() {
        let mut metronome = Metronome::new(ORIGIN);
        let mut now_ns = ORIGIN + 20 * TICK_NS;
        let mut wakes = Vec::new();
        for tick in 0..100 {
            let beat = metronome.wake(now_ns);
            assert_eq!((beat.tick, beat.skipped), (tick, 0));
            let overslept_ns = if tick == 0 { 20 * TICK_NS } else { 0 };
            assert_eq!(beat.overslept_ns, overslept_ns, "one long stall counts once (A5)");
            wakes.push(now_ns);
            now_ns = metronome.next_wake_ns();
        }
        assert!(wakes.windows(3).all(|w| w[2] - w[0] > 12 * MS));
        assert_eq!(now_ns, ORIGIN + 100 * TICK_NS, "back in time and in phase");
        assert!(wakes[31..].windows(2).all(|w| w[1] - w[0] == TICK_NS), "caught up after 240 ms");
    }
}
