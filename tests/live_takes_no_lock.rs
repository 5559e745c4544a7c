//! V4: while a card runs, the capture thread takes no lock, asserted as for the tick (see
//! `tick_takes_no_lock`): the kernel ends the process if it waits for one, or wakes another that does,
//! while the threads on the other side of all that it touches are made to stand still anywhere.
//!
//! Inside the fence it may also do what waiting for a card and reading it takes: of the test's plug-in
//! that is more than of a card of the kernel's.

mod common;
mod tick_guard;

use std::{
    os::{fd::AsFd, unix::process::ExitStatusExt},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::SeqCst},
    },
    thread::{sleep, spawn},
    time::{Duration, Instant},
};

use common::card::{CONFIG_VARIABLE, PCM, TestCard};
use nix::{
    sys::eventfd::{EfdFlags, EventFd},
    unistd::gettid,
};
use retrowaves::{
    config::{LiveConfig, LiveLatency},
    frame::TICK_NS,
    input::live::{
        card::AlsaCard,
        feed::{FeedDeps, LiveFeed},
        running::{Running, Turn},
    },
    journal::journal,
    meter::tap::MeterTap,
    pump::position::{Position, PumpPosition},
    router::{AudioInputRouter, InputId},
    stats::LiveStats,
    sys::time::{now_ns, sleep_until},
};
use tick_guard::{fence_in_this_thread, let_threads_stand_still, stop_threads_until};

/// Set for the child that captures inside the fence: `capture`, or `lock` for one that takes a lock.
const FENCED: &str = "RETROWAVES_TEST_FENCED";
const LENGTH: Duration = Duration::from_secs(4);
const SIGSYS: i32 = 31;
/// What waiting for a card and reading it may call, a card of the kernel's or the plug-in.
const READING: [libc::c_long; 5] = [POLL, EPOLL_WAIT, libc::SYS_ioctl, libc::SYS_read, libc::SYS_timerfd_settime];
#[cfg(target_arch = "x86_64")]
const POLL: libc::c_long = libc::SYS_poll;
#[cfg(target_arch = "x86_64")]
const EPOLL_WAIT: libc::c_long = libc::SYS_epoll_wait;
#[cfg(not(target_arch = "x86_64"))]
const POLL: libc::c_long = libc::SYS_ppoll;
#[cfg(not(target_arch = "x86_64"))]
const EPOLL_WAIT: libc::c_long = libc::SYS_epoll_pwait;

#[test]
fn v4_no_period_of_a_card_waits_for_a_lock_whatever_the_other_threads_hold() {
    let child = fenced("capture");
    let said = String::from_utf8_lossy(&child.stdout);
    println!("{said}");
    assert!(child.status.success() && said.contains("periods"), "{child:?}");
}

#[test]
fn v4_the_fence_notices_a_lock() {
    let child = fenced("lock");
    assert_eq!(child.status.signal(), Some(SIGSYS), "{child:?}");
}

fn fenced(what: &str) -> std::process::Output {
    let card = TestCard::builder().make();
    let this = std::env::current_exe().expect("this test's program");
    card.set_tone([997.0, 440.0], [0.5, 0.5]);
    let child = std::process::Command::new(this)
        .args(["--exact", "captures_inside_the_fence", "--nocapture"])
        .env(CONFIG_VARIABLE, card.config())
        .env(FENCED, what)
        .output();
    child.expect("runs")
}

/// What the capture thread shares with others.
struct World {
    router: Arc<AudioInputRouter>,
    position: Arc<PumpPosition>,
    tap: Arc<MeterTap>,
    stats: Arc<LiveStats>,
    lock: Arc<Mutex<u64>>,
}

/// The thread that captures, as the others see it.
#[derive(Default)]
struct Run {
    thread: AtomicI32,
    periods: AtomicU64,
    ended: AtomicBool,
}

/// Does nothing but in the child of one of the tests above.
#[test]
fn captures_inside_the_fence() {
    let Ok(what) = std::env::var(FENCED) else { return };
    let_threads_stand_still();
    let run = Arc::<Run>::default();
    let world = Arc::new(World {
        router: Arc::new(AudioInputRouter::new(100)),
        position: Arc::default(),
        tap: Arc::default(),
        stats: Arc::default(),
        lock: Arc::default(),
    });
    let others: [fn(&World); 4] = [pump, meter, look_at_figures, hold_the_lock];
    for other in others {
        let world = world.clone();
        spawn(move || {
            loop {
                other(&world);
            }
        });
    }
    let (capturing, theirs, locks) = (run.clone(), world.clone(), what == "lock");
    spawn(move || capture(&capturing, &theirs, locks));
    while run.thread.load(SeqCst) == 0 {
        sleep(Duration::from_millis(1));
    }
    let start = Instant::now();
    let stopped = stop_threads_until(&[run.thread.load(SeqCst), gettid().as_raw()], || {
        assert!(start.elapsed() < 10 * LENGTH, "the card does not come to an end");
        run.ended.load(SeqCst)
    });
    let (periods, taken) = (run.periods.load(SeqCst), world.position.read().map_or(0, |position| position.taken));
    println!("{periods} periods, {taken} frames taken, threads stopped {stopped} times");
    // How many frames a pump takes that is stopped so often is up to the machine; that there are some is enough.
    assert!(periods > 200 && taken > 5 && stopped > 500);
    std::process::exit(0);
}

fn capture(run: &Run, world: &World, locks: bool) {
    let card = AlsaCard::open(PCM, LiveLatency::Normal).expect("the test card opens");
    let deps = FeedDeps {
        router: world.router.clone(),
        position: world.position.clone(),
        tap: world.tap.clone(),
        stats: world.stats.clone(),
        on_air_lag_ms: 768,
    };
    let feed = LiveFeed::new(card.setup(), &LiveConfig::default(), deps, 0).expect("a feed");
    card.start().expect("it starts");
    let wake = EventFd::from_flags(EfdFlags::EFD_NONBLOCK).expect("eventfd");
    let (mut reporter, _events) = journal(Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK).expect("eventfd")));
    let mut running = Running::new(card, feed, now_ns());
    let start = Instant::now();
    run.thread.store(gettid().as_raw(), SeqCst);
    fence_in_this_thread(&READING).expect("seccomp");
    while start.elapsed() < LENGTH {
        let turn = running.turn(wake.as_fd(), &mut reporter);
        run.periods.fetch_add(u64::from(matches!(turn, Ok(Turn::Sound(_)))), SeqCst);
        if locks {
            *world.lock.lock().expect("lock") += 1;
        }
    }
    run.ended.store(true, SeqCst);
    // Leaving would need system calls that are outside the fence.
    loop {
        sleep(LENGTH);
    }
}

/// Ticks in real time, more or less: it is stopped again and again, and does not make up for it.
fn pump(world: &World) {
    let before = world.position.read().unwrap_or(Position { tick_ns: now_ns(), taken: 0, flowing: false });
    let tick_ns = (before.tick_ns + TICK_NS).max(now_ns().saturating_sub(TICK_NS));
    let _ = sleep_until(tick_ns);
    let taken = before.taken + u64::from(world.router.pop_frame(InputId::Live, None).is_some());
    world.position.publish(Position { tick_ns, taken, flowing: taken > before.taken });
}

fn meter(world: &World) {
    while world.tap.pop().is_some() {}
}

fn look_at_figures(world: &World) {
    std::hint::black_box((world.stats.ppm.get(), world.stats.queue_ms.get(), world.router.get_stats(InputId::Live)));
}

fn hold_the_lock(world: &World) {
    *world.lock.lock().expect("lock") += 1;
}
