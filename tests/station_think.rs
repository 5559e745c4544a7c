//! THINK in a running station: what is decided when, what is announced and remembered, and what
//! it does when nothing works.

mod common;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use common::{
    Setup,
    joins::{continuous, write_wav},
    material::Folder,
    pcm_sink::{FakeTower, PcmSink},
    station::StationSetup,
};
use nix::sys::signal::Signal;
use retrowaves::limits::SEGMENTS_OPENED_MAX;
use serde_json::{Value, json};

/// A busy machine may need so long for what takes a second.
const PATIENCE: Duration = Duration::from_secs(60);

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn songs(music: &Path, names: &[&str], sec: usize) {
    fs::create_dir_all(music).expect("folder");
    for (nth, name) in names.iter().enumerate() {
        let all = continuous((sec + nth) * 48_000);
        write_wav(&music.join(format!("{name}.wav")), 48_000, &all[nth * 96_000..]);
    }
}

fn titles(tower: &FakeTower) -> Vec<String> {
    tower.events().iter().filter_map(|event| event["metadata"]["title"].as_str().map(str::to_owned)).collect()
}

/// Processes of this name that the station has started.
fn children(pid: i32, name: &str) -> usize {
    let is_child = |stat: String| {
        let (head, rest) = stat.rsplit_once(") ").unwrap_or_default();
        head.ends_with(&format!("({name}")) && rest.split(' ').nth(1) == Some(&pid.to_string())
    };
    let processes = fs::read_dir("/proc").expect("proc").flatten();
    processes.filter(|entry| fs::read_to_string(entry.path().join("stat")).is_ok_and(is_child)).count()
}

#[test]
fn st1_what_comes_next_is_opened_while_this_plays_and_never_more_than_that() {
    let folder = Folder::new();
    let music = folder.join("music");
    songs(&music, &["A - one", "B - two", "C - three", "D - four"], 2);
    let sink = PcmSink::start(&folder.join("pcm.sock"));
    let tower = FakeTower::start(&sink, 0);
    let mut station = StationSetup::default().music(&music).start(&sink.path, &tower.url);
    let (mut most, mut known) = (0, Vec::new());
    wait_for("four songs", || {
        most = most.max(children(station.pid().as_raw(), "ffmpeg"));
        let now = station.now();
        let (title, next) = (now["title"].as_str()?.to_owned(), now["next"]["title"].as_str()?.to_owned());
        if known.last() != Some(&(title.clone(), next.clone())) {
            known.push((title, next));
        }
        (titles(&tower).len() >= 4).then_some(())
    });
    // On air, fading out, opened, and one that is measured.
    assert!(most <= SEGMENTS_OPENED_MAX + 3, "{most} at a time");
    let played = titles(&tower);
    for pair in played.windows(2).take(3) {
        let foretold = known.contains(&(pair[0].clone(), pair[1].clone()));
        assert!(foretold, "{pair:?} was not foretold: {known:?}\n{}", station.log());
    }
    // Songs that begin one after the other leave no silence: all of them have sound throughout.
    let heard = sink.received().samples();
    let silence = heard.split(|value| *value != 0).skip(1).map(<[i16]>::len).max().expect("samples");
    assert!(silence < 2 * 4800, "{silence} values of silence");
    station.end(Signal::SIGKILL);
}

#[test]
fn st3_what_cannot_be_decoded_is_put_aside_before_it_is_on_air() {
    let folder = Folder::new();
    let music = folder.join("music");
    songs(&music, &["A - one", "B - two"], 3);
    fs::write(music.join("no music.mp3"), "This is no music. ".repeat(200)).expect("written");
    let sink = PcmSink::start(&folder.join("pcm.sock"));
    let tower = FakeTower::start(&sink, 0);
    let mut station = StationSetup::default().music(&music).start(&sink.path, &tower.url);
    wait_for("a song", || (!titles(&tower).is_empty()).then_some(()));
    station.next(&music.join("no music.mp3"));
    station.wait_for_log("no music.mp3", PATIENCE);
    let before = titles(&tower).len();
    wait_for("more songs", || (titles(&tower).len() >= before + 2).then_some(()));
    assert!(!titles(&tower).contains(&"no music".to_owned()), "{:?}", titles(&tower));
    let history = station.ask(&json!({"command": "history", "count": 100})).to_string();
    assert!(!history.contains("no music") && history.contains("one"), "{history}");
    station.end(Signal::SIGKILL);
}

