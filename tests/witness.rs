//! The witnesses themselves: they see what stands still, and excuse nothing else.

mod common;

use std::{thread::sleep, time::Duration};

use common::{
    Tower,
    witness::{STALL_MS, Stalls, Witness},
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::signal::Signal,
    unistd::Pid,
};
use retrowaves::{
    limits::PUMP_PRIORITY,
    sys::{thread::set_fifo, time::now_ns},
};

#[test]
fn a1_only_a_stall_excuses_lateness() {
    // stalls, late, skipped, excused
    let table: [(&[u64], u64, u64, bool); 9] = [
        (&[], 0, 0, true),
        (&[], 1, 0, false),
        (&[8], 1, 0, true),
        (&[8], 2, 0, false),
        (&[20, 8], 3, 0, true),
        (&[100], 7, 0, true),
        (&[100], 8, 0, false),
        (&[480, 480], 0, 1, false),
        (&[500], 0, 20, true),
    ];
    for (stalls, late, skipped, excused) in table {
        assert_eq!(Stalls(stalls.to_vec()).excuse(late, skipped).is_ok(), excused, "{stalls:?} {late} {skipped}");
    }
}

/// Something above the pump takes the first core for 40 ms.
#[test]
fn a1_a_core_that_is_taken_has_a_witness() {
    let mut witness = Witness::start();
    sleep(Duration::from_millis(50));
    witness.mark();
    let taken = std::thread::spawn(|| {
        let mut first = CpuSet::new();
        first.set(0).expect("core 0");
        let ours = sched_setaffinity(Pid::from_raw(0), &first).is_ok() && set_fifo(PUMP_PRIORITY + 2).is_ok();
        let end_ns = now_ns() + 40_000_000;
        while ours && now_ns() < end_ns {}
        ours
    });
    if !taken.join().expect("joined") {
        eprintln!("not permitted here: nothing can be said");
        return;
    }
    sleep(Duration::from_millis(50));
    let stalls = witness.stalls();
    assert!(stalls.0.iter().any(|ms| (30..).contains(ms)) && stalls.0.iter().all(|ms| *ms >= STALL_MS), "{stalls:?}");
    witness.mark();
    assert_eq!(witness.stalls(), Stalls::default());
}

/// A tower that stands still by itself is not excused: nobody else does.
#[test]
fn a1_a_tower_that_is_late_by_itself_has_no_excuse() {
    let tower = Tower::start();
    tower.wait_until("on air", Duration::from_secs(60), |status| status["ticks"]["count"].as_u64() > Some(60));
    let late = tower.figure("ticks/late");
    let witness = Witness::start();
    tower.signal(Signal::SIGSTOP);
    sleep(Duration::from_millis(300));
    tower.signal(Signal::SIGCONT);
    sleep(Duration::from_millis(500));
    let late = tower.figure("ticks/late") - late;
    let stalls = witness.stalls();
    assert!(late >= 15, "{late} ticks were late");
    // On a machine that itself stood still as long, nothing can be said.
    assert!(stalls.excuse(late, 0).is_err() || stalls.time() > Duration::from_millis(200), "{stalls:?} excuse {late}");
}
