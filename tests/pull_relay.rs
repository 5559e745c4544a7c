//! Another radio's stream as an input: heard by its pitch, missed when it goes, heard again when it is back; and sources
//! that are none harm nothing.

mod common;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use common::{
    Setup, Tower,
    icecast::Icecast,
    icy::{Icy, read_for},
    listener::{Recorder, Recording},
    sound::pitch_hz,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const SOON: Duration = Duration::from_secs(30);
/// What waits of a stream when it is heard (limits: `PULL_BEGIN_MS`), less what has been played; and the most that ever waits
/// (`RELAY_PCM`), with what a busy machine lets come to FFmpeg before it can be taken.
const WAITS_MS: std::ops::RangeInclusive<u128> = 1500..=12_000;

/// A tower that hears `url` and nothing else; its own tone is 300 Hz.
fn tower(url: &str) -> Setup {
    Setup::default()
        .env("TOWER_PULL_URL", url)
        .env("TOWER_INPUTS", "station,relay")
        .env("TOWER_PCM_GRACE_SEC", "0")
        .env("TOWER_TONE_FREQUENCY", "300")
}

/// A radio whose programme is a tone of 440 Hz.
fn radio() -> Tower {
    let radio = Setup::default().env("TOWER_BURST_SEC", "3").start();
    radio.wait_until("the radio is on air", SOON, |status| status["encoder"]["state"] == "RUNNING");
    radio
}

fn wait_for_source(tower: &Tower, source: &str) {
    tower.wait_until(&format!("{source} is on air"), SOON, |status| status["source"] == source);
}

/// The pitch of the last half of a second, left.
fn last_pitch(recording: &Recording, tower: &Tower) -> f64 {
    let pcm = recording.decoded(&tower.dir);
    let left: Vec<f64> = pcm.iter().step_by(2).map(|value| f64::from(*value)).collect();
    pitch_hz(&left[left.len().saturating_sub(26_000)..left.len().saturating_sub(2000)])
}

/// The tone comes to be heard, and is for half a second. (Not at once: the radio itself has silence before its first frame.)
fn hear_pitch(recorder: &Recorder, tower: &Tower, hz: f64) {
    let start = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(250));
        let pitch = last_pitch(&recorder.so_far(), tower);
        if (pitch - hz).abs() < 1.0 {
            return;
        }
        assert!(start.elapsed() < SOON, "{pitch} Hz and not {hz}\n{}", tower.log());
    }
}

#[test]
fn pull_a_radio_is_heard_by_its_pitch_gives_way_when_it_is_killed_and_is_heard_again_when_it_is_back() {
    let first = radio();
    let port = first.port;
    let tower = tower(&format!("http://127.0.0.1:{port}/stream")).start();
    wait_for_source(&tower, "relay");
    let recorder = Recorder::start(tower.port);
    hear_pitch(&recorder, &tower, 440.0);
    tower.wait_until("all of it is told", SOON, |status| {
        let pull = &status["pull"];
        let is_heard = pull["state"] == "running" && pull["standing"] == "present" && pull["error"].is_null();
        let waits = pull["queue_ms"].as_f64().is_some_and(|ms| (1000.0..=6000.0).contains(&ms));
        let is_loud = pull["rms_dbfs"][0].as_f64().is_some_and(|rms| (rms + 23.0).abs() < 1.0);
        is_heard && waits && is_loud && status["reason"] == "the relayed stream comes"
    });

    first.signal(Signal::SIGKILL);
    let killed = Instant::now();
    wait_for_source(&tower, "tone");
    let played = killed.elapsed().as_millis();
    println!("killed: what waited was played for {played} ms");
    assert!(WAITS_MS.contains(&played), "{played} ms");
    let status = tower.status();
    assert!(status["pull"]["error"].is_string() && status["pull"]["gaps"] == 1, "{status:#}");
    hear_pitch(&recorder, &tower, 300.0);

    let dir = first.dir.clone();
    drop(first);
    let _ = std::fs::create_dir_all(&dir);
    let _second = Setup::default().env("TOWER_BURST_SEC", "2").env("TOWER_PORT", port).start_in(dir);
    let back = Instant::now();
    wait_for_source(&tower, "relay");
    println!("back: heard after {} ms", back.elapsed().as_millis());
    assert!(back.elapsed() < Duration::from_secs(15), "{:?}", back.elapsed());
    hear_pitch(&recorder, &tower, 440.0);
    let recording = recorder.stop();
    println!(
        "longest time between two frames on air {} ms, between two reads {:?}",
        tower.figure("worst_gap_ms"),
        recording.worst_gap
    );
    recording.assert_no_break();
    recording.assert_decoders_are_content(&tower.dir);
    // Four ticks are the most that an input may miss (R6).
    assert!(!recording.disconnected && tower.figure("ticks/underruns") <= 4, "{:#}", tower.status());
    assert_eq!(tower.stop().0.code(), Some(0));
}

