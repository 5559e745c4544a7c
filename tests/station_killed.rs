//! What is on air when the station, or a program that it has started, is killed, stopped, told to
//! end, or started where it cannot work.

mod common;

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use common::{
    Setup, Tower,
    joins::{continuous, write_wav},
    listener::{Recorder, Recording, longest_silence},
    material::Folder,
    pcm_sink::{FakeTower, PcmSink},
    processes::{Process, lives},
    station::{NO_TOWER, Station, StationSetup},
};
use nix::sys::signal::Signal;
use serde_json::Value;

/// At the latest when a segment of 30 s is about to end, what follows is opened: measured
/// or not, on however busy a machine.
const A_SEGMENT: Duration = Duration::from_secs(45);
const SOON: Duration = Duration::from_secs(60);
/// How soon tower and station must find each other.
const FOUND_AGAIN: Duration = Duration::from_secs(2);
/// A join of two segments that have nothing to do with each other may dip for so long.
const SILENCE_MAX: Duration = Duration::from_millis(50);
const RATE_HZ: u32 = 48_000;

/// A folder of songs that are never silent, each of `sec` seconds.
fn songs(music: &Path, names: &[&str], sec: usize) {
    fs::create_dir_all(music).expect("folder");
    let signal = continuous(sec * 48_000);
    names.iter().for_each(|name| write_wav(&music.join(format!("{name}.wav")), RATE_HZ, &signal));
}

/// A station that is on air at a tower, and somebody who listens.
struct OnAir {
    folder: Folder,
    music: PathBuf,
    tower: Tower,
    station: Station,
    recorder: Recorder,
}

impl OnAir {
    fn start(tower: &Setup, sec: usize) -> Self {
        let folder = Folder::new();
        let music = folder.join("music");
        songs(&music, &["One", "Two", "Three", "Four"], sec);
        let tower = tower.start();
        tower.wait_until("the encoder runs", SOON, |status| status["encoder"]["state"] == "RUNNING");
        let station = StationSetup::default()
            .music(&music)
            .dir(&folder.join("station"))
            .set("music.rescan_sec=1")
            .set("log.level=debug")
            .start(&tower.pcm_socket(), &tower.url());
        settle(&tower);
        let recorder = Recorder::start(tower.port);
        Self { folder, music, tower, station, recorder }
    }

    fn on_air(&self) -> PathBuf {
        on_air(&self.station.wait_until("a file plays", SOON, |now| now["file"].is_string()))
    }

    /// The decoder that stands opened for what comes next.
    fn opened_ahead(&self) -> Process {
        let on_air = self.on_air();
        self.wait_for_decoder("the next one is opened", |process| !process.measures() && !process.decodes(&on_air))
    }

