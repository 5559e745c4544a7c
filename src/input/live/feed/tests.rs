//! The feed beside a card and a pump in simulated time: 10 ms of the card's, 24 ms of the pump's.

// Samples of seconds, far below 2^53.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]

use std::f64::consts::TAU;

use super::{
    super::{convert::SampleFormat, preroll_frames},
    *,
};
use crate::config::LiveLatency;

const MS: u64 = 1_000_000;
const START_NS: u64 = 50_000 * MS;

/// A card with a sine, its feed, and a pump that takes a frame each tick once there is a preroll.
struct Bench {
    feed: LiveFeed,
    router: Arc<AudioInputRouter>,
    position: Arc<PumpPosition>,
    stats: Arc<LiveStats>,
    setup: Setup,
    hz: f64,
    peak: f64,
    /// Of the card's frames: those it has made, and those that were read.
    made: f64,
    read: u64,
    ppm: f64,
    now_ns: u64,
    tick: u64,
    taken: u64,
    preroll_frames: usize,
    flows: bool,
    heard: Vec<(u64, PumpFrame)>,
}

impl Bench {
    fn new(format: SampleFormat, rate_hz: u32, config: &LiveConfig) -> Self {
        let (router, position) = (Arc::new(AudioInputRouter::new(100)), Arc::<PumpPosition>::default());
        let stats = Arc::<LiveStats>::default();
        let period_frames = rate_hz as usize / 100;
        let setup = Setup { rate_hz, channels: 2, format, period_frames, buffer_frames: 40 * period_frames };
        let deps = FeedDeps {
            router: router.clone(),
            position: position.clone(),
            tap: Arc::default(),
            stats: stats.clone(),
            on_air_lag_ms: 768,
        };
        let feed = LiveFeed::new(setup, config, deps, 0).expect("a feed");
        Self {
            feed,
            router,
            position,
            stats,
            setup,
            hz: 1000.0,
            peak: 32_767.0 / 32_768.0,
            made: 0.0,
            read: 0,
            ppm: 0.0,
            now_ns: START_NS,
            tick: 0,
            taken: 0,
            preroll_frames: preroll_frames(config.latency).min(3),
            flows: false,
            heard: Vec::new(),
        }
    }

    /// The pump's ticks up to now.
    fn pump(&mut self) {
        while START_NS + self.tick * TICK_NS <= self.now_ns {
            self.flows |= self.router.get_stats(InputId::Live).count >= self.preroll_frames;
            let frame = if self.flows { self.router.pop_frame(InputId::Live, None) } else { None };
            self.flows &= frame.is_some();
            self.taken += u64::from(frame.is_some());
            self.heard.extend(frame.map(|frame| (frame.stream, frame.pcm)));
            let tick_ns = START_NS + self.tick * TICK_NS;
            self.position.publish(Position { tick_ns, taken: self.taken, flowing: self.flows });
            self.tick += 1;
        }
    }

    fn time_passes(&mut self, ms: u64) {
        self.made += f64::from(self.setup.rate_hz) * (1.0 + self.ppm / 1e6) * ms as f64 / 1000.0;
        self.now_ns += ms * MS;
        self.pump();
    }

    /// Of the card's sound, this is lost.
    fn lose(&mut self) {
        self.read = self.made as u64;
    }

    /// The capture thread comes round: looks, then takes what there is. True: begun anew.
    fn come_round(&mut self) -> bool {
        let held = self.made as u64 - self.read;
        let begun_anew = self.feed.look(self.now_ns, held as usize);
        let bytes: Vec<u8> = (self.read..self.read + held).flat_map(|n| self.frame(n)).collect();
        self.read += held;
        self.feed.take(&bytes);
        begun_anew
    }

    fn frame(&self, n: u64) -> Vec<u8> {
        let value = self.peak * (TAU * (self.hz * n as f64 / f64::from(self.setup.rate_hz)).fract()).sin();
        let bytes = match self.setup.format {
            SampleFormat::S16Le => ((value * 32_768.0).round() as i16).to_le_bytes().to_vec(),
            _ => ((value * 2_147_483_648.0) as i32).to_le_bytes().to_vec(),
        };
        bytes.repeat(2)
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.time_passes(10);
            self.come_round();
        }
    }

    fn queue_ms(&self) -> f64 {
        self.stats.queue_ms.get().expect("published")
    }

    /// Left channel of the last `frames`.
    fn last(&self, frames: usize) -> Vec<f64> {
        let frames = &self.heard[self.heard.len() - frames..];
        frames.iter().flat_map(|(_, frame)| frame.values.iter().step_by(2).map(|value| f64::from(*value))).collect()
    }
}