#[test]
fn pull_an_ffmpeg_that_is_killed_is_replaced_before_what_waits_is_used_up() {
    let radio = radio();
    let tower = tower(&format!("http://127.0.0.1:{}/stream", radio.port)).start();
    wait_for_source(&tower, "relay");
    let recorder = Recorder::start(tower.port);
    kill(pid(&tower), Signal::SIGKILL).expect("FFmpeg runs");
    tower.wait_until("another FFmpeg gives sound", SOON, |status| {
        status["pull"]["restarts"] == 1 && status["pull"]["state"] == "running"
    });
    tower.wait_for_log("FFmpeg was ended by SIGKILL", SOON);
    hear_pitch(&recorder, &tower, 440.0);
    let status = tower.status();
    assert!(status["pull"]["gaps"] == 0 && status["source"] == "relay", "{status:#}");
    recorder.stop().assert_no_break();
    // Its child goes with the tower, however that ends.
    let child = pid(&tower);
    tower.signal(Signal::SIGKILL);
    let start = Instant::now();
    while kill(child, None).is_ok() && !is_zombie(child) {
        assert!(start.elapsed() < Duration::from_secs(5), "FFmpeg outlives the tower");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn pid(tower: &Tower) -> Pid {
    Pid::from_raw(i32::try_from(tower.figure("pull/pid")).expect("a process id"))
}

/// Dead, and nobody has asked for it: it depends on who is process 1.
fn is_zombie(pid: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn pull_an_icecast_is_heard_with_a_secret_in_its_url_that_nobody_sees_and_tells_its_titles() {
    let icecast = Icecast::start();
    let _source = icecast.feed();
    let url = format!("http://me:hackme@127.0.0.1:{}/stream?token=hidden", icecast.port);
    let tower = tower(&url).start();
    wait_for_source(&tower, "relay");
    let mut listener = TcpStream::connect(("127.0.0.1", tower.port)).expect("connected");
    listener.write_all(b"GET /live?metaint=1024 HTTP/1.0\r\nIcy-MetaData: 1\r\n\r\n").expect("sent");
    let pid = pid(&tower);
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).expect("FFmpeg runs");
    let line = String::from_utf8_lossy(&line);
    assert!(!line.contains("hackme") && !line.contains("hidden"), "{line}");
    tell_title(icecast.port, "Gr%C3%BC%C3%9Fe%20%22W%22%20%27a%27%20%F0%9F%8E%B7%0D%0Aend");
    tower.wait_until("the title is told", SOON, |status| {
        status["pull"]["title"]
            .as_str()
            .is_some_and(|title| title.contains("\"W\" 'a'") && !title.contains(['\r', '\n']))
    });
    // Icecast takes no longer head than 4096 bytes.
    tell_title(icecast.port, &"x".repeat(3500));
    tower.wait_until("a long title is cut", SOON, |status| {
        status["pull"]["title"].as_str().is_some_and(|title| title.starts_with("xxx") && title.len() <= 200)
    });
    // A listener of this tower is told it too, when it is heard: after what waits.
    let heard = read_for(&mut listener, Duration::from_secs(6));
    let head = heard.windows(4).position(|four| four == b"\r\n\r\n").expect("a response head") + 4;
    let titles: Vec<String> = Icy::of(&heard[head..], 1024).titles.into_iter().map(|(_, text)| text).collect();
    assert!(titles.iter().any(|title| title.contains("\"W\" 'a'")), "{titles:?}");
    assert_eq!(tower.status()["pull"]["url"], format!("http://127.0.0.1:{}/stream", icecast.port));
    // A stream that is gone: the reason, too, is without the secret.
    drop(icecast);
    tower.wait_until("it is missed", SOON, |status| status["pull"]["error"].is_string());
    let said = tower.log() + &tower.status().to_string();
    assert!(!said.contains("hackme") && !said.contains("hidden"), "{said}");
    assert_eq!(tower.stop().0.code(), Some(0));
}

fn tell_title(port: u16, title: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("Icecast");
    let login = "YWRtaW46YmVuY2g="; // admin:bench
    let path = format!("/admin/metadata?mount=/stream&mode=updinfo&charset=UTF-8&song={title}");
    // In one piece: Icecast 2.4 does not wait for the rest of a head.
    let request = format!("GET {path} HTTP/1.0\r\nAuthorization: Basic {login}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    assert!(answer.contains("200"), "{read:?}: {answer}");
}

/// Answers each connection in another way, for ever: 404, noise as MP3, nothing at all, an end in mid-stream.
fn bad_radio() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("address").port();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for (turn, mut stream) in listener.incoming().flatten().enumerate() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            match turn {
                0 => _ = stream.write_all(b"HTTP/1.0 404 Not Found\r\n\r\n"),
                1 => {
                    let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n");
                    let mut dice = 1u32;
                    let noise: Vec<u8> = std::iter::repeat_with(|| {
                        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        dice.to_le_bytes()[3]
                    })
                    .take(300_000)
                    .collect();
                    let _ = stream.write_all(&noise);
                }
                // Never answers.
                _ => held.push(stream),
            }
        }
    });
    port
}

