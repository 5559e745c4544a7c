//! The life of a pulled stream.
//!
//! ```text
//!            started             first sound
//!  WAITING ─────────► CONNECTING ───────────► RUNNING
//!   ▲  │ not started    │ ended, or nothing     │ ended, or nothing
//!   └──┘ (1 … 10 s)     ▼ for 15 s              ▼ for 5 s
//!   ▲───────────────────┴───────────────────────┘
//! ```
//!
//! Pure: what happened and the time go in, what to do comes out. A source that gave sound for a minute is
//! tried again after a second, which is sooner than its cushion is empty; one that gives none, ever more slowly.

use super::PullState;
use crate::{
    limits::{PULL_RETRY_SEC_MAX, PULL_STALL_MS, PULL_START_MS},
    relay::backoff::Backoff,
};

const NS_PER_MS: u64 = 1_000_000;

/// Where a source is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No FFmpeg runs; the next attempt is at `retry_ns`.
    Waiting {
        /// On the monotonic clock.
        retry_ns: u64,
    },
    /// FFmpeg has given nothing yet.
    Connecting {
        /// Without any sound by then, it is ended.
        give_up_ns: u64,
    },
    /// It gives sound. All that it gives pushes `give_up_ns` forward.
    Running {
        /// Its first sound.
        since_ns: u64,
        /// Without more sound by then, it is ended.
        give_up_ns: u64,
    },
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// Time has passed.
    Time,
    /// FFmpeg was started.
    Started,
    /// It could not be.
    NotStarted,
    /// It gave sound.
    Sound,
    /// It was not read, since enough waits: its silence is not its own.
    Full,
    /// It has ended.
    Ended,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Nothing,
    /// Start FFmpeg.
    Start,
    /// End it: it gives nothing.
    End,
}

/// A source's life.
#[derive(Debug, Clone)]
pub struct Life {
    phase: Phase,
    backoff: Backoff,
}

impl Life {
    /// It has not been tried yet.
    pub fn new(now_ns: u64) -> Self {
        Self { phase: Phase::Waiting { retry_ns: now_ns }, backoff: Backoff::up_to(PULL_RETRY_SEC_MAX) }
    }

    /// As it is published.
    pub fn state(&self) -> PullState {
        match self.phase {
            Phase::Waiting { .. } => PullState::Waiting,
            Phase::Connecting { .. } => PullState::Connecting,
            Phase::Running { .. } => PullState::Running,
        }
    }

    /// The next moment at which time alone changes something.
    pub fn due_ns(&self) -> u64 {
        match self.phase {
            Phase::Waiting { retry_ns } => retry_ns,
            Phase::Connecting { give_up_ns } | Phase::Running { give_up_ns, .. } => give_up_ns,
        }
    }

    /// What becomes of it, and what to do about that.
    pub fn step(&mut self, happened: Happened, now_ns: u64) -> Act {
        let due = now_ns >= self.due_ns();
        let stall_ns = now_ns + PULL_STALL_MS * NS_PER_MS;
        match (self.phase, happened) {
            (Phase::Waiting { .. }, Happened::Time) if due => return Act::Start,
            (Phase::Waiting { .. }, Happened::Started) => {
                self.phase = Phase::Connecting { give_up_ns: now_ns + PULL_START_MS * NS_PER_MS };
            }
            (Phase::Waiting { .. }, Happened::NotStarted) => self.wait(0, now_ns),
            (Phase::Connecting { .. }, Happened::Sound) => {
                self.phase = Phase::Running { since_ns: now_ns, give_up_ns: stall_ns };
            }
            (Phase::Running { since_ns, .. }, Happened::Sound | Happened::Full) => {
                self.phase = Phase::Running { since_ns, give_up_ns: stall_ns };
            }
            (Phase::Connecting { .. } | Phase::Running { .. }, Happened::Time) if due => {
                self.end(now_ns);
                return Act::End;
            }
            (Phase::Connecting { .. } | Phase::Running { .. }, Happened::Ended) => self.end(now_ns),
            _ => {}
        }
        Act::Nothing
    }

