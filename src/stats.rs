//! What the threads publish, and the control plane reads.
//!
//! Plain atomics, one writer each unless said otherwise: a reader can never make
//! a writer wait, so nothing a person does with the status page reaches the
//! tick. Counters are 64-bit and only grow; gauges say so.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
};

use crate::{frame::CHANNELS, histogram::Histogram};

/// A counter that any thread may read. `add` is a relaxed fetch-add.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A value that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Keeps the larger of the value and `value`.
    pub fn raise(&self, value: u64) {
        self.0.fetch_max(value, Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A figure with two digits after the point, such as a level in dB, which there may not be.
#[derive(Debug)]
pub struct Figure(AtomicI32);

impl Default for Figure {
    /// None yet.
    fn default() -> Self {
        Self(AtomicI32::new(i32::MIN))
    }
}

impl Figure {
    /// Replaces the figure. What is not finite (the level of silence) is none.
    #[allow(clippy::cast_possible_truncation)] // `as` saturates
    pub fn set(&self, figure: Option<f64>) {
        let hundredths = figure.filter(|figure| figure.is_finite()).map(|figure| (figure * 100.0).round() as i32);
        self.0.store(hundredths.unwrap_or(i32::MIN), Relaxed);
    }

    /// The figure now.
    pub fn get(&self) -> Option<f64> {
        let hundredths = self.0.load(Relaxed);
        (hundredths != i32::MIN).then(|| f64::from(hundredths) / 100.0)
    }
}

/// Written by the pump.
#[derive(Debug, Default)]
pub struct PumpStats {
    /// Ticks that happened, each of which handed on one frame.
    pub ticks: Counter,
    /// Ticks that woke 12 ms or more after their deadline.
    pub late: Counter,
    /// Ticks that never happened (A4).
    pub skipped: Counter,
    /// Ticks without a frame from an input that was still present (Q4).
    pub underruns: Counter,
    /// Wake-up lateness in microseconds: after the moment that was asked for.
    pub lateness_us: Histogram,
    /// `pump::selector::Mode` as a number.
    pub mode: AtomicU8,
    /// What is heard: `pump::selector::Source` as a number.
    pub on_air: AtomicU8,
    /// Why: `Reason` as a number.
    pub reason: AtomicU8,
    /// Real-time priority was granted.
    pub real_time: AtomicBool,
    /// How the sound card's input stands: `pump::presence::Standing` as a number.
    pub live: AtomicU8,
    /// How the relay stands, in the same way.
    pub relay: AtomicU8,
}

/// Written by the capture thread.
#[derive(Debug, Default)]
pub struct LiveStats {
    /// `input::live::LiveState` as a number.
    pub state: AtomicU8,
    /// A card runs, and real-time priority was granted.
    pub real_time: AtomicBool,
    /// What is captured, as the card gives it; all zero while there is none.
    pub rate_hz: AtomicU32,
    /// The card's own channels.
    pub channels: AtomicU32,
    /// `input::live::convert::SampleFormat` as a number.
    pub format: AtomicU8,
    /// The card's frames between two wake-ups.
    pub period_frames: AtomicU32,
    /// The card's frames that the system holds for us.
    pub buffer_frames: AtomicU32,
    /// How much faster the card's crystal is than the tower's clock.
    pub ppm: Figure,
    /// What waits between the card and the pump, in milliseconds.
    pub queue_ms: Figure,
    /// From the card's sample to its MP3 frame on air, in milliseconds.
    pub latency_ms: Figure,
    /// Times that the card's sound was lost because nobody came for it.
    pub xruns: Counter,
    /// Times that a card was opened.
    pub opens: Counter,
    /// Times that a card went away, or had to be given up.
    pub losses: Counter,
    /// Streams begun anew on an open card: after an xrun or a standstill.
    pub restarts: Counter,
    /// What the card is and why it does not run, in words. Locked while no card runs, and by readers.
    pub words: Mutex<LiveWords>,
}

/// What there is to say about a card.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LiveWords {
    /// Its ALSA name, as it was opened.
    pub pcm: String,
    /// Its name for people.
    pub name: String,
    /// Why none runs; empty: one does.
    pub error: String,
}

/// Written by the `tower:pull` thread.
#[derive(Debug, Default)]
pub struct PullStats {
    /// `input::pull::PullState` as a number.
    pub state: AtomicU8,
    /// Process id of the FFmpeg that decodes; 0: none.
    pub pid: AtomicU32,
    /// FFmpegs that were started after the first one.
    pub restarts: Counter,
    /// Times that nothing waited any more and the input was absent.
    pub gaps: Counter,
    /// What waits for the pump, in milliseconds.
    pub queue_ms: Figure,
    /// By how much its sound is stretched, in parts per million (below 0: it is shortened).
    pub correction_ppm: Figure,
    /// Peak and RMS of what is taken in: it is heard when what waits before it was.
    pub levels: SoundStats,
    /// Locked by the thread when there is something new to say, and by readers.
    pub words: Mutex<PullWords>,
}

/// What there is to say about a stream that is pulled.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PullWords {
    /// What it says that it plays; empty: nothing.
    pub title: String,
    /// Why it does not come; empty: it does.
    pub error: String,
}

