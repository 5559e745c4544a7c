//! The tower's configuration, checked and complete.

use std::path::PathBuf;

use crate::{input::pull::source::Source, pump::level::SilenceRule, relay::target::Target};

/// Everything the tower can be told.
#[derive(Debug, Clone, PartialEq)]
pub struct TowerConfig {
    /// Where listeners connect.
    pub http: HttpConfig,
    /// `[stream]`
    pub stream: StreamConfig,
    /// `[relay]`: where to; none: nowhere.
    pub relay: Option<Target>,
    /// `[pull]`: the stream that is the input `relay`; none: there is no such input.
    pub pull: Option<Source>,
    /// `[announce]`: the network is told by mDNS.
    pub announce: bool,
    /// Where stations connect.
    pub ingest: IngestConfig,
    /// Who may change things.
    pub control: ControlConfig,
    /// The inputs and their order.
    pub input: InputConfig,
    /// The sound card.
    pub live: LiveConfig,
    /// What happens when no input has anything.
    pub fallback: FallbackConfig,
    /// FFmpeg.
    pub encoder: EncoderConfig,
    /// Where log lines go.
    pub log: LogConfig,
    /// From the wish to stop to the last thread joined.
    pub shutdown_timeout_sec: u64,
    /// Where sockets lie when nobody says otherwise; `prepare` makes it.
    pub runtime_dir: PathBuf,
}

/// `[http]`
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// Address to bind: `::` is every address of both families.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// `[stream]`
#[derive(Debug, Clone, PartialEq)]
pub struct StreamConfig {
    /// What players show.
    pub name: String,
    /// The kind of programme, as players show it.
    pub genre: String,
    /// What a new listener gets at once of what was just on air.
    pub burst_ms: u64,
    /// Listeners get so much at once, whole frames; 0: as much as suits their number.
    pub batch_ms: u64,
    /// Listeners in all.
    pub max_clients: usize,
    /// Connections of one address; loopback is exempt.
    pub max_clients_per_address: usize,
    /// Beyond its bound, a listener that acknowledges nothing for this long is slow.
    pub client_timeout_ms: u64,
    /// What the kernel may hold for a listener.
    pub backlog_sec: u32,
    /// What happens to a slow listener.
    pub slow: Slow,
}

/// What happens to a slow listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slow {
    /// It is disconnected, by a reset, so that it learns of it.
    Drop,
    /// It is moved to live, on a frame border.
    Skip,
}

/// `[ingest]`
#[derive(Debug, Clone, PartialEq)]
pub struct IngestConfig {
    /// The socket that takes PCM.
    pub socket: PathBuf,
    /// Samples per channel in a sender's frame: 1024 (station) or 1152 (pump).
    pub frame_samples: usize,
}

/// `[control]`
#[derive(Debug, Clone, PartialEq)]
pub struct ControlConfig {
    /// The socket that takes HTTP and may change things.
    pub socket: PathBuf,
    /// The private socket between the door and the control plane.
    pub web_socket: PathBuf,
    /// Loopback may change things too.
    pub loopback: bool,
    /// Host names, besides this machine's own, under which the control plane answers.
    pub hosts: Vec<String>,
}

/// `[input]`
#[derive(Debug, Clone, PartialEq)]
pub struct InputConfig {
    /// Frames of PCM that wait for the pump, per input.
    pub buffer_frames: usize,
    /// Frames that make an absent input present.
    pub preroll_frames: usize,
    /// Silence before the fallback comes; 0: none.
    pub grace_ms: u64,
    /// Start in GRACE, not in FALLBACK.
    pub start_in_grace: bool,
    /// Inputs by precedence.
    pub order: Vec<crate::router::InputId>,
}

/// `[live]`
#[derive(Debug, Clone, PartialEq)]
pub struct LiveConfig {
    /// The sound card as it was named; none: there is no live input.
    pub device: Option<String>,
    /// What of its channels is heard.
    pub channels: ChannelPick,
    /// Cushion or speed.
    pub latency: LiveLatency,
    /// What its sound is multiplied by; 1: untouched.
    pub gain: f32,
    /// Keep true peaks in bounds.
    pub limiter: bool,
    /// When its silence makes it absent (Q5); none: never.
    pub silence: Option<SilenceRule>,
}

/// What of a card's channels is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelPick {
    /// The first two as they are; the one of a mono card on both sides.
    Stereo,
    /// The first, on both sides.
    Left,
    /// The second, on both sides.
    Right,
    /// The mean of the first two, on both sides.
    Mix,
}

/// How much of a card's sound waits before it is on air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveLatency {
    /// 96 ms.
    Normal,
    /// 48 ms: a machine that is busy for longer than some 15 ms is heard.
    Low,
}

/// `[fallback]`
#[derive(Debug, Clone, PartialEq)]
pub struct FallbackConfig {
    /// What to loop when there is no program; none: the tone.
    pub file: Option<PathBuf>,
    /// The tone's pitch; 0: silence instead of a tone.
    pub tone_hz: u32,
}

/// `[encoder]`
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// Off: fillers are on air (for tests).
    pub enabled: bool,
    /// The program.
    pub ffmpeg: PathBuf,
    /// Of the MP3 on air.
    pub bitrate_kbps: u32,
    /// On air trails the pump by this, and two frames.
    pub cushion_ms: u64,
    /// MP3 frames that wait for the broadcaster.
    pub mp3_buffer_frames: usize,
    /// Without a first frame for this long, the start has failed.
    pub startup_timeout_ms: u64,
    /// Owing frames and silent for this long, the encoder has stalled.
    pub stall_ms: u64,
    /// Waits before delayed restarts; the last one repeats.
    pub backoff_ms: Vec<u64>,
    /// Delayed restarts in a row before DEGRADED.
    pub max_restarts: u32,
    /// In DEGRADED: one attempt a minute for this long, then one each ten minutes.
    pub recovery_retry_minutes: u64,
    /// Keep a primed FFmpeg ready.
    pub spare: bool,
    /// FFmpeg at debug level, the command logged.
    pub debug: bool,
}

impl EncoderConfig {
    /// The cushion in whole frames, rounded up.
    pub fn cushion_frames(&self) -> u64 {
        self.cushion_ms.div_ceil(crate::frame::TICK_MS)
    }
}

/// `[log]`
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// The log file.
    pub file: PathBuf,
    /// The least important level that is logged.
    pub level: log::LevelFilter,
    /// Send lines to the system's log as well.
    pub syslog: bool,
}
