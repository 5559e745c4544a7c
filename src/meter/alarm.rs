//! When something is wrong, and when it is over again. Pure: what was seen goes in, a change comes out.
//!
//! ```text
//!            bad for as long as it takes
//!   QUIET ───────────────────────────────► RAISED
//!         ◄───────────────────────────────
//!            good for as long as it takes
//! ```
//!
//! Good is less than the opposite of bad, by a gap in level or in time, so that what stays
//! at a threshold changes nothing again and again. Time is what passed while something was seen:
//! of sound, the sound itself.

use std::collections::VecDeque;

use super::levels::WINDOW_MS;
use crate::input::live::LiveState;

/// What has become of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It stands from now on.
    Raised,
    /// It does not stand any more.
    Over,
}

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It is as it must not be.
    Bad,
    /// It is as it should be.
    Good,
    /// Between the two: neither is the case any more.
    Between,
    /// Nothing can be told from it: all stays as it is.
    Unknown,
}

/// A state that has to last.
#[derive(Debug)]
pub struct Hysteresis {
    bad_ms: u64,
    good_ms: u64,
    raised: bool,
    /// For how long the sign has asked for a change.
    run_ms: u64,
}

impl Hysteresis {
    /// Raised after `bad_ms` of bad, over after `good_ms` of good.
    pub fn new(bad_ms: u64, good_ms: u64) -> Self {
        Self { bad_ms, good_ms, raised: false, run_ms: 0 }
    }

    /// `sign` held for `elapsed_ms`.
    pub fn step(&mut self, sign: Sign, elapsed_ms: u64) -> Option<Change> {
        let (asks, enough_ms) =
            if self.raised { (sign == Sign::Good, self.good_ms) } else { (sign == Sign::Bad, self.bad_ms) };
        match (sign, asks) {
            (Sign::Unknown, _) => return None,
            (_, false) => self.run_ms = 0,
            (_, true) => self.run_ms += elapsed_ms,
        }
        (asks && self.run_ms >= enough_ms).then(|| {
            self.run_ms = 0;
            toggle(&mut self.raised)
        })
    }

    /// What it is about has gone: it is not wrong any more.
    pub fn reset(&mut self) -> Option<Change> {
        self.run_ms = 0;
        self.raised.then(|| toggle(&mut self.raised))
    }
}

fn toggle(raised: &mut bool) -> Change {
    *raised = !*raised;
    if *raised { Change::Raised } else { Change::Over }
}

/// Single peaks at full scale happen in music that was mastered loud; a tenth of the time is a
/// gain that is too high.
pub const CLIPPING_WINDOWS_RAISED: u32 = 10;
/// Over what time that is counted, and without any for how long it is over: 104 windows, 10 s. Long
/// enough for the pauses between words of one who shouts.
pub const CLIPPING_WINDOWS: u32 = 104;
const _: () = assert!(CLIPPING_WINDOWS as u64 == 10_000 / WINDOW_MS && CLIPPING_WINDOWS < u128::BITS);

/// Too many windows with clipped samples among the last ones.
#[derive(Debug, Default)]
pub struct ClippingWatch {
    /// A bit for each of the last windows, the newest lowest.
    windows: u128,
    raised: bool,
}

impl ClippingWatch {
    /// A window has ended.
    pub fn step(&mut self, clipped: bool) -> Option<Change> {
        const KEPT: u128 = (1 << CLIPPING_WINDOWS) - 1;
        self.windows = (self.windows << 1 | u128::from(clipped)) & KEPT;
        let due = if self.raised { self.count() == 0 } else { self.count() >= CLIPPING_WINDOWS_RAISED };
        due.then(|| toggle(&mut self.raised))
    }

    /// Windows with clipping among the last.
    pub fn count(&self) -> u32 {
        self.windows.count_ones()
    }

    /// What it is about has gone.
    pub fn reset(&mut self) -> Option<Change> {
        self.windows = 0;
        self.raised.then(|| toggle(&mut self.raised))
    }
}

/// One xrun is a busy moment; this many in a minute are a machine or a cable that cannot do it.
pub const XRUNS_RAISED: usize = 5;
/// Over what time that is counted, and without any for how long it is over.
pub const XRUNS_MS: u64 = 60_000;

/// Too many xruns in a minute.
#[derive(Debug, Default)]
pub struct XrunWatch {
    /// When the last ones were, oldest first.
    recent_ms: VecDeque<u64>,
    now_ms: u64,
    raised: bool,
}

