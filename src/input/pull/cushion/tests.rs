//! The cushion: what is heard of what is sent, and two clocks for an hour.

use std::f64::consts::TAU;

use super::*;
use crate::router::InputFrame;

const NS_PER_MS: u64 = 1_000_000;

/// A cushion, the pump that empties it, and a sender of a sine.
struct Bench {
    cushion: Cushion,
    router: Arc<AudioInputRouter>,
    stats: Arc<PullStats>,
    sent: usize,
}

impl Bench {
    fn new() -> Self {
        let (router, stats) = (Arc::new(AudioInputRouter::new(250)), Arc::<PullStats>::default());
        let cushion = Cushion::new(router.clone(), stats.clone()).expect("a resampler");
        Self { cushion, router, stats, sent: 0 }
    }

    /// So many milliseconds of 441 Hz come, in pieces that are no whole samples.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn send(&mut self, ms: usize) {
        let value = |n: usize| ((TAU * 441.0 * n as f64 / 48_000.0).sin() * 20_000.0).round() as i16;
        let samples = self.sent..self.sent + 48 * ms;
        let bytes: Vec<u8> =
            samples.clone().map(value).flat_map(|v| [v.to_le_bytes(), v.to_le_bytes()].concat()).collect();
        bytes.chunks(1001).for_each(|piece| self.cushion.take(piece));
        self.sent = samples.end;
    }

    fn pop(&self) -> Option<InputFrame> {
        self.router.pop_frame(InputId::Relay, None)
    }
}

#[test]
fn pull_nothing_is_heard_before_3_s_wait_and_then_all_of_it_unchanged_and_without_a_step() {
    let mut bench = Bench::new();
    bench.send(2900);
    assert!(bench.pop().is_none() && bench.router.is_closed(InputId::Relay));
    assert!((bench.cushion.waiting_ms() - 2900.0).abs() < 1.0);
    bench.send(200);
    assert!(!bench.router.is_closed(InputId::Relay));
    assert!((bench.cushion.waiting_ms() - 3100.0).abs() < 30.0, "{}", bench.cushion.waiting_ms());
    let mut heard = Vec::new();
    for _ in 0..400 {
        heard.extend(bench.pop().expect("a frame").pcm.values.iter().step_by(2).copied());
        bench.send(24);
    }
    // After the filter's answer to the sudden beginning, which the pump fades in.
    let steepest = heard[480..].windows(2).map(|two| (i32::from(two[1]) - i32::from(two[0])).abs()).max();
    // 2π × 441 / 48000 × 20000, and rounding.
    assert!(steepest.is_some_and(|step| step <= 1156), "{steepest:?}");
    let loudest = heard[4800..].iter().map(|value| value.abs()).max();
    assert!(loudest.is_some_and(|value| (19_990..=20_010).contains(&value)), "{loudest:?}");
    let peak = bench.stats.levels.peak_dbfs[0].get();
    assert!(peak.is_some_and(|peak| (peak + 4.29).abs() < 0.1), "{peak:?}");
}

#[test]
fn pull_what_waits_is_played_to_its_end_and_then_the_input_is_closed_and_gathers_anew() {
    let mut bench = Bench::new();
    bench.send(3100);
    let frames = std::iter::from_fn(|| bench.pop()).count();
    assert!((126..=129).contains(&frames), "{frames}");
    assert!(bench.cushion.look(1), "nothing is left");
    assert!(bench.router.is_closed(InputId::Relay) && !bench.cushion.look(2));
    assert_eq!(bench.stats.gaps.get(), 1);
    // Not in shreds.
    bench.send(1000);
    assert!(bench.pop().is_none());
    bench.send(2100);
    assert!(bench.pop().is_some() && !bench.router.is_closed(InputId::Relay));
}

#[test]
fn pull_another_ffmpeg_is_another_stream_and_what_waits_of_the_old_one_is_played_before() {
    let mut bench = Bench::new();
    bench.send(3100);
    let first = bench.pop().expect("a frame").stream;
    bench.cushion.end();
    assert!(bench.router.is_closed(InputId::Relay), "it may be the end");
    bench.cushion.part();
    assert!(!bench.router.is_closed(InputId::Relay), "it is not");
    bench.send(100);
    let streams: Vec<u64> = std::iter::from_fn(|| bench.pop()).map(|frame| frame.stream).collect();
    let old = streams.iter().take_while(|stream| **stream == first).count();
    assert!(old > 120 && streams[old..].iter().all(|stream| *stream == first + 1), "{streams:?}");
    assert!(streams.len() > old + 2, "{} of {old}", streams.len());
}

#[test]
fn pull_a_full_cushion_has_no_room_and_drops_nothing() {
    let mut bench = Bench::new();
    while bench.cushion.has_room() {
        bench.send(340);
    }
    assert!((5000.0..5400.0).contains(&bench.cushion.waiting_ms()), "{}", bench.cushion.waiting_ms());
    assert_eq!(bench.router.get_stats(InputId::Relay).overflow_count, 0);
    (0..20).for_each(|_| _ = bench.pop());
    assert!(bench.cushion.has_room());
}

/// An hour of a source whose clock is `ppm` off, which sends by lumps of a quarter of a second and stands still for
/// 2 s every ten minutes (and then sends what it owes): the least and the most that waits, the mean correction of the last ten minutes in ppm.
fn hour(ppm: f64) -> (f64, f64, f64) {
    let mut pace = Pace::default();
    let (mut waiting, mut owed) = (3000.0f64, 0.0);
    let (mut least, mut most, mut corrected) = (f64::MAX, 0f64, 0.0);
    for step in 0..36_000u64 {
        owed += 100.0 * (1.0 + ppm / 1e6);
        let stands_still = step % 6000 >= 5980;
        if step % 3 == 0 && !stands_still {
            waiting += owed * (1.0 + pace.correction());
            owed = 0.0;
        }
        waiting -= 100.0;
        pace.observe(step * 100 * NS_PER_MS, waiting);
        (least, most) = (least.min(waiting), most.max(waiting));
        corrected += if step >= 30_000 { pace.correction() * 1e6 / 6000.0 } else { 0.0 };
    }
    (least, most, corrected)
}

#[test]
fn pull_clocks_that_differ_never_empty_or_fill_the_cushion() {
    for ppm in [-500.0, -300.0, -100.0, 0.0, 100.0, 300.0, 500.0] {
        let (least, most, correction) = hour(ppm);
        println!("{ppm:+} ppm: {least:.0} to {most:.0} ms wait, stretched by {correction:+.0} ppm");
        assert!(least > 0.0 && most < 5000.0, "{ppm}: {least} to {most}");
        assert!(correction.abs() <= ppm.abs() + 50.0, "{ppm}: {correction}");
    }
}

#[test]
fn pull_within_the_band_nothing_is_stretched_and_beyond_it_in_proportion() {
    let table = [
        (3000.0, 0.0),
        (2500.0, 0.0),
        (4000.0, 0.0),
        (2250.0, 750.0),
        (4250.0, -750.0),
        (0.0, 1500.0),
        (5000.0, -1500.0),
    ];
    for (waiting_ms, ppm) in table {
        let mut pace = Pace::default();
        pace.observe(0, waiting_ms);
        assert!((pace.correction() * 1e6 - ppm).abs() < 1e-6, "{waiting_ms}: {}", pace.correction() * 1e6);
    }
}
