//! What the tower costs, beside Icecast where it is installed: idle, and with listeners.
//!
//! Real programs, started as a user would start them, on loopback (where a `send` pays
//! for the receiver's share of TCP, too). CPU is what the scheduler counted for every thread of the one
//! process; FFmpeg is a child and has a column of its own. The idle tower has to keep
//! what SPECIFICATION.md promises; the rest is for reading.

#[path = "../../tests/common/mod.rs"]
mod common;
mod listeners;
#[path = "../shared/usage.rs"]
mod usage;

use std::{thread::sleep, time::Duration};

use common::icecast::Icecast;
use common::{Setup, Tower};
use listeners::Listeners;
use usage::{Usage, cpu_of};

const IDLE_WINDOW: Duration = Duration::from_secs(20);
const WINDOW: Duration = Duration::from_secs(15);
/// What a program does at its start is not what it costs.
const SETTLE: Duration = Duration::from_secs(4);
const CPU_MAX: f64 = 0.01;
const RESIDENT_KIB_MAX: u64 = 15 << 10;

fn main() {
    raise_descriptor_limit();
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
    print_threads("idle", &idle);
    println!("\n128 kbit/s to listeners on this machine, {} s.\n", WINDOW.as_secs());
    println!("| program | listeners | CPU s/s | RSS MiB | FFmpeg CPU s/s | B/s each | disconnected |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let mut busiest = None;
    for count in [0, 100, 1000] {
        busiest = Some(tower_with(count));
        if icecast {
            icecast_with(count);
        }
    }
    if let Some(busiest) = busiest {
        print_threads("with 1000 listeners", &busiest);
    }
    assert!(idle.cpu < CPU_MAX, "the idle tower takes {:.2} % of a core", idle.cpu * 100.0);
    assert!(idle.rss_kib < RESIDENT_KIB_MAX, "the idle tower holds {} KiB", idle.rss_kib);
}

fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536).max(soft), hard).expect("limit");
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

fn print_threads(when: &str, usage: &Usage) {
    println!("\n| thread of the tower, {when} | CPU µs/s | wake-ups/s |\n| --- | --- | --- |");
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

fn tower_with(count: usize) -> Usage {
    let tower = Tower::start();
    tower
        .wait_until("the encoder is on air", Duration::from_secs(15), |status| status["encoder"]["state"] == "RUNNING");
    let listeners = Listeners::connect(tower.port, count);
    sleep(SETTLE);
    let status = tower.status();
    assert_eq!(status["listeners"]["now"], count);
    let children = [tower.encoder_pid(), pid_of(&status["encoder"]["spare_pid"])];
    let before = children.map(cpu_of);
    let (usage, heard) = listeners.during(|| Usage::of(tower.pid(), WINDOW));
    let ffmpeg = children.map(cpu_of).iter().sum::<f64>() - before.iter().sum::<f64>();
    print_fan_out("tower", count, &usage, ffmpeg / WINDOW.as_secs_f64(), heard);
    assert_eq!(heard.disconnected, 0, "{}", tower.log());
    usage
}

fn icecast_with(count: usize) {
    let icecast = Icecast::start();
    let source = icecast.feed();
    let listeners = Listeners::connect(icecast.port, count);
    sleep(SETTLE);
    let before = cpu_of(source.pid());
    let (usage, heard) = listeners.during(|| Usage::of(icecast.pid(), WINDOW));
    let ffmpeg = cpu_of(source.pid()) - before;
    print_fan_out("icecast", count, &usage, ffmpeg / WINDOW.as_secs_f64(), heard);
}

fn print_fan_out(name: &str, count: usize, usage: &Usage, ffmpeg: f64, heard: listeners::Heard) {
    let each = heard.bytes / count.max(1) as u64 / WINDOW.as_secs();
    println!(
        "| {name} | {count} | {:.4} | {:.1} | {ffmpeg:.4} | {each} | {} |",
        usage.cpu,
        mib(usage.rss_kib),
        heard.disconnected
    );
}

fn pid_of(value: &serde_json::Value) -> nix::unistd::Pid {
    let pid = value.as_i64().and_then(|pid| i32::try_from(pid).ok());
    nix::unistd::Pid::from_raw(pid.expect("a process id"))
}

#[allow(clippy::cast_precision_loss)] // a few thousand
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