impl XrunWatch {
    /// `elapsed_ms` later there have been `xruns` more.
    pub fn step(&mut self, xruns: u64, elapsed_ms: u64) -> Option<Change> {
        self.now_ms += elapsed_ms;
        let old = |at_ms: &u64| self.now_ms - at_ms >= XRUNS_MS;
        self.recent_ms.retain(|at_ms| !old(at_ms));
        for _ in 0..xruns.min(XRUNS_RAISED as u64) {
            if self.recent_ms.len() == XRUNS_RAISED {
                self.recent_ms.pop_front();
            }
            self.recent_ms.push_back(self.now_ms);
        }
        let due = if self.raised { self.recent_ms.is_empty() } else { self.recent_ms.len() == XRUNS_RAISED };
        due.then(|| toggle(&mut self.raised))
    }
}

/// A card that was never there has this long to come: the system finds its devices while we start.
pub const LOST_AT_START_MS: u64 = 5000;
/// A card that is open and gives nothing has this long: a stream is begun anew after an xrun,
/// which is another alarm's.
pub const LOST_STARTING_MS: u64 = 1000;

/// A sound card that is configured and does not run.
#[derive(Debug, Default)]
pub struct LostWatch {
    seen_running: bool,
    missing_ms: u64,
    raised: bool,
}

