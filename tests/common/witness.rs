//! Witnesses of the machine: a thread per core that would wake in time if the pump could.
//!
//! A machine that is shared stands still now and then, and a tick that was due meanwhile is
//! late through no fault of the tower's. Each witness is pinned to its core, one priority above
//! the pump (where that is permitted), and does nothing but sleep to absolute deadlines 4 ms
//! apart: where it oversleeps, nobody of ours could run. So lateness is excused by what a
//! witness saw in the same span, and by nothing else.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::Duration,
};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use retrowaves::{
    frame::TICK_MS,
    limits::{CATCH_UP_SPACING_MS, CATCH_UP_TICKS_MAX, LATE_TICK_MS, PUMP_PRIORITY},
    sys::{
        thread::{set_fifo, set_nice},
        time::{now_ns, sleep_until},
    },
};

use super::Tower;

const PERIOD_MS: u64 = 4;
/// Of `tower:http`.
const DOOR_NICE: i32 = -5;
/// A tick that is late by 12 ms has a witness that overslept by 8 at least: it was due 4 ms later.
pub const STALL_MS: u64 = LATE_TICK_MS / 2;

/// When a witness woke up, and how many milliseconds late.
type Seen = Arc<Mutex<Vec<(u64, u64)>>>;

/// The witnesses of all cores, from `start` until it is dropped.
pub struct Witness {
    seen: Seen,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    since_ns: u64,
}

/// Stalls of the machine in a span, in milliseconds each.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stalls(pub Vec<u64>);

impl Witness {
    pub fn start() -> Self {
        Self::at(|| drop(set_fifo(PUMP_PRIORITY + 1)))
    }

    /// What the front door meets, which is not real-time: where these oversleep, it had no core either.
    pub fn of_the_door() -> Self {
        Self::at(|| drop(set_nice(DOOR_NICE)))
    }

    /// At the priority that `take_it` takes. Refused or not, it is a witness: then of what an ordinary thread meets.
    fn at(take_it: fn()) -> Self {
        let (seen, stop) = (Seen::default(), Arc::new(AtomicBool::new(false)));
        let allowed = sched_getaffinity(Pid::from_raw(0)).expect("our cores");
        let cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false));
        let threads = cores.map(|core| {
            let (seen, stop) = (seen.clone(), stop.clone());
            std::thread::spawn(move || watch(core, take_it, &seen, &stop))
        });
        Self { threads: threads.collect(), seen, stop, since_ns: now_ns() }
    }

    /// What was seen before counts no more.
    pub fn mark(&mut self) {
        self.since_ns = now_ns();
    }

    /// What was seen since the mark.
    pub fn stalls(&self) -> Stalls {
        let seen = self.seen.lock().expect("witnesses");
        Stalls(seen.iter().filter(|(at_ns, _)| *at_ns > self.since_ns).map(|(_, ms)| *ms).collect())
    }

    /// The tower was late since the mark only where the machine was.
    pub fn assert_ticks(&self, tower: &Tower, late_before: u64) {
        let status = tower.status();
        // Asked after the tower: what made it late has been seen.
        let stalls = self.stalls();
        let figure = |name: &str| status["ticks"][name].as_u64().expect("a figure");
        // Without real time, lateness says how busy the machine is, and nothing else.
        let late = if status["ticks"]["real_time"] == true { figure("late") - late_before } else { 0 };
        let judged = stalls.excuse(late, figure("skipped"));
        assert_eq!(judged, Ok(()), "{:#}\n{}", status["ticks"], tower.log());
    }
}

impl Stalls {
    /// In all.
    pub fn time(&self) -> Duration {
        Duration::from_millis(self.0.iter().sum())
    }

    /// The longest of them.
    pub fn longest_ms(&self) -> u64 {
        self.0.iter().copied().max().unwrap_or(0)
    }

    /// So many late ticks, and so many skipped, are the machine's doing; or why they are not.
    pub fn excuse(&self, late: u64, skipped: u64) -> Result<(), String> {
        // After a stall the ticks that are owed come 8 ms apart, each 16 ms less late than the one before.
        let catch_up_ms = TICK_MS - CATCH_UP_SPACING_MS;
        let late_max: u64 = self.0.iter().map(|ms| 1 + ms / catch_up_ms).sum();
        if late > late_max {
            return Err(format!(
                "{late} ticks late, and the stalls of the machine (ms: {:?}) excuse {late_max}",
                self.0
            ));
        }
        let skips = self.0.iter().any(|ms| *ms > CATCH_UP_TICKS_MAX * TICK_MS);
        if skipped > 0 && !skips {
            return Err(format!("{skipped} ticks skipped, and the machine stood still only for (ms) {:?}", self.0));
        }
        Ok(())
    }
}

fn watch(core: usize, take_it: fn(), seen: &Seen, stop: &AtomicBool) {
    let mut one = CpuSet::new();
    let _ = one.set(core).and_then(|()| sched_setaffinity(Pid::from_raw(0), &one));
    take_it();
    let mut due_ns = now_ns();
    while !stop.load(SeqCst) {
        due_ns += PERIOD_MS * 1_000_000;
        sleep_until(due_ns).expect("sleep");
        let woken_ns = now_ns();
        let late_ms = (woken_ns - due_ns) / 1_000_000;
        if late_ms >= STALL_MS {
            seen.lock().expect("witnesses").push((woken_ns, late_ms));
            due_ns = woken_ns;
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