    fn end(&mut self, now_ns: u64) {
        let held_ns = match self.phase {
            Phase::Running { since_ns, .. } => now_ns.saturating_sub(since_ns),
            Phase::Waiting { .. } | Phase::Connecting { .. } => 0,
        };
        self.wait(held_ns / NS_PER_MS, now_ns);
    }

    fn wait(&mut self, held_ms: u64, now_ns: u64) {
        let wait_ns = u64::try_from(self.backoff.after(held_ms).as_nanos()).unwrap_or(0);
        self.phase = Phase::Waiting { retry_ns: now_ns + wait_ns };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = NS_PER_MS;

    fn waiting(retry_ms: u64) -> Phase {
        Phase::Waiting { retry_ns: retry_ms * MS }
    }

    fn connecting(give_up_ms: u64) -> Phase {
        Phase::Connecting { give_up_ns: give_up_ms * MS }
    }

    fn running(since_ms: u64, give_up_ms: u64) -> Phase {
        Phase::Running { since_ns: since_ms * MS, give_up_ns: give_up_ms * MS }
    }

    #[test]
    fn pull_every_phase_answers_everything_that_happens() {
        use Happened::{Ended, Full, NotStarted, Sound, Started, Time};
        let table = [
            (waiting(100), Time, 99, waiting(100), Act::Nothing),
            (waiting(100), Time, 100, waiting(100), Act::Start),
            (waiting(100), Started, 100, connecting(15_100), Act::Nothing),
            (waiting(100), NotStarted, 100, waiting(1100), Act::Nothing),
            (waiting(100), Sound, 100, waiting(100), Act::Nothing),
            (waiting(100), Full, 100, waiting(100), Act::Nothing),
            (waiting(100), Ended, 100, waiting(100), Act::Nothing),
            (connecting(15_100), Time, 15_099, connecting(15_100), Act::Nothing),
            (connecting(15_100), Time, 15_100, waiting(16_100), Act::End),
            (connecting(15_100), Sound, 900, running(900, 5900), Act::Nothing),
            (connecting(15_100), Full, 900, connecting(15_100), Act::Nothing),
            (connecting(15_100), Ended, 900, waiting(1900), Act::Nothing),
            (connecting(15_100), Started, 900, connecting(15_100), Act::Nothing),
            (running(900, 5900), Sound, 1000, running(900, 6000), Act::Nothing),
            (running(900, 5900), Full, 1000, running(900, 6000), Act::Nothing),
            (running(900, 5900), Time, 5899, running(900, 5900), Act::Nothing),
            (running(900, 5900), Time, 5900, waiting(6900), Act::End),
            (running(900, 5900), Ended, 1000, waiting(2000), Act::Nothing),
            (running(900, 5900), NotStarted, 1000, running(900, 5900), Act::Nothing),
        ];
        for (from, happened, now_ms, to, act) in table {
            let mut life = Life { phase: from, ..Life::new(0) };
            assert_eq!((life.step(happened, now_ms * MS), life.phase), (act, to), "{from:?}, {happened:?} at {now_ms}");
        }
    }

    #[test]
    fn pull_a_source_that_gives_nothing_is_tried_after_1_2_4_8_10_s_and_one_that_held_after_1() {
        let (mut life, mut now_ns) = (Life::new(0), 0);
        let mut waits = Vec::new();
        for held_ms in [0, 0, 0, 0, 0, 0, 60_000, 0] {
            now_ns = life.due_ns();
            assert_eq!(life.step(Happened::Time, now_ns), Act::Start);
            life.step(Happened::Started, now_ns);
            if held_ms > 0 {
                life.step(Happened::Sound, now_ns);
            }
            now_ns += held_ms * MS;
            life.step(Happened::Ended, now_ns);
            waits.push((life.due_ns() - now_ns) / MS / 1000);
        }
        assert_eq!(waits, [1, 2, 4, 8, 10, 10, 1, 2]);
        assert!(now_ns > 0);
    }
}
