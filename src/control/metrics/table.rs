//! Which number of `/status` is which metric.

/// How a value behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, until the tower starts anew.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// One sample.
#[derive(Debug)]
pub(super) struct Row {
    /// Where it stands in `/status`: a JSON pointer.
    pub(super) pointer: &'static str,
    pub(super) name: &'static str,
    /// With their braces; empty: none.
    pub(super) labels: &'static str,
    pub(super) kind: Kind,
    /// How many of the status' unit are one of the metric's.
    pub(super) per_unit: f64,
    pub(super) help: &'static str,
}

const fn row(pointer: &'static str, name: &'static str, kind: Kind, help: &'static str) -> Row {
    Row { pointer, name, labels: "", kind, per_unit: 1.0, help }
}

const fn counter(pointer: &'static str, name: &'static str, help: &'static str) -> Row {
    row(pointer, name, Kind::Counter, help)
}

const fn gauge(pointer: &'static str, name: &'static str, help: &'static str) -> Row {
    row(pointer, name, Kind::Gauge, help)
}

const fn ms(pointer: &'static str, name: &'static str, help: &'static str) -> Row {
    Row { per_unit: 1000.0, ..row(pointer, name, Kind::Gauge, help) }
}

const fn of(labels: &'static str, row: Row) -> Row {
    Row { labels, ..row }
}

const LEFT: &str = "{channel=\"left\"}";
const RIGHT: &str = "{channel=\"right\"}";
const STATION: &str = "{queue=\"station\"}";
const MP3: &str = "{queue=\"mp3\"}";
const LIVE: &str = "{queue=\"live\"}";
const PEAK: &str = "Highest sample of the last moment on air, before the encoder; no sample: silence.";
const RMS: &str = "Level on air, before the encoder; no sample: silence.";
const LIVE_PEAK: &str = "Highest sample of the last moment of the sound card.";
const LIVE_RMS: &str = "Level of the sound card.";
const PULL_PEAK: &str = "Highest sample of the last moment of the pulled stream, as it comes in.";
const PULL_RMS: &str = "Level of the pulled stream, as it comes in.";
const QUEUE: &str = "Frames of 24 ms that wait in the queue.";
const QUEUE_MAX: &str = "Frames that the queue can hold.";
const OVERFLOW: &str = "Frames that the full queue had no room for.";

