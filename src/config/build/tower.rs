//! The tower's configuration from settled values, and what does not go together.

use std::path::{Path, PathBuf};

use super::{
    super::{
        ChannelPick, ControlConfig, EncoderConfig, FallbackConfig, HttpConfig, IngestConfig, InputConfig, LiveConfig,
        LiveLatency, Schema, Slow, StreamConfig, TOWER, TowerConfig, error::ConfigError, layers::Layers,
        places::Places,
    },
    Conflicts, Settings, log_config,
};
use crate::{
    frame::TICK_MS, input::pull::source::Source, limits::ENCODER_LAG_FRAMES, pump::level::SilenceRule,
    relay::target::Target, router::InputId, sound::linear_from_db,
};

impl Settings for TowerConfig {
    const SCHEMA: &'static Schema = &TOWER;

    fn build(layers: &Layers, places: &Places) -> Self {
        build(layers, places)
    }

    fn conflicts(&self, layers: &Layers) -> Vec<ConfigError> {
        conflicts(self, layers)
    }

    fn landmarks(&self) -> Vec<(&'static str, String)> {
        let shown = |path: &Path| path.display().to_string();
        vec![
            ("PCM in", shown(&self.ingest.socket)),
            ("control", shown(&self.control.socket)),
            ("log", shown(&self.log.file)),
        ]
    }

    fn runtime_dir(&self) -> &Path {
        &self.runtime_dir
    }

    fn files(&self) -> Vec<&Path> {
        vec![&self.ingest.socket, &self.control.socket, &self.log.file]
    }
}

fn build(layers: &Layers, places: &Places) -> TowerConfig {
    let control_socket = places.resolve(layers.text("control.socket"));
    TowerConfig {
        http: HttpConfig { host: layers.text("http.host").to_owned(), port: layers.integer("http.port") },
        stream: StreamConfig {
            name: layers.text("stream.name").to_owned(),
            genre: layers.text("stream.genre").to_owned(),
            burst_ms: layers.integer("stream.burst_sec"),
            batch_ms: layers.integer("stream.batch_ms"),
            max_clients: layers.integer("stream.max_clients"),
            max_clients_per_address: layers.integer("stream.max_clients_per_address"),
            client_timeout_ms: layers.integer("stream.client_timeout_ms"),
            backlog_sec: layers.integer("stream.backlog_sec"),
            slow: if layers.text("stream.slow") == "skip" { Slow::Skip } else { Slow::Drop },
        },
        relay: Target::parse(layers.text("relay.url")),
        pull: Source::parse(layers.text("pull.url")),
        announce: layers.truth("announce.enabled"),
        ingest: IngestConfig {
            socket: places.resolve(layers.text("ingest.socket")),
            frame_samples: layers.integer("ingest.frame_samples"),
        },
        control: ControlConfig {
            web_socket: control_socket.with_file_name("web.sock"),
            socket: control_socket,
            loopback: layers.truth("control.loopback"),
            hosts: layers.texts("control.hosts").to_vec(),
        },
        input: InputConfig {
            buffer_frames: layers.integer("input.buffer_frames"),
            preroll_frames: layers.integer("input.preroll_frames"),
            grace_ms: layers.integer("input.grace_sec"),
            start_in_grace: layers.truth("input.start_in_grace"),
            order: order(layers),
        },
        live: live(layers),
        fallback: FallbackConfig {
            file: Some(PathBuf::from(layers.text("fallback.file"))).filter(|file| !file.as_os_str().is_empty()),
            tone_hz: layers.integer("fallback.tone_hz"),
        },
        encoder: encoder(layers),
        log: log_config(layers, places),
        shutdown_timeout_sec: layers.integer("service.shutdown_timeout_sec"),
        runtime_dir: places.runtime.clone(),
    }
}

/// The defaults: no card.
impl Default for LiveConfig {
    fn default() -> Self {
        live(&Layers::defaults(&TOWER))
    }
}

