//! `/status`: everything a person asks first. Read from atomics and short copies; nobody is made to wait.

mod pull;
mod sound;

use std::sync::{Arc, atomic::Ordering::Relaxed};

use serde::Serialize;

use self::{
    pull::PulledStatus,
    sound::{AlarmStatus, LevelsStatus, LiveStatus},
};
use super::ingest_events::NowPlaying;
use crate::{
    appliance::report::Report,
    encoder::EncoderState,
    input::pull::source::Source as PulledFrom,
    meter::MeterStats,
    pump::selector::{Mode, Reason, Source},
    relay::{RelayStats, target::Target},
    ring::{FrameRingBuffer, RingStats},
    router::{AudioInputRouter, InputId},
    stats::{EncoderStats, EventStats, IngestStats, ListenerStats, LiveStats, PullStats, PumpStats},
    sys::time::now_ns,
};

/// Where the figures are read.
#[derive(Clone)]
pub struct StatusSources {
    /// Ticks, and what is on air.
    pub pump: Arc<PumpStats>,
    /// FFmpeg.
    pub encoder: Arc<EncoderStats>,
    /// Who listens.
    pub listeners: Arc<ListenerStats>,
    /// Who sends.
    pub ingest: Arc<IngestStats>,
    /// The inputs' queues.
    pub router: Arc<AudioInputRouter>,
    /// The queue between encoder and broadcaster.
    pub mp3: Arc<FrameRingBuffer>,
    /// The sound card.
    pub live: Arc<LiveStats>,
    /// Its name in the configuration; none: there is no live input.
    pub live_device: Option<String>,
    /// Levels and alarms.
    pub meter: MeterStats,
    /// Who is told what happens.
    pub events: Arc<EventStats>,
    /// Where the stream is pushed to, and how that goes; none: nowhere.
    pub relay: Option<(Target, Arc<RelayStats>)>,
    /// The stream that is pulled in as an input, and how that goes; none: there is no such input.
    pub pull: Option<(PulledFrom, Arc<PullStats>)>,
    /// What the box said when it was started; none: this is not the box.
    pub box_report: Option<Arc<Report>>,
    /// `sys::time::now_ns` when the tower started.
    pub started_ns: u64,
}

/// A queue of the tower, as in `/tower/buffer` (K1: stable for ever).
#[derive(Debug, Serialize, PartialEq)]
pub struct BufferStatus {
    fill: usize,
    capacity: usize,
    count: usize,
    overflow_count: u64,
    ratio: f64,
}

impl BufferStatus {
    /// The status of a queue.
    #[allow(clippy::cast_precision_loss)] // a few thousand frames at most
    pub fn of(stats: RingStats) -> Self {
        Self {
            fill: stats.count,
            capacity: stats.capacity,
            count: stats.count,
            overflow_count: stats.overflow_count,
            ratio: stats.count as f64 / stats.capacity.max(1) as f64,
        }
    }
}

/// The relay; `error`: why it is not connected.
#[derive(Debug, Serialize)]
struct RelayStatus {
    url: String,
    connected: bool,
    connections: u64,
    sent_bytes: u64,
    error: Option<String>,
}

/// The JSON of `/status`, in the order in which it is read.
#[derive(Debug, Serialize)]
pub struct Status {
    version: &'static str,
    uptime_sec: u64,
    mode: &'static str,
    source: &'static str,
    reason: &'static str,
    title: Option<String>,
    artist: Option<String>,
    healthy: bool,
    alarms: Vec<AlarmStatus>,
    levels: LevelsStatus,
    live: LiveStatus,
    encoder: EncoderStatus,
    pcm_buffer: BufferStatus,
    mp3_buffer: Mp3BufferStatus,
    listeners: ListenersStatus,
    events: EventsStatus,
    relay: Option<RelayStatus>,
    pull: Option<PulledStatus>,
    ingest: IngestStatus,
    ticks: TicksStatus,
    frames_on_air: u64,
    worst_gap_ms: u64,
    #[serde(rename = "box")]
    box_report: Option<Arc<Report>>,
}

#[derive(Debug, Serialize)]
struct EncoderStatus {
    state: &'static str,
    pid: Option<u32>,
    spare_pid: Option<u32>,
    spare_ready: bool,
    restarts: u64,
    failures: u64,
    stalls: u64,
    desyncs: u64,
    fillers: u64,
    late_frames: u64,
    slow_frames: u64,
    pcm_dropped: u64,
    recovery_ms: RecoveryStatus,
}

#[derive(Debug, Serialize)]
struct RecoveryStatus {
    median: u64,
    worst: u64,
}

#[derive(Debug, Serialize)]
struct Mp3BufferStatus {
    count: usize,
    capacity: usize,
    overflow_count: u64,
}

#[derive(Debug, Serialize)]
struct ListenersStatus {
    now: u64,
    peak: u64,
    total: u64,
    dropped_slow: u64,
    skipped_slow: u64,
    rejected: u64,
    unacknowledged_bytes: u64,
    batch_ms: u64,
    bad_requests: u64,
}

#[derive(Debug, Serialize)]
struct EventsStatus {
    subscribers: u64,
    total: u64,
    dropped_slow: u64,
    dropped: u64,
}