/// Samples of one metric stand together, as the format wants it.
pub(super) const TABLE: &[Row] = &[
    gauge("/uptime_sec", "tower_uptime_seconds", "Since the tower was started."),
    gauge(
        "/healthy",
        "tower_healthy",
        "1: it has heard its own stream without fault for ten seconds; what /healthz says.",
    ),
    counter("/frames_on_air", "tower_frames_on_air_total", "MP3 frames put on air, one each 24 ms."),
    ms("/worst_gap_ms", "tower_worst_gap_seconds", "Longest time between two frames on air since the start."),
    of(LEFT, gauge("/levels/peak_dbfs/0", "tower_level_peak_dbfs", PEAK)),
    of(RIGHT, gauge("/levels/peak_dbfs/1", "tower_level_peak_dbfs", PEAK)),
    of(LEFT, gauge("/levels/rms_dbfs/0", "tower_level_rms_dbfs", RMS)),
    of(RIGHT, gauge("/levels/rms_dbfs/1", "tower_level_rms_dbfs", RMS)),
    gauge("/levels/lufs_momentary", "tower_loudness_momentary_lufs", "Loudness on air over 0.4 s (EBU R 128)."),
    gauge("/levels/lufs_short", "tower_loudness_short_lufs", "Loudness on air over 3 s."),
    gauge("/levels/lufs_integrated", "tower_loudness_integrated_lufs", "Loudness on air since the start, gated."),
    counter(
        "/levels/clipped",
        "tower_clipped_samples_total",
        "Samples on air at full scale, in runs of three or more.",
    ),
    gauge("/live/rate", "tower_live_sample_rate_hertz", "Sample rate of the sound card that runs."),
    gauge("/live/channels", "tower_live_channels", "Channels of the sound card that runs."),
    gauge("/live/period_frames", "tower_live_period_frames", "The card's frames between two wake-ups."),
    gauge("/live/buffer_frames", "tower_live_buffer_frames", "The card's frames that the system holds."),
    gauge("/live/real_time", "tower_live_real_time", "1: a card runs, with real-time priority."),
    gauge("/live/ppm", "tower_live_clock_offset_ppm", "How much faster the card's crystal is than the tower's clock."),
    counter(
        "/live/xruns",
        "tower_live_xruns_total",
        "Times that the card's sound was lost because nobody came for it.",
    ),
    counter("/live/losses", "tower_live_losses_total", "Times that a card went away or was given up."),
    counter("/live/restarts", "tower_live_restarts_total", "Streams begun anew on an open card."),
    ms("/live/queue_ms", "tower_live_queue_seconds", "What waits between the card and the pump."),
    ms("/live/latency_ms", "tower_live_latency_seconds", "From the card's sample to its MP3 frame on air."),
    of(LEFT, gauge("/live/peak_dbfs/0", "tower_live_peak_dbfs", LIVE_PEAK)),
    of(RIGHT, gauge("/live/peak_dbfs/1", "tower_live_peak_dbfs", LIVE_PEAK)),
    of(LEFT, gauge("/live/rms_dbfs/0", "tower_live_rms_dbfs", LIVE_RMS)),
    of(RIGHT, gauge("/live/rms_dbfs/1", "tower_live_rms_dbfs", LIVE_RMS)),
    gauge("/live/lufs_momentary", "tower_live_loudness_momentary_lufs", "Loudness of the card over 0.4 s."),
    gauge("/live/lufs_short", "tower_live_loudness_short_lufs", "Loudness of the card over 3 s."),
    gauge("/live/lufs_integrated", "tower_live_loudness_integrated_lufs", "Loudness of the card since it runs, gated."),
    counter("/live/clipped", "tower_live_clipped_samples_total", "Samples of the card at full scale, in runs."),
    gauge("/encoder/spare_ready", "tower_encoder_spare_ready", "1: a second FFmpeg stands by to take over."),
    counter("/encoder/restarts", "tower_encoder_restarts_total", "Encoders that took the place of another."),
    counter(
        "/encoder/failures",
        "tower_encoder_failures_total",
        "Encoders that ended, stood still or gave wrong frames.",
    ),
    counter("/encoder/stalls", "tower_encoder_stalls_total", "Those of them that stood still."),
    counter("/encoder/desyncs", "tower_encoder_desyncs_total", "Those of them that gave wrong frames."),
    counter(
        "/encoder/fillers",
        "tower_encoder_fillers_total",
        "Stand-in frames on air because no encoder had given one.",
    ),
    counter(
        "/encoder/late_frames",
        "tower_encoder_late_frames_total",
        "Frames that came after their tick and were left out.",
    ),
    counter("/encoder/slow_frames", "tower_encoder_slow_frames_total", "Frames that an encoder took long for."),
    counter(
        "/encoder/pcm_dropped",
        "tower_encoder_pcm_dropped_frames_total",
        "Frames of sound that the encoder did not take.",
    ),
    ms(
        "/encoder/recovery_ms/median",
        "tower_encoder_recovery_median_seconds",
        "From an encoder's end to its successor's first frame.",
    ),
    ms("/encoder/recovery_ms/worst", "tower_encoder_recovery_worst_seconds", "The longest of these."),
    of(STATION, gauge("/pcm_buffer/count", "tower_queue_frames", QUEUE)),
    of(MP3, gauge("/mp3_buffer/count", "tower_queue_frames", QUEUE)),
    of(STATION, gauge("/pcm_buffer/capacity", "tower_queue_capacity_frames", QUEUE_MAX)),
    of(MP3, gauge("/mp3_buffer/capacity", "tower_queue_capacity_frames", QUEUE_MAX)),
    of(STATION, counter("/pcm_buffer/overflow_count", "tower_queue_overflow_frames_total", OVERFLOW)),
    of(MP3, counter("/mp3_buffer/overflow_count", "tower_queue_overflow_frames_total", OVERFLOW)),
    of(LIVE, counter("/live/overflows", "tower_queue_overflow_frames_total", OVERFLOW)),
    gauge("/listeners/now", "tower_listeners", "Who listens now."),
    ms("/listeners/batch_ms", "tower_batch_seconds", "Sound that a listener gets in one send."),
    gauge("/listeners/peak", "tower_listeners_peak", "Most at once since the start."),
    counter("/listeners/total", "tower_listeners_total", "All who came."),
    counter(
        "/listeners/dropped_slow",
        "tower_listeners_dropped_slow_total",
        "Those who did not keep up and were let go.",
    ),
    counter("/listeners/skipped_slow", "tower_listeners_skipped_slow_total", "Times that one was moved on to live."),
    counter(
        "/listeners/rejected",
        "tower_connections_rejected_total",
        "Connections that were refused: no place, or too many at once.",
    ),
    gauge(
        "/listeners/unacknowledged_bytes",
        "tower_listeners_unacknowledged_bytes",
        "What the kernel holds for all of them.",
    ),
    counter("/listeners/bad_requests", "tower_bad_requests_total", "Requests that were no HTTP, too long or too slow."),
    gauge("/events/subscribers", "tower_event_subscribers", "Who is told what happens (/events)."),
    counter("/events/total", "tower_event_subscribers_total", "All of them who came."),
    counter(
        "/events/dropped_slow",
        "tower_event_subscribers_dropped_slow_total",
        "Those who fell behind and were let go.",
    ),
    counter("/events/dropped", "tower_events_dropped_total", "Messages that the door had no room for."),
    gauge("/relay/connected", "tower_relay_connected", "1: the other server takes the stream."),
    counter("/relay/connections", "tower_relay_connections_total", "Times that it was connected."),
    counter("/relay/sent_bytes", "tower_relay_sent_bytes_total", "Bytes given to it."),
    counter("/pull/restarts", "tower_pull_restarts_total", "Attempts at the pulled stream after the first one."),
    counter("/pull/gaps", "tower_pull_gaps_total", "Times that nothing of the pulled stream waited any more."),
    ms("/pull/queue_ms", "tower_pull_queue_seconds", "What waits of the pulled stream."),
    gauge(
        "/pull/correction_ppm",
        "tower_pull_correction_ppm",
        "By how much the pulled stream is stretched; below 0: shortened.",
    ),
    of(LEFT, gauge("/pull/peak_dbfs/0", "tower_pull_peak_dbfs", PULL_PEAK)),
    of(RIGHT, gauge("/pull/peak_dbfs/1", "tower_pull_peak_dbfs", PULL_PEAK)),
    of(LEFT, gauge("/pull/rms_dbfs/0", "tower_pull_rms_dbfs", PULL_RMS)),
    of(RIGHT, gauge("/pull/rms_dbfs/1", "tower_pull_rms_dbfs", PULL_RMS)),
    gauge("/ingest/senders", "tower_station_senders", "1: a station sends; 0: none does."),
    counter("/ingest/connections", "tower_station_connections_total", "Stations that came."),
    counter("/ingest/refused", "tower_station_refused_total", "Those refused because another one sends."),
    counter("/ingest/partial_frames", "tower_station_partial_frames_total", "Connections that ended within a frame."),
    counter("/ticks/count", "tower_ticks_total", "Ticks of 24 ms."),
    counter("/ticks/late", "tower_ticks_late_total", "Ticks that woke 12 ms late or more."),
    counter("/ticks/skipped", "tower_ticks_skipped_total", "Ticks that never happened."),
    counter("/ticks/underruns", "tower_ticks_underruns_total", "Ticks without a frame of an input that was there."),
    gauge("/ticks/real_time", "tower_real_time", "1: the pump has real-time priority."),
];

