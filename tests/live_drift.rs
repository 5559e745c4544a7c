//! V2: two crystals, an hour each, in simulated time: a card that is off, with the real way of
//! its sound from there to the pump's frames, and a pump that ticks.
//!
//! The card plays a sine on the left, whose every sample on air is checked against its
//! neighbours (a sample that is dropped or repeated is a step of thousands), and one of 1 Hz on the
//! right, whose zero crossings tell how old what is on air is: so what waits is measured
//! from outside, and not asked of the one who keeps it.
//!
//! An hour takes a minute of work, so this runs in an optimised build only (`make test` has one).

// Samples and nanoseconds of an hour, far below 2^53.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]

use std::{
    collections::VecDeque,
    f64::consts::TAU,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, Sender, channel},
    },
};

use nix::sys::eventfd::EventFd;
use retrowaves::{
    config::{LiveConfig, Settings, TowerConfig},
    fallback::FallbackGenerator,
    frame::{PumpFrame, TICK_MS, TICK_NS},
    input::live::{
        convert::SampleFormat,
        feed::{FeedDeps, LiveFeed},
        negotiate::Setup,
    },
    journal::journal,
    pump::{AudioPump, PcmSink, PumpDeps, clock::OnAirClock, selector::Source},
    router::{AudioInputRouter, InputId},
    stats::{LiveStats, PumpStats},
};

const SEC: u64 = 1_000_000_000;
const HOUR_SEC: u64 = 3600;
const HZ: f64 = 997.0;
const PEAK: f64 = 30_000.0;
/// When the first tick is: clocks do not begin at 0.
const START_NS: u64 = 100 * SEC;
const TARGET_MS: f64 = 96.0;
/// Half of the resampler's filter.
const FILTER_MS: f64 = 64.0 / 48.0;
/// What waits is counted when the pump has just taken a frame, which is heard from then on.
const IN_THE_PUMP_MS: f64 = TICK_MS as f64;

/// What a sine leaves behind when its neighbours are taken from it, and where it crosses zero.
#[derive(Default)]
struct Ear {
    left: VecDeque<f64>,
    right: Option<f64>,
    worst: f64,
}

/// Hands frames over to the simulation, in the same thread.
struct Sink(Sender<PumpFrame>);

impl PcmSink for Sink {
    fn write_pcm(&mut self, _: u64, frame: &PumpFrame) {
        self.0.send(*frame).expect("the simulation listens");
    }
}

/// A card whose crystal is off by as many ppm as `ppm` says for a second since the start.
struct Card<'a> {
    ppm: Box<dyn Fn(f64) -> f64 + 'a>,
    rate_hz: f64,
    period_frames: f64,
    /// Frames that it has made by `at_ns`.
    made: f64,
    at_ns: f64,
    read: u64,
    /// When it made the first sample of each of its own seconds.
    seconds_ns: Vec<f64>,
}

impl Card<'_> {
    fn hertz(&self) -> f64 {
        self.rate_hz * (1.0 + (self.ppm)((self.at_ns - START_NS as f64) / 1e9) / 1e6)
    }

    /// Runs until `to_ns`. Its rate is constant for a millisecond.
    fn run(&mut self, to_ns: f64) {
        while self.at_ns < to_ns {
            let step_ns = (to_ns - self.at_ns).min(1e6);
            let next = self.seconds_ns.len() as f64 * self.rate_hz;
            let hertz = self.hertz();
            let made = self.made + hertz * step_ns / 1e9;
            if made >= next {
                self.seconds_ns.push(self.at_ns + (next - self.made) / hertz * 1e9);
            }
            (self.made, self.at_ns) = (made, self.at_ns + step_ns);
        }
    }

    /// When the period after the one that is being made ends.
    fn next_period_ns(&self) -> f64 {
        let left = self.period_frames - self.made % self.period_frames;
        self.at_ns + left / self.hertz() * 1e9
    }

    fn read(&mut self, frames: u64, bytes: &mut Vec<u8>) {
        bytes.clear();
        for n in self.read..self.read + frames {
            let turns = |hz: f64| (TAU * (hz * n as f64 / self.rate_hz).fract()).sin() * PEAK;
            for value in [turns(HZ), turns(1.0)] {
                bytes.extend(((value * 65_536.0).round() as i32).to_le_bytes());
            }
        }
        self.read += frames;
    }
}

