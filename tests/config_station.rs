//! I2, I4 for the station: its keys, its variables, and what it says when they are wrong.

use std::path::{Path, PathBuf};

use retrowaves::{
    config::{
        ConfigErrors, Kind, Layers, Places, Raw, STATION, Sources, StationConfig, TowerConfig, Value, prepare_station,
    },
    station::rotation::rules::{DayPart, Rules, Weight},
};

fn read(file: &str, environment: &[(&str, &str)], set: &[&str]) -> Result<(StationConfig, Layers), ConfigErrors> {
    let sources = Sources {
        vendor: None,
        file: (!file.is_empty()).then(|| (PathBuf::from("s.toml"), file.to_owned())),
        environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        set: set.iter().map(|argument| (*argument).to_owned()).collect(),
    };
    StationConfig::from_sources(&sources, &Places::in_folder(Path::new("/r")))
}

fn errors(file: &str, environment: &[(&str, &str)], set: &[&str]) -> Vec<String> {
    let errors = read(file, environment, set).expect_err("a bad configuration");
    errors.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn i4_no_configuration_gives_the_stations_defaults() {
    let (config, layers) = read("", &[], &[]).expect("good");
    assert_eq!(config, StationConfig::with_runtime_dir(Path::new("/r")));
    assert!(layers.warnings.is_empty());
    assert_eq!((config.music.folders.len(), config.music.rescan_sec), (0, 10));
    let wanted = Rules {
        title_gap_min: 180,
        artist_gap_songs: 1,
        jingle_every_songs: 4,
        id_every_songs: 8,
        hour_id: true,
        hour_id_window_min: 5,
        weights: vec![],
        day_parts: vec![],
    };
    assert_eq!(config.rotation, wanted);
    let playout = &config.playout;
    assert!(playout.level && playout.crossfade);
    assert_eq!((playout.target_lufs, playout.peak_dbtp), (-16.0, -1.0));
    assert_eq!((playout.crossfade_max_ms, playout.sign_off_max_ms), (8000, 15_000));
    assert_eq!(config.tower.socket, Path::new("/r/pcm.sock"));
    assert_eq!(config.tower.url, "http://127.0.0.1:8000");
    assert_eq!((config.state_dir.as_path(), config.ffmpeg.as_path()), (Path::new("/r"), Path::new("ffmpeg")));
    assert_eq!(config.control_socket, Path::new("/r/station.sock"));
    assert_eq!((config.log.file.as_path(), config.log.level), (Path::new("/r/station.log"), log::LevelFilter::Info));
    assert!(config.log.syslog);
}

#[test]
fn i4_every_variable_of_the_station_reaches_its_field() {
    let environment = [
        ("STATION_MUSIC", "/music:/media/usb stick"),
        ("TOWER_SOCKET_PATH", "/a/pcm.sock"),
        ("TOWER_URL", "http://radio.local:8001/"),
        ("STATION_STATE_DIR", "/var/s"),
        ("STATION_SOCKET_PATH", "{runtime}/s.sock"),
        ("STATION_FFMPEG", "/opt/ffmpeg"),
        ("STATION_LOG_FILE", "/l/s.log"),
        ("STATION_LOG_LEVEL", "debug"),
    ];
    let known: Vec<&str> = STATION.keys.iter().filter_map(|key| key.env).collect();
    assert!(known.iter().all(|name| environment.iter().any(|(tried, _)| tried == name)));
    let (config, _) = read("", &environment, &[]).expect("good");
    assert_eq!(config.music.folders, [Path::new("/music"), Path::new("/media/usb stick")]);
    assert_eq!(config.tower.socket, Path::new("/a/pcm.sock"));
    assert_eq!(config.tower.url, "http://radio.local:8001");
    assert_eq!(config.state_dir, Path::new("/var/s"));
    assert_eq!(config.control_socket, Path::new("/r/s.sock"));
    assert_eq!(config.ffmpeg, Path::new("/opt/ffmpeg"));
    assert_eq!((config.log.file, config.log.level), ("/l/s.log".into(), log::LevelFilter::Debug));
}

#[test]
fn i4_lists_are_read_from_the_file_and_from_words() {
    let file = "[music]\nfolders = [\"/a:b\", \"/c\"]\n[rotation]\nweights = [\"Rock=3\", \".=0\"]\n\
                day_parts = [\"mon-fri 06:00-10:00: Rock=5, Jazz=0\", \"daily 22:00-02:00: Jazz=2\"]\n\
                [playout]\ntarget_lufs = -14.5\npeak_dbtp = 0\ncrossfade_max_sec = 2.5\n";
    let (from_file, _) = read(file, &[], &[]).expect("good");
    let set = [
        "music.folders=[\"/a:b\", \"/c\"]",
        "rotation.weights=Rock=3; .=0",
        "rotation.day_parts=mon-fri 06:00-10:00: Rock=5, Jazz=0; daily 22:00-02:00: Jazz=2",
        "playout.target_lufs=-14.5",
        "playout.peak_dbtp=0",
        "playout.crossfade_max_sec=2.5",
    ];
    assert_eq!(read("", &[], &set).expect("good").0, from_file);
    assert_eq!(from_file.music.folders, [Path::new("/a:b"), Path::new("/c")]);
    let weights = ["Rock=3", ".=0"].map(|text| Weight::parse(text).expect("a weight"));
    assert_eq!(from_file.rotation.weights, weights);
    let parts = ["mon-fri 06:00-10:00: Rock=5, Jazz=0", "daily 22:00-02:00: Jazz=2"];
    assert_eq!(from_file.rotation.day_parts, parts.map(|text| DayPart::parse(text).expect("a day part")));
    assert_eq!((from_file.playout.target_lufs, from_file.playout.crossfade_max_ms), (-14.5, 2500));
}

#[test]
fn i2_every_error_of_the_station_says_where_what_and_what_would_be_right() {
    let table = [
        ("[music]\nfolder = []", "s.toml:2: unknown key music.folder; did you mean music.folders?"),
        ("[musik]\nfolders = []", "s.toml:1: unknown table [musik]; did you mean [music]?"),
        ("[music]\nfolders = \"/a\"", "s.toml:2: music.folders is \"/a\"; allowed is a list of at most 64 folders"),
        ("[music]\nrescan_sec = 0", "s.toml:2: music.rescan_sec is 0; allowed is a whole number from 1 to 3600"),
        ("[http]\nport = 1", "s.toml:1: unknown table [http]"),
        ("qqq = 1", "s.toml:1: unknown key qqq; `station config` shows all there are"),
        ("[playout]\ntarget_lufs = -31", "s.toml:2: playout.target_lufs is -31; allowed is a number"),
        ("[tower]\nurl = \"https://a\"", "s.toml:2: tower.url is \"https://a\"; allowed is a URL of http"),
    ];
    for (file, said) in table {
        let errors = errors(file, &[], &[]);
        assert!(errors.len() == 1 && errors[0].starts_with(said), "{file:?}: {errors:?}");
    }
    let set = errors("", &[], &["music.folders"]);
    assert!(set[0].ends_with("such as --set playout.crossfade=false"), "{set:?}");
    let socket = errors("", &[("STATION_SOCKET_PATH", "/r/pcm.sock")], &[]);
    let said = "control.socket = \"/r/pcm.sock\" (environment STATION_SOCKET_PATH): is the tower's socket";
    assert!(socket[0].starts_with(said), "{socket:?}");
}

/// What the parsers of rotation say reaches whoever wrote it.
#[test]
fn i2_st3_a_bad_rule_is_explained_by_its_own_parser() {
    let weight = Weight::parse("Rock").expect_err("no weight");
    let part = DayPart::parse("mon 06:00: Rock=1").expect_err("no day part");
    for file in [
        "[rotation]\nweights = [\"Jazz=1\", \"Rock\"]\nday_parts = [\"mon 06:00: Rock=1\"]",
        "[rotation]\nweights = [\n  \"Jazz=1\",\n  \"Rock\",\n]\nday_parts = [\"mon 06:00: Rock=1\"]",
    ] {
        let errors = errors(file, &[], &[]);
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].starts_with("s.toml:2: rotation.weights is ["), "{errors:?}");
        assert!(errors[0].contains(&format!(": {weight}; allowed is a list of")), "{errors:?}");
        assert!(errors[1].contains(&format!(": {part}; allowed is a list of")), "{errors:?}");
    }
}

