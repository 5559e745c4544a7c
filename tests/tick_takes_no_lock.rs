//! A2: the tick takes no lock, asserted while it runs.
//!
//! The thread that ticks is fenced in by the kernel: it may write to an eventfd, read the clock
//! and wait with a time limit (the router's 5 ms). A thread that finds a lock taken has to wait
//! without one, and a thread that leaves a lock for which others wait has to wake them: either
//! ends the process. Meanwhile the threads on the other side of everything that the tick
//! touches work as hard as they can, and are made to stand still for 2 ms at any point of their work, so
//! within a critical section if there were one.
//!
//! What this cannot see: a lock that no other thread ever takes, which costs the tick nothing,
//! and a spinning one, which makes no system call; for that there is a time limit on the whole.

mod tick_guard;

use std::{
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Output},
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool, AtomicI32, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::{sleep, spawn},
    time::{Duration, Instant},
};

use nix::{
    sys::eventfd::{EfdFlags, EventFd},
    unistd::gettid,
};
use retrowaves::{
    config::{LiveConfig, TowerConfig},
    control::{ingest_events::NowPlaying, status::StatusSources},
    encoder::{EncoderManager, OnAirOutlet},
    fallback::FallbackGenerator,
    frame::{PUMP_FRAME_VALUES, PumpFrame, TICK_NS},
    journal::{Journal, journal},
    pump::{AudioPump, ForcedInput, PcmSink, PumpDeps, clock::OnAirClock, event::PumpEvent},
    router::{AudioInputRouter, InputId},
    stats::{EncoderStats, PumpStats},
    sys::time::now_ns,
};
use tick_guard::{fence_in_this_thread, let_threads_stand_still, stop_threads_until};

/// Set for the child that ticks inside the fence: `tick`, or `lock` for one that takes a lock.
const FENCED: &str = "RETROWAVES_TEST_FENCED";
const LENGTH: Duration = Duration::from_secs(4);
const SIGSYS: i32 = 31;

#[test]
fn a2_no_tick_waits_for_a_lock_whatever_the_other_threads_hold() {
    let child = fenced("tick");
    let said = String::from_utf8_lossy(&child.stdout);
    println!("{said}");
    assert!(child.status.success(), "{child:?}");
    assert!(said.contains("ticks through every mode"), "{said}");
}

#[test]
fn a2_the_fence_notices_a_lock() {
    let child = fenced("lock");
    assert_eq!(child.status.signal(), Some(SIGSYS), "{child:?}");
}

fn fenced(what: &str) -> Output {
    let this = std::env::current_exe().expect("this test's program");
    let child =
        Command::new(this).args(["--exact", "ticks_inside_the_fence", "--nocapture"]).env(FENCED, what).output();
    child.expect("runs")
}

/// Does nothing but in the child of one of the tests above.
#[test]
fn ticks_inside_the_fence() {
    let Ok(what) = std::env::var(FENCED) else { return };
    let_threads_stand_still();
    let (world, run) = (World::new(), Arc::<Run>::default());
    let ticking = run.clone();
    if what == "lock" {
        let lock = Arc::new(Mutex::new(0u64));
        let theirs = lock.clone();
        hammer(move || *theirs.lock().expect("lock") += 1);
        let deps = world.deps(Locking(lock)).0;
        spawn(move || ticking.tick_inside_the_fence(deps));
    } else {
        let deps = world.hammer_everything();
        spawn(move || ticking.tick_inside_the_fence(deps));
    }
    while run.thread.load(SeqCst) == 0 {
        sleep(Duration::from_millis(1));
    }
    let start = Instant::now();
    let stopped = stop_threads_until(&[run.thread.load(SeqCst), gettid().as_raw()], || {
        assert!(start.elapsed() < 10 * LENGTH, "the ticks do not come to an end");
        run.ended.load(SeqCst)
    });
    let modes = run.modes.each_ref().map(|ticks| ticks.load(SeqCst));
    println!("ticks through every mode: {modes:?}, threads stopped {stopped} times");
    assert!(modes.iter().all(|ticks| *ticks > 20) && stopped > 500);
    std::process::exit(0);
}

/// The thread that ticks, as the others see it.
#[derive(Default)]
struct Run {
    thread: AtomicI32,
    modes: [AtomicU64; 3],
    ended: AtomicBool,
}

impl Run {
    fn tick_inside_the_fence<S: PcmSink>(&self, deps: PumpDeps<S>) {
        let mut config = TowerConfig::with_runtime_dir(Path::new("/nowhere")).input;
        config.grace_ms = 500;
        let (stats, start) = (deps.stats.clone(), Instant::now());
        let mut pump = AudioPump::new(&config, &LiveConfig::default(), deps);
        self.thread.store(gettid().as_raw(), SeqCst);
        fence_in_this_thread(&[]).expect("seccomp");
        for tick in 0u64.. {
            pump.tick(1_000_000_000 + tick * TICK_NS);
            self.modes[usize::from(stats.mode.load(Relaxed))].fetch_add(1, SeqCst);
            if start.elapsed() > LENGTH {
                break;
            }
        }
        self.ended.store(true, SeqCst);
        // Leaving would need system calls that are outside the fence.
        loop {
            sleep(LENGTH);
        }
    }
}

