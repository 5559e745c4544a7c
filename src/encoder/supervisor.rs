//! `FfmpegSupervisor`: where the encoder is in its life, and what comes next.
//!
//! ```text
//!            Start             Spawned             frame
//!  STOPPED ────────► STARTING ─────────► BOOTING ─────────► RUNNING
//!                                           ▲ │ any failure    │
//!                                   Spawned │ ▼                ▼
//!                                          RESTARTING ◄────────┘
//!                                   (at once, or after 1, 2, 4, 8, 10 s)
//!                                             │ 5 delayed restarts in a row
//!                                             ▼
//!                                          DEGRADED  one attempt a minute, later each ten, for ever
//! ```
//!
//! A pure machine: events and `now_ms` come in, the next state and an action go
//! out. It starts no process and reads no clock; `drive.rs` does. Events of
//! earlier children never get here: the driver forgets a child when it fails.

use super::state::EncoderState;
use crate::config::EncoderConfig;

/// Without a first frame for this long, somebody should know.
const SLOW_START_MS: u64 = 500;
/// Running for this long, an encoder is taken to be well again.
const STEADY_MS: u64 = 60_000;
/// Restarts are at once while fewer than this fell into the last `STEADY_MS`.
const IMMEDIATE_RESTARTS_MAX: usize = 5;
/// In DEGRADED: the distance of attempts at first, and later.
const RETRY_SOON_MS: u64 = 60_000;
const RETRY_LATER_MS: u64 = 600_000;
/// After so many failures without output the PCM itself is suspected.
const BARREN_FAILURES_MAX: u32 = 2;

/// The numbers of the policy, from configuration.
#[derive(Debug, Clone)]
pub struct Policy {
    startup_timeout_ms: u64,
    backoff_ms: Vec<u64>,
    max_restarts: u32,
    recovery_retry_ms: u64,
}

impl From<&EncoderConfig> for Policy {
    fn from(config: &EncoderConfig) -> Self {
        Self {
            startup_timeout_ms: config.startup_timeout_ms,
            backoff_ms: config.backoff_ms.clone(),
            max_restarts: config.max_restarts,
            recovery_retry_ms: config.recovery_retry_minutes * 60_000,
        }
    }
}

/// Where the active child is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not started, or told to stop. Terminal after a stop.
    Stopped,
    /// A child was asked for.
    Spawning,
    /// It runs; no MP3 frame yet. A started child is not a ready one.
    Booting {
        /// When a slow start is worth a warning; none: it was given.
        warn_at_ms: Option<u64>,
        /// When the start has failed.
        give_up_at_ms: u64,
    },
    /// MP3 frames flow.
    Running {
        /// When it is taken to be well; none: it is.
        steady_at_ms: Option<u64>,
    },
    /// No child, by intention.
    Waiting {
        /// When the next one is due.
        retry_at_ms: u64,
    },
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The tower starts.
    Start,
    /// The child that was asked for runs.
    Spawned,
    /// The active child delivered a frame.
    FrameSeen,
    /// The active child failed, or could not be started.
    Failed,
    /// `deadline_ms` has passed.
    Deadline,
    /// The tower stops.
    Stop,
}

/// What the driver has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Start a child, or take the spare.
    Spawn {
        /// Feed it what is owed. Otherwise it starts with what comes next.
        replay: bool,
    },
    /// Say that the start is slow.
    WarnSlowStart,
    /// The start took too long: fail the child.
    GiveUp,
    /// End every child.
    Shutdown,
}

/// The machine: a state, and what it remembers of failures.
#[derive(Debug, Clone)]
pub struct Supervisor {
    policy: Policy,
    state: State,
    started_once: bool,
    /// When the last restarts were; never more than `IMMEDIATE_RESTARTS_MAX`.
    restarts_ms: Vec<u64>,
    /// Delayed restarts since the encoder was last well.
    delayed_in_row: u32,
    /// Failures without a frame, in a row.
    barren_failures: u32,
    degraded_since_ms: Option<u64>,
}