/// Sends four seconds of a tone at once, and then nothing, and keeps the connection.
fn radio_that_stalls() -> u16 {
    let tone = ["-v", "error", "-nostdin", "-f", "lavfi", "-i", "sine=f=440:r=48000:d=4", "-f", "mp3", "pipe:1"];
    let mp3 = Command::new("ffmpeg").args(tone).output().expect("ffmpeg").stdout;
    assert!(mp3.len() > 20_000);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("address").port();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n");
            let _ = stream.write_all(&mp3);
            held.push(stream);
        }
    });
    port
}

#[test]
fn pull_sources_that_are_none_are_said_once_each_and_harm_nothing() {
    let stalling = tower(&format!("http://127.0.0.1:{}/x", radio_that_stalls())).start();
    let tower = tower(&format!("http://127.0.0.1:{}/x", bad_radio())).start();
    tower.wait_until("on air", SOON, |status| status["frames_on_air"].as_u64() > Some(80));
    let recorder = Recorder::start(tower.port);
    tower.wait_for_log("404 Not Found; it is tried again", SOON);
    // Noise: FFmpeg finds nothing in it, or something that it gives up; then one who never answers.
    tower.wait_until("a third attempt", SOON, |status| {
        status["pull"]["restarts"] == 2 && status["pull"]["state"] == "connecting"
    });
    let recording = recorder.stop();
    recording.assert_no_break();
    let status = tower.status();
    assert!(status["source"] == "tone" && status["pull"]["standing"] == "absent", "{status:#}");
    assert_eq!(tower.log().matches("404 Not Found").count(), 1, "{}", tower.log());
    // What has come of one that stalls is heard to its end; it is given up 5 s after its last sound.
    stalling.wait_for_log("no sound for 5 s; it is tried again", SOON);
    let log = stalling.log();
    let is_in_order = |words: &[&str]| words.iter().try_fold(0, |at, word| Some(at + log[at..].find(word)?)).is_some();
    assert!(
        is_in_order(&["PROGRAM (relay): the relayed stream comes", "-> FALLBACK (tone)", "no sound for 5 s"]),
        "{log}"
    );
    assert_eq!(stalling.stop().0.code(), Some(0));
    // A stop waits for none of them.
    let (ended, took) = tower.stop();
    assert!(ended.code() == Some(0) && took < Duration::from_secs(3), "{ended:?} after {took:?}");
}

#[test]
fn pull_where_nobody_listens_is_said_in_words() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let tower = tower(&format!("http://127.0.0.1:{port}/x")).start();
    tower.wait_until("it is said", SOON, |status| {
        status["pull"]["error"].as_str().is_some_and(|why| why.contains("Connection refused"))
    });
    assert_eq!(tower.stop().0.code(), Some(0));
}