/// Numbers that look random and are the same each time, from 0 to 1.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What an hour came to.
#[derive(Debug)]
struct Hour {
    /// What waited, least and most, in ms, from 15 s on.
    waited_ms: (f64, f64),
    /// The same as published.
    published_ms: (f64, f64),
    /// Largest distance of the published ppm from the truth of 30 s before, from 5 minutes on.
    ppm_off: f64,
    /// The largest remainder of the sine, in steps of 16 bits.
    worst: f64,
    underruns: u64,
    overflows: u64,
    restarts: u64,
}

impl Ear {
    /// Listens to a frame; the places where the right channel rises through zero.
    fn hear(&mut self, frame: &PumpFrame) -> Vec<f64> {
        let two_cos = 2.0 * (TAU * HZ / 48_000.0).cos();
        let mut crossings = Vec::new();
        for (at, sample) in frame.values.chunks_exact(2).enumerate() {
            self.left.push_back(f64::from(sample[0]));
            if let [a, b, c] = self.left.make_contiguous() {
                self.worst = self.worst.max((*a + *c - two_cos * *b).abs());
                self.left.pop_front();
            }
            let right = f64::from(sample[1]);
            if let Some(before) = self.right.filter(|before| *before < 0.0 && right >= 0.0) {
                crossings.push(at as f64 - right / (right - before));
            }
            self.right = Some(right);
        }
        crossings
    }
}

fn an_hour<'a>(rate_hz: u32, ppm: impl Fn(f64) -> f64 + 'a) -> Hour {
    let router = Arc::new(AudioInputRouter::new(100));
    let (stats, live) = (Arc::<PumpStats>::default(), Arc::<LiveStats>::default());
    let position = Arc::default();
    let (reporter, mut events) = journal(Arc::new(EventFd::new().expect("eventfd")));
    let (sink, frames): (_, Receiver<PumpFrame>) = channel();
    let config = TowerConfig::in_folder(std::path::Path::new("unused"));
    let on_air = LiveConfig { silence: None, ..LiveConfig::default() };
    let deps = PumpDeps {
        router: router.clone(),
        clock: Arc::new(OnAirClock::new(30).expect("clock")),
        fallback: FallbackGenerator::with_tone(0),
        sink: Sink(sink),
        reporter,
        stats: stats.clone(),
        forced: Arc::default(),
        live_position: Arc::clone(&position),
        tap: Arc::default(),
    };
    let mut pump = AudioPump::new(&config.input, &on_air, deps);
    let feed_deps =
        FeedDeps { router: router.clone(), position, tap: Arc::default(), stats: live.clone(), on_air_lag_ms: 768 };
    let period_frames = rate_hz as usize / 100;
    let setup =
        Setup { rate_hz, channels: 2, format: SampleFormat::S32Le, period_frames, buffer_frames: 40 * period_frames };
    let mut feed = LiveFeed::new(setup, &on_air, feed_deps, 0).expect("a feed");
    let mut card = Card {
        ppm: Box::new(ppm),
        rate_hz: f64::from(rate_hz),
        period_frames: period_frames as f64,
        made: 0.0,
        at_ns: START_NS as f64 + 7.3e6,
        read: 0,
        seconds_ns: vec![0.0],
    };
    let (mut dice, mut ear, mut bytes) = (Dice(1), Ear::default(), Vec::new());
    let mut hour = Hour {
        waited_ms: (f64::MAX, 0.0),
        published_ms: (f64::MAX, 0.0),
        ppm_off: 0.0,
        worst: 0.0,
        underruns: 0,
        overflows: 0,
        restarts: 0,
    };
    let wider = |range: &mut (f64, f64), value: f64| *range = (range.0.min(value), range.1.max(value));
    let mut look_ns = card.next_period_ns();
    for tick in 0..HOUR_SEC * SEC / TICK_NS {
        let tick_ns = START_NS + tick * TICK_NS;
        while look_ns < tick_ns as f64 {
            card.run(look_ns);
            let held = card.made as u64 - card.read;
            // The look at the clock comes after the look at the card, a little; now and then, later.
            feed.look(look_ns as u64 + (dice.throw() * 40_000.0) as u64, held as usize);
            card.read(held, &mut bytes);
            feed.take(&bytes);
            // A thread is woken late: a quarter of a millisecond, and one time in a thousand up to 25 ms.
            let busy = if dice.throw() < 0.001 { dice.throw() * 25e6 } else { 0.0 };
            look_ns = (card.next_period_ns() + dice.throw() * 250e3 + busy).max(look_ns + 1e5);
        }
        pump.tick(tick_ns);
        while events.take().is_some() {}
        let frame = frames.try_recv().expect("one frame a tick");
        let on_air = Source::from_u8(stats.on_air.load(Relaxed)) == Source::Live;
        assert!(on_air || tick < 20, "live is not on air at tick {tick}");
        let sec = tick as f64 * 0.024;
        let crossings = if tick > 40 { ear.hear(&frame) } else { Vec::new() };
        if sec < 15.0 {
            continue;
        }
        for at in crossings {
            let heard_ns = tick_ns as f64 + at / 48e3 * 1e9;
            let made_ns = card.seconds_ns.iter().rev().find(|made_ns| **made_ns <= heard_ns).expect("made");
            wider(&mut hour.waited_ms, (heard_ns - made_ns) / 1e6 - FILTER_MS - IN_THE_PUMP_MS);
        }
        wider(&mut hour.published_ms, live.queue_ms.get().expect("published"));
        if sec > 300.0 {
            let off = live.ppm.get().expect("published") - (card.ppm)(sec - 30.0);
            hour.ppm_off = hour.ppm_off.max(off.abs());
        }
    }
    hour.worst = ear.worst;
    hour.underruns = stats.underruns.get();
    hour.overflows = router.get_stats(InputId::Live).overflow_count;
    hour.restarts = live.restarts.get();
    hour
}

