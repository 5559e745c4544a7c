//! The life of a card, as the capture thread lives it.
//!
//! ```text
//!            opened            first sound
//!  WAITING ─────────► STARTING ───────────► RUNNING
//!   ▲  │ not opened     │ gone, or nothing     │ gone, or nothing
//!   └──┘ (0.25 … 2 s)   ▼ for 1.5 s            ▼ for 1.5 s
//!   ▲───────────────────┴──────────────────────┘
//! ```
//!
//! Pure: what happened and the time go in, what to do comes out. A card that ran for a
//! while is looked for again at once when it goes; one that never runs, ever more slowly.

use super::LiveState;
use crate::limits::{CARD_QUIET_MS, CARD_RETRY_MS, CARD_RETRY_MS_MAX, CARD_SETTLED_MS};

const NS_PER_MS: u64 = 1_000_000;

/// Where a card is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// None is open; the next attempt is at `retry_ns`.
    Waiting {
        /// On the monotonic clock.
        retry_ns: u64,
        /// Attempts that came to nothing since one last ran for a while.
        failures: u32,
    },
    /// It is open and has given nothing.
    Starting {
        /// Without any sound by then, it is given up.
        give_up_ns: u64,
        /// As above.
        failures: u32,
    },
    /// It gives sound. Every period pushes `give_up_ns` forward.
    Running {
        /// Without more sound by then, it is given up.
        give_up_ns: u64,
        /// From then on its failures are forgotten.
        settled_ns: u64,
        /// As above.
        failures: u32,
    },
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// Time has passed.
    Time,
    /// The card could be opened.
    Opened,
    /// It could not.
    NotOpened,
    /// It gave sound.
    Sound,
    /// It is gone, or of no use.
    Gone,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Nothing,
    /// Try to open it.
    Open,
    /// Close it.
    Close,
}

impl Life {
    /// None has been opened yet.
    pub fn new(now_ns: u64) -> Self {
        Self::Waiting { retry_ns: now_ns, failures: 0 }
    }

    /// As it is published.
    pub fn state(self) -> LiveState {
        match self {
            Self::Waiting { .. } => LiveState::Waiting,
            Self::Starting { .. } => LiveState::Starting,
            Self::Running { .. } => LiveState::Running,
        }
    }

    /// The next moment at which time alone changes something.
    pub fn due_ns(self) -> u64 {
        match self {
            Self::Waiting { retry_ns, .. } => retry_ns,
            Self::Starting { give_up_ns, .. } | Self::Running { give_up_ns, .. } => give_up_ns,
        }
    }
}

/// What becomes of a card, and what to do about it.
pub fn step(life: Life, happened: Happened, now_ns: u64) -> (Life, Act) {
    let due = now_ns >= life.due_ns();
    let quiet_ns = now_ns + CARD_QUIET_MS * NS_PER_MS;
    match (life, happened) {
        (Life::Waiting { .. }, Happened::Time) if due => (life, Act::Open),
        (Life::Waiting { failures, .. }, Happened::Opened) => {
            (Life::Starting { give_up_ns: quiet_ns, failures }, Act::Nothing)
        }
        (Life::Waiting { failures, .. }, Happened::NotOpened) => (waiting(failures + 1, now_ns), Act::Nothing),
        (Life::Waiting { .. }, Happened::Time | Happened::Sound | Happened::Gone) => (life, Act::Nothing),
        (Life::Starting { failures, .. }, Happened::Sound) => {
            let settled_ns = now_ns + CARD_SETTLED_MS * NS_PER_MS;
            (Life::Running { give_up_ns: quiet_ns, settled_ns, failures }, Act::Nothing)
        }
        (Life::Running { settled_ns, failures, .. }, Happened::Sound) => {
            let failures = if now_ns >= settled_ns { 0 } else { failures };
            (Life::Running { give_up_ns: quiet_ns, settled_ns, failures }, Act::Nothing)
        }
        (Life::Starting { failures, .. } | Life::Running { failures, .. }, Happened::Gone) => {
            (waiting(failures + 1, now_ns), Act::Close)
        }
        (Life::Starting { failures, .. } | Life::Running { failures, .. }, Happened::Time) if due => {
            (waiting(failures + 1, now_ns), Act::Close)
        }
        (Life::Starting { .. } | Life::Running { .. }, Happened::Time | Happened::Opened | Happened::NotOpened) => {
            (life, Act::Nothing)
        }
    }
}