impl Supervisor {
    /// A supervisor that has not been started.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: State::Stopped,
            started_once: false,
            restarts_ms: Vec::with_capacity(IMMEDIATE_RESTARTS_MAX + 1),
            delayed_in_row: 0,
            barren_failures: 0,
            degraded_since_ms: None,
        }
    }

    /// The state of the active child.
    pub fn state(&self) -> State {
        self.state
    }

    /// The state as status and logs show it.
    pub fn shown(&self) -> EncoderState {
        match self.state {
            State::Stopped => EncoderState::Stopped,
            _ if self.degraded_since_ms.is_some() => EncoderState::Degraded,
            State::Booting { .. } => EncoderState::Booting,
            State::Running { .. } => EncoderState::Running,
            State::Spawning if !self.started_once => EncoderState::Starting,
            State::Spawning | State::Waiting { .. } => EncoderState::Restarting,
        }
    }

    /// When `Event::Deadline` is due.
    pub fn deadline_ms(&self) -> Option<u64> {
        match self.state {
            State::Booting { warn_at_ms, give_up_at_ms } => Some(warn_at_ms.unwrap_or(give_up_at_ms)),
            State::Running { steady_at_ms } => steady_at_ms,
            State::Waiting { retry_at_ms } => Some(retry_at_ms),
            State::Stopped | State::Spawning => None,
        }
    }

    /// Takes an event. What does not fit the state changes nothing.
    pub fn step(&mut self, event: Event, now_ms: u64) -> Action {
        let (state, action) = match (self.state, event) {
            (State::Stopped, Event::Start) => (State::Spawning, Action::Spawn { replay: true }),
            (State::Stopped, _) => (State::Stopped, Action::Nothing),
            (_, Event::Stop) => (State::Stopped, Action::Shutdown),
            (State::Spawning, Event::Spawned) => (self.booting(now_ms), Action::Nothing),
            (State::Booting { .. }, Event::FrameSeen) => (self.running(now_ms), Action::Nothing),
            (State::Spawning | State::Booting { .. }, Event::Failed) => self.failed(false, now_ms),
            (State::Running { .. }, Event::Failed) => self.failed(true, now_ms),
            (_, Event::Deadline) if self.deadline_ms().is_none_or(|due| now_ms < due) => (self.state, Action::Nothing),
            (State::Booting { warn_at_ms: Some(_), give_up_at_ms }, Event::Deadline) => {
                (State::Booting { warn_at_ms: None, give_up_at_ms }, Action::WarnSlowStart)
            }
            (state @ State::Booting { warn_at_ms: None, .. }, Event::Deadline) => (state, Action::GiveUp),
            (State::Running { .. }, Event::Deadline) => {
                self.delayed_in_row = 0;
                (State::Running { steady_at_ms: None }, Action::Nothing)
            }
            (State::Waiting { .. }, Event::Deadline) => (State::Spawning, self.restart(now_ms)),
            (state @ State::Spawning, Event::Start | Event::FrameSeen | Event::Deadline)
            | (state @ (State::Booting { .. } | State::Running { .. }), Event::Start | Event::Spawned)
            | (state @ State::Running { .. }, Event::FrameSeen)
            | (state @ State::Waiting { .. }, Event::Start | Event::Spawned | Event::FrameSeen | Event::Failed) => {
                (state, Action::Nothing)
            }
        };
        self.state = state;
        action
    }

    fn booting(&mut self, now_ms: u64) -> State {
        self.started_once = true;
        let give_up_at_ms = now_ms + self.policy.startup_timeout_ms;
        let warn_at_ms = now_ms + SLOW_START_MS;
        State::Booting { warn_at_ms: (warn_at_ms < give_up_at_ms).then_some(warn_at_ms), give_up_at_ms }
    }

    fn running(&mut self, now_ms: u64) -> State {
        self.degraded_since_ms = None;
        self.barren_failures = 0;
        State::Running { steady_at_ms: Some(now_ms + STEADY_MS) }
    }

    fn failed(&mut self, had_output: bool, now_ms: u64) -> (State, Action) {
        self.started_once = true;
        self.barren_failures = if had_output { 0 } else { self.barren_failures + 1 };
        self.restarts_ms.retain(|at| now_ms.saturating_sub(*at) < STEADY_MS);
        if self.degraded_since_ms.is_none() {
            if had_output && self.restarts_ms.len() < IMMEDIATE_RESTARTS_MAX {
                return (State::Spawning, self.restart(now_ms));
            }
            if self.delayed_in_row < self.policy.max_restarts {
                let wait = self.policy.backoff_ms.get(self.delayed_in_row as usize);
                let wait_ms = wait.or(self.policy.backoff_ms.last()).copied().unwrap_or(RETRY_SOON_MS);
                self.delayed_in_row += 1;
                return (State::Waiting { retry_at_ms: now_ms + wait_ms }, Action::Nothing);
            }
        }
        let since_ms = *self.degraded_since_ms.get_or_insert(now_ms);
        let soon = now_ms - since_ms < self.policy.recovery_retry_ms;
        let wait_ms = if soon { RETRY_SOON_MS } else { RETRY_LATER_MS };
        (State::Waiting { retry_at_ms: now_ms + wait_ms }, Action::Nothing)
    }

    fn restart(&mut self, now_ms: u64) -> Action {
        if self.restarts_ms.len() == IMMEDIATE_RESTARTS_MAX {
            self.restarts_ms.remove(0);
        }
        self.restarts_ms.push(now_ms);
        Action::Spawn { replay: self.barren_failures < BARREN_FAILURES_MAX }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervisor() -> Supervisor {
        let config = crate::config::TowerConfig::with_runtime_dir(std::path::Path::new("/nowhere"));
        Supervisor::new(Policy::from(&config.encoder))
    }

    fn in_state(state: State) -> Supervisor {
        Supervisor { state, started_once: true, ..supervisor() }
    }

    const BOOTING: State = State::Booting { warn_at_ms: Some(1500), give_up_at_ms: 2500 };
    const LATE: State = State::Booting { warn_at_ms: None, give_up_at_ms: 2500 };
    const RUNNING: State = State::Running { steady_at_ms: Some(61_000) };
    const STEADY: State = State::Running { steady_at_ms: None };
    const WAITING: State = State::Waiting { retry_at_ms: 3000 };

    #[test]
    fn s4_s7_every_state_answers_every_event() {
        use Action::{GiveUp, Nothing, Shutdown, WarnSlowStart};
        use Event::{Deadline, Failed, FrameSeen, Spawned, Start, Stop};
        use State::{Spawning, Stopped};
        let spawn = Action::Spawn { replay: true };
        let at = |now_ms: u64| State::Running { steady_at_ms: Some(now_ms + 60_000) };
        let waiting = |retry_at_ms| State::Waiting { retry_at_ms };
        let table = [
            (Stopped, Start, 1000, Spawning, spawn),
            (Stopped, Spawned, 1000, Stopped, Nothing),
            (Stopped, FrameSeen, 1000, Stopped, Nothing),
            (Stopped, Failed, 1000, Stopped, Nothing),
            (Stopped, Deadline, 1000, Stopped, Nothing),
            (Stopped, Stop, 1000, Stopped, Nothing),
            (Spawning, Start, 1000, Spawning, Nothing),
            (Spawning, Spawned, 1000, BOOTING, Nothing),
            (Spawning, FrameSeen, 1000, Spawning, Nothing),
            (Spawning, Failed, 1000, waiting(2000), Nothing),
            (Spawning, Deadline, 1000, Spawning, Nothing),
            (Spawning, Stop, 1000, Stopped, Shutdown),
            (BOOTING, Start, 1100, BOOTING, Nothing),
            (BOOTING, Spawned, 1100, BOOTING, Nothing),
            (BOOTING, FrameSeen, 1100, at(1100), Nothing),
            (BOOTING, Failed, 1100, waiting(2100), Nothing),
            (BOOTING, Deadline, 1499, BOOTING, Nothing),
            (BOOTING, Deadline, 1500, LATE, WarnSlowStart),
            (BOOTING, Stop, 1100, Stopped, Shutdown),
            (LATE, FrameSeen, 2400, at(2400), Nothing),
            (LATE, Deadline, 2499, LATE, Nothing),
            (LATE, Deadline, 2500, LATE, GiveUp),
            (RUNNING, Start, 5000, RUNNING, Nothing),
            (RUNNING, Spawned, 5000, RUNNING, Nothing),
            (RUNNING, FrameSeen, 5000, RUNNING, Nothing),
            (RUNNING, Failed, 5000, Spawning, spawn),
            (RUNNING, Deadline, 60_999, RUNNING, Nothing),
            (RUNNING, Deadline, 61_000, STEADY, Nothing),
            (RUNNING, Stop, 5000, Stopped, Shutdown),
            (STEADY, Deadline, 99_000, STEADY, Nothing),
            (STEADY, Failed, 99_000, Spawning, spawn),
            (WAITING, Start, 2000, WAITING, Nothing),
            (WAITING, Spawned, 2000, WAITING, Nothing),
            (WAITING, FrameSeen, 2000, WAITING, Nothing),
            (WAITING, Failed, 2000, WAITING, Nothing),
            (WAITING, Deadline, 2999, WAITING, Nothing),
            (WAITING, Deadline, 3000, Spawning, spawn),
            (WAITING, Stop, 2000, Stopped, Shutdown),
        ];
        for (from, event, now_ms, to, action) in table {
            let mut machine = in_state(from);
            assert_eq!(
                (machine.step(event, now_ms), machine.state()),
                (action, to),
                "{from:?} on {event:?} at {now_ms}"
            );
        }
    }

    /// Fails an encoder that never delivers; gives the waits between attempts.
    fn barren_waits_ms(machine: &mut Supervisor, now_ms: &mut u64, attempts: usize) -> Vec<u64> {
        (0..attempts)
            .map(|_| {
                machine.step(Event::Failed, *now_ms);
                let due = machine.deadline_ms().expect("waiting");
                let wait = due - *now_ms;
                *now_ms = due;
                machine.step(Event::Deadline, due);
                machine.step(Event::Spawned, due);
                wait
            })
            .collect()
    }

    #[test]
    fn s7_waits_grow_then_degraded_once_a_minute_then_each_ten() {
        let mut machine = supervisor();
        let mut now_ms = 0;
        machine.step(Event::Start, 0);
        assert_eq!(machine.shown(), EncoderState::Starting);
        assert_eq!(barren_waits_ms(&mut machine, &mut now_ms, 5), [1000, 2000, 4000, 8000, 10_000]);
        assert_eq!(machine.shown(), EncoderState::Booting);
        assert_eq!(barren_waits_ms(&mut machine, &mut now_ms, 10), [60_000; 10]);
        assert_eq!(machine.shown(), EncoderState::Degraded);
        assert_eq!(barren_waits_ms(&mut machine, &mut now_ms, 3), [600_000; 3]);
        machine.step(Event::FrameSeen, now_ms);
        assert_eq!(machine.shown(), EncoderState::Running);
    }

    #[test]
    fn s7_a_fifth_restart_within_a_minute_waits_and_sixty_seconds_reset_the_count() {
        let mut machine = in_state(RUNNING);
        let run = |machine: &mut Supervisor, now_ms| {
            machine.step(Event::Spawned, now_ms);
            machine.step(Event::FrameSeen, now_ms);
            machine.step(Event::Failed, now_ms + 10)
        };
        machine.step(Event::Failed, 0);
        for restart in 1..5 {
            assert_eq!(run(&mut machine, restart * 100), Action::Spawn { replay: true });
        }
        assert_eq!(run(&mut machine, 500), Action::Nothing);
        assert_eq!(machine.state(), State::Waiting { retry_at_ms: 1510 });
        machine.step(Event::Deadline, 1510);
        machine.step(Event::Spawned, 1510);
        machine.step(Event::FrameSeen, 1600);
        assert_eq!(machine.delayed_in_row, 1);
        machine.step(Event::Deadline, 61_600);
        assert_eq!(machine.delayed_in_row, 0);
        // Kills 13 s apart never meet a wait.
        for kill in 0..20 {
            assert_eq!(run(&mut machine, 70_000 + kill * 13_000), Action::Spawn { replay: true });
            machine.step(Event::Spawned, 70_010 + kill * 13_000);
            machine.step(Event::FrameSeen, 70_020 + kill * 13_000);
        }
    }

    #[test]
    fn s8_after_two_failures_without_output_the_next_starts_at_now() {
        let mut machine = in_state(BOOTING);
        let attempt = |machine: &mut Supervisor| {
            machine.step(Event::Failed, 0);
            let action = machine.step(Event::Deadline, machine.deadline_ms().expect("waiting"));
            machine.step(Event::Spawned, 0);
            action
        };
        assert_eq!(attempt(&mut machine), Action::Spawn { replay: true });
        assert_eq!(attempt(&mut machine), Action::Spawn { replay: false });
    }

    #[test]
    fn s11_nothing_follows_a_stop() {
        let mut machine = in_state(RUNNING);
        assert_eq!(machine.step(Event::Stop, 0), Action::Shutdown);
        for event in [Event::Failed, Event::Deadline, Event::Spawned, Event::FrameSeen, Event::Stop] {
            assert_eq!((machine.step(event, 1 << 40), machine.state()), (Action::Nothing, State::Stopped));
        }
    }
}
