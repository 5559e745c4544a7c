//! The relay against a real Icecast: the same frames, its titles, its death.

mod common;

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    time::Duration,
};

use common::{
    Setup, Tower,
    icecast::Icecast,
    icy::{Icy, read_for},
    listener::{Recorder, Recording},
    programme::quiet_tower,
    sender::Sender,
};
use nix::sys::socket::{setsockopt, sockopt};
use retrowaves::encoder::Mp3Packetizer;

const SOON: Duration = Duration::from_secs(60);

fn setup(port: u16, password: &str) -> Setup {
    quiet_tower().env("TOWER_RELAY_URL", format!("http://source:{password}@127.0.0.1:{port}/live.mp3"))
}

fn wait_for_connection(tower: &Tower, connections: u64) {
    tower.wait_until("the relay is connected", SOON, |status| {
        status["relay"]["connected"] == true && status["relay"]["connections"] == connections
    });
}

/// A listener of Icecast that asks for titles; what it hears while `act` acts, and for `time` after.
fn hear_icecast(port: u16, act: impl FnOnce(), time: Duration) -> (String, Icy) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("Icecast listens");
    stream.write_all(b"GET /live.mp3 HTTP/1.0\r\nIcy-MetaData: 1\r\n\r\n").expect("sent");
    act();
    let bytes = read_for(&mut stream, time);
    let head_bytes = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a response head") + 4;
    let head = String::from_utf8_lossy(&bytes[..head_bytes]).into_owned();
    let metaint = head.lines().find_map(|line| line.to_lowercase().strip_prefix("icy-metaint:")?.trim().parse().ok());
    (head, Icy::of(&bytes[head_bytes..], metaint.expect("a distance")))
}

#[test]
fn relay_icecasts_listeners_get_the_frames_on_air_and_nothing_between_them() {
    let icecast = Icecast::start();
    let tower = setup(icecast.port, "bench").start();
    tower.wait_until("on air", SOON, |status| status["encoder"]["state"] == "RUNNING");
    wait_for_connection(&tower, 1);
    let sender = Sender::start(&tower.pcm_socket(), 50, common::material::music);
    tower.wait_until("the station is on air", SOON, |status| status["source"] == "station");
    let own = Recorder::start(tower.port);
    let titles = ["quotes: \"a\" 'b'", "Grüße 🎷 & Co. = ?", "two\r\nlines", &"long ".repeat(1000)];
    let act = || {
        for title in titles {
            tower.say(None, title, None);
            std::thread::sleep(Duration::from_millis(1500));
        }
    };
    let (head, icy) = hear_icecast(icecast.port, act, Duration::from_secs(4));
    let own = own.stop();
    sender.stop();
    assert!(head.contains("icy-name:Retrowaves") && head.contains("icy-genre:Various"), "{head}");

    let (mut packetizer, mut frames) = (Mp3Packetizer::new(), Vec::new());
    packetizer.feed(&icy.audio, |packet| {
        // Icecast does not begin on a frame; after that, no byte is anything else.
        assert!(packet.garbage_before == 0 || frames.is_empty(), "garbage before frame {}", frames.len());
        frames.push(packet.bytes.to_vec());
    });
    assert!(frames.len() > 200, "{} frames", frames.len());
    let own = own.frames();
    let at = own.iter().position(|frame| *frame == frames[frames.len() / 2]).expect("a frame that both heard");
    let both = (frames.len() - frames.len() / 2).min(own.len() - at);
    assert!(both > 50 && own[at..at + both] == frames[frames.len() / 2..][..both], "the same frames: {both}");

    let heard: Vec<&str> = icy.titles.iter().map(|(_, text)| text.as_str()).collect();
    println!("{heard:?}");
    for wanted in ["quotes: \"a\" 'b'", "Grüße 🎷 & Co. = ?", "twolines", "long long long"] {
        assert!(heard.iter().any(|text| text.contains(wanted)), "{wanted}: {heard:?}");
    }
    let status = tower.status();
    assert!(status["relay"]["sent_bytes"].as_u64() > Some(100_000) && status["relay"]["error"].is_null(), "{status:#}");
    assert_eq!(status["relay"]["url"], format!("http://127.0.0.1:{}/live.mp3", icecast.port), "no password");
    assert!(!tower.log().contains("bench@"), "no password in the log\n{}", tower.log());
    assert_eq!(tower.stop().0.code(), Some(0));
}

#[test]
fn relay_icecast_dies_and_comes_back_and_nobody_else_notices() {
    let icecast = Icecast::start();
    let port = icecast.port;
    let tower = setup(port, "bench").start();
    tower.wait_until("on air", SOON, |status| status["encoder"]["state"] == "RUNNING");
    wait_for_connection(&tower, 1);
    let recorder = Recorder::start(tower.port);
    drop(icecast);
    tower.wait_for_log("relay to http://127.0.0.1", SOON);
    tower.wait_until("it is missed", SOON, |status| {
        status["relay"]["connected"] == false && status["relay"]["error"].is_string()
    });
    let _again = Icecast::start_on(port);
    wait_for_connection(&tower, 2);
    let (_, icy) = hear_icecast(port, || {}, Duration::from_secs(3));
    assert!(icy.audio.len() > 30_000, "{} bytes", icy.audio.len());
    let recording: Recording = recorder.stop();
    recording.assert_no_break();
    recording.assert_decoders_are_content(&tower.dir);
    assert_eq!(tower.figure("listeners/dropped_slow"), 0);
    assert_eq!(tower.stop().0.code(), Some(0));
}

#[test]
fn relay_a_wrong_password_is_said_and_tried_again() {
    let icecast = Icecast::start();
    let tower = setup(icecast.port, "wrong").start();
    tower.wait_until("it is refused", SOON, |status| {
        status["relay"]["error"].as_str().is_some_and(|why| why.contains("refuses user and password (401)"))
    });
    tower.wait_for_log("(401); again in 2 s", SOON);
    assert!(!tower.log().contains("wrong@"), "no password in the log");
    assert_eq!(tower.stop().0.code(), Some(0));
}

#[test]
fn relay_a_server_that_takes_nothing_more_is_given_up_and_holds_up_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    // What it accepts inherits the buffer.
    setsockopt(&listener, sockopt::RcvBuf, &4096).expect("a small buffer");
    let port = listener.local_addr().expect("address").port();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
            held.push(stream);
        }
    });
    let tower = setup(port, "x").set("encoder.bitrate=320k").start();
    tower.wait_until("on air", SOON, |status| status["encoder"]["state"] == "RUNNING");
    wait_for_connection(&tower, 1);
    let recorder = Recorder::start(tower.port);
    tower.wait_for_log("it has taken nothing for 10 seconds; again in 1 s", SOON);
    wait_for_connection(&tower, 2);
    let recording = recorder.stop();
    recording.assert_no_break();
    // A stop does not wait for it either.
    assert_eq!(tower.stop().0.code(), Some(0));
}