#[test]
fn i4_only_the_stations_own_unknown_variables_are_a_warning() {
    let (_, layers) = read("", &[("STATION_MUSIK", "/m")], &[]).expect("good");
    assert_eq!(
        layers.warnings,
        ["environment STATION_MUSIK: not a variable of the station; did you mean STATION_MUSIC?"]
    );
    assert!(!STATION.concerns("TOWER_PORT"), "the tower's is not read at all");
}

#[test]
fn i2_the_stations_kinds_take_what_they_say_and_nothing_else() {
    let kind = |path: &str| STATION.keys.iter().find(|key| key.path == path).expect("a key").kind;
    let texts = |texts: &[&str]| Value::Texts(texts.iter().map(|text| (*text).to_owned()).collect());
    let good = [
        ("music.folders", "", texts(&[])),
        ("music.folders", "/a", texts(&["/a"])),
        ("playout.target_lufs", "-16.25", Value::Thousandths(-16_250)),
        ("playout.peak_dbtp", "-0.5", Value::Thousandths(-500)),
        ("tower.url", "http://a", Value::Text("http://a".into())),
        ("tower.url", "http://[::1]:8000/", Value::Text("http://[::1]:8000".into())),
        ("tower.url", "http://[::1]", Value::Text("http://[::1]".into())),
        ("state.dir", "/s/", Value::Text("/s/".into())),
    ];
    for (path, word, value) in good {
        assert_eq!(kind(path).read(&Raw::from_word(word)), Some(value), "{path}={word}");
    }
    let bad = [
        ("music.folders", ":"),
        ("music.folders", "/a::/b"),
        ("music.folders", "/a\u{fffd}"),
        ("playout.target_lufs", "-30.01"),
        ("playout.target_lufs", "-9.9"),
        ("playout.peak_dbtp", "NaN"),
        ("playout.crossfade_max_sec", "31"),
        ("tower.url", "127.0.0.1:8000"),
        ("tower.url", "http://"),
        ("tower.url", "http://a:0"),
        ("tower.url", "http://a:70000"),
        ("tower.url", "http://a:"),
        ("tower.url", "http://a/status"),
        ("tower.url", "http://user@a"),
        ("tower.url", "http://[::g]"),
        ("state.dir", ""),
        ("rotation.hour_id_window_min", "31"),
    ];
    for (path, word) in bad {
        assert_eq!(kind(path).read(&Raw::from_word(word)), None, "{path}={word}");
    }
}

