//! From settled values to [`TowerConfig`], and the checks between values.

use std::path::{Path, PathBuf};

use super::{
    ControlConfig, EncoderConfig, FallbackConfig, HttpConfig, IngestConfig, InputConfig, LogConfig, Slow, TowerConfig,
    error::{ConfigError, ConfigErrors},
    kind::Value,
    layers::{Layers, Sources},
    places::Places,
};
use crate::{
    frame::TICK_MS,
    limits::{ENCODER_LAG_FRAMES, SOCKET_PATH_BYTES_MAX},
    router::InputId,
};

impl TowerConfig {
    /// The defaults, with the sockets and the log in `runtime_dir`.
    pub fn with_runtime_dir(runtime_dir: &Path) -> Self {
        build(&Layers::defaults(), &Places::in_folder(runtime_dir))
    }

    /// `sources` over the defaults, checked. Touches neither disk nor environment.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn from_sources(sources: &Sources, places: &Places) -> Result<(Self, Layers), ConfigErrors> {
        let mut layers = Layers::read(sources);
        let config = build(&layers, places);
        let conflicts = conflicts(&config, &layers);
        layers.errors.extend(conflicts);
        if layers.errors.is_empty() { Ok((config, layers)) } else { Err(ConfigErrors(layers.errors)) }
    }
}

fn build(layers: &Layers, places: &Places) -> TowerConfig {
    let control_socket = places.resolve(text(layers, "control.socket"));
    TowerConfig {
        http: HttpConfig {
            host: text(layers, "http.host").to_owned(),
            port: integer(layers, "http.port"),
            max_clients: integer(layers, "http.max_clients"),
            max_clients_per_address: integer(layers, "http.max_clients_per_address"),
            client_timeout_ms: integer(layers, "http.client_timeout_ms"),
            backlog_sec: integer(layers, "http.backlog_sec"),
            slow: if text(layers, "http.slow") == "skip" { Slow::Skip } else { Slow::Drop },
        },
        ingest: IngestConfig {
            socket: places.resolve(text(layers, "ingest.socket")),
            frame_samples: integer(layers, "ingest.frame_samples"),
        },
        control: ControlConfig {
            web_socket: control_socket.with_file_name("web.sock"),
            socket: control_socket,
            loopback: truth(layers, "control.loopback"),
            hosts: texts(layers, "control.hosts").to_vec(),
        },
        input: InputConfig {
            buffer_frames: integer(layers, "input.buffer_frames"),
            preroll_frames: integer(layers, "input.preroll_frames"),
            grace_ms: integer(layers, "input.grace_sec"),
            start_in_grace: truth(layers, "input.start_in_grace"),
            order: order(layers),
        },
        fallback: FallbackConfig {
            file: Some(PathBuf::from(text(layers, "fallback.file"))).filter(|file| !file.as_os_str().is_empty()),
            tone_hz: integer(layers, "fallback.tone_hz"),
        },
        encoder: encoder(layers),
        log: LogConfig {
            file: places.resolve(text(layers, "log.file")),
            level: text(layers, "log.level").parse().unwrap_or(log::LevelFilter::Info),
            syslog: truth(layers, "log.syslog"),
        },
        shutdown_timeout_sec: integer(layers, "service.shutdown_timeout_sec"),
        station_name: text(layers, "http.station_name").to_owned(),
        runtime_dir: places.runtime.clone(),
    }
}

fn encoder(layers: &Layers) -> EncoderConfig {
    EncoderConfig {
        enabled: truth(layers, "encoder.enabled"),
        ffmpeg: text(layers, "encoder.ffmpeg").into(),
        bitrate_kbps: integer(layers, "encoder.bitrate"),
        cushion_ms: integer(layers, "encoder.cushion_ms"),
        mp3_buffer_frames: integer(layers, "encoder.mp3_buffer_frames"),
        startup_timeout_ms: integer(layers, "encoder.startup_timeout_ms"),
        stall_ms: integer(layers, "encoder.stall_ms"),
        backoff_ms: match &layers.get("encoder.backoff_ms").value {
            Value::Integers(waits) => waits.clone(),
            other => wrong_kind("encoder.backoff_ms", other),
        },
        max_restarts: integer(layers, "encoder.max_restarts"),
        recovery_retry_minutes: integer(layers, "encoder.recovery_retry_minutes"),
        spare: truth(layers, "encoder.spare"),
        debug: truth(layers, "encoder.debug"),
    }
}

