//! V4: the capture thread takes no memory from the heap and gives none back while a card runs:
//! neither our code nor ALSA's library nor the plug-in under it.
//!
//! In a binary of its own, since it takes the place of the C library's `malloc`, which the
//! libraries call too. A thread that is watched has its calls counted.

mod common;

use std::{
    cell::Cell,
    ffi::c_void,
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, Instant},
};

use common::card::{PCM, TestCard, in_own_process};
use nix::sys::eventfd::{EfdFlags, EventFd};
use retrowaves::{
    config::{LiveConfig, LiveLatency},
    frame::TICK_NS,
    input::live::{
        card::AlsaCard,
        convert::SampleFormat,
        feed::{FeedDeps, LiveFeed},
        running::{Running, Turn},
    },
    journal::journal,
    pump::position::{Position, PumpPosition},
    router::{AudioInputRouter, InputId},
    stats::LiveStats,
    sys::time::now_ns,
};

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_free(block: *mut c_void);
}

fn count() {
    // A thread that ends has no such variables any more, and is not watched.
    if WATCHED.try_with(Cell::get).unwrap_or(false) {
        CALLS.with(|calls| calls.set(calls.get() + 1));
    }
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    count();
    // SAFETY: handed on as it came.
    unsafe { __libc_malloc(size) }
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn calloc(number: usize, size: usize) -> *mut c_void {
    count();
    // SAFETY: handed on as it came.
    unsafe { __libc_calloc(number, size) }
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    count();
    // SAFETY: handed on as it came.
    unsafe { __libc_realloc(block, size) }
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(block: *mut c_void) {
    if !block.is_null() {
        count();
    }
    // SAFETY: handed on as it came.
    unsafe { __libc_free(block) }
}

/// Calls into the heap of this thread while `work` is done.
fn heap_calls(work: impl FnOnce()) -> u64 {
    CALLS.set(0);
    WATCHED.set(true);
    work();
    WATCHED.set(false);
    CALLS.get()
}

/// The pump's side: takes a frame each 24 ms and says so.
fn pump(router: &AudioInputRouter, position: &PumpPosition, tick: &mut u64, taken: &mut u64, start_ns: u64) {
    while now_ns() >= start_ns + *tick * TICK_NS {
        *taken += u64::from(router.pop_frame(InputId::Live, None).is_some());
        position.publish(Position { tick_ns: start_ns + *tick * TICK_NS, taken: *taken, flowing: *taken > 0 });
        *tick += 1;
    }
}

/// Three seconds of a card: its periods, two overruns, and its end.
fn a_card_runs(card: &TestCard, pcm: &str) {
    let (router, position) = (Arc::new(AudioInputRouter::new(100)), Arc::<PumpPosition>::default());
    let stats = Arc::<LiveStats>::default();
    let config = LiveConfig { limiter: true, gain: 2.0, ..LiveConfig::default() };
    let deps = FeedDeps {
        router: router.clone(),
        position: position.clone(),
        tap: Arc::default(),
        stats: stats.clone(),
        on_air_lag_ms: 768,
    };
    let alsa = AlsaCard::open(pcm, LiveLatency::Normal).expect("the test card opens");
    let feed = LiveFeed::new(alsa.setup(), &config, deps, 0).expect("a feed");
    alsa.start().expect("it starts");
    card.set_tone([997.0, 440.0], [0.9, 0.1]);
    card.set_ppm(250.0);
    let wake = EventFd::from_flags(EfdFlags::EFD_NONBLOCK).expect("eventfd");
    let (mut reporter, _events) = journal(Arc::new(EventFd::new().expect("eventfd")));
    let mut running = Running::new(alsa, feed, now_ns());
    let (start_ns, start) = (now_ns(), Instant::now());
    let (mut tick, mut taken, mut periods, mut overruns) = (0, 0, 0u32, 0);
    while start.elapsed() < Duration::from_secs(3) {
        pump(&router, &position, &mut tick, &mut taken, start_ns);
        if start.elapsed() > Duration::from_secs(overruns + 1) {
            overruns += 1;
            card.xrun(30);
        }
        let calls = heap_calls(|| {
            let turn = running.turn(wake.as_fd(), &mut reporter).expect("it runs");
            periods += u32::from(matches!(turn, Turn::Sound(_)));
        });
        assert_eq!(calls, 0, "{pcm}: after {periods} periods and {overruns} overruns");
    }
    assert!(periods > 100 && stats.xruns.get() >= 2, "{periods} periods, {} overruns", stats.xruns.get());
    assert!(router.get_stats(InputId::Live).overflow_count == 0 && taken > 80, "{taken} frames");
    card.unplug();
    let calls = heap_calls(|| {
        let end = (0..100).find_map(|_| running.turn(wake.as_fd(), &mut reporter).err());
        assert!(end.is_some(), "it is gone");
    });
    assert_eq!(calls, 0, "{pcm}: at its end");
}

#[test]
fn v4_a_running_card_of_16_bits_at_48_khz_makes_no_call_into_the_heap() {
    in_own_process(TestCard::builder(), |card| a_card_runs(card, PCM));
}

#[test]
fn v4_nor_does_one_of_32_bits_at_96_khz() {
    let hardware = TestCard::builder().formats(&[SampleFormat::S32Le]).rates(&[96_000]);
    in_own_process(hardware, |card| a_card_runs(card, PCM));
}

#[test]
fn v4_the_count_sees_every_call_of_ours_and_of_the_libraries() {
    assert!(heap_calls(|| drop(std::hint::black_box(vec![1u8; 100]))) >= 2);
    let opened = heap_calls(|| drop(AlsaCard::open("there is none", LiveLatency::Normal)));
    assert!(opened > 10, "{opened}: ALSA's library takes memory to open a card");
}
