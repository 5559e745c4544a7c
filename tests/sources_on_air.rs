//! What is on air when inputs come and go (R, Q), tick by tick, without a clock:
//! the test gives the pump its time, and looks at every frame it hands on.

use std::{
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use nix::sys::eventfd::EventFd;
use retrowaves::{
    config::{InputConfig, LiveConfig},
    fallback::FallbackGenerator,
    frame::{PUMP_FRAME_SAMPLES, PumpFrame, TICK_NS},
    journal::{Journal, journal},
    pump::{
        AudioPump, ForcedInput, PcmSink, PumpDeps,
        clock::OnAirClock,
        event::PumpEvent,
        fade::{crossfade, fade_in, fade_out, reversed},
        selector::{Mode, Reason, Source},
    },
    router::{AudioInputRouter, InputId},
    stats::PumpStats,
};

const GRACE_MS: u64 = 5000;
/// The first tick that is 5 s or more after the one that began the grace time.
const GRACE_TICKS: usize = 209;

/// Every frame that went on air.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<PumpFrame>>>);

impl PcmSink for Recorder {
    fn write_pcm(&mut self, number: u64, frame: &PumpFrame) {
        let mut frames = self.0.lock().expect("one thread");
        assert_eq!(number, frames.len() as u64, "numbers have no gaps");
        frames.push(*frame);
    }
}

struct Bench {
    pump: AudioPump<Recorder>,
    router: Arc<AudioInputRouter>,
    stats: Arc<PumpStats>,
    forced: Arc<ForcedInput>,
    events: Journal<PumpEvent>,
    recorder: Recorder,
    tick: u64,
}

fn config(grace_ms: u64) -> InputConfig {
    InputConfig {
        buffer_frames: 100,
        preroll_frames: 3,
        grace_ms,
        start_in_grace: false,
        order: vec![InputId::Live, InputId::Station],
    }
}

impl Bench {
    fn new(config: &InputConfig, tone_hz: u32) -> Self {
        let (router, stats) = (Arc::new(AudioInputRouter::new(100)), Arc::<PumpStats>::default());
        let (forced, recorder) = (Arc::<ForcedInput>::default(), Recorder::default());
        let (reporter, events) = journal(Arc::new(EventFd::new().expect("eventfd")));
        let deps = PumpDeps {
            router: router.clone(),
            clock: Arc::new(OnAirClock::new(30).expect("clock")),
            fallback: FallbackGenerator::with_tone(tone_hz),
            sink: recorder.clone(),
            reporter,
            stats: stats.clone(),
            forced: forced.clone(),
            live_position: Arc::default(),
            tap: Arc::default(),
        };
        Self {
            pump: AudioPump::new(config, &LiveConfig::default(), deps),
            router,
            stats,
            forced,
            events,
            recorder,
            tick: 0,
        }
    }

    fn station(&self, frame: &PumpFrame) {
        self.router.push_frame(InputId::Station, frame);
    }

    /// One tick: the frame that it put on air.
    fn tick(&mut self) -> PumpFrame {
        self.pump.tick(1_000_000_000 + self.tick * TICK_NS);
        self.tick += 1;
        *self.recorder.0.lock().expect("one thread").last().expect("one frame a tick")
    }

    fn on_air(&self) -> (Mode, Source) {
        let stats = &self.stats;
        let (mode, source) = (stats.mode.load(Relaxed), stats.on_air.load(Relaxed));
        (Mode::from_u8(mode), Source::from_u8(source))
    }

    /// The changes since the last look.
    fn changes(&mut self) -> Vec<(Mode, Source, Reason)> {
        let events = std::iter::from_fn(|| self.events.take());
        let changes = events.filter_map(|event| match event {
            PumpEvent::Changed(change) => Some((change.new.0, change.new.1, change.reason)),
            _ => None,
        });
        changes.collect()
    }

    /// No step on air is larger than the sources have, and what a gain moves in a sample.
    fn assert_no_click(&self, sources: &[PumpFrame]) {
        let frames = self.recorder.0.lock().expect("one thread");
        let (heard, allowed) = (steepest(&frames), steepest(sources) + 60);
        assert!(heard <= allowed, "a step of {heard}, where {allowed} is allowed");
    }
}

fn steepest(frames: &[PumpFrame]) -> i32 {
    let values: Vec<i16> = frames.iter().flat_map(|frame| frame.values).collect();
    let steps = values.windows(3).map(|w| (i32::from(w[2]) - i32::from(w[0])).abs());
    steps.max().unwrap_or(0)
}

/// Frame `n` of an endless sine.
#[allow(clippy::cast_possible_truncation)]
fn sine(hz: f64, peak: f64, n: usize) -> PumpFrame {
    let mut frame = PumpFrame::SILENCE;
    for (i, sample) in frame.values.chunks_exact_mut(2).enumerate() {
        let at = u32::try_from(n * PUMP_FRAME_SAMPLES + i).expect("short");
        let turns = hz * f64::from(at) / 48_000.0;
        let value = (peak * (std::f64::consts::TAU * turns).sin()).round() as i16;
        sample.copy_from_slice(&[value, -value]);
    }
    frame
}

fn music(n: usize) -> PumpFrame {
    sine(997.0, 25_000.0, n)
}

fn voice(n: usize) -> PumpFrame {
    sine(313.0, 15_000.0, n + 1)
}

/// The tone as it is on air: its frames in order.
fn tones() -> impl Iterator<Item = PumpFrame> {
    let mut tone = FallbackGenerator::with_tone(440);
    std::iter::from_fn(move || Some(tone.get_frame()))
}

#[test]
fn q1_q2_q3_q4_q6_r6_a_whole_round_frame_by_frame() {
    let mut bench = Bench::new(&config(GRACE_MS), 440);
    let mut tone = tones();
    let mut next_tone = || tone.next().expect("endless");
    assert_eq!(bench.tick(), fade_in(&next_tone()), "the very first frame comes after silence");
    assert_eq!(bench.tick(), next_tone());
    assert_eq!(bench.on_air(), (Mode::Fallback, Source::Tone));

    // A sender in real time: on air with its third frame, from its first.
    bench.router.open(InputId::Station);
    for n in 0..2 {
        bench.station(&music(n));
        assert_eq!(bench.tick(), next_tone(), "preroll");
    }
    bench.station(&music(2));
    assert_eq!(bench.tick(), crossfade(&next_tone(), &music(0)));
    assert_eq!(bench.on_air(), (Mode::Program, Source::Station));
    for n in 3..20 {
        bench.station(&music(n));
        assert_eq!(bench.tick(), music(n - 2), "exactly as it was sent");
    }
    assert_eq!([bench.tick(), bench.tick()], [music(18), music(19)]);

    // An underrun of two ticks.
    assert_eq!(bench.tick(), fade_out(&reversed(&music(19))));
    assert_eq!(bench.on_air(), (Mode::Program, Source::Silence));
    assert_eq!(bench.tick(), PumpFrame::SILENCE);
    bench.station(&music(20));
    assert_eq!(bench.tick(), fade_in(&music(20)));
    assert_eq!(bench.stats.underruns.get(), 2);

    // It stays connected and sends nothing: absent with the fourth miss.
    assert_eq!(bench.tick(), fade_out(&reversed(&music(20))));
    for _ in 1..GRACE_TICKS {
        assert_eq!(bench.tick(), PumpFrame::SILENCE);
    }
    assert_eq!(bench.on_air(), (Mode::Grace, Source::Silence));
    assert_eq!(bench.stats.underruns.get(), 2 + 3, "the fourth miss is no underrun");
    // The fallback was not asked during GRACE: the tone goes on where it was.
    assert_eq!(bench.tick(), fade_in(&next_tone()));
    assert_eq!(bench.tick(), next_tone());
    assert_eq!(
        bench.changes(),
        [
            (Mode::Program, Source::Station, Reason::StationPresent),
            (Mode::Grace, Source::Silence, Reason::SenderStalled),
            (Mode::Fallback, Source::Tone, Reason::GraceOver),
        ]
    );
    let sources: Vec<PumpFrame> = (0..21).map(music).collect();
    bench.assert_no_click(&sources);
}

#[test]
fn r6_back_within_preroll_plus_1_ticks_of_the_first_frame() {
    for (name, ticks_before) in [("from GRACE", 50), ("from FALLBACK", 300)] {
        let mut bench = Bench::new(&config(GRACE_MS), 440);
        bench.router.open(InputId::Station);
        (0..10).for_each(|n| bench.station(&music(n)));
        (0..10).for_each(|_| _ = bench.tick());
        bench.router.close(InputId::Station);
        (0..ticks_before).for_each(|_| _ = bench.tick());
        assert_ne!(bench.on_air().0, Mode::Program);
        bench.router.open(InputId::Station);
        let ticks = (10..20).take_while(|n| {
            bench.station(&music(*n));
            bench.tick();
            bench.on_air().0 != Mode::Program
        });
        assert!(ticks.count() < 3 + 1, "{name}");
        bench.assert_no_click(&(0..20).map(music).collect::<Vec<_>>());
    }
}

#[test]
fn q3_a_sender_that_goes_is_grace_at_once_and_an_input_at_its_very_end_wins() {
    // 4800 ms are 200 ticks exactly, so a tick falls on the very end.
    for wins in [false, true] {
        let mut bench = Bench::new(&config(4800), 440);
        bench.router.open(InputId::Station);
        (0..3).for_each(|n| bench.station(&music(n)));
        bench.router.close(InputId::Station);
        assert_eq!([bench.tick(), bench.tick(), bench.tick()], [fade_in(&music(0)), music(1), music(2)]);
        assert_eq!(bench.tick(), fade_out(&reversed(&music(2))));
        assert_eq!(bench.on_air(), (Mode::Grace, Source::Silence));
        (1..200).for_each(|_| assert_eq!(bench.tick(), PumpFrame::SILENCE));
        if wins {
            (0..3).for_each(|n| bench.station(&music(n)));
        }
        bench.tick();
        assert_eq!(bench.on_air().0, if wins { Mode::Program } else { Mode::Fallback });
        assert_eq!(bench.stats.underruns.get(), 0);
    }
}

#[test]
fn q3_without_grace_the_fallback_follows_at_once() {
    let mut bench = Bench::new(&config(0), 440);
    bench.router.open(InputId::Station);
    (0..3).for_each(|n| bench.station(&music(n)));
    bench.router.close(InputId::Station);
    (0..3).for_each(|_| _ = bench.tick());
    let tone = tones().next().expect("endless");
    assert_eq!(bench.tick(), crossfade(&reversed(&music(2)), &tone));
    bench.assert_no_click(&[music(0), music(1), music(2)]);
}

#[test]
fn q1_the_box_starts_in_grace() {
    let config = InputConfig { start_in_grace: true, ..config(GRACE_MS) };
    let mut bench = Bench::new(&config, 440);
    (0..GRACE_TICKS).for_each(|_| assert_eq!(bench.tick(), PumpFrame::SILENCE));
    assert_eq!(bench.tick(), fade_in(&tones().next().expect("endless")));
    assert_eq!(bench.changes(), [(Mode::Fallback, Source::Tone, Reason::GraceOver)]);
}

#[test]
fn r3_r4_q5_live_takes_over_from_the_station_and_gives_back_without_a_click() {
    let mut bench = Bench::new(&config(GRACE_MS), 0);
    bench.router.open(InputId::Station);
    bench.router.open(InputId::Live);
    let mut heard = Vec::new();
    for n in 0..200 {
        bench.station(&music(n));
        // The card is loud from the start, and gone after 120 frames.
        if n < 120 {
            bench.router.push_frame(InputId::Live, &voice(n));
        }
        heard.push((bench.tick(), bench.on_air().1));
    }
    let live: Vec<usize> = (0..200).filter(|n| heard[*n].1 == Source::Live).collect();
    // Both gather 3 frames; the card's level is heard from then on, and the 84th frame
    // of it completes 2 s. That tick counts.
    let (first, last) = (2 + 83, 2 + 119);
    assert_eq!((live[0], live[live.len() - 1], live.len()), (first, last, 37));
    assert_eq!(heard[first].0, crossfade(&music(first - 2), &voice(first - 2)));
    assert_eq!(heard[last].0, voice(119));
    // Three underruns, then the station in the very tick of the fourth miss: it was taken
    // from all the while, so it is live, not old.
    assert_eq!(heard[last + 1].0, fade_out(&reversed(&voice(119))));
    assert_eq!(heard[last + 4].0, fade_in(&music(last + 4 - 2)));
    assert_eq!(heard[last + 4].1, Source::Station);
    assert_eq!(bench.router.get_stats(InputId::Station).overflow_count, 0);
    let sources: Vec<PumpFrame> = (0..5).map(music).chain((0..5).map(voice)).collect();
    bench.assert_no_click(&sources);
}

/// A whisper: −67 dBFS.
fn hiss(n: usize) -> PumpFrame {
    sine(313.0, 20.0, n + 1)
}

#[test]
fn q5_q6_live_that_falls_silent_gives_way_after_10_s_and_is_back_when_it_has_spoken_for_2_s_crossfaded() {
    // Windows of 100 ms end with every 25th frame; frame n is taken in tick n + 2.
    const SILENT: usize = 100;
    const SPEAKS: usize = 550;
    let card = |n: usize| if (SILENT..SPEAKS).contains(&n) { hiss(n) } else { voice(n) };
    let mut bench = Bench::new(&config(GRACE_MS), 0);
    bench.router.open(InputId::Station);
    bench.router.open(InputId::Live);
    let mut heard = Vec::new();
    for n in 0..SPEAKS + 100 {
        bench.station(&music(n));
        bench.router.push_frame(InputId::Live, &card(n));
        heard.push(bench.tick());
    }
    // 10 s are 416.7 frames: the hundredth window ends in the 417th. 2 s are 83.3.
    let (goes, back) = (SILENT + 416, SPEAKS + 83);
    assert_eq!(heard[goes + 1], hiss(goes - 1), "on air until then");
    assert_eq!(heard[goes + 2], crossfade(&hiss(goes), &music(goes)));
    assert_eq!(heard[goes + 3], music(goes + 1));
    assert_eq!(heard[back + 1], music(back - 1), "off air until then");
    assert_eq!(heard[back + 2], crossfade(&music(back), &voice(back)));
    assert_eq!(heard[back + 3], voice(back + 1));
    assert_eq!((bench.changes().len(), bench.stats.underruns.get()), (4, 0), "station, live, station, live");
    bench.assert_no_click(&(0..5).map(music).chain((0..5).map(voice)).collect::<Vec<_>>());
}

/// Its RMS is what it swings to.
#[allow(clippy::cast_possible_truncation)]
fn square(dbfs: f64) -> PumpFrame {
    let value = (32_768.0 * 10f64.powf(dbfs / 20.0)).round() as i16;
    let mut frame = PumpFrame::SILENCE;
    frame.values.chunks_exact_mut(4).for_each(|pairs| pairs.copy_from_slice(&[value, value, -value, -value]));
    frame
}

/// How often what is on air changes within a minute in which the card has the level, in dBFS RMS, that
/// `level` says for each frame; before, it was loud for 3 s or not there.
fn changes_in_a_minute(was_loud: bool, mut level: impl FnMut(usize) -> f64) -> usize {
    let mut bench = Bench::new(&config(0), 0);
    bench.router.open(InputId::Live);
    let mut changes = 0;
    for n in 0..125 + 2500 {
        let before = if was_loud { -20.0 } else { -90.0 };
        let dbfs = if n >= 125 { level(n - 125) } else { before };
        bench.router.push_frame(InputId::Live, &square(dbfs));
        bench.tick();
        if n == 125 {
            let source = if was_loud { Source::Live } else { Source::Silence };
            assert_eq!(bench.on_air().1, source);
            bench.changes();
        }
        changes = if n > 125 { changes + bench.changes().len() } else { 0 };
    }
    changes
}

#[test]
fn q5_a_level_that_hovers_about_the_thresholds_does_not_flap() {
    let walk = |seed: u64| {
        let (mut dbfs, mut dice) = (-60.0f64, seed);
        move |_| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            dbfs = (dbfs + if dice >> 63 == 0 { 0.3 } else { -0.3 }).clamp(-63.0, -57.0);
            dbfs
        }
    };
    for was_loud in [true, false] {
        for seed in [u64::from(was_loud) + 1, 5] {
            let changes = changes_in_a_minute(was_loud, walk(seed));
            assert!(changes <= 1, "a walk from -57 to -63 dBFS: {changes} changes; loud before: {was_loud}");
        }
        // A second is 41.7 frames.
        let every_second =
            |loud: f64, quiet: f64| move |n: usize| if (n / 42).is_multiple_of(2) { loud } else { quiet };
        for (loud, quiet) in [(-59.0, -61.0), (-53.0, -55.0), (-53.0, -61.0)] {
            let changes = changes_in_a_minute(was_loud, every_second(loud, quiet));
            assert_eq!(changes, 0, "{loud} and {quiet} dBFS by turns; loud before: {was_loud}");
        }
    }
}