fn order(layers: &Layers) -> Vec<InputId> {
    let by_name = |name: &String| InputId::ALL.into_iter().find(|input| input.name() == name);
    texts(layers, "input.order").iter().filter_map(by_name).collect()
}

fn truth(layers: &Layers, path: &str) -> bool {
    match &layers.get(path).value {
        Value::Bool(truth) => *truth,
        other => wrong_kind(path, other),
    }
}

/// In the type of the field; its kind has bounded it, and a test tries the bounds.
fn integer<T: TryFrom<u64>>(layers: &Layers, path: &str) -> T {
    match &layers.get(path).value {
        value @ (Value::Integer(number) | Value::SecondsInMs(number) | Value::Kbps(number)) => {
            T::try_from(*number).unwrap_or_else(|_| wrong_kind(path, value))
        }
        other => wrong_kind(path, other),
    }
}

fn text<'a>(layers: &'a Layers, path: &str) -> &'a str {
    match &layers.get(path).value {
        Value::Text(text) => text,
        other => wrong_kind(path, other),
    }
}

fn texts<'a>(layers: &'a Layers, path: &str) -> &'a [String] {
    match &layers.get(path).value {
        Value::Texts(texts) => texts,
        other => wrong_kind(path, other),
    }
}

/// A mistake in this program, not in the configuration: the first test finds it.
fn wrong_kind(path: &str, value: &Value) -> ! {
    panic!("{path} does not hold what its field takes: {value:?}")
}

/// What is wrong between values that are right by themselves. A key whose value
/// was refused is left out: it holds what nobody meant.
fn conflicts(config: &TowerConfig, layers: &Layers) -> Vec<ConfigError> {
    let mut found = Vec::new();
    let mut check = |good: bool, key: &'static str, other: &str, why: String| {
        if !good && !layers.is_doubtful(key) && !layers.is_doubtful(other) {
            let setting = layers.get(key);
            found.push(ConfigError::Conflict {
                key,
                value: setting.value.to_string(),
                origin: setting.origin.clone(),
                why,
            });
        }
    };
    let encoder = &config.encoder;
    let needed = encoder.cushion_ms.div_ceil(TICK_MS) + ENCODER_LAG_FRAMES + 1;
    check(
        u64::try_from(encoder.mp3_buffer_frames).unwrap_or(u64::MAX) >= needed,
        "encoder.mp3_buffer_frames",
        "encoder.cushion_ms",
        format!("a cushion of {} ms waits in it; allowed is {needed} or more", encoder.cushion_ms),
    );
    let input = &config.input;
    check(
        input.preroll_frames < input.buffer_frames,
        "input.preroll_frames",
        "input.buffer_frames",
        format!("must be less than input.buffer_frames = {}, or no input is ever present", input.buffer_frames),
    );
    let sockets = [
        ("ingest.socket", &config.ingest.socket),
        ("control.socket", &config.control.socket),
        ("control.socket", &config.control.web_socket),
    ];
    for (key, path) in sockets {
        let bytes = path.as_os_str().len();
        let why = format!(
            "the path of a Unix socket has at most {SOCKET_PATH_BYTES_MAX} bytes, {} has {bytes}",
            path.display()
        );
        check(bytes <= SOCKET_PATH_BYTES_MAX, key, key, why);
    }
    let control = &config.control;
    check(
        control.socket != control.web_socket,
        "control.socket",
        "control.socket",
        "web.sock is the name of the private socket beside it; choose another name".into(),
    );
    let taken = [&control.socket, &control.web_socket];
    let why =
        || format!("is taken by the control plane: {} and {}", control.socket.display(), control.web_socket.display());
    check(!taken.contains(&&config.ingest.socket), "ingest.socket", "control.socket", why());
    check(!taken.contains(&&config.log.file), "log.file", "control.socket", why());
    check(config.log.file != config.ingest.socket, "log.file", "ingest.socket", "is the socket that takes PCM".into());
    found
}