/// What is left when the sine of `hz` that fits best is taken away, as power.
fn rest(sound: &[f64], hz: f64) -> f64 {
    let turn = |n: usize| TAU * hz * n as f64 / 48_000.0;
    let n = sound.len() as f64;
    let mut rest = sound.to_vec();
    for _ in 0..3 {
        let (s, c) = rest.iter().enumerate().fold((0.0, 0.0), |(s, c), (at, value)| {
            (s + value * turn(at).sin() * 2.0 / n, c + value * turn(at).cos() * 2.0 / n)
        });
        rest.iter_mut().enumerate().for_each(|(at, value)| *value -= s * turn(at).sin() + c * turn(at).cos());
    }
    rest.iter().map(|value| value * value).sum::<f64>() / n
}

/// THD+N of a sine near `hz`, in dB, over 48 ms: an analyser's notch is wider than what that
/// resolves, and does not count the slow wandering of a pitch either.
fn thd_plus_noise_db(sound: &[f64], hz: f64) -> f64 {
    // Its frequency is off by what the crystals are: searched for between ±0.1 %.
    let (mut low, mut high) = (hz * 0.999, hz * 1.001);
    for _ in 0..30 {
        let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if rest(sound, a) < rest(sound, b) { high = b } else { low = a }
    }
    let power = sound.iter().map(|value| value * value).sum::<f64>() / sound.len() as f64;
    10.0 * (rest(sound, low.midpoint(high)) / power).log10()
}

#[test]
fn v2_thd_plus_noise_of_the_whole_way_is_below_90_db_for_1_khz_at_full_scale() {
    for (format, rate_hz, ppm) in [
        (SampleFormat::S16Le, 48_000, 37.0),
        (SampleFormat::S16Le, 44_100, -500.0),
        (SampleFormat::S32Le, 96_000, 500.0),
    ] {
        let mut bench = Bench::new(format, rate_hz, &LiveConfig::default());
        bench.ppm = ppm;
        bench.run(20_000);
        let sound = bench.last(16);
        let db = sound.chunks(2304).map(|part| thd_plus_noise_db(part, 1000.0)).fold(f64::MIN, f64::max);
        println!("{} at {rate_hz} Hz, {ppm:+} ppm: THD+N {db:.1} dB", format.name());
        assert!(db < -90.0, "{} at {rate_hz} Hz, {ppm} ppm: {db:.1} dB", format.name());
    }
}

#[test]
fn v2_a_stream_begins_at_its_target_whatever_the_card_holds_and_wherever_the_pump_is_in_its_tick() {
    for (latency, target_ms) in [(LiveLatency::Normal, 96.0), (LiveLatency::Low, 48.0)] {
        for (held_ms, phase_ms) in [(0, 0), (10, 3), (10, 13), (10, 23), (390, 7), (390, 17)] {
            let config = LiveConfig { latency, ..LiveConfig::default() };
            let mut bench = Bench::new(SampleFormat::S16Le, 48_000, &config);
            bench.pump();
            bench.time_passes(240 + phase_ms);
            bench.lose();
            bench.time_passes(held_ms);
            bench.come_round();
            bench.run(200);
            let queue_ms = bench.queue_ms();
            assert!((queue_ms - target_ms).abs() < 0.1, "{latency:?}, {held_ms}, {phase_ms}: {queue_ms}");
            assert_eq!(bench.stats.restarts.get(), 0);
        }
    }
}

#[test]
fn v3_after_an_overrun_another_stream_begins_at_the_target_and_both_are_faded() {
    let mut bench = Bench::new(SampleFormat::S16Le, 48_000, &LiveConfig::default());
    bench.run(2000);
    let before = bench.heard.last().expect("heard").0;
    bench.time_passes(60);
    bench.lose();
    bench.feed.broken();
    bench.run(2000);
    assert!((bench.queue_ms() - 96.0).abs() < 0.1, "{}", bench.queue_ms());
    assert_eq!((bench.heard.last().expect("heard").0, bench.stats.restarts.get()), (before + 1, 1));
    // Within each stream no step is larger than those of the sine. (Between them the pump joins.)
    let largest = 2.0 * std::f64::consts::PI * 1000.0 / 48_000.0 * 32_767.0 * 1.01;
    for stream in [before, before + 1] {
        let frames = bench.heard.iter().filter(|(of, _)| *of == stream).skip(usize::from(stream == before));
        let values: Vec<f64> =
            frames.flat_map(|(_, frame)| frame.values.iter().step_by(2).map(|value| f64::from(*value))).collect();
        let steepest = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f64::max);
        assert!(steepest < largest, "stream {stream}: {steepest} > {largest}");
    }
}

