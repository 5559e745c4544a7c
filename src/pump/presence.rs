//! Whether an input is there (R6, Q5).
//!
//! ```text
//!            preroll there, or 100 ms after the first frame
//!   ABSENT ─────────────────────────────────────────────────► FLOWING
//!          ◄─────────────────────────────────────────────────
//!            4 ticks in a row without a frame, or closed and empty
//! ```
//!
//! Present is an input that flows and is not silent by its rule. One that flows
//! and is silent still gives up a frame a tick, since its level has to be heard;
//! an absent one gives none, so that its preroll can gather. Pure: what was seen
//! and the time go in.

use super::level::{LevelMeter, SilenceRule, SilenceWatch};
use crate::{
    frame::PumpFrame,
    limits::{MISSES_MAX, PREROLL_WAIT_MS},
    published::published,
};

/// Why an input is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It has not been there yet.
    NotYet,
    /// Its sender has gone.
    Closed,
    /// Its sender is there and sends nothing.
    Missed,
    /// It sends silence.
    Silent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// `first_ns`: when its first frame was seen waiting.
    Absent { first_ns: Option<u64> },
    /// `misses`: ticks in a row without a frame.
    Flowing { misses: u32 },
}

published! {
    /// How an input stands, for the status page.
    pub enum Standing, name, else Absent {
        /// It gives nothing, or has only begun to.
        Absent = "absent",
        /// It flows and is silent by its rule.
        Silent = "silent",
        /// It may be on air.
        Present = "present",
    }
}

/// One input as the pump sees it.
#[derive(Debug)]
pub struct Presence {
    preroll_frames: usize,
    flow: Flow,
    left: Left,
    meter: LevelMeter,
    watch: Option<SilenceWatch>,
}

impl Presence {
    /// An absent input.
    pub fn new(preroll_frames: usize, rule: Option<SilenceRule>) -> Self {
        Self {
            preroll_frames,
            flow: Flow::Absent { first_ns: None },
            left: Left::NotYet,
            meter: LevelMeter::default(),
            watch: rule.map(SilenceWatch::new),
        }
    }

    /// The beginning of a tick: how many frames wait, and whether the sender has gone.
    pub fn look(&mut self, now_ns: u64, count: usize, closed: bool) {
        let Flow::Absent { first_ns } = self.flow else {
            return;
        };
        if closed && let Some(watch) = &mut self.watch {
            watch.reset();
        }
        let first_ns = (count > 0).then(|| first_ns.unwrap_or(now_ns));
        let waited = first_ns.is_some_and(|first_ns| now_ns >= first_ns + PREROLL_WAIT_MS * 1_000_000);
        self.flow = if waited || (count > 0 && count >= self.preroll_frames) {
            Flow::Flowing { misses: 0 }
        } else {
            Flow::Absent { first_ns }
        };
    }

    /// True if a frame is to be taken from it in this tick.
    pub fn is_flowing(&self) -> bool {
        matches!(self.flow, Flow::Flowing { .. })
    }

    /// True if it may be on air.
    pub fn is_present(&self) -> bool {
        self.is_flowing() && !self.watch.as_ref().is_some_and(SilenceWatch::is_silent)
    }

    /// All of that in a word.
    pub fn standing(&self) -> Standing {
        match (self.is_flowing(), self.is_present()) {
            (_, true) => Standing::Present,
            (true, false) => Standing::Silent,
            (false, false) => Standing::Absent,
        }
    }

    /// Why it is absent, if it is.
    pub fn left(&self) -> Left {
        match (self.is_flowing(), self.is_present()) {
            (true, false) => Left::Silent,
            _ => self.left,
        }
    }

