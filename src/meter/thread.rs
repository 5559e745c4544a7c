//! `tower:meter`: comes round every 100 ms, takes what the taps hold, publishes, and says what is wrong.
//!
//! Of normal priority, and never waited for. When it is late it finds more in the taps; when it is
//! very late something is missing there, and the time of the alarms stands still for it.

use std::{
    io,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{
    Alarm, MeterStats,
    alarm::Change,
    judge::{AlarmName, Card, Heard, Judge, Verdict, is_silence_meant, lost_words},
    levels::Levels,
    loudness::Loudness,
    tap::MeterTap,
};
use crate::{
    frame::{CHANNELS, PumpFrame},
    input::live::LiveState,
    limits::METER_ROUND_MS,
    pump::selector::{Mode, Source},
    stats::{Figure, LiveStats, PumpStats, SoundStats},
    sys::{thread, time::now_ns},
};

/// Two rounds further apart than this: we stood still, and nothing was seen meanwhile.
const ELAPSED_MS_MAX: u64 = 10 * METER_ROUND_MS;

/// What the meter works with.
pub struct MeterDeps {
    /// What is on air: mode and source.
    pub pump: Arc<PumpStats>,
    /// How the card is.
    pub live: Arc<LiveStats>,
    /// A card is configured.
    pub live_configured: bool,
    /// PCM that goes on air.
    pub on_air_tap: Arc<MeterTap>,
    /// PCM of the card.
    pub live_tap: Arc<MeterTap>,
    /// What is published.
    pub stats: MeterStats,
}

/// The meter. `round` is its whole work; `start` gives it a thread and the time.
pub struct Meter {
    deps: MeterDeps,
    on_air: Sound,
    /// Of the card that runs.
    live: Sound,
    /// `LiveStats::opens` at the last round: another number is another card.
    opens_seen: u64,
    xruns_seen: u64,
    judge: Judge,
    alarms: Vec<Alarm>,
    last_ns: Option<u64>,
}

/// A sound that is measured.
#[derive(Default)]
struct Sound {
    levels: Levels,
    /// Made with the first frame: without a card it costs nothing.
    loudness: Option<Loudness>,
}

impl Sound {
    /// Takes a frame; if a window ends with it, what is to be judged.
    fn feed(&mut self, frame: &PumpFrame, stats: &SoundStats) -> Option<Heard> {
        self.loudness.get_or_insert_with(Loudness::new).feed(frame);
        let window = self.levels.feed(frame)?;
        stats.clipped.add(window.clipped);
        Some(Heard::new(&self.levels, &window))
    }

    fn publish(&self, stats: &SoundStats) {
        set_each(&stats.peak_dbfs, self.levels.peak_dbfs());
        set_each(&stats.rms_dbfs, self.levels.rms_dbfs());
        let loudness = self.loudness.as_ref();
        stats.lufs_momentary.set(loudness.and_then(Loudness::momentary));
        stats.lufs_short.set(loudness.and_then(Loudness::short_term));
        stats.lufs_integrated.set(loudness.and_then(Loudness::integrated));
    }
}

fn set_each(figures: &[Figure; CHANNELS], levels: [Option<f64>; CHANNELS]) {
    figures.iter().zip(levels).for_each(|(figure, level)| figure.set(level));
}

impl Meter {
    /// A meter that has heard nothing.
    pub fn new(deps: MeterDeps) -> Self {
        let (opens_seen, xruns_seen) = (deps.live.opens.get(), deps.live.xruns.get());
        Self {
            deps,
            on_air: Sound::default(),
            live: Sound::default(),
            opens_seen,
            xruns_seen,
            judge: Judge::new(),
            alarms: Vec::new(),
            last_ns: None,
        }
    }

    /// Everything that has come since the last round.
    pub fn round(&mut self, now_ns: u64) {
        let elapsed_ms = now_ns.saturating_sub(self.last_ns.unwrap_or(now_ns)) / 1_000_000;
        self.last_ns = Some(now_ns);
        let mut verdicts = Vec::new();
        self.hear_on_air(&mut verdicts);
        self.hear_live(&mut verdicts);
        if self.deps.live_configured {
            self.see_card(elapsed_ms.min(ELAPSED_MS_MAX), &mut verdicts);
        }
        for verdict in verdicts {
            self.tell(verdict, now_ns);
        }
        self.deps.stats.alarms.set(&self.alarms);
    }

    fn hear_on_air(&mut self, verdicts: &mut Vec<Verdict>) {
        let pump = &self.deps.pump;
        let (mode, source) = (Mode::from_u8(pump.mode.load(Relaxed)), Source::from_u8(pump.on_air.load(Relaxed)));
        let meant = is_silence_meant(mode, source);
        let stats = &self.deps.stats.on_air;
        while let Some(frame) = self.deps.on_air_tap.pop() {
            if let Some(heard) = self.on_air.feed(&frame, stats) {
                self.judge.hear_on_air(&heard, meant, verdicts);
            }
        }
        self.on_air.publish(stats);
    }

    fn hear_live(&mut self, verdicts: &mut Vec<Verdict>) {
        let (state, opens) = (self.live_state(), self.deps.live.opens.get());
        if opens != self.opens_seen || matches!(state, LiveState::Off | LiveState::Waiting) {
            self.opens_seen = opens;
            self.live = Sound::default();
            self.judge.card_gone(verdicts);
        }
        let (stats, running) = (&self.deps.stats.live, state == LiveState::Running);
        while let Some(frame) = self.deps.live_tap.pop() {
            // What is left of a card that has gone says nothing about now.
            if let Some(heard) = running.then(|| self.live.feed(&frame, stats)).flatten() {
                self.judge.hear_live(&heard, verdicts);
            }
        }
        if running { self.live.publish(stats) } else { Sound::default().publish(stats) }
    }

    fn see_card(&mut self, elapsed_ms: u64, verdicts: &mut Vec<Verdict>) {
        let (live, state) = (&self.deps.live, self.live_state());
        let error = if state == LiveState::Running { String::new() } else { error_of(live) };
        let xruns = live.xruns.get();
        let card = Card { state, ppm: live.ppm.get(), xruns: xruns.saturating_sub(self.xruns_seen), error: &error };
        self.xruns_seen = xruns;
        self.judge.see_card(&card, elapsed_ms, verdicts);
        // Its reason may become known, or another one, while the alarm stands.
        if let Some(alarm) = self.alarms.iter_mut().find(|alarm| alarm.name == AlarmName::LiveLost) {
            alarm.text = lost_words(&error);
        }
    }

    fn live_state(&self) -> LiveState {
        LiveState::from_u8(self.deps.live.state.load(Relaxed))
    }

    /// Logs a change, and keeps the list.
    fn tell(&mut self, verdict: Verdict, now_ns: u64) {
        let Verdict { alarm: name, change, text } = verdict;
        match change {
            Change::Raised => {
                log::warn!("alarm {}: {text}", name.name());
                self.alarms.push(Alarm { name, text, since_ns: now_ns });
            }
            Change::Over => {
                let raised = self.alarms.iter().position(|alarm| alarm.name == name).map(|at| self.alarms.remove(at));
                let seconds = raised.map_or(0, |alarm| now_ns.saturating_sub(alarm.since_ns) / 1_000_000_000);
                log::info!("alarm {} is over after {seconds} s: {text}", name.name());
            }
        }
    }

    /// Starts the meter on its own thread, until it is stopped.
    ///
    /// # Errors
    /// When the kernel has no thread to give.
    pub fn start(mut self) -> io::Result<MeterHandle> {
        let stop = Arc::new(AtomicBool::new(false));
        let wish = stop.clone();
        let thread = thread::spawn("tower:meter", move || {
            while !wish.load(Relaxed) {
                self.round(now_ns());
                std::thread::park_timeout(Duration::from_millis(METER_ROUND_MS));
            }
        })?;
        Ok(MeterHandle { stop, thread: Some(thread) })
    }
}

/// A real-time thread locks this too, but only while no card runs.
fn error_of(live: &LiveStats) -> String {
    live.words.lock().unwrap_or_else(PoisonError::into_inner).error.clone()
}

/// A meter that runs.
#[derive(Debug)]
pub struct MeterHandle {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MeterHandle {
    /// Ends the meter with the round it is in. Called again, it does nothing.
    pub fn stop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Drop for MeterHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::meter::sounds::tone;

    const ROUND_NS: u64 = METER_ROUND_MS * 1_000_000;

    struct Bench {
        meter: Meter,
        rounds: u64,
    }

    impl Bench {
        fn new() -> Self {
            let deps = MeterDeps {
                pump: Arc::default(),
                live: Arc::default(),
                live_configured: true,
                on_air_tap: Arc::default(),
                live_tap: Arc::default(),
                stats: MeterStats::default(),
            };
            Self { meter: Meter::new(deps), rounds: 0 }
        }

        fn deps(&self) -> &MeterDeps {
            &self.meter.deps
        }

        fn live_is(&self, state: LiveState) {
            self.deps().live.state.store(state as u8, Relaxed);
        }

        /// Rounds of 96 ms with these four frames of the card each.
        fn rounds(&mut self, rounds: usize, frames: &[PumpFrame]) {
            for _ in 0..rounds {
                frames.iter().for_each(|frame| self.deps().live_tap.push(frame));
                self.rounds += 1;
                self.meter.round(self.rounds * ROUND_NS);
            }
        }

        fn live_figures(&self) -> [Option<f64>; 4] {
            let stats = &self.deps().stats.live;
            [&stats.peak_dbfs[0], &stats.rms_dbfs[1], &stats.lufs_momentary, &stats.lufs_short].map(|f| f.get())
        }

        fn alarms(&self) -> Vec<&'static str> {
            self.deps().stats.alarms.get().iter().map(|alarm| alarm.name.name()).collect()
        }
    }

    fn loud() -> Vec<PumpFrame> {
        tone(1000.0, [-20.0; 2], 4)
    }

    #[test]
    fn l1_v3_a_card_that_does_not_run_has_no_figures_and_starts_anew() {
        let mut bench = Bench::new();
        bench.deps().live.opens.add(1);
        bench.live_is(LiveState::Running);
        bench.rounds(40, &loud());
        let near = |found: Option<f64>, expected: f64| found.is_some_and(|found| (found - expected).abs() < 0.2);
        let [peak, rms, momentary, short] = bench.live_figures();
        assert!(near(peak, -20.0) && near(rms, -23.01) && near(momentary, -20.0) && near(short, -20.0));
        bench.live_is(LiveState::Waiting);
        bench.rounds(1, &loud());
        assert_eq!(bench.live_figures(), [None; 4], "what is left in the tap does not count");
        bench.live_is(LiveState::Running);
        bench.deps().live.opens.add(1);
        bench.rounds(5, &tone(1000.0, [-40.0; 2], 4));
        let [peak, rms, momentary, short] = bench.live_figures();
        assert!(near(peak, -40.0) && near(rms, -43.01) && near(momentary, -40.0), "nothing of the card before");
        assert_eq!(short, None);
        // One that went and came back between two rounds.
        bench.deps().live.opens.add(1);
        bench.rounds(1, &loud()[..3]);
        assert_eq!(bench.live_figures(), [None; 4]);
    }

    #[test]
    fn l3_l4_alarms_are_listed_while_they_stand() {
        let mut bench = Bench::new();
        bench.rounds(50, &[]);
        assert_eq!(bench.alarms(), [""; 0], "5 s are not over yet");
        bench.rounds(1, &[]);
        assert_eq!(bench.alarms(), ["live_lost"]);
        bench.deps().live.words.lock().expect("one thread").error = "no such device".into();
        bench.rounds(1, &[]);
        let alarm = bench.deps().stats.alarms.get().remove(0);
        assert_eq!(alarm.text, "the sound card does not run: no such device");
        assert_eq!(alarm.since_ns, 51 * ROUND_NS);
        bench.live_is(LiveState::Running);
        bench.rounds(1, &[]);
        assert_eq!(bench.alarms(), [""; 0]);
        bench.deps().live.xruns.add(9);
        bench.rounds(200, &tone(1000.0, [6.0, -200.0], 4));
        assert_eq!(bench.alarms(), ["live_xruns", "live_clipping", "live_imbalance"]);
        bench.live_is(LiveState::Waiting);
        bench.rounds(1, &[]);
        assert_eq!(bench.alarms(), ["live_xruns", "live_lost"]);
    }

    #[test]
    fn l4_a_meter_that_stood_still_has_seen_nothing_meanwhile() {
        let mut bench = Bench::new();
        bench.rounds(1, &[]);
        bench.rounds += 100 * 600;
        bench.rounds(1, &[]);
        assert_eq!(bench.alarms(), [""; 0], "ten minutes that were not seen are no 5 s without a card");
    }

    #[test]
    fn l5_it_drains_the_taps_counts_what_did_not_fit_and_stops_at_once() {
        let bench = Bench::new();
        let (tap, stats) = (bench.deps().on_air_tap.clone(), bench.deps().stats.clone());
        tone(1000.0, [-20.0; 2], 40).iter().for_each(|frame| tap.push(frame));
        assert_eq!(tap.dropped(), 8, "it holds 32, and nobody waits");
        let mut meter = bench.meter.start().expect("thread");
        let start = Instant::now();
        while stats.on_air.rms_dbfs[0].get().is_none() {
            assert!(start.elapsed() < Duration::from_secs(5), "nothing is published");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(tap.pop().is_none());
        let stopping = Instant::now();
        meter.stop();
        meter.stop();
        assert!(stopping.elapsed() < Duration::from_millis(200), "{:?}", stopping.elapsed());
    }
}