impl LostWatch {
    /// The card has been in this state for `elapsed_ms`.
    pub fn step(&mut self, state: LiveState, elapsed_ms: u64) -> Option<Change> {
        if state == LiveState::Running {
            *self = Self { seen_running: true, missing_ms: 0, raised: self.raised };
            return self.raised.then(|| toggle(&mut self.raised));
        }
        self.missing_ms += elapsed_ms;
        let patience_ms = match (self.seen_running, state) {
            (false, _) => LOST_AT_START_MS,
            (true, LiveState::Starting) => LOST_STARTING_MS,
            (true, _) => 0,
        };
        (!self.raised && self.missing_ms >= patience_ms).then(|| toggle(&mut self.raised))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Change::{Over, Raised};
    use Sign::{Bad, Between, Good, Unknown};

    /// Runs (sign, steps of 100 ms) and tells the changes with the millisecond at which they came.
    fn run(watch: &mut Hysteresis, parts: &[(Sign, u64)]) -> Vec<(u64, Change)> {
        let signs = parts.iter().flat_map(|(sign, steps)| (0..*steps).map(|_| *sign));
        let stepped = (1..).zip(signs).map(|(step, sign)| (step * 100, watch.step(sign, 100)));
        stepped.filter_map(|(at_ms, change)| change.map(|change| (at_ms, change))).collect()
    }

    #[test]
    fn l3_a_state_has_to_last_as_a_table() {
        type Row<'a> = (&'a [(Sign, u64)], &'a [(u64, Change)]);
        // Bad for 1 s raises, good for 500 ms ends.
        let table: [Row; 9] = [
            (&[(Good, 100)], &[]),
            (&[(Bad, 9)], &[]),
            (&[(Bad, 100)], &[(1000, Raised)]),
            (&[(Bad, 9), (Good, 1), (Bad, 9), (Between, 1), (Bad, 9)], &[]),
            (&[(Bad, 5), (Unknown, 50), (Bad, 5)], &[(6000, Raised)]),
            (&[(Bad, 10), (Good, 4), (Bad, 1), (Good, 4), (Between, 1), (Good, 4)], &[(1000, Raised)]),
            (&[(Bad, 10), (Good, 5)], &[(1000, Raised), (1500, Over)]),
            (&[(Bad, 10), (Good, 3), (Unknown, 20), (Good, 2)], &[(1000, Raised), (3500, Over)]),
            (&[(Bad, 10), (Good, 5), (Bad, 10)], &[(1000, Raised), (1500, Over), (2500, Raised)]),
        ];
        for (parts, expected) in table {
            assert_eq!(run(&mut Hysteresis::new(1000, 500), parts), expected, "{parts:?}");
        }
    }

    #[test]
    fn l3_every_state_answers_every_sign() {
        // Raised or not, how long the run is, the sign; the change, how long the run is after it.
        let table = [
            (false, 900, Bad, Some(Raised), 0),
            (false, 300, Bad, None, 400),
            (false, 900, Good, None, 0),
            (false, 900, Between, None, 0),
            (false, 900, Unknown, None, 900),
            (true, 400, Good, Some(Over), 0),
            (true, 300, Good, None, 400),
            (true, 400, Bad, None, 0),
            (true, 400, Between, None, 0),
            (true, 400, Unknown, None, 400),
        ];
        for (raised, run_ms, sign, change, run_after_ms) in table {
            let mut watch = Hysteresis { raised, run_ms, ..Hysteresis::new(1000, 500) };
            assert_eq!((watch.step(sign, 100), watch.run_ms), (change, run_after_ms), "{raised} {run_ms} {sign:?}");
        }
        for (raised, change) in [(false, None), (true, Some(Over))] {
            let mut watch = Hysteresis { raised, run_ms: 400, ..Hysteresis::new(1000, 500) };
            assert_eq!((watch.reset(), watch.reset(), watch.run_ms), (change, None, 0));
        }
    }

    #[test]
    fn l3_clipping_as_a_table() {
        let (all, last) = (CLIPPING_WINDOWS as usize, CLIPPING_WINDOWS as usize - 1);
        // Which windows clip, of how many, and the changes with the window that made them.
        type Row = (fn(usize) -> bool, usize, Vec<(usize, Change)>);
        let table: [Row; 7] = [
            (|_| false, 1000, vec![]),
            (|at| at < 9, 1000, vec![]),
            (|at| at < 10, 1000, vec![(9, Raised), (9 + all, Over)]),
            // Nine within any 10 s, for ever: just below.
            (|at| at % 12 == 0, 4000, vec![]),
            // Ten within 10 s, for ever: raised once, never over.
            (|at| at % 10 == 0, 4000, vec![(90, Raised)]),
            // Raised, then once in 9.98 s: it is not over.
            (|at| at < 10 || at % 104 == 0, 4000, vec![(9, Raised)]),
            (|at| at < 10 || at == 9 + 104, 1000, vec![(9, Raised), (9 + 2 * all, Over)]),
        ];
        for (number, (clips, windows, expected)) in table.into_iter().enumerate() {
            let mut watch = ClippingWatch::default();
            let changes: Vec<_> =
                (0..windows).filter_map(|at| watch.step(clips(at)).map(|change| (at, change))).collect();
            assert_eq!(changes, expected, "row {number}");
        }
        let mut watch = ClippingWatch::default();
        (0..last).for_each(|_| _ = watch.step(true));
        assert_eq!((watch.reset(), watch.reset(), watch.count()), (Some(Over), None, 0));
    }

    #[test]
    fn l3_xruns_as_a_table() {
        // Seconds at which there was an xrun, and the changes with their second.
        type Row<'a> = (&'a [u64], &'a [(u64, Change)]);
        let table: [Row; 6] = [
            (&[], &[]),
            (&[10, 20, 30, 40], &[]),
            (&[10, 20, 30, 40, 50], &[(50, Raised), (110, Over)]),
            // The first is a minute old when the fifth comes; one second less, and it counts.
            (&[10, 20, 30, 40, 70, 120], &[]),
            (&[10, 20, 30, 40, 69], &[(69, Raised), (129, Over)]),
            // One each 59 s keeps it up, and does not raise it again.
            (&[10, 11, 12, 13, 14, 73, 132, 191], &[(14, Raised), (251, Over)]),
        ];
        for (xruns, expected) in table {
            let mut watch = XrunWatch::default();
            let step = |second| watch.step(xruns.iter().filter(|at| **at == second).count() as u64, 1000);
            let changes: Vec<_> =
                (1..400).zip((1..400).map(step)).filter_map(|(at, change)| Some((at, change?))).collect();
            assert_eq!(changes, expected, "{xruns:?}");
        }
        assert_eq!(XrunWatch::default().step(1_000_000, 100), Some(Raised), "many at once");
    }

    #[test]
    fn l3_v3_a_lost_card_as_a_table() {
        use LiveState::{Off, Running, Starting, Waiting};
        type Row<'a> = (&'a [(LiveState, u64)], &'a [(u64, Change)]);
        // States with their steps of 100 ms.
        let table: [Row; 8] = [
            (&[(Starting, 10), (Running, 100)], &[]),
            (&[(Waiting, 49), (Running, 1)], &[]),
            (&[(Waiting, 100)], &[(5000, Raised)]),
            (&[(Off, 20), (Waiting, 20), (Starting, 20)], &[(5000, Raised)]),
            (&[(Waiting, 60), (Starting, 5), (Running, 1)], &[(5000, Raised), (6600, Over)]),
            (&[(Running, 1), (Waiting, 30), (Running, 1)], &[(200, Raised), (3200, Over)]),
            // An xrun: the stream is begun anew.
            (&[(Running, 1), (Starting, 9), (Running, 1), (Starting, 9), (Running, 1)], &[]),
            (&[(Running, 1), (Starting, 30)], &[(1100, Raised)]),
        ];
        for (parts, expected) in table {
            let mut watch = LostWatch::default();
            let states = parts.iter().flat_map(|(state, steps)| (0..*steps).map(|_| *state));
            let stepped = (1..).zip(states).map(|(step, state)| (step * 100, watch.step(state, 100)));
            let changes: Vec<_> = stepped.filter_map(|(at_ms, change)| Some((at_ms, change?))).collect();
            assert_eq!(changes, expected, "{parts:?}");
        }
    }
}