    fn wait_for_decoder(&self, what: &str, is_it: impl Fn(&Process) -> bool) -> Process {
        let start = Instant::now();
        loop {
            if let Some(found) = self.station.decoders().into_iter().find(&is_it) {
                return found;
            }
            assert!(start.elapsed() < A_SEGMENT, "{what}: {:#?}\n{}", self.station.decoders(), self.station.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn playing_decoder(&self) -> Process {
        let on_air = self.on_air();
        self.wait_for_decoder("the one that plays", |process| !process.measures() && process.decodes(&on_air))
    }

    /// How often the tower's mode has changed.
    fn changes(&self) -> usize {
        self.tower.log().lines().filter(|line| line.contains("PROGRAM")).count()
    }

    /// So far; what was sent last is heard after the tower's cushion and queue.
    fn heard(&self) -> Vec<i16> {
        std::thread::sleep(Duration::from_secs(3));
        Recording { stalls: self.recorder.witness.stalls(), ..self.recorder.so_far() }.decoded(&self.folder.join(""))
    }

    /// Nothing was quarantined.
    fn assert_no_quarantine(&self) {
        assert_eq!(self.station.lines_with(&["quarantine"]), [""; 0]);
    }
}

fn on_air(now: &Value) -> PathBuf {
    now["file"].as_str().map(PathBuf::from).unwrap_or_default()
}

/// Waits until the station is on air and the tower's queue half full.
fn settle(tower: &Tower) {
    tower.wait_until("the station is on air, and the queue filled", SOON, |status| {
        let ratio = status["pcm_buffer"]["ratio"].as_f64().expect("a ratio");
        status["mode"] == "PROGRAM" && (0.25..=0.75).contains(&ratio)
    });
}

#[test]
fn fd1_4_a_killed_decoder_ends_its_segment_and_nobody_hears_it() {
    let air = OnAir::start(&Setup::default(), 30);
    let (changes, underruns) = (air.changes(), air.tower.figure("ticks/underruns"));

    // The one that measures what comes later.
    let measuring = air.wait_for_decoder("one that measures", Process::measures);
    measuring.signal(Signal::SIGKILL);
    air.station.wait_for_log("not measured: ", SOON);
    assert_eq!(air.station.lines_with(&["SIGKILL"]).len(), 1, "{}", air.station.log());

    // The one on air: what follows stands opened.
    air.opened_ahead();
    let (file, decoder) = (air.on_air(), air.playing_decoder());
    decoder.signal(Signal::SIGKILL);
    air.station.wait_until("the next segment plays", SOON, |now| on_air(now) != file);
    air.station.wait_for_log("segment failed", SOON);
    let name = file.to_string_lossy();
    let lines = air.station.lines_with(&["segment failed", "SIGKILL", &name]);
    assert_eq!(lines.len(), 1, "one line says so:\n{}", air.station.log());

    // The one that stands opened: found out when its turn comes.
    let next = air.opened_ahead();
    next.signal(Signal::SIGKILL);
    let played = air.station.lines_with(&["segment started"]).len();
    air.station.skip();
    let start = Instant::now();
    while air.station.lines_with(&["segment started"]).len() < played + 1 {
        assert!(start.elapsed() < SOON, "the one after that plays\n{}", air.station.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(air.station.lines_with(&["segment failed", "SIGKILL"]).len(), 2, "{}", air.station.log());

    let silence = longest_silence(&air.heard());
    let stalls = air.recorder.witness.stalls();
    println!("longest silence {silence:?}, the machine stood still for {:?}", stalls.time());
    assert!(silence <= SILENCE_MAX + stalls.time(), "{silence:?}, {stalls:?}\n{}", air.station.log());
    if stalls.time() < Duration::from_millis(300) {
        assert_eq!(air.tower.figure("ticks/underruns"), underruns, "{}", air.tower.log());
        assert_eq!(air.changes(), changes, "the tower stays in PROGRAM:\n{}", air.tower.log());
    }
    assert!(!air.recorder.so_far().disconnected);
    air.assert_no_quarantine();
}

/// It is given up before the tower's queue is empty.
#[test]
fn fd1_4_a_stopped_decoder_is_given_up_and_the_next_segment_takes_over() {
    let air = OnAir::start(&Setup::default(), 30);
    air.opened_ahead();
    let (changes, underruns) = (air.changes(), air.tower.figure("ticks/underruns"));
    let (file, decoder) = (air.on_air(), air.playing_decoder());
    decoder.signal(Signal::SIGSTOP);
    let start = Instant::now();
    air.station.wait_until("the next segment plays", SOON, |now| on_air(now) != file);
    let taken_over = start.elapsed();
    let name = file.to_string_lossy();
    air.station.wait_for_log("segment given up", SOON);
    assert_eq!(air.station.lines_with(&["segment given up", &name]).len(), 1, "{}", air.station.log());
    while lives(decoder.pid) {
        assert!(start.elapsed() < SOON, "a decoder that is given up is ended");
        std::thread::sleep(Duration::from_millis(10));
    }
    let silence = longest_silence(&air.heard());
    let stalls = air.recorder.witness.stalls();
    println!("taken over {taken_over:?} after SIGSTOP; longest silence {silence:?}; stalls {:?}", stalls.time());
    assert!(silence <= SILENCE_MAX + stalls.time(), "{silence:?}, {stalls:?}\n{}", air.station.log());
    if stalls.time() < Duration::from_millis(200) {
        assert_eq!(air.tower.figure("ticks/underruns"), underruns, "{}", air.tower.log());
        assert_eq!(air.changes(), changes, "the tower stays in PROGRAM:\n{}", air.tower.log());
    }
    settle(&air.tower);
    air.assert_no_quarantine();
}

#[test]
fn q2_q3_st3_a_killed_station_is_followed_by_grace_fallback_and_its_successor() {
    let mut air = OnAir::start(&Setup::default().set("input.grace_sec=2"), 30);
    // Its own predecessor ended well; what it remembered is there already.
    let first = air.on_air();
    air.station.end(Signal::SIGTERM);
    let setup = StationSetup::default().music(&air.music).dir(&air.folder.join("station"));
    air.station = setup.start(&air.tower.pcm_socket(), &air.tower.url());
    settle(&air.tower);
    air.opened_ahead();
    let state = air.station.dir.join("state").join("station.state.json");
    let decoders = air.station.decoders();
    let killed = Instant::now();
    air.station.end(Signal::SIGKILL);
    // The queue is played to its end, then there is silence, and then the fallback.
    air.tower.wait_until("grace", SOON, |status| status["mode"] == "GRACE");
    let grace = killed.elapsed();
    air.tower.wait_until("fallback", SOON, |status| status["mode"] == "FALLBACK");
    println!("GRACE {grace:?} after kill -9, FALLBACK {:?}", killed.elapsed());
    assert!(killed.elapsed() - grace > Duration::from_millis(1500), "grace lasts 2 s");
    let left: Vec<&Process> = decoders.iter().filter(|decoder| lives(decoder.pid)).collect();
    assert!(!decoders.is_empty() && left.is_empty(), "no FFmpeg outlives its station: {left:#?}");
    assert!(air.station.control_socket().exists(), "nobody was there to remove it");
    let text = fs::read(&state).expect("its state is there");
    let kept: Value = serde_json::from_slice(&text).expect("and whole");
    assert!(!kept["history"].as_array().expect("plays").is_empty());

    let began = Instant::now();
    let successor = setup.start(&air.tower.pcm_socket(), &air.tower.url());
    let ready = Instant::now();
    air.tower.wait_until("the successor is on air", SOON, |status| status["mode"] == "PROGRAM");
    println!("PROGRAM {:?} after its start, {:?} after it says that it plays", began.elapsed(), ready.elapsed());
    assert!(began.elapsed() < FOUND_AGAIN + air.recorder.witness.stalls().time(), "{:?}", began.elapsed());
    let history = successor.ask(&serde_json::json!({"command": "history", "count": 100}));
    let entries = history["entries"].as_array().expect("entries");
    assert!(entries.iter().any(|entry| entry["file"] == first.to_string_lossy().as_ref()), "{history:#}");
    assert!(!successor.log().contains("begins afresh"), "{}", successor.log());
    settle(&air.tower);
    let recording = air.recorder.stop();
    recording.assert_no_break();
    recording.assert_decoders_are_content(&air.folder.join(""));
}

/// Windows of 10 ms in which only the left channel sounds.
fn left_only(heard: &[i16]) -> usize {
    let loudness = |window: &[i16], channel: usize| -> u64 {
        window.iter().skip(channel).step_by(2).map(|value| u64::from(value.unsigned_abs())).sum()
    };
    let windows = heard.chunks_exact(960).filter(|window| loudness(window, 0) > 480 * 500);
    windows.filter(|window| loudness(window, 1) * 20 < loudness(window, 0)).count()
}

/// The station leaves when all is handed over; the tower plays what it has to its end.
#[test]
fn st3_the_sign_off_is_on_air_to_its_end() {
    let mut air = OnAir::start(&Setup::default(), 30);
    let bye: Vec<i16> = continuous(3 * 48_000).chunks_exact(2).flat_map(|pair| [pair[0], 0]).collect();
    let hidden = air.folder.join("hidden");
    fs::create_dir_all(&hidden).expect("folder");
    write_wav(&hidden.join("bye.wav"), RATE_HZ, &bye);
    fs::rename(&hidden, air.music.join("sign-off")).expect("moved");
    air.station.wait_until("it is known", SOON, |now| now["library"]["tracks"] == 5);
    let (status, took) = air.station.end(Signal::SIGTERM);
    let left = left_only(&air.heard());
    println!("signed off within {took:?}; {left} windows of 10 ms on air");
    assert_eq!(status.code(), Some(0), "{}", air.station.log());
    // Under its first second the song fades out.
    let stalls = air.recorder.witness.stalls().time();
    assert!(left + usize::try_from(stalls.as_millis() / 10).expect("short") >= 195, "{left}\n{}", air.station.log());
}

/// A station at a socket that records: no encoder, and every sample.
struct Aside {
    folder: Folder,
    music: PathBuf,
    sink: PcmSink,
    tower: FakeTower,
}

impl Aside {
    fn new() -> Self {
        let folder = Folder::new();
        let sink = PcmSink::start(&folder.join("pcm.sock"));
        let tower = FakeTower::start(&sink, 0);
        Self { music: folder.join("music"), folder, sink, tower }
    }

    fn setup(&self) -> StationSetup {
        StationSetup::default().music(&self.music).dir(&self.folder.join("station")).set("music.rescan_sec=1")
    }

    fn start(&self, setup: &StationSetup) -> Station {
        setup.start(&self.sink.path, &self.tower.url)
    }

    fn wait_for_sound(&self, station: &Station) {
        let (before, start) = (self.sink.bytes(), Instant::now());
        while self.sink.bytes() < before + 192_000 {
            assert!(start.elapsed() < SOON, "nothing is played\n{}", station.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn told(&self, event_type: &str) -> usize {
        self.tower.events().iter().filter(|event| event["event_type"] == event_type).count()
    }
}

/// It ended as it should, and nothing of it is left.
fn assert_clean(station: &mut Station) -> Duration {
    let decoders = station.decoders();
    let (status, took) = station.end(Signal::SIGTERM);
    assert_left(station, &decoders);
    assert_eq!(status.code(), Some(0), "{}", station.log());
    took
}

fn assert_left(station: &Station, decoders: &[Process]) {
    assert!(!station.control_socket().exists(), "the socket goes with it");
    let left: Vec<&Process> = decoders.iter().filter(|decoder| lives(decoder.pid)).collect();
    assert!(left.is_empty(), "{left:#?}");
}

/// The sign-off's samples, without a level or a crossfade between it and the socket.
fn plain(setup: StationSetup) -> StationSetup {
    setup.set("playout.level=false").set("playout.crossfade=false")
}

/// A constant: it is found by looking at the last samples.
fn constant(file: &Path, value: i16, sec: usize) {
    fs::create_dir_all(file.parent().expect("a folder")).expect("folder");
    write_wav(file, RATE_HZ, &vec![value; sec * 96_000]);
}

#[test]
fn st3_the_sign_off_is_played_in_full_and_then_all_has_gone() {
    let aside = Aside::new();
    songs(&aside.music, &["One", "Two"], 30);
    constant(&aside.music.join("sign-off/bye.wav"), 4321, 2);
    let mut station = aside.start(&plain(aside.setup()));
    aside.wait_for_sound(&station);
    let took = assert_clean(&mut station);
    let samples = aside.sink.received().samples();
    let signed_off = samples.iter().filter(|value| **value == 4321).count() / 2;
    println!("signed off within {took:?}, {signed_off} samples of it");
    // All of it, but for what lay under the end of the song that was faded out (1 s).
    assert!((47_000..=96_000).contains(&signed_off), "{signed_off} samples\n{}", station.log());
    let tail: Vec<i16> = samples[samples.len() - 40_000..].to_vec();
    assert!(tail.iter().filter(|value| **value == 4321).count() > 35_000, "it is the last that is heard");
    assert_eq!((aside.told("station_startup"), aside.told("station_shutdown")), (1, 1), "{:#?}", aside.tower.events());
    assert_eq!(aside.tower.events().last().expect("events")["event_type"], "station_shutdown");
    aside.sink.received().assert_whole_frames();
}

#[test]
fn st3_a_long_sign_off_is_faded_out_at_its_bound_and_a_second_signal_ends_at_once() {
    let aside = Aside::new();
    songs(&aside.music, &["One", "Two"], 30);
    constant(&aside.music.join("sign-off/bye.wav"), 4321, 60);
    let setup = plain(aside.setup()).set("playout.sign_off_max_sec=2");
    let mut station = aside.start(&setup);
    aside.wait_for_sound(&station);
    let took = assert_clean(&mut station);
    println!("a sign-off of 60 s with a bound of 2 s: {took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    let samples = aside.sink.received().samples();
    let (last, before) = (samples.last().expect("samples"), &samples[samples.len() - 60_000..]);
    assert!(last.abs() < 300, "faded out, and not cut: {last}");
    assert!(before.iter().any(|value| (4000..=4321).contains(value)), "what fades out is the sign-off");

    // The socket of before has gone with its station, so this is another connection.
    let mut station = aside.start(&plain(aside.setup()).set("playout.sign_off_max_sec=60"));
    aside.wait_for_sound(&station);
    let decoders = station.decoders();
    let begun = || station.lines_with(&["segment started: bye"]).len();
    let (before, start) = (begun(), Instant::now());
    station.signal(Signal::SIGTERM);
    while begun() == before {
        assert!(start.elapsed() < SOON, "it signs off\n{}", station.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    station.signal(Signal::SIGTERM);
    let (status, took) = station.wait_for_its_end();
    println!("a second SIGTERM: {took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(status.code(), Some(0), "{}", station.log());
    assert_left(&station, &decoders);
    assert_eq!(aside.told("station_shutdown"), 2, "{:#?}", aside.tower.events());
}

#[test]
fn log3_sighup_reopens_the_log_and_sigterm_ends_a_station_without_music() {
    let aside = Aside::new();
    fs::create_dir_all(&aside.music).expect("folder");
    let mut station = aside.start(&aside.setup());
    station.wait_for_log("plays to", SOON);
    let (log, moved) = (station.dir.join("station.log"), station.dir.join("station.log.1"));
    fs::rename(&log, &moved).expect("moved");
    station.signal(Signal::SIGHUP);
    std::thread::sleep(Duration::from_secs(1));
    assert!(station.lives(), "SIGHUP ends nobody");
    let took = assert_clean(&mut station);
    println!("without music: {took:?}");
    assert!(station.log().contains("stopping on SIGTERM"), "{}", station.log());
    assert!(!fs::read_to_string(moved).expect("it is there").contains("stopping"), "the old log is left alone");
    assert_eq!(aside.told("station_shutdown"), 1);
}

#[test]
fn a_second_station_on_the_same_socket_is_refused_and_the_first_plays_on() {
    let aside = Aside::new();
    songs(&aside.music, &["One"], 10);
    let mut station = aside.start(&aside.setup());
    let mut second = aside.setup().command(&station.dir, &aside.sink.path, &aside.tower.url);
    let second = second.stderr(Stdio::piped()).output().expect("a station");
    let words = String::from_utf8_lossy(&second.stderr);
    assert_eq!((second.status.code(), second.stdout.len(), words.lines().count()), (Some(1), 0, 1), "{words}");
    let socket = station.control_socket();
    assert!(words.contains(&*socket.to_string_lossy()) && words.contains("somebody else runs and listens"), "{words}");
    assert!(!words.contains("tower"), "{words}");
    aside.wait_for_sound(&station);
    assert_eq!(station.now()["ok"], true);
    assert_clean(&mut station);
}

#[test]
fn st3_a_state_folder_that_cannot_be_written_is_one_warning() {
    let aside = Aside::new();
    songs(&aside.music, &["One", "Two"], 4);
    let file = aside.folder.join("file");
    fs::write(&file, "").expect("file");
    let mut station = aside.start(&aside.setup().env("STATION_STATE_DIR", file.join("state").display()));
    for _ in 0..3 {
        aside.wait_for_sound(&station);
    }
    let lines = station.lines_with(&["cannot write", "station.state.json"]);
    assert_eq!(lines.len(), 1, "{}", station.log());
    assert_clean(&mut station);
}

#[test]
fn st3_a_music_folder_may_come_later() {
    let aside = Aside::new();
    let mut station = aside.start(&aside.setup());
    station.wait_for_log(&aside.music.to_string_lossy(), SOON);
    assert_eq!(station.now()["state"], "waiting");
    // As a mount does: whole, at once.
    let hidden = aside.folder.join("hidden");
    songs(&hidden, &["One"], 10);
    fs::rename(&hidden, &aside.music).expect("mounted");
    aside.wait_for_sound(&station);
    assert_eq!(station.now()["title"], "One");
    assert_clean(&mut station);
}

#[test]
fn fd1_4_without_ffmpeg_nothing_is_blamed_on_the_files_and_when_it_comes_it_plays() {
    let aside = Aside::new();
    songs(&aside.music, &["One", "Two"], 10);
    let ffmpeg = aside.folder.join("bin").join("ffmpeg");
    let mut station = aside.start(&aside.setup().env("STATION_FFMPEG", ffmpeg.display()));
    let words = ["cannot start the decoder", &*ffmpeg.to_string_lossy()];
    station.wait_for_log(words[0], SOON);
    // Another attempt is not another line.
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(station.lines_with(&words).len(), 1, "{}", station.log());
    assert_eq!((station.lines_with(&["quarantine"]).len(), aside.sink.bytes()), (0, 0), "{}", station.log());
    let history = station.ask(&serde_json::json!({"command": "history", "count": 10}));
    assert_eq!(history["entries"], serde_json::json!([]), "what was not heard was not played");
    let half_installed = aside.folder.join("ffmpeg");
    fs::write(&half_installed, "#!/bin/sh\nexec ffmpeg \"$@\"\n").expect("written");
    fs::set_permissions(&half_installed, fs::Permissions::from_mode(0o755)).expect("permitted");
    fs::create_dir_all(ffmpeg.parent().expect("a folder")).expect("folder");
    fs::rename(&half_installed, &ffmpeg).expect("installed");
    aside.wait_for_sound(&station);
    assert_eq!(station.lines_with(&["the decoder can be started again"]).len(), 1, "{}", station.log());
    assert_clean(&mut station);
}

/// A leftover of a station that was killed, before anything else was started.
#[test]
fn a_leftover_socket_is_replaced() {
    let aside = Aside::new();
    fs::create_dir_all(aside.folder.join("station")).expect("folder");
    let socket = aside.folder.join("station").join("station.sock");
    drop(UnixListener::bind(&socket).expect("bound"));
    let mut station = aside.setup().start(&aside.sink.path, NO_TOWER);
    assert_eq!(station.now()["state"], "waiting");
    assert_clean(&mut station);
}
