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
    sys::time::now_ns,
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
    // The pump is not stopped: a thread that is, again and again, hardly gets on, and then there is
    // no stream. That it takes no lock is shown beside the tick.
    let (pumping, pump_thread) = (world.clone(), Arc::<AtomicI32>::default());
    let its_thread = pump_thread.clone();
    spawn(move || {
        its_thread.store(gettid().as_raw(), SeqCst);
        loop {
            pump(&pumping);
        }
    });
    let others: [fn(&World); 3] = [meter, look_at_figures, hold_the_lock];
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
    while run.thread.load(SeqCst) == 0 || pump_thread.load(SeqCst) == 0 {
        sleep(Duration::from_millis(1));
    }
    let start = Instant::now();
    let spared = [run.thread.load(SeqCst), pump_thread.load(SeqCst), gettid().as_raw()];
    let stopped = stop_threads_until(&spared, || {
        assert!(start.elapsed() < 10 * LENGTH, "the card does not come to an end");
        run.ended.load(SeqCst)
    });
    let (periods, taken) = (run.periods.load(SeqCst), world.position.read().map_or(0, |position| position.taken));
    println!("{periods} periods, {taken} frames taken, threads stopped {stopped} times");
    assert!(periods > 200 && taken > 30 && stopped > 500);
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

/// Takes a frame every 24 ms at most, and makes nothing up, so that what waits becomes too much, too,
/// and the sound begins anew.
fn pump(world: &World) {
    sleep(Duration::from_nanos(TICK_NS));
    let before = world.position.read().map_or(0, |position| position.taken);
    let frame = world.router.pop_frame(InputId::Live, None);
    let taken = before + u64::from(frame.is_some());
    world.position.publish(Position { tick_ns: now_ns(), taken, flowing: frame.is_some() });
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