#[test]
fn q6_two_senders_of_one_socket_are_joined_too() {
    let mut bench = Bench::new(&config(GRACE_MS), 440);
    bench.router.open(InputId::Station);
    (0..5).for_each(|n| bench.station(&music(n)));
    bench.router.open(InputId::Station);
    (0..5).for_each(|n| bench.station(&voice(n)));
    let heard: Vec<PumpFrame> = (0..10).map(|_| bench.tick()).collect();
    assert_eq!(heard[4], music(4));
    assert_eq!(heard[5], crossfade(&reversed(&music(4)), &voice(0)));
    assert_eq!(heard[6], voice(1));
    bench.assert_no_click(&[music(0), music(1), voice(0), voice(1)]);
}

#[test]
fn q7_a_choice_by_hand_is_the_reason_and_can_be_taken_back() {
    let mut bench = Bench::new(&config(0), 440);
    bench.router.open(InputId::Station);
    (0..30).for_each(|n| bench.station(&music(n)));
    (0..5).for_each(|_| _ = bench.tick());
    bench.forced.set(Some(InputId::Live));
    // The station still has a frame: it is heard into the join, not turned back.
    bench.tick();
    bench.forced.set(Some(InputId::Station));
    bench.tick();
    bench.forced.set(None);
    bench.tick();
    assert_eq!(
        bench.changes(),
        [
            (Mode::Program, Source::Station, Reason::StationPresent),
            (Mode::Fallback, Source::Tone, Reason::ForcedAbsent),
            (Mode::Program, Source::Station, Reason::Forced),
        ]
    );
    let frames = bench.recorder.0.lock().expect("one thread").clone();
    let mut tone = tones();
    assert_eq!(frames[5], crossfade(&music(5), &tone.next().expect("endless")));
    assert_eq!(frames[6], crossfade(&tone.next().expect("endless"), &music(6)));
    assert_eq!(frames[7], music(7));
    assert_eq!(Reason::from_u8(bench.stats.reason.load(Relaxed)), Reason::StationPresent);
}

#[test]
fn a1_a3_a6_the_thread_ticks_in_time_and_stops_within_two_ticks() {
    let Bench { pump, stats, .. } = Bench::new(&config(GRACE_MS), 440);
    let start = Instant::now();
    let mut handle = pump.start().expect("started");
    while stats.ticks.get() < 25 {
        assert!(start.elapsed() < Duration::from_secs(10), "it does not tick");
        std::thread::sleep(Duration::from_millis(2));
    }
    // The first tick is at once; no tick comes before its deadline.
    assert!(start.elapsed() >= Duration::from_millis(24 * 24));
    let stop = Instant::now();
    handle.stop();
    assert!(stop.elapsed() < Duration::from_millis(500));
    let ticks = stats.ticks.get();
    assert_eq!(stats.lateness_us.count(), ticks);
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(stats.ticks.get(), ticks, "stopped");
}