/// Both ends of every range fit their fields, so nothing panics on what was allowed.
#[test]
fn i2_the_ends_of_every_range_of_the_station_are_taken() {
    for key in STATION.keys {
        let ends = match key.kind {
            Kind::Integer { min, max } => [min.to_string(), max.to_string()],
            Kind::Seconds { max } => ["0".into(), max.to_string()],
            Kind::Decimal { min, max } => [min.to_string(), max.to_string()],
            _ => continue,
        };
        for end in ends {
            let read = read("", &[], &[&format!("{}={end}", key.path)]);
            assert!(read.is_ok(), "{}={end}: {}", key.path, read.expect_err("refused"));
        }
    }
}

/// Before it plays: its memory is made, and what is not there is said and no error.
#[test]
fn st3_music_that_is_not_there_is_a_warning() {
    let base = std::env::temp_dir().join(format!("retrowaves-prepare-{}", std::process::id()));
    let run = base.join("run");
    std::fs::create_dir_all(base.join("music")).expect("music");
    let mut config = StationConfig::with_runtime_dir(&run);
    config.state_dir = base.join("deep/state");
    let warnings = prepare_station(&config).expect("prepared");
    assert_eq!(warnings, ["there is no music: set music.folders, STATION_MUSIC or --music DIR"]);
    assert!(run.is_dir() && config.state_dir.is_dir());

    config.music.folders = vec![base.join("music"), base.join("usb")];
    let warnings = prepare_station(&config).expect("prepared");
    assert_eq!(warnings, [format!("{}: no such folder of music; it may come later", base.join("usb").display())]);

    // Not even root makes a folder in /proc: then it plays without a memory.
    config.state_dir = "/proc/retrowaves".into();
    let warnings = prepare_station(&config).expect("prepared");
    assert!(warnings[0].starts_with("/proc/retrowaves: cannot be made, so nothing is remembered: "), "{warnings:?}");
    std::fs::remove_dir_all(&base).expect("removed");
}

#[test]
fn log1_both_logs_are_where_the_contract_says() {
    let places = Places { log: "/var/log/retrowaves".into(), ..Places::in_folder(Path::new("/run/retrowaves")) };
    let (station, _) = StationConfig::from_sources(&Sources::default(), &places).expect("good");
    let (tower, _) = TowerConfig::from_sources(&Sources::default(), &places).expect("good");
    assert_eq!(station.log.file, Path::new("/var/log/retrowaves/station.log"));
    assert_eq!(tower.log.file, Path::new("/var/log/retrowaves/tower.log"));
    assert!(station.log.syslog && tower.log.syslog);
}