/// Name, where its word stands, the label, help.
pub(super) const WORDS: &[(&str, &str, &str, &str)] = &[
    ("tower_build_info", "/version", "version", "Always 1; the label is the version."),
    ("tower_mode", "/mode", "mode", "Always 1; the label says who decides what is on air."),
    ("tower_source", "/source", "source", "Always 1; the label is what is on air."),
    ("tower_encoder_state", "/encoder/state", "state", "Always 1; the label is the encoder's state."),
    ("tower_pull_state", "/pull/state", "state", "Always 1; the label is the pulled stream's state."),
    ("tower_live_state", "/live/state", "state", "Always 1; the label is the sound card's state."),
];

pub(super) const ALARM: (&str, &str) = ("tower_alarm", "1: the alarm stands.");
pub(super) const LATENESS: (&str, &str) = ("tower_tick_lateness_seconds", "How late each tick woke.");

/// Numbers of `/status` that are no metric of their own, each with its reason.
#[cfg(test)]
pub(super) const LEFT_OUT: &[(&str, &str)] = &[
    ("/encoder/pid", "names a process"),
    ("/encoder/spare_pid", "names a process"),
    ("/pull/pid", "names a process"),
    ("/pcm_buffer/fill", "is count by its old name"),
    ("/pcm_buffer/ratio", "is count by capacity"),
    ("/ticks/lateness_us/p50", "is in the histogram"),
    ("/ticks/lateness_us/p99", "is in the histogram"),
    ("/ticks/lateness_us/p999", "is in the histogram"),
    ("/ticks/lateness_us/max", "is in the histogram"),
];