#[derive(Debug, Serialize)]
struct IngestStatus {
    senders: u64,
    connections: u64,
    refused: u64,
    partial_frames: u64,
}

#[derive(Debug, Serialize)]
struct TicksStatus {
    count: u64,
    late: u64,
    skipped: u64,
    underruns: u64,
    real_time: bool,
    lateness_us: LatenessStatus,
}

#[derive(Debug, Serialize)]
struct LatenessStatus {
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

impl StatusSources {
    /// The status now.
    pub fn status(&self, playing: NowPlaying, healthy: bool) -> Status {
        let now_ns = now_ns();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            uptime_sec: now_ns.saturating_sub(self.started_ns) / 1_000_000_000,
            mode: Mode::from_u8(self.pump.mode.load(Relaxed)).name(),
            source: Source::from_u8(self.pump.on_air.load(Relaxed)).name(),
            reason: Reason::from_u8(self.pump.reason.load(Relaxed)).text(),
            title: playing.title,
            artist: playing.artist,
            healthy,
            alarms: self.alarms(now_ns),
            levels: self.levels(),
            live: self.live(),
            encoder: self.encoder(),
            pcm_buffer: BufferStatus::of(self.router.get_stats(InputId::Station)),
            mp3_buffer: self.mp3_buffer(),
            listeners: self.listeners(),
            events: self.events(),
            relay: self.relay(),
            pull: self.pull(),
            ingest: self.ingest(),
            ticks: self.ticks(),
            frames_on_air: self.listeners.frames_on_air.get(),
            worst_gap_ms: self.listeners.worst_gap_ms.get(),
            box_report: self.box_report.clone(),
        }
    }

    /// The encoder's state.
    pub fn encoder_state(&self) -> EncoderState {
        EncoderState::from_u8(self.encoder.state.load(Relaxed))
    }

    fn relay(&self) -> Option<RelayStatus> {
        self.relay.as_ref().map(|(target, stats)| RelayStatus {
            url: target.to_string(),
            connected: stats.connected.get() == 1,
            connections: stats.connections.get(),
            sent_bytes: stats.sent_bytes.get(),
            error: stats.error(),
        })
    }

    fn encoder(&self) -> EncoderStatus {
        let stats = &self.encoder;
        let pid = |pid: u32| (pid != 0).then_some(pid);
        EncoderStatus {
            state: self.encoder_state().name(),
            pid: pid(stats.pid.load(Relaxed)),
            spare_pid: pid(stats.spare_pid.load(Relaxed)),
            spare_ready: stats.spare_ready.load(Relaxed),
            restarts: stats.restarts.get(),
            failures: stats.failures.get(),
            stalls: stats.stalls.get(),
            desyncs: stats.desyncs.get(),
            fillers: stats.fillers.get(),
            late_frames: stats.late_frames.get(),
            slow_frames: stats.slow_frames.get(),
            pcm_dropped: stats.pcm_dropped.get(),
            recovery_ms: RecoveryStatus { median: stats.recovery_ms.percentile(500), worst: stats.recovery_ms.max() },
        }
    }

    fn mp3_buffer(&self) -> Mp3BufferStatus {
        let stats = self.mp3.stats();
        Mp3BufferStatus { count: stats.count, capacity: stats.capacity, overflow_count: stats.overflow_count }
    }

    fn listeners(&self) -> ListenersStatus {
        let stats = &self.listeners;
        ListenersStatus {
            now: stats.now.get(),
            peak: stats.peak.get(),
            total: stats.total.get(),
            dropped_slow: stats.dropped_slow.get(),
            skipped_slow: stats.skipped_slow.get(),
            rejected: stats.rejected.get(),
            unacknowledged_bytes: stats.unacknowledged_bytes.get(),
            batch_ms: stats.batch_ms.get(),
            bad_requests: stats.bad_requests.get(),
        }
    }

    fn events(&self) -> EventsStatus {
        let stats = &self.events;
        EventsStatus {
            subscribers: stats.subscribers.get(),
            total: stats.total.get(),
            dropped_slow: stats.dropped_slow.get(),
            dropped: stats.dropped.get(),
        }
    }

    fn ingest(&self) -> IngestStatus {
        IngestStatus {
            senders: self.ingest.senders.get(),
            connections: self.ingest.connections.get(),
            refused: self.ingest.refused.get(),
            partial_frames: self.ingest.partial_frames.get(),
        }
    }

    fn ticks(&self) -> TicksStatus {
        let stats = &self.pump;
        TicksStatus {
            count: stats.ticks.get(),
            late: stats.late.get(),
            skipped: stats.skipped.get(),
            underruns: stats.underruns.get(),
            real_time: stats.real_time.load(Relaxed),
            lateness_us: LatenessStatus {
                p50: stats.lateness_us.percentile(500),
                p99: stats.lateness_us.percentile(990),
                p999: stats.lateness_us.percentile(999),
                max: stats.lateness_us.max(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k1_the_buffer_is_five_figures() {
        let stats = RingStats { count: 25, capacity: 100, overflow_count: 7 };
        assert_eq!(
            serde_json::to_string(&BufferStatus::of(stats)).expect("JSON"),
            r#"{"fill":25,"capacity":100,"count":25,"overflow_count":7,"ratio":0.25}"#
        );
    }
}
