//! The tower's keys.

use super::{
    super::kind::Kind::{
        self, Address, Bitrate, Bool, Choice, Decimal, Device, File, Hosts, Inputs, IntegerOf, Millis, Mount, Place,
        Seconds, StreamUrl, Text, ToneHz,
    },
    Key, LEVEL, Schema, integer, key,
};
use crate::limits;

/// What the tower can be told.
pub static TOWER: Schema = Schema {
    program: "tower",
    system_file: "/etc/retrowaves/tower.toml",
    prefix: "TOWER_",
    elsewhere: &["TOWER_URL"],
    example: "http.port=8001",
    sockets: "ingest.socket and control.socket",
    keys: KEYS,
};

const INPUT_FRAMES: Kind = integer(4, limits::INPUT_PCM_FRAMES_MAX as u64);
const MP3_FRAMES: Kind = integer(8, limits::MP3_FRAMES_MAX as u64);
const DBFS: Kind = Decimal { min: -90, max: 0 };
const GAIN_DB: Kind = Decimal { min: -limits::LIVE_GAIN_DB_MAX, max: limits::LIVE_GAIN_DB_MAX };
const CHANNELS: Kind = Choice(&["stereo", "left", "right", "mix"]);
const LATENCY: Kind = Choice(&["normal", "low"]);
/// 0, or 1 to `limits::BATCH_FRAMES_MAX` frames.
const BATCH_MS: Kind = IntegerOf(&[0, 24, 48, 72, 96, 120, 144, 168, 192, 216, 240, 264, 288]);
const SLOW: Kind = Choice(&["drop", "skip"]);