fn live(layers: &Layers) -> LiveConfig {
    let silence = SilenceRule::new(
        (layers.decimal("live.silence_dbfs"), layers.integer("live.silence_sec")),
        (layers.decimal("live.resume_dbfs"), layers.integer("live.resume_sec")),
    );
    #[allow(clippy::cast_possible_truncation)] // f32 is what the sound is
    let gain = linear_from_db(layers.decimal("live.gain_db")) as f32;
    LiveConfig {
        device: Some(layers.text("live.device").to_owned()).filter(|device| !device.is_empty()),
        channels: match layers.text("live.channels") {
            "left" => ChannelPick::Left,
            "right" => ChannelPick::Right,
            "mix" => ChannelPick::Mix,
            _ => ChannelPick::Stereo,
        },
        latency: if layers.text("live.latency") == "low" { LiveLatency::Low } else { LiveLatency::Normal },
        gain,
        limiter: layers.truth("live.limiter"),
        silence: Some(silence).filter(|rule| rule.silence_ms > 0),
    }
}

fn encoder(layers: &Layers) -> EncoderConfig {
    EncoderConfig {
        enabled: layers.truth("encoder.enabled"),
        ffmpeg: layers.text("encoder.ffmpeg").into(),
        bitrate_kbps: layers.integer("encoder.bitrate"),
        cushion_ms: layers.integer("encoder.cushion_ms"),
        mp3_buffer_frames: layers.integer("encoder.mp3_buffer_frames"),
        startup_timeout_ms: layers.integer("encoder.startup_timeout_ms"),
        stall_ms: layers.integer("encoder.stall_ms"),
        backoff_ms: layers.integers("encoder.backoff_ms").to_vec(),
        max_restarts: layers.integer("encoder.max_restarts"),
        recovery_retry_minutes: layers.integer("encoder.recovery_retry_minutes"),
        spare: layers.truth("encoder.spare"),
        debug: layers.truth("encoder.debug"),
    }
}

fn order(layers: &Layers) -> Vec<InputId> {
    let by_name = |name: &String| InputId::ALL.into_iter().find(|input| input.name() == name);
    layers.texts("input.order").iter().filter_map(by_name).collect()
}

fn conflicts(config: &TowerConfig, layers: &Layers) -> Vec<ConfigError> {
    let mut conflicts = Conflicts::of(layers);
    let encoder = &config.encoder;
    let needed = encoder.cushion_ms.div_ceil(TICK_MS) + ENCODER_LAG_FRAMES + 1;
    conflicts.check(
        u64::try_from(encoder.mp3_buffer_frames).unwrap_or(u64::MAX) >= needed,
        "encoder.mp3_buffer_frames",
        "encoder.cushion_ms",
        format!("a cushion of {} ms waits in it; allowed is {needed} or more", encoder.cushion_ms),
    );
    let input = &config.input;
    conflicts.check(
        input.preroll_frames < input.buffer_frames,
        "input.preroll_frames",
        "input.buffer_frames",
        format!("must be less than input.buffer_frames = {}, or no input is ever present", input.buffer_frames),
    );
    let is_named = input.order.contains(&InputId::Relay);
    conflicts.check(
        config.pull.is_none() || is_named,
        // Not at pull.url, whose value may be a secret.
        "input.order",
        "pull.url",
        "does not name \"relay\", so the stream of pull.url would never be heard: put it where it belongs".into(),
    );
    conflicts.check(
        config.pull.is_some() || !is_named,
        "input.order",
        "pull.url",
        "names \"relay\", and there is none: set pull.url to the URL of its stream".into(),
    );
    let (silence, resume) = (layers.decimal("live.silence_dbfs"), layers.decimal("live.resume_dbfs"));
    conflicts.check(
        silence < resume,
        "live.resume_dbfs",
        "live.silence_dbfs",
        format!("must be above live.silence_dbfs = {silence}, or the input would flap at that level"),
    );
    let sockets = [
        ("ingest.socket", &config.ingest.socket),
        ("control.socket", &config.control.socket),
        ("control.socket", &config.control.web_socket),
    ];
    for (key, path) in sockets {
        conflicts.check_socket(key, path);
    }
    let control = &config.control;
    conflicts.check(
        control.socket != control.web_socket,
        "control.socket",
        "control.socket",
        "web.sock is the name of the private socket beside it; choose another name".into(),
    );
    let taken = [&control.socket, &control.web_socket];
    let why =
        || format!("is taken by the control plane: {} and {}", control.socket.display(), control.web_socket.display());
    conflicts.check(!taken.contains(&&config.ingest.socket), "ingest.socket", "control.socket", why());
    conflicts.check(!taken.contains(&&config.log.file), "log.file", "control.socket", why());
    conflicts.check(
        config.log.file != config.ingest.socket,
        "log.file",
        "ingest.socket",
        "is the socket that takes PCM".into(),
    );
    conflicts.found
}