#[test]
fn v2_what_stood_still_for_too_long_begins_anew_and_is_not_stretched_for_minutes() {
    // The card's sound comes late, all of it, after its input was absent.
    let mut bench = Bench::new(SampleFormat::S16Le, 48_000, &LiveConfig::default());
    bench.run(2000);
    bench.time_passes(300);
    assert!(!bench.flows, "absent");
    assert!(bench.come_round());
    bench.run(200);
    assert!((bench.queue_ms() - 96.0).abs() < 0.1, "{}", bench.queue_ms());
    // The pump stood still, and the card did not.
    let mut bench = Bench::new(SampleFormat::S16Le, 48_000, &LiveConfig::default());
    bench.run(2000);
    bench.tick += 20;
    bench.made += 48.0 * 480.0;
    bench.now_ns += 480 * MS;
    bench.time_passes(30);
    assert!(bench.come_round());
    assert_eq!(bench.stats.restarts.get(), 1);
}

#[test]
fn v2_a_moment_without_the_pump_is_made_up_by_stretching_and_nothing_begins_anew() {
    let mut bench = Bench::new(SampleFormat::S16Le, 48_000, &LiveConfig::default());
    bench.run(2000);
    // 60 ms without a period: it fits into what waits.
    bench.time_passes(60);
    bench.come_round();
    bench.run(1000);
    assert_eq!(bench.stats.restarts.get(), 0);
    assert!((bench.queue_ms() - 96.0).abs() < 0.1, "{}", bench.queue_ms());
}

#[test]
fn v2_beside_a_pump_that_stands_still_nothing_is_reckoned_and_no_silence_is_heaped_up() {
    let mut bench = Bench::new(SampleFormat::S16Le, 48_000, &LiveConfig::default());
    bench.pump();
    // Ten seconds without a tick, as after SIGSTOP: the card is looked at before the pump is.
    bench.tick += 417;
    for _ in 0..10 {
        bench.now_ns += 1000 * MS;
        assert!(!bench.come_round());
    }
    assert_eq!(bench.router.get_stats(InputId::Live).count, 0);
    bench.run(1000);
    assert!((bench.queue_ms() - 96.0).abs() < 0.1, "{}", bench.queue_ms());
}

#[test]
fn v1_gain_and_limiter_are_applied() {
    let loudest = |gain, limiter| {
        let config = LiveConfig { gain, limiter, ..LiveConfig::default() };
        let mut bench = Bench::new(SampleFormat::S16Le, 48_000, &config);
        bench.peak = 0.5;
        bench.run(1000);
        bench.last(10).iter().fold(0f64, |loudest, value| loudest.max(value.abs())) / 32_768.0
    };
    assert!((loudest(1.0, false) - 0.5).abs() < 0.001);
    assert!((loudest(0.5, false) - 0.25).abs() < 0.001);
    assert!(loudest(4.0, false) > 0.9999, "it saturates");
    let limited = loudest(4.0, true);
    assert!(limited < 0.891_25 && limited > 0.85, "-1 dBFS: {limited}");
}

#[test]
fn v3_before_the_pump_ticks_nothing_is_taken_and_at_the_end_the_input_is_closed() {
    let mut bench = Bench::new(SampleFormat::S16Le, 48_000, &LiveConfig::default());
    bench.made += 4800.0;
    assert!(!bench.come_round());
    assert_eq!((bench.router.get_stats(InputId::Live).count, bench.feed.pushed()), (0, 0));
    assert!(bench.router.is_closed(InputId::Live));
    bench.pump();
    bench.run(500);
    assert!(!bench.router.is_closed(InputId::Live));
    bench.feed.end();
    assert!(bench.router.is_closed(InputId::Live));
    let left = bench.router.get_stats(InputId::Live).count;
    assert!((4..=5).contains(&left), "what waits is played: {left} frames");
}