    /// What was taken from it in this tick; `closed` as it was before the attempt.
    pub fn took(&mut self, frame: Option<&PumpFrame>, closed: bool) {
        let Flow::Flowing { misses } = self.flow else {
            return;
        };
        match frame {
            Some(frame) => {
                self.flow = Flow::Flowing { misses: 0 };
                self.hear(frame);
            }
            None if closed => self.leave(Left::Closed),
            None if misses + 1 >= MISSES_MAX => self.leave(Left::Missed),
            None => self.flow = Flow::Flowing { misses: misses + 1 },
        }
    }

    fn hear(&mut self, frame: &PumpFrame) {
        if let Some(watch) = &mut self.watch
            && let Some(window) = self.meter.feed(frame)
        {
            watch.window(window);
        }
    }

    fn leave(&mut self, left: Left) {
        self.flow = Flow::Absent { first_ns: None };
        self.left = left;
        self.meter = LevelMeter::default();
        if left == Left::Closed
            && let Some(watch) = &mut self.watch
        {
            watch.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LiveConfig;
    use crate::frame::{PUMP_FRAME_VALUES, TICK_NS};

    const LOUD: PumpFrame = PumpFrame { values: [9000; PUMP_FRAME_VALUES] };

    /// Runs ticks of (waiting, closed) and tells after which of them it was present.
    fn run(presence: &mut Presence, ticks: &[(usize, bool)]) -> Vec<bool> {
        let mut present = Vec::new();
        for (tick, (count, closed)) in (0u64..).zip(ticks) {
            presence.look(tick * TICK_NS, *count, *closed);
            if presence.is_flowing() {
                presence.took((*count > 0).then_some(&LOUD), *closed);
            }
            present.push(presence.is_present());
        }
        present
    }

    #[test]
    fn r6_present_with_the_preroll_or_100_ms_after_the_first_frame() {
        const O: bool = false;
        const X: bool = true;
        type Row<'a> = (&'a [(usize, bool)], &'a [bool]);
        let table: [Row; 6] = [
            (&[(0, O), (1, O), (2, O), (3, O)], &[O, O, O, X]),
            (&[(0, O), (9, O)], &[O, X]),
            // 120 ms: the first tick that is 100 ms after the first frame was seen.
            (&[(1, O), (1, O), (1, O), (1, O), (1, O), (1, O)], &[O, O, O, O, O, X]),
            // The fourth miss in a row, in that very tick.
            (&[(3, O), (0, O), (0, O), (0, O), (0, O)], &[X, X, X, X, O]),
            (&[(3, O), (0, O), (0, O), (0, O), (1, O), (0, O)], &[X, X, X, X, X, X]),
            // Closed: what waits is played; the first empty tick is the end.
            (&[(3, X), (2, X), (1, X), (0, X), (0, X)], &[X, X, X, O, O]),
        ];
        for (ticks, expected) in table {
            assert_eq!(run(&mut Presence::new(3, None), ticks), expected, "{ticks:?}");
        }
    }

    #[test]
    fn r6_says_why_it_left() {
        let mut presence = Presence::new(3, None);
        assert_eq!(presence.left(), Left::NotYet);
        run(&mut presence, &[(3, false), (0, false), (0, false), (0, false), (0, false)]);
        assert_eq!(presence.left(), Left::Missed);
        run(&mut presence, &[(3, false), (0, true)]);
        assert_eq!(presence.left(), Left::Closed);
    }

    #[test]
    fn q5_a_silent_input_flows_unheard_until_it_is_loud_for_long_enough() {
        let mut presence = Presence::new(3, LiveConfig::default().silence);
        let loud = run(&mut presence, &[(3, false); 90]);
        let first = loud.iter().position(|p| *p).expect("present in the end");
        // 2 s are 83.3 ticks: the 84th completes the twentieth window.
        assert_eq!(first, 83);
        run(&mut presence, &[(0, true)]);
        assert_eq!(presence.left(), Left::Closed);
        assert!(!run(&mut presence, &[(3, false); 80]).contains(&true), "opened again: starts silent");
        assert_eq!(presence.left(), Left::Silent);
    }
}