/// Levels of one sound: what is on air, or what the card gives. Written by the meter.
#[derive(Debug, Default)]
pub struct SoundStats {
    /// Highest sample of the last second, per channel, in dBFS; none: digital silence.
    pub peak_dbfs: [Figure; CHANNELS],
    /// RMS of the last 300 ms, per channel, in dBFS (a full-scale square wave is 0).
    pub rms_dbfs: [Figure; CHANNELS],
    /// EBU R128, the last 400 ms.
    pub lufs_momentary: Figure,
    /// EBU R128, the last 3 s.
    pub lufs_short: Figure,
    /// EBU R128, gated, the last hour.
    pub lufs_integrated: Figure,
    /// Samples at full scale in runs of three and more.
    pub clipped: Counter,
}

/// Written by the encoder thread, but for what the broadcaster notes.
#[derive(Debug, Default)]
pub struct EncoderStats {
    /// `encoder::EncoderState` as a number.
    pub state: AtomicU8,
    /// Process id of the active child; 0: none.
    pub pid: AtomicU32,
    /// Process id of the spare; 0: none.
    pub spare_pid: AtomicU32,
    /// The spare has delivered its first frame and is ready.
    pub spare_ready: AtomicBool,
    /// Children that replaced a failed one.
    pub restarts: Counter,
    /// Failures of the kind "stall".
    pub stalls: Counter,
    /// Failures of the kind "desync".
    pub desyncs: Counter,
    /// Every failure, whatever its kind.
    pub failures: Counter,
    /// MP3 frames handed to the broadcaster.
    pub frames: Counter,
    /// MP3 frames that came after their turn and were thrown away.
    pub late_frames: Counter,
    /// Distances between two MP3 frames over 36 ms.
    pub slow_frames: Counter,
    /// PCM frames that the encoder's queue could not take.
    pub pcm_dropped: Counter,
    /// Stand-in frames on air (silent fillers and the tone loop). Written by the broadcaster.
    pub fillers: Counter,
    /// Of these, frames of the tone loop. Written by the broadcaster.
    pub tone_loop_frames: Counter,
    /// Detection of a failure to the first owed frame, in milliseconds.
    pub recovery_ms: Histogram,
    /// How the last failure ended. Written by the main thread, never by the encoder's.
    pub last_failure: Mutex<String>,
}

impl EncoderStats {
    /// How the last failure ended; empty: there was none.
    pub fn last_failure(&self) -> String {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Who is told what happens. Written by the door, but for `dropped`, which is the feed's.
#[derive(Debug, Default)]
pub struct EventStats {
    /// Who is there now.
    pub subscribers: Gauge,
    /// All who came.
    pub total: Counter,
    /// Those who fell behind and were let go.
    pub dropped_slow: Counter,
    /// Messages that the door had no room for.
    pub dropped: Counter,
}

/// Written by the `tower:http` thread.
#[derive(Debug, Default)]
pub struct ListenerStats {
    /// Listeners connected now.
    pub now: Gauge,
    /// The most at any time.
    pub peak: Gauge,
    /// All that ever were.
    pub total: Counter,
    /// Disconnected for being slow.
    pub dropped_slow: Counter,
    /// Moved to live for being slow (`slow = "skip"`).
    pub skipped_slow: Counter,
    /// Refused at a limit.
    pub rejected: Counter,
    /// Unacknowledged bytes of all listeners.
    pub unacknowledged_bytes: Gauge,
    /// A listener gets so much at once.
    pub batch_ms: Gauge,
    /// Requests that broke a rule of the door (400, 408, 413, 431, …).
    pub bad_requests: Counter,
    /// Titles that came while too many others waited to be heard.
    pub titles_dropped: Counter,
    /// Frames put on air, stand-ins included.
    pub frames_on_air: Counter,
    /// The longest time between two frames put on air, in milliseconds.
    pub worst_gap_ms: Gauge,
}

/// Written by the `tower:ingest` thread.
#[derive(Debug, Default)]
pub struct IngestStats {
    /// Senders connected now.
    pub senders: Gauge,
    /// Senders that ever were.
    pub connections: Counter,
    /// Senders turned away because `SENDERS_MAX` were there.
    pub refused: Counter,
    /// Partial frames discarded at the end of a sender (N2).
    pub partial_frames: Counter,
    /// Bytes read and discarded because another sender holds the floor (N4).
    pub bytes_without_floor: Counter,
}

/// Written by the log's callers and the `tower:log` thread.
#[derive(Debug, Default)]
pub struct LogStats {
    /// Lines that a file, the system's log or stderr took.
    pub lines: Counter,
    /// Lines that the full queue could not take. Written by the callers.
    pub dropped: Counter,
    /// Lines that nothing would take: disk full, no system log, stderr blocked.
    pub lost: Counter,
}