#[test]
fn st4_k3_startup_songs_again_at_a_reconnect_and_shutdown_are_told_and_the_state_is_kept() {
    let folder = Folder::new();
    let music = folder.join("music");
    songs(&music, &["A - one", "B - two"], 20);
    let mut sink = PcmSink::start(&folder.join("pcm.sock"));
    let tower = FakeTower::start(&sink, 0);
    let setup = StationSetup::default().music(&music).dir(&folder.join("station"));
    let mut station = setup.start(&sink.path, &tower.url);
    let first = wait_for("a song", || titles(&tower).first().cloned());
    let event = tower.events().into_iter().find(|event| event["event_type"] == "song_playing").expect("told");
    let artist = if first == "one" { "A" } else { "B" };
    assert_eq!(event["metadata"]["artist"], artist, "{event}");
    assert!(event["metadata"]["duration_sec"].as_f64().is_some_and(|sec| (20.0..22.0).contains(&sec)), "{event}");
    assert!(event["timestamp"].as_f64().is_some_and(|sec| sec > 1.7e9), "{event}");
    let history = station.ask(&json!({"command": "history", "count": 5}));
    assert_eq!(history["entries"][0]["title"], first.as_str(), "remembered at its start: {history}");

    sink.vanish();
    sink.come_back();
    let again = wait_for("the song again", || (titles(&tower).len() >= 2).then(|| titles(&tower)));
    assert_eq!(again, [first.clone(), first.clone()]);
    let (status, _) = station.end(Signal::SIGTERM);
    assert!(status.success(), "{}", station.log());
    let events = tower.events();
    let types: Vec<&str> = events.iter().filter_map(|event| event["event_type"].as_str()).collect();
    assert_eq!(types, ["station_startup", "song_playing", "song_playing", "station_shutdown"], "{events:#?}");
    assert_eq!(events[2]["at_frame"], 0, "{events:#?}");

    let mut station = setup.start(&sink.path, &tower.url);
    let history = station.ask(&json!({"command": "history", "count": 5}));
    let entries = history["entries"].as_array().expect("entries");
    assert!(entries.iter().any(|entry| entry["title"] == first.as_str()), "{history}");
    station.end(Signal::SIGKILL);
}

#[test]
fn st1_by_hand_two_that_are_next_and_skips_at_once() {
    let folder = Folder::new();
    let music = folder.join("music");
    songs(&music, &["A - one", "B - two", "C - three", "D - four", "E - five"], 15);
    let sink = PcmSink::start(&folder.join("pcm.sock"));
    let tower = FakeTower::start(&sink, 0);
    let mut station = StationSetup::default().music(&music).start(&sink.path, &tower.url);
    let first = wait_for("a song", || titles(&tower).first().cloned());
    let others: Vec<(&str, &str)> =
        [("A", "one"), ("B", "two"), ("C", "three")].into_iter().filter(|(_, title)| *title != first).take(2).collect();
    for (artist, title) in &others {
        let answer = station.next(&music.join(format!("{artist} - {title}.wav")));
        assert!(answer["error"].is_null(), "{answer}");
    }
    // What is queued is being taken back at this moment; the skip waits for it.
    station.skip();
    wait_for("the last that was asked for", || (titles(&tower).len() >= 2).then_some(()));
    let now = wait_for("it plays", || {
        let now: Value = station.now();
        (now["title"] == others[1].1).then_some(now)
    });
    assert!(now["elapsed_ms"].as_u64().is_some_and(|ms| ms < 10_000), "{now}");
    assert!(now["duration_ms"].as_u64().is_some_and(|ms| (13_000..20_000).contains(&ms)), "{now}");
    station.skip();
    wait_for("the first that was asked for", || (titles(&tower).len() >= 3).then_some(()));
    assert_eq!(titles(&tower)[1..3], [others[1].1, others[0].1]);
    // More skips than there are segments.
    for _ in 0..6 {
        station.skip();
    }
    let before = titles(&tower).len();
    wait_for("it goes on", || (titles(&tower).len() > before || station.now()["state"] == "playing").then_some(()));
    let bytes = sink.bytes();
    sink.wait_for_bytes(bytes + 192_000, PATIENCE);
    assert!(station.lives());
    station.end(Signal::SIGKILL);
}

#[test]
fn k3_the_tower_shows_what_the_station_plays() {
    let folder = Folder::new();
    let music = folder.join("music");
    songs(&music, &["An artist - a title"], 20);
    let tower = Setup::default().start();
    let url = format!("http://127.0.0.1:{}", tower.port);
    let mut station = StationSetup::default().music(&music).start(&tower.pcm_socket(), &url);
    tower.wait_until("title and artist", PATIENCE, |status| {
        status["title"] == "a title" && status["artist"] == "An artist"
    });
    station.end(Signal::SIGKILL);
}