fn check(name: &str, hour: &Hour) {
    println!("{name}: {hour:.2?}");
    for (least, most) in [hour.waited_ms, hour.published_ms] {
        assert!(least > TARGET_MS - 2.0 && most < TARGET_MS + 2.0, "{name}: {hour:?}");
    }
    assert_eq!((hour.underruns, hour.overflows, hour.restarts), (0, 0, 0), "{name}: {hour:?}");
    // Rounding to 16 bits is 2 at most; a rate that is off by 1000 ppm, 1.
    assert!(hour.worst < 4.0, "{name}: {hour:?}");
    assert!(hour.ppm_off <= 3.0, "{name}: {hour:?}");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "an hour of sound; runs optimised")]
fn v2_an_hour_of_a_card_that_is_500_ppm_fast() {
    check("+500 ppm", &an_hour(48_000, |_| 500.0));
}

#[test]
#[cfg_attr(debug_assertions, ignore = "an hour of sound; runs optimised")]
fn v2_an_hour_of_a_card_that_is_500_ppm_slow() {
    check("-500 ppm", &an_hour(48_000, |_| -500.0));
}

#[test]
#[cfg_attr(debug_assertions, ignore = "an hour of sound; runs optimised")]
fn v2_an_hour_of_a_card_at_44100_hz_that_is_37_ppm_fast() {
    check("+37 ppm", &an_hour(44_100, |_| 37.0));
}

/// A ppm a second up to 100, then down to −100, and so on.
#[test]
#[cfg_attr(debug_assertions, ignore = "an hour of sound; runs optimised")]
fn v2_an_hour_of_a_card_that_wanders() {
    let ppm = |sec: f64| {
        let phase = sec.rem_euclid(400.0);
        if phase < 100.0 {
            phase
        } else if phase < 300.0 {
            200.0 - phase
        } else {
            phase - 400.0
        }
    };
    check("±100 ppm", &an_hour(48_000, ppm));
}