fn waiting(failures: u32, now_ns: u64) -> Life {
    let wait_ms = (CARD_RETRY_MS << failures.saturating_sub(1).min(8)).min(CARD_RETRY_MS_MAX);
    Life::Waiting { retry_ns: now_ns + wait_ms * NS_PER_MS, failures }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = NS_PER_MS;

    fn wait(retry_ms: u64, failures: u32) -> Life {
        Life::Waiting { retry_ns: retry_ms * MS, failures }
    }

    fn starting(give_up_ms: u64, failures: u32) -> Life {
        Life::Starting { give_up_ns: give_up_ms * MS, failures }
    }

    fn running(give_up_ms: u64, settled_ms: u64, failures: u32) -> Life {
        Life::Running { give_up_ns: give_up_ms * MS, settled_ns: settled_ms * MS, failures }
    }

    #[test]
    fn v3_every_state_answers_everything_that_happens() {
        use Happened::{Gone, NotOpened, Opened, Sound, Time};
        let table = [
            (wait(100, 0), Time, 99, wait(100, 0), Act::Nothing),
            (wait(100, 0), Time, 100, wait(100, 0), Act::Open),
            (wait(100, 0), Opened, 120, starting(1620, 0), Act::Nothing),
            (wait(100, 0), NotOpened, 120, wait(370, 1), Act::Nothing),
            (wait(100, 3), NotOpened, 120, wait(2120, 4), Act::Nothing),
            (wait(100, 1), Sound, 120, wait(100, 1), Act::Nothing),
            (wait(100, 1), Gone, 120, wait(100, 1), Act::Nothing),
            (starting(1620, 0), Time, 1619, starting(1620, 0), Act::Nothing),
            (starting(1620, 0), Time, 1620, wait(1870, 1), Act::Close),
            (starting(1620, 2), Sound, 200, running(1700, 5200, 2), Act::Nothing),
            (starting(1620, 2), Gone, 200, wait(1200, 3), Act::Close),
            (starting(1620, 2), Opened, 200, starting(1620, 2), Act::Nothing),
            (running(1700, 5200, 2), Sound, 210, running(1710, 5200, 2), Act::Nothing),
            // It has run for 5 s: what was before is forgotten.
            (running(6000, 5200, 2), Sound, 5200, running(6700, 5200, 0), Act::Nothing),
            (running(6700, 5200, 0), Gone, 5300, wait(5550, 1), Act::Close),
            (running(6700, 5200, 0), Time, 6699, running(6700, 5200, 0), Act::Nothing),
            (running(6700, 5200, 0), Time, 6700, wait(6950, 1), Act::Close),
            (running(6700, 5200, 0), NotOpened, 5300, running(6700, 5200, 0), Act::Nothing),
        ];
        for (from, happened, now_ms, to, act) in table {
            assert_eq!(step(from, happened, now_ms * MS), (to, act), "{from:?}, {happened:?} at {now_ms} ms");
        }
    }

    #[test]
    fn v3_a_card_that_cannot_be_had_is_tried_ever_more_slowly_up_to_every_2_s() {
        let (mut life, mut waits) = (Life::new(0), Vec::new());
        for _ in 0..40 {
            let now_ns = life.due_ns();
            assert_eq!(step(life, Happened::Time, now_ns).1, Act::Open);
            life = step(life, Happened::NotOpened, now_ns).0;
            waits.push((life.due_ns() - now_ns) / MS);
        }
        assert_eq!(waits[..5], [250, 500, 1000, 2000, 2000]);
        assert_eq!(waits[39], 2000);
    }
}
