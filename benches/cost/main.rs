//! What the tower costs when nobody listens, beside Icecast where it is installed; `benches/listeners` has the rest.
//!
//! Real programs, started as a user would start them. CPU is what the scheduler counted for every thread of the
//! one process. The idle tower has to keep what SPECIFICATION.md promises.

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../shared/usage.rs"]
mod usage;

use std::{thread::sleep, time::Duration};

use common::Setup;
use common::icecast::Icecast;
use usage::Usage;

const IDLE_WINDOW: Duration = Duration::from_secs(20);
/// What a program does at its start is not what it costs.
const SETTLE: Duration = Duration::from_secs(4);
const CPU_MAX: f64 = 0.01;
const RESIDENT_KIB_MAX: u64 = 15 << 10;

fn main() {
    let icecast = Icecast::is_installed();
    if !icecast {
        println!("icecast2 is not installed: no peer to compare with");
    }
    let idle = idle_tower();
    println!("\nIdle, {} s: no listener, no encoder.\n", IDLE_WINDOW.as_secs());
    println!("| program | CPU s/s | RSS MiB | PSS MiB | threads |\n| --- | --- | --- | --- | --- |");
    print_idle("tower", &idle);
    if icecast {
        print_idle("icecast", &idle_icecast());
    }
    print_threads(&idle);
    assert!(idle.cpu < CPU_MAX, "the idle tower takes {:.2} % of a core", idle.cpu * 100.0);
    assert!(idle.rss_kib < RESIDENT_KIB_MAX, "the idle tower holds {} KiB", idle.rss_kib);
}

fn idle_tower() -> Usage {
    let tower = Setup::default().set("encoder.enabled=false").start();
    sleep(SETTLE);
    Usage::of(tower.pid(), IDLE_WINDOW)
}

fn idle_icecast() -> Usage {
    let icecast = Icecast::start();
    sleep(SETTLE);
    Usage::of(icecast.pid(), IDLE_WINDOW)
}

fn print_threads(usage: &Usage) {
    println!("\n| thread of the tower | CPU µs/s | wake-ups/s |\n| --- | --- | --- |");
    // The control plane has threads that only wait.
    for thread in usage.threads.iter().filter(|thread| thread.wakeups > 0.0) {
        println!("| {} | {:.0} | {:.1} |", thread.name, thread.cpu * 1e6, thread.wakeups);
    }
}

fn print_idle(name: &str, usage: &Usage) {
    println!(
        "| {name} | {:.4} | {:.1} | {:.1} | {} |",
        usage.cpu,
        mib(usage.rss_kib),
        mib(usage.pss_kib),
        usage.threads.len()
    );
}

#[allow(clippy::cast_precision_loss)] // a few thousand
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