/// An encoder's queue with a lock, which the fence has to notice.
struct Locking(Arc<Mutex<u64>>);

impl PcmSink for Locking {
    fn write_pcm(&mut self, _: u64, _: &PumpFrame) {
        *self.0.lock().expect("lock") += 1;
    }
}

/// What the tick touches: all of it real, shared with the threads that it is shared with in the tower.
struct World {
    router: Arc<AudioInputRouter>,
    clock: Arc<OnAirClock>,
    pump: Arc<PumpStats>,
    encoder: Arc<EncoderStats>,
    forced: Arc<ForcedInput>,
    wake: Arc<EventFd>,
}

impl World {
    fn new() -> Self {
        let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK).expect("eventfd");
        Self {
            router: Arc::new(AudioInputRouter::new(100)),
            clock: Arc::new(OnAirClock::new(0).expect("clock")),
            pump: Arc::default(),
            encoder: Arc::default(),
            forced: Arc::default(),
            wake: Arc::new(wake),
        }
    }

    fn deps<S: PcmSink>(&self, sink: S) -> (PumpDeps<S>, Journal<PumpEvent>) {
        let (reporter, events) = journal(self.wake.clone());
        let deps = PumpDeps {
            router: self.router.clone(),
            clock: self.clock.clone(),
            fallback: FallbackGenerator::with_tone(440),
            sink,
            reporter,
            stats: self.pump.clone(),
            forced: self.forced.clone(),
            live_position: Arc::default(),
            tap: Arc::default(),
        };
        (deps, events)
    }

    /// Senders, encoder thread, broadcaster, main thread and control plane, none of which ever rests.
    fn hammer_everything(&self) -> PumpDeps<impl PcmSink + use<>> {
        let mut config = TowerConfig::with_runtime_dir(Path::new("/nowhere"));
        // No child ever lives: the encoder thread takes PCM, keeps it, and tries again.
        config.encoder.ffmpeg = "/nowhere/ffmpeg".into();
        let made = EncoderManager::new(&config, self.clock.clone(), self.encoder.clone(), self.wake.clone());
        let (mut manager, ends) = made.expect("encoder");
        manager.start().expect("thread");
        hammer(move || manager.log_events());
        let (deps, mut events) = self.deps(ends.inlet);
        hammer(move || _ = events.take());
        hammer(broadcaster(self.clock.clone(), ends.outlet));
        let sources = StatusSources {
            pump: self.pump.clone(),
            encoder: self.encoder.clone(),
            listeners: Arc::default(),
            ingest: Arc::default(),
            router: self.router.clone(),
            mp3: ends.mp3,
            live: Arc::default(),
            live_device: None,
            meter: Default::default(),
            events: Arc::default(),
            relay: None,
            pull: None,
            box_report: None,
            started_ns: now_ns(),
        };
        hammer(move || _ = std::hint::black_box(sources.status(NowPlaying::default(), true)));
        for (input, rest_ticks) in [(InputId::Station, 50), (InputId::Live, 70)] {
            hammer(sender(self.router.clone(), self.clock.clone(), input, rest_ticks));
        }
        let (forced, mut turn) = (self.forced.clone(), 0);
        hammer(move || {
            turn += 1;
            forced.set((turn % 1000 == 0).then_some(InputId::Station));
        });
        deps
    }
}

/// Does it for ever, on a thread of its own.
fn hammer(mut work: impl FnMut() + Send + 'static) {
    spawn(move || {
        loop {
            work();
        }
    });
}

fn broadcaster(clock: Arc<OnAirClock>, mut outlet: OnAirOutlet) -> impl FnMut() {
    let mut number = 0;
    move || {
        let _ = clock.tick_wake().read();
        while number < clock.due() {
            std::hint::black_box(outlet.get_frame(number));
            number += 1;
            clock.set_aired(number);
        }
    }
}

/// Comes, sends more than fits, stays without sending, and goes: in ticks, so that grace and fallback follow.
fn sender(router: Arc<AudioInputRouter>, clock: Arc<OnAirClock>, input: InputId, rest_ticks: u64) -> impl FnMut() {
    let frame = PumpFrame { values: [1000; PUMP_FRAME_VALUES] };
    let rest = move |ticks| {
        let until = clock.ticks() + ticks;
        while clock.ticks() < until {
            sleep(Duration::from_micros(200));
        }
    };
    move || {
        router.open(input);
        (0..110).for_each(|_| _ = router.push_frame(input, &frame));
        rest(120);
        router.close(input);
        rest(rest_ticks);
    }
}
