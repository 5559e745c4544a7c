//! I2, I4: the layers, and every error with where, what and what would be right.

use std::path::{Path, PathBuf};

use retrowaves::config::{
    ChannelPick, ConfigErrors, Kind, Layers, LiveConfig, LiveLatency, Origin, Places, Raw, STATION, Slow, Sources,
    TOWER, TowerConfig, Value,
};
use retrowaves::{pump::level::SilenceRule, router::InputId};

fn places() -> Places {
    Places::in_folder(Path::new("/r"))
}

fn read(file: &str, environment: &[(&str, &str)], set: &[&str]) -> Result<(TowerConfig, Layers), ConfigErrors> {
    let sources = Sources {
        vendor: None,
        file: (!file.is_empty()).then(|| (PathBuf::from("t.toml"), file.to_owned())),
        environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        set: set.iter().map(|argument| (*argument).to_owned()).collect(),
    };
    TowerConfig::from_sources(&sources, &places())
}

fn config(file: &str, environment: &[(&str, &str)], set: &[&str]) -> TowerConfig {
    read(file, environment, set).expect("a good configuration").0
}

fn errors(file: &str, environment: &[(&str, &str)], set: &[&str]) -> Vec<String> {
    let errors = read(file, environment, set).expect_err("a bad configuration");
    errors.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn i4_no_configuration_gives_the_defaults_of_the_contract() {
    let config = config("", &[], &[]);
    assert_eq!(config, TowerConfig::with_runtime_dir(Path::new("/r")));
    assert_eq!((config.http.host.as_str(), config.http.port), ("::", 8000));
    assert_eq!((config.stream.max_clients, config.stream.max_clients_per_address), (10_000, 256));
    assert_eq!((config.stream.client_timeout_ms, config.stream.backlog_sec, config.stream.slow), (250, 6, Slow::Drop));
    assert_eq!(config.stream.batch_ms, 0);
    assert_eq!(config.ingest.socket, Path::new("/r/pcm.sock"));
    assert_eq!(config.ingest.frame_samples, 1024);
    assert_eq!(config.control.socket, Path::new("/r/control.sock"));
    assert_eq!(config.control.web_socket, Path::new("/r/web.sock"));
    assert_eq!((config.input.buffer_frames, config.input.preroll_frames, config.input.grace_ms), (100, 3, 5000));
    assert_eq!(config.input.order, [InputId::Live, InputId::Station]);
    assert_eq!((config.fallback.file, config.fallback.tone_hz), (None, 440));
    let encoder = &config.encoder;
    assert_eq!((encoder.bitrate_kbps, encoder.cushion_ms, encoder.mp3_buffer_frames), (128, 720, 400));
    assert_eq!((encoder.startup_timeout_ms, encoder.stall_ms, encoder.max_restarts), (1500, 250, 5));
    assert_eq!(encoder.backoff_ms, [1000, 2000, 4000, 8000, 10_000]);
    assert!(encoder.enabled && encoder.spare && !encoder.debug);
    assert_eq!((encoder.recovery_retry_minutes, config.shutdown_timeout_sec), (10, 5));
}

#[test]
fn i4_the_environment_overrides_the_file_and_set_overrides_both() {
    let file = "[http]\nport = 1\n[stream]\nmax_clients = 1\nbacklog_sec = 1\n";
    let environment = [("TOWER_PORT", "2"), ("TOWER_MAX_CLIENTS", "2")];
    let (config, layers) = read(file, &environment, &["http.port=3"]).expect("good");
    assert_eq!((config.http.port, config.stream.max_clients, config.stream.backlog_sec), (3, 2, 1));
    let origin = |path: &str| layers.get(path).origin.clone();
    assert_eq!(origin("http.port"), Origin::Set);
    assert_eq!(origin("stream.max_clients"), Origin::Environment("TOWER_MAX_CLIENTS".into()));
    let line_5 = Origin::File { path: "t.toml".into(), line: 5 };
    assert_eq!(origin("stream.backlog_sec"), line_5);
    assert_eq!(origin("http.host"), Origin::Default);
    assert_eq!(line_5.to_string(), "t.toml:5");
}

#[test]
fn i4_every_variable_reaches_its_field() {
    let environment = [
        ("TOWER_HOST", "127.0.0.1"),
        ("TOWER_PORT", "0"),
        ("TOWER_SOCKET_PATH", "/a/p.sock"),
        ("TOWER_CONTROL_SOCKET_PATH", "/b/c.sock"),
        ("TOWER_BITRATE", "192k"),
        ("TOWER_PCM_BUFFER_SIZE", "50"),
        ("TOWER_MP3_BUFFER_CAPACITY_FRAMES", "200"),
        ("TOWER_PCM_GRACE_SEC", "2.5"),
        ("TOWER_INPUTS", "station,relay,live"),
        ("TOWER_LIVE_DEVICE", " CODEC"),
        ("TOWER_SILENCE_MP3_PATH", "/music/a b.mp3"),
        ("TOWER_TONE_FREQUENCY", "0"),
        ("TOWER_CLIENT_TIMEOUT_MS", "300"),
        ("TOWER_MAX_CLIENTS", "7"),
        ("TOWER_MAX_CLIENTS_PER_ADDRESS", "6"),
        ("TOWER_BURST_SEC", "0.5"),
        ("TOWER_BATCH_MS", "72"),
        ("TOWER_SLOW", "skip"),
        ("TOWER_RELAY_URL", "http://source:hackme@icecast/live.mp3"),
        ("TOWER_PULL_URL", "https://me:hackme@radio.example/stream"),
        ("TOWER_ANNOUNCE", "off"),
        ("TOWER_CUSHION_MS", "0"),
        ("TOWER_FFMPEG", "/opt/ffmpeg"),
        ("TOWER_FFMPEG_STARTUP_TIMEOUT_MS", "5000"),
        ("TOWER_ENCODER_STALL_THRESHOLD_MS", "500"),
        ("TOWER_ENCODER_BACKOFF_MS", "100, 200"),
        ("TOWER_ENCODER_MAX_RESTARTS", "2"),
        ("TOWER_RECOVERY_RETRY_MINUTES", "3"),
        ("TOWER_ENCODER_SPARE", "0"),
        ("TOWER_ENCODER_ENABLED", "off"),
        ("TOWER_ENCODER_DEBUG", "Yes"),
        ("TOWER_LOG_FILE", "/l/t.log"),
        ("TOWER_LOG_LEVEL", "DEBUG"),
        ("TOWER_SHUTDOWN_TIMEOUT", "9"),
    ];
    let known: Vec<&str> = TOWER.keys.iter().filter_map(|key| key.env).collect();
    assert!(known.iter().all(|name| environment.iter().any(|(tried, _)| tried == name)));
    let config = config("", &environment, &[]);
    assert_eq!((config.http.host.as_str(), config.http.port), ("127.0.0.1", 0));
    assert_eq!((config.stream.max_clients, config.stream.max_clients_per_address), (7, 6));
    assert_eq!((config.stream.client_timeout_ms, config.stream.burst_ms, config.stream.slow), (300, 500, Slow::Skip));
    assert_eq!(config.stream.batch_ms, 72);
    assert_eq!(config.relay.map(|to| to.to_string()).as_deref(), Some("http://icecast:8000/live.mp3"));
    assert!(!config.announce);
    assert_eq!(config.ingest.socket, Path::new("/a/p.sock"));
    assert_eq!(config.control.socket, Path::new("/b/c.sock"));
    assert_eq!(config.control.web_socket, Path::new("/b/web.sock"));
    assert_eq!((config.input.buffer_frames, config.input.grace_ms), (50, 2500));
    assert_eq!(config.input.order, [InputId::Station, InputId::Relay, InputId::Live]);
    assert_eq!(config.pull.map(|from| from.to_string()).as_deref(), Some("https://radio.example/stream"));
    assert_eq!(config.live.device.as_deref(), Some("CODEC"));
    assert_eq!((config.fallback.file, config.fallback.tone_hz), (Some("/music/a b.mp3".into()), 0));
    let encoder = &config.encoder;
    assert!(!encoder.enabled && !encoder.spare && encoder.debug);
    assert_eq!(encoder.ffmpeg, Path::new("/opt/ffmpeg"));
    assert_eq!((encoder.bitrate_kbps, encoder.mp3_buffer_frames, encoder.cushion_ms), (192, 200, 0));
    assert_eq!((encoder.startup_timeout_ms, encoder.stall_ms), (5000, 500));
    assert_eq!(encoder.backoff_ms, [100, 200]);
    assert_eq!((encoder.max_restarts, encoder.recovery_retry_minutes), (2, 3));
    assert_eq!((config.log.file, config.log.level), ("/l/t.log".into(), log::LevelFilter::Debug));
    assert_eq!(config.shutdown_timeout_sec, 9);
}

#[test]
fn v1_q5_the_keys_of_live_input_reach_their_fields() {
    let live = config("", &[], &[]).live;
    assert_eq!(live, LiveConfig::default());
    assert_eq!((live.device, live.channels, live.latency), (None, ChannelPick::Stereo, LiveLatency::Normal));
    assert_eq!((live.gain.to_bits(), live.limiter), (1f32.to_bits(), false));
    assert_eq!(live.silence, Some(SilenceRule::new((-60.0, 10_000), (-54.0, 2000))));
    let file = "[live]\ndevice = \"usb:1-1.2\"\nchannels = \"mix\"\nlatency = \"low\"\ngain_db = -6.0206\nlimiter = true\n\
                silence_dbfs = -50\nsilence_sec = 1.5\nresume_dbfs = -40.5\nresume_sec = 0\n";
    let live = config(file, &[], &[]).live;
    assert_eq!((live.device.as_deref(), live.channels), (Some("usb:1-1.2"), ChannelPick::Mix));
    assert_eq!((live.latency, live.limiter), (LiveLatency::Low, true));
    assert!((live.gain - 0.5).abs() < 0.0001, "{}", live.gain);
    assert_eq!(live.silence, Some(SilenceRule::new((-50.0, 1500), (-40.5, 0))));
    assert_eq!(config("[live]\nsilence_sec = 0\n", &[], &[]).live.silence, None);
    let flaps = errors("[live]\nsilence_dbfs = -54\n", &[], &[]);
    assert_eq!(flaps.len(), 1, "{flaps:?}");
    assert!(flaps[0].contains("must be above live.silence_dbfs = -54"), "{flaps:?}");
}

#[test]
fn i4_an_empty_variable_is_none_and_an_unknown_one_a_warning() {
    let (config, layers) = read("", &[("TOWER_PORT", ""), ("TOWER_PROT", "1")], &[]).expect("good");
    assert_eq!(config.http.port, 8000);
    assert_eq!(layers.warnings, ["environment TOWER_PROT: not a variable of the tower; did you mean TOWER_PORT?"]);
}

#[test]
fn i2_every_error_says_where_what_and_what_would_be_right() {
    let table = [
        ("port = 1", "t.toml:1: unknown key port; did you mean http.port?"),
        ("\n[http]\nprot = 1", "t.toml:3: unknown key http.prot; did you mean http.port?"),
        ("[htp]\nport = 1", "t.toml:1: unknown table [htp]; did you mean [http]?"),
        ("http = 1", "t.toml:1: http is a table: write [http] and its keys below"),
        ("[[log]]", "t.toml:1: log is a table: write [log] and its keys below"),
        ("[http]\nport = \"80\"", "t.toml:2: http.port is \"80\"; allowed is a whole number from 0 to 65535"),
        ("[http]\nport = 1.5", "t.toml:2: http.port is 1.5; allowed is a whole number from 0 to 65535"),
        ("[stream]\nbatch_ms = 100", "t.toml:2: stream.batch_ms is 100; allowed is 0, 24, 48, 72, 96, "),
        ("[stream]\nslow = \"wait\"", "t.toml:2: stream.slow is \"wait\"; allowed is \"drop\" or \"skip\""),
        ("[http]\nport = ", "t.toml:2: not valid TOML: "),
        ("[http]\nport = 1\nport = 2", "t.toml:3: not valid TOML: duplicate key"),
        ("[log]\nfile = 1979-05-27", "t.toml:2: log.file is a date; allowed is a path"),
    ];
    for (file, said) in table {
        let errors = errors(file, &[], &[]);
        assert!(errors.len() == 1 && errors[0].starts_with(said), "{file:?}: {errors:?}");
    }
    let environment = errors("", &[("TOWER_ENCODER_SPARE", "maybe")], &[]);
    assert!(environment[0].starts_with("environment TOWER_ENCODER_SPARE: encoder.spare is \"maybe\"; allowed is true"));
    let set = errors("", &[], &["http.port", "http.port=x"]);
    assert!(set[0].starts_with("--set http.port: write --set table.key=value"), "{set:?}");
    assert!(set[1].starts_with("--set: http.port is \"x\"; allowed is"), "{set:?}");
}

#[test]
fn i2_all_errors_are_reported_in_the_order_of_their_lines() {
    let file = "[http]\nport = -1\n[log]\nlevel = \"loud\"\n[inputs]\n[encoder]\nbitrate = 129\n";
    let errors = errors(file, &[("TOWER_HOST", "here")], &["encoder.stall_ms=1"]);
    let starts: Vec<&str> = errors.iter().map(|line| &line[..9]).collect();
    assert_eq!(
        starts,
        ["t.toml:2:", "t.toml:4:", "t.toml:5:", "t.toml:7:", "environme", "--set: en"].map(|start| &start[..9])
    );
}

#[test]
fn i2_values_that_do_not_go_together_are_refused() {
    let long = format!("ingest.socket=/{}", "x".repeat(107));
    let table: [(&[&str], &str); 8] = [
        (
            &["encoder.cushion_ms=3000", "encoder.mp3_buffer_frames=20"],
            "encoder.mp3_buffer_frames = 20 (--set): a cushion",
        ),
        (&["input.preroll_frames=10", "input.buffer_frames=10"], "input.preroll_frames = 10 (--set): must be less"),
        (
            &["pull.url=http://me:pw@h/x"],
            "input.order = [\"live\", \"station\"] (default): does not name \"relay\", so",
        ),
        (
            &["input.order=relay,live"],
            "input.order = [\"relay\", \"live\"] (--set): names \"relay\", and there is none",
        ),
        (&[&long], "ingest.socket = "),
        (&["control.socket=/a/web.sock"], "control.socket = \"/a/web.sock\" (--set): web.sock is"),
        (&["ingest.socket=/r/web.sock"], "ingest.socket = \"/r/web.sock\" (--set): is taken"),
        (&["log.file={runtime}/pcm.sock"], "log.file = \"{runtime}/pcm.sock\" (--set): is the socket"),
    ];
    for (set, said) in table {
        let errors = errors("", &[], set);
        assert!(errors[0].starts_with(said) && !errors[0].contains("pw"), "{set:?}: {errors:?}");
    }
    // A value that was refused takes no part: the complaint would be about a default.
    let errors = errors("", &[], &["encoder.cushion_ms=3000", "encoder.mp3_buffer_frames=1"]);
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn i2_kinds_take_what_they_say_and_nothing_else() {
    let kind = |path: &str| TOWER.keys.iter().find(|key| key.path == path).expect("a key").kind;
    let good: [(&str, &str, Value); 12] = [
        ("encoder.bitrate", "128", Value::Kbps(128)),
        ("encoder.bitrate", "320kbit", Value::Kbps(320)),
        ("encoder.bitrate", "64 kbit/s", Value::Kbps(64)),
        ("input.grace_sec", "-3", Value::SecondsInMs(0)),
        ("input.grace_sec", "0.0001", Value::SecondsInMs(1)),
        ("fallback.tone_hz", "20", Value::Integer(20)),
        ("ingest.frame_samples", "1152", Value::Integer(1152)),
        ("input.order", "station", Value::Texts(vec!["station".into()])),
        ("input.order", "[\"station\", \"live\"]", Value::Texts(vec!["station".into(), "live".into()])),
        ("control.hosts", "", Value::Texts(Vec::new())),
        ("http.host", "0:0::1", Value::Text("::1".into())),
        ("log.level", "WARN", Value::Text("warn".into())),
    ];
    for (path, word, value) in good {
        assert_eq!(kind(path).read(&Raw::from_word(word)), Some(value), "{path}={word}");
    }
    let bad = [
        ("encoder.bitrate", "129k"),
        ("encoder.bitrate", "32k"),
        ("input.grace_sec", "NaN"),
        ("input.grace_sec", "1e300"),
        ("input.grace_sec", "soon"),
        ("fallback.tone_hz", "19"),
        ("fallback.tone_hz", "20001"),
        ("ingest.frame_samples", "1000"),
        ("input.order", ""),
        ("input.order", "live,live"),
        ("input.order", "live,tape"),
        ("pull.url", "file:///etc/passwd"),
        ("pull.url", "radio.example/stream"),
        ("encoder.backoff_ms", ""),
        ("encoder.backoff_ms", "1000,,2000"),
        ("http.host", "localhost"),
        ("http.port", "65536"),
        ("http.port", "-1"),
        ("http.port", " 80"),
        ("stream.name", "two\nlines"),
        ("stream.name", " "),
        ("fallback.file", "/music/\u{fffd}.mp3"),
        ("log.file", ""),
        ("log.file", "/tmp/"),
        ("control.hosts", "a b"),
        ("encoder.ffmpeg", ""),
    ];
    for (path, word) in bad {
        assert_eq!(kind(path).read(&Raw::from_word(word)), None, "{path}={word}");
    }
}

/// Both ends of every range fit their fields, so nothing panics on what was allowed.
#[test]
fn i2_the_ends_of_every_range_are_taken() {
    for key in TOWER.keys {
        let ends = match key.kind {
            Kind::Integer { min, max } => vec![min.to_string(), max.to_string()],
            Kind::Seconds { max } => vec!["0".into(), max.to_string()],
            Kind::Millis { min, max } => vec![min.to_string(), max.to_string()],
            Kind::ToneHz => vec!["0".into(), "20000".into()],
            _ => continue,
        };
        for end in ends {
            // Neighbours may object (a cushion to a small buffer); the value itself is taken.
            if let Err(errors) = read("", &[], &[&format!("{}={end}", key.path)]) {
                assert!(!errors.to_string().contains("allowed is a"), "{}: {errors}", key.path);
            }
        }
    }
}

mod never_panics {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn i2_no_file_panics_the_reader(text in "(\\[(http|log|x)\\]\n|(port|slow|file|backoff_ms) = (-?[0-9]{1,25}|\"[^\"]{0,9}\"|\\[[0-9, \"]{0,9}\\]|[a-z]{1,5})\n|.{0,9}\n){0,9}") {
            let _ = read(&text, &[], &[]);
        }

        #[test]
        fn i2_no_word_panics_a_kind(word in ".{0,40}") {
            let raw = Raw::from_word(&word);
            for key in TOWER.keys.iter().chain(STATION.keys) {
                if let Some(value) = key.kind.read(&raw) {
                    // What is printed can be read again as the same value.
                    prop_assert_eq!(key.kind.read(&Raw::from_word(&value.to_string())), Some(value));
                }
            }
        }
    }
}

/// The table of keys writes its defaults as text; the bounds they stand for are in `limits`.
#[test]
fn i4_the_defaults_of_queues_are_those_of_limits() {
    use retrowaves::limits;
    let config = TowerConfig::with_runtime_dir(Path::new("/nowhere"));
    assert_eq!(config.input.buffer_frames, limits::INPUT_PCM.frames_max);
    assert_eq!(config.encoder.mp3_buffer_frames, limits::MP3.frames_max);
    assert_eq!(config.stream.backlog_sec, limits::BACKLOG_SEC);
}
