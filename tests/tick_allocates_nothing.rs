//! A2: the tick allocates nothing, whatever happens around it.
//!
//! In a binary of its own, since it replaces the allocator: any allocation or
//! release inside the guarded calls aborts the test.

use std::sync::Arc;

use assert_no_alloc::{AllocDisabler, assert_no_alloc};
use nix::sys::eventfd::EventFd;
use retrowaves::{
    config::{InputConfig, LiveConfig},
    fallback::FallbackGenerator,
    frame::{PUMP_FRAME_VALUES, PumpFrame, TICK_NS},
    journal::journal,
    pump::{AudioPump, ForcedInput, PcmSink, PumpDeps, clock::OnAirClock, event::PumpEvent, selector::Mode},
    router::{AudioInputRouter, InputId},
    stats::PumpStats,
};

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

/// Set for the child that is to allocate.
const ALLOCATE: &str = "RETROWAVES_TEST_ALLOCATES";

/// Counts frames, and keeps the last one as an encoder's queue would.
struct Last(PumpFrame);

impl PcmSink for Last {
    fn write_pcm(&mut self, _: u64, frame: &PumpFrame) {
        self.0 = *frame;
    }
}

#[test]
fn a2_2000_ticks_through_every_mode_allocate_nothing() {
    let router = Arc::new(AudioInputRouter::new(100));
    let stats = Arc::new(PumpStats::default());
    let (reporter, mut events) = journal::<PumpEvent>(Arc::new(EventFd::new().expect("eventfd")));
    let config = InputConfig {
        buffer_frames: 100,
        preroll_frames: 3,
        grace_ms: 500,
        start_in_grace: false,
        order: vec![InputId::Live, InputId::Station],
    };
    let deps = PumpDeps {
        router: router.clone(),
        clock: Arc::new(OnAirClock::new(30).expect("clock")),
        fallback: FallbackGenerator::with_tone(440),
        sink: Last(PumpFrame::SILENCE),
        reporter,
        stats: stats.clone(),
        forced: Arc::new(ForcedInput::default()),
        live_position: Arc::default(),
        tap: Arc::default(),
    };
    let mut pump = AudioPump::new(&config, &LiveConfig::default(), deps);
    let frame = PumpFrame { values: [1000; PUMP_FRAME_VALUES] };
    let mut modes = [0u32; 3];
    for tick in 0..2000u64 {
        // The station sends for 60 ticks, misses one of seven, and goes, with and
        // without saying so; the card sends now and then, loud enough to be heard.
        match tick % 120 {
            0 => router.open(InputId::Station),
            60 if tick % 240 == 60 => router.close(InputId::Station),
            phase if phase < 60 && phase % 7 != 6 => {
                router.push_frame(InputId::Station, &frame);
            }
            _ => {}
        }
        if tick % 500 == 0 {
            router.open(InputId::Live);
        }
        if tick % 500 < 110 {
            router.push_frame(InputId::Live, &frame);
        }
        assert_no_alloc(|| pump.tick(1_000_000_000 + tick * TICK_NS));
        modes[usize::from(stats.mode.load(std::sync::atomic::Ordering::Relaxed))] += 1;
    }
    assert_eq!(stats.ticks.get(), 2000);
    assert!(modes.iter().all(|ticks| *ticks > 50), "every mode was on air: {modes:?}");
    assert!(stats.underruns.get() > 50, "{}", stats.underruns.get());
    let changes = std::iter::from_fn(|| events.take()).collect::<Vec<_>>();
    let live = changes.iter().any(|event| event.to_string().contains("PROGRAM (live)"));
    assert!(live && modes[Mode::Program as usize] < 2000, "{changes:?}");
}

#[test]
fn a2_the_guard_notices_an_allocation() {
    let this = std::env::current_exe().expect("this test's program");
    let child = std::process::Command::new(this)
        .args(["--exact", "allocates_inside_the_guard"])
        .env(ALLOCATE, "1")
        .output()
        .expect("runs");
    assert!(!child.status.success(), "{child:?}");
    let words = String::from_utf8_lossy(&child.stderr);
    assert!(words.contains("memory allocation of"), "{words}");
}

/// Aborts, on purpose: only the child of `a2_the_guard_notices_an_allocation` does it.
#[test]
fn allocates_inside_the_guard() {
    if std::env::var_os(ALLOCATE).is_none() {
        return;
    }
    assert_no_alloc(|| drop(std::hint::black_box(vec![1u8; 100])));
}
