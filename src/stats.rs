//! What the threads publish, and the control plane reads.
//!
//! Plain atomics, one writer each unless said otherwise: a reader can never make
//! a writer wait, so nothing a person does with the status page reaches the
//! tick. Counters are 64-bit and only grow; gauges say so.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::histogram::Histogram;

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
    /// Requests that broke a rule of the door (400, 408, 413, 431, …).
    pub bad_requests: Counter,
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