#[rustfmt::skip] // a table reads as a table
const KEYS: &[Key] = &[
    key("http.host", "TOWER_HOST", Address, "\"::\"", "Address to listen on; \"::\" is every address of this machine, IPv4 too"),
    key("http.port", "TOWER_PORT", integer(0, 65_535), "8000", "TCP port of the stream and the control plane; 0: any free port, told in the log"),
    key("stream.name", "", Text { bytes_max: 100 }, "\"Retrowaves\"", "The name that players show"),
    key("stream.genre", "", Text { bytes_max: 100 }, "\"Various\"", "The kind of programme, as players show it"),
    key("stream.burst_sec", "TOWER_BURST_SEC", Seconds { max: limits::BURST_SEC_MAX }, "2", "Seconds of what was just on air that a new listener gets at once; `?burst=` asks for another start"),
    key("stream.batch_ms", "TOWER_BATCH_MS", BATCH_MS, "0", "Milliseconds of audio that a listener gets at once; 0: 48, for more than 50 listeners 96, for more than 150 192. More is less work, and more delay"),
    key("stream.max_clients", "TOWER_MAX_CLIENTS", integer(1, 100_000), "10000", "Listeners in all; one more gets 503"),
    key("stream.max_clients_per_address", "TOWER_MAX_CLIENTS_PER_ADDRESS", integer(1, 100_000), "256", "Connections of one address; this machine's own are exempt"),
    key("stream.client_timeout_ms", "TOWER_CLIENT_TIMEOUT_MS", integer(10, 60_000), "250", "A listener beyond its backlog that acknowledges nothing for this long is slow"),
    key("stream.backlog_sec", "", integer(1, limits::BACKLOG_SEC_MAX as u64), "6", "Seconds of audio that the system may hold for one listener"),
    key("stream.slow", "TOWER_SLOW", SLOW, "\"drop\"", "What happens to a slow listener: \"drop\" disconnects it, \"skip\" moves it to live"),
    key("relay.url", "TOWER_RELAY_URL", Mount, "\"\"", "Icecast server that gets the stream too, for more listeners than this machine can serve"),
    key("announce.enabled", "TOWER_ANNOUNCE", Bool, "true", "Tell the network by mDNS where the stream is, unless another program of this machine speaks mDNS"),
    key("ingest.socket", "TOWER_SOCKET_PATH", Place, "\"{runtime}/pcm.sock\"", "Unix socket that takes PCM"),
    key("ingest.frame_samples", "", IntegerOf(&[1024, 1152]), "1024", "Samples per channel in a sender's frame: 1024 (station) or 1152 (pump)"),
    key("control.socket", "TOWER_CONTROL_SOCKET_PATH", Place, "\"{runtime}/control.sock\"", "Unix socket that takes HTTP and may change things; web.sock lies beside it"),
    key("control.loopback", "", Bool, "true", "Requests from this machine over TCP may change things too"),
    key("control.hosts", "", Hosts, "[]", "Host names, besides this machine's own, under which the control plane answers"),
    key("input.buffer_frames", "TOWER_PCM_BUFFER_SIZE", INPUT_FRAMES, "100", "Frames of 24 ms that wait for the pump, per input"),
    key("input.preroll_frames", "", integer(1, 100), "3", "Frames that make an absent input present"),
    key("input.grace_sec", "TOWER_PCM_GRACE_SEC", Seconds { max: 86_400 }, "5", "Silence before the fallback comes; 0 or less: none"),
    key("input.start_in_grace", "", Bool, "false", "Start in GRACE instead of FALLBACK, for a station that comes up a moment later"),
    key("input.order", "TOWER_INPUTS", Inputs, "[\"live\", \"station\"]", "Inputs by precedence: the first present one is on air"),
    key("live.device", "TOWER_LIVE_DEVICE", Device, "\"\"", "Sound card for live input: a card's id, usb:PATH or any ALSA name (`tower devices` lists them); \"\": none"),
    key("live.channels", "", CHANNELS, "\"stereo\"", "What of the card is heard: both channels, one of them on both sides, or their mean"),
    key("live.latency", "", LATENCY, "\"normal\"", "\"normal\": 96 ms of the card's sound wait as a cushion; \"low\": 48 ms"),
    key("live.gain_db", "", GAIN_DB, "0", "The card's sound is made louder (or, below 0, quieter) by so many dB"),
    key("live.limiter", "", Bool, "false", "Keep true peaks of the card's sound below -1 dBTP; costs 5 ms of delay"),
    key("live.silence_dbfs", "", DBFS, "-60", "Below this RMS level, in dBFS, the card counts as silent"),
    key("live.silence_sec", "", Seconds { max: 86_400 }, "10", "Silent for so long, it gives way to the next input; 0: never"),
    key("live.resume_dbfs", "", DBFS, "-54", "Above this RMS level, in dBFS, the card counts as heard"),
    key("live.resume_sec", "", Seconds { max: 3600 }, "2", "Heard for so long, it is on air (again); a card that was opened starts silent"),
    key("pull.url", "TOWER_PULL_URL", StreamUrl, "\"\"", "Another radio's stream as the input \"relay\", which input.order has to name; \"\": none"),
    key("fallback.file", "TOWER_SILENCE_MP3_PATH", File { none: true }, "\"\"", "What to loop when there is no program, anything FFmpeg reads; \"\": the tone"),
    key("fallback.tone_hz", "TOWER_TONE_FREQUENCY", ToneHz, "440", "Pitch of the fallback tone; 0: silence instead of a tone"),
    key("encoder.enabled", "TOWER_ENCODER_ENABLED", Bool, "true", "false: no FFmpeg is started and silent frames are on air, for tests"),
    key("encoder.ffmpeg", "TOWER_FFMPEG", File { none: false }, "\"ffmpeg\"", "The FFmpeg program: a name in PATH, or a path"),
    key("encoder.bitrate", "TOWER_BITRATE", Bitrate, "\"128k\"", "Bit rate of the MP3 on air"),
    key("encoder.cushion_ms", "TOWER_CUSHION_MS", integer(0, limits::CUSHION_MS_MAX), "720", "On air trails the pump by this (and two frames), so that an encoder can be replaced unheard"),
    key("encoder.mp3_buffer_frames", "TOWER_MP3_BUFFER_CAPACITY_FRAMES", MP3_FRAMES, "400", "MP3 frames that may wait to go on air"),
    key("encoder.startup_timeout_ms", "TOWER_FFMPEG_STARTUP_TIMEOUT_MS", integer(100, 60_000), "1500", "Without a first MP3 frame for this long, a start has failed"),
    key("encoder.stall_ms", "TOWER_ENCODER_STALL_THRESHOLD_MS", integer(50, 60_000), "250", "An encoder that owes frames and gives none for this long has failed"),
    key("encoder.backoff_ms", "TOWER_ENCODER_BACKOFF_MS", Millis { min: 10, max: 3_600_000 }, "[1000, 2000, 4000, 8000, 10000]", "Waits before delayed restarts; the last one repeats"),
    key("encoder.max_restarts", "TOWER_ENCODER_MAX_RESTARTS", integer(0, 1000), "5", "Delayed restarts in a row before DEGRADED"),
    key("encoder.recovery_retry_minutes", "TOWER_RECOVERY_RETRY_MINUTES", integer(0, 1440), "10", "In DEGRADED: one attempt a minute for this long, then one each ten minutes"),
    key("encoder.spare", "TOWER_ENCODER_SPARE", Bool, "true", "Keep a second FFmpeg started and primed"),
    key("encoder.debug", "TOWER_ENCODER_DEBUG", Bool, "false", "FFmpeg at debug level, its command logged"),
    key("log.file", "TOWER_LOG_FILE", Place, "\"{log}/tower.log\"", "The log file"),
    key("log.level", "TOWER_LOG_LEVEL", LEVEL, "\"info\"", "The least important level that is logged"),
    key("log.syslog", "", Bool, "true", "Send lines to the system's log as well"),
    key("service.shutdown_timeout_sec", "TOWER_SHUTDOWN_TIMEOUT", integer(1, 60), "5", "From the wish to stop to the end"),
];
