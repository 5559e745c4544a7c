//! K6, H8: `/events` of a real tower: what happens is told at once, in words, to a bounded number of people.

mod common;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use common::{Setup, Tower};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

/// One who is told.
struct Subscriber(BufReader<TcpStream>);

impl Subscriber {
    /// Its status, and itself.
    fn come(tower: &Tower, host: &str) -> (u16, Self) {
        let mut stream = TcpStream::connect(("127.0.0.1", tower.port)).expect("connected");
        stream.set_read_timeout(Some(SOON)).expect("timeout");
        write!(stream, "GET /events HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n").expect("asked");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).expect("a status line");
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).expect("a head");
        }
        (status, Self(reader))
    }

    fn next(&mut self) -> (String, Value) {
        let (mut name, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            assert!(self.0.read_line(&mut line).expect("a message") > 0, "let go");
            if let Some(event) = line.strip_prefix("event: ") {
                name = event.trim().to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(data).expect("JSON"));
            }
        }
    }

    fn until(&mut self, what: &str, wanted: impl Fn(&str, &Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let (name, data) = self.next();
            if wanted(&name, &data) {
                return data;
            }
            assert!(start.elapsed() < SOON, "not told: {what}");
        }
    }

    fn until_told(&mut self, words: &str) -> Value {
        self.until(words, |name, data| name == "told" && data["text"].as_str().is_some_and(|text| text.contains(words)))
    }
}

fn running() -> Tower {
    let tower = Setup::default().start();
    tower.wait_until("the encoder runs", SOON, |status| status["encoder"]["state"] == "RUNNING");
    tower
}

#[test]
fn k6_h8_who_subscribes_is_told_what_was_what_is_and_what_comes() {
    let tower = running();
    let (status, mut subscriber) = Subscriber::come(&tower, "localhost");
    assert_eq!(status, 200);
    let (name, history) = subscriber.next();
    assert_eq!(name, "history");
    assert!(history.to_string().contains("The tone is on air"), "{history}");
    let (name, status) = subscriber.next();
    assert_eq!((name.as_str(), &status["source"]), ("status", &"tone".into()));
    // Ten levels a second.
    let start = Instant::now();
    for _ in 0..20 {
        subscriber.until("levels", |name, _| name == "levels");
    }
    let took = start.elapsed();
    assert!(took > Duration::from_millis(1200) && took < Duration::from_secs(10), "20 levels took {took:?}");
    let level = subscriber.until("levels", |name, data| name == "levels" && data["rms_dbfs"][0].is_f64());
    assert!((-40.0..0.0).contains(&level["rms_dbfs"][0].as_f64().expect("a level")), "{level}");

    kill(tower.encoder_pid(), Signal::SIGKILL).expect("killed");
    subscriber.until_told("The encoder stopped (exit, SIGKILL). Another one takes its place.");
    subscriber.until_told("The encoder was replaced.");
    tower.say(Some("Artist"), "Title", None);
    subscriber.until("the title", |name, data| name == "status" && data["title"] == "Title");
    // Who comes now is told of it as well.
    let (_, mut later) = Subscriber::come(&tower, "localhost");
    let (_, history) = later.next();
    assert!(history.to_string().contains("The encoder was replaced."), "{history}");
}

#[test]
fn k6_h8_sixty_four_are_told_and_one_more_is_sent_away() {
    let tower = running();
    let mut all: Vec<_> = (0..64).map(|_| Subscriber::come(&tower, "localhost")).collect();
    assert!(all.iter().all(|(status, _)| *status == 200));
    assert_eq!(Subscriber::come(&tower, "localhost").0, 503);
    assert_eq!(tower.figure("events/subscribers"), 64);
    // One who leaves makes room.
    all.pop();
    tower.wait_until("one has left", SOON, |status| status["events"]["subscribers"] == 63);
    assert_eq!(Subscriber::come(&tower, "localhost").0, 200);
    for (_, subscriber) in &mut all {
        subscriber.until("levels", |name, _| name == "levels");
    }
}

/// A page from elsewhere whose name is made to point here (DNS rebinding) reads nothing.
#[test]
fn k4_h8_a_foreign_host_name_is_told_nothing() {
    let tower = running();
    let (status, mut subscriber) = Subscriber::come(&tower, "evil.example");
    let mut body = String::new();
    subscriber.0.read_to_string(&mut body).expect("read");
    assert!(status == 403 && body.contains("host name"), "{status} {body}");
}

#[test]
fn k6_h8_who_does_not_read_is_let_go_and_the_stream_goes_on() {
    let tower = running();
    let (_, stuck) = Subscriber::come(&tower, "localhost");
    let (_, mut reading) = Subscriber::come(&tower, "localhost");
    let reader = std::thread::spawn(move || {
        reading.until("the last title", |name, data| name == "status" && data["title"] == "the last");
        reading.until("it goes on", |name, _| name == "levels");
    });
    // Each status is some kilobytes, and comes with each title.
    let mut number = 0;
    tower.wait_until("the one who does not read is let go", SOON, |status| {
        (0..8).for_each(|_| {
            number += 1;
            tower.say(None, &format!("Title {number}"), None);
            std::thread::sleep(Duration::from_millis(30));
        });
        status["events"]["subscribers"] == 1
    });
    tower.say(None, "the last", None);
    reader.join().expect("whoever reads is told everything");
    assert_eq!(tower.figure("events/dropped_slow"), 1);
    assert_eq!(tower.figure("encoder/fillers"), 0);
    drop(stuck);
}
