//! The control plane behind the door (K1–K4), and its end.

mod door_rig;

use std::time::{Duration, Instant};

use door_rig::*;
use retrowaves::{frame::PumpFrame, router::InputId};

fn event(host: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /tower/events/ingest HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

const SONG: &str = r#"{"event_type":"song_playing","timestamp":1,"metadata":{"title":"Blue","artist":"Eiffel"}}"#;

#[test]
fn k1_the_buffer_is_answered_by_the_door_in_no_time() {
    let rig = Rig::start();
    for _ in 0..25 {
        rig.router.push_frame(InputId::Station, &PumpFrame::SILENCE);
    }
    let ask = || {
        let start = Instant::now();
        let json = body_json(&rig.ask("GET /tower/buffer HTTP/1.1\r\n\r\n"));
        (start.elapsed(), json)
    };
    // The fastest of twenty: the test's own machine may be busy.
    let (fastest, json) = (0..20).map(|_| ask()).min_by_key(|(took, _)| *took).expect("twenty");
    assert!(fastest < Duration::from_millis(10), "{fastest:?}");
    assert_eq!((&json["fill"], &json["count"], &json["capacity"]), (&25.into(), &25.into(), &100.into()));
    assert_eq!((&json["overflow_count"], &json["ratio"]), (&0.into(), &0.25.into()));
}

#[test]
fn k3_events_come_from_the_control_socket_and_from_loopback() {
    let rig = Rig::start();
    assert_eq!(status_of(&rig.ask(&event("localhost", "", SONG))), 204);
    let status = rig.status();
    assert_eq!((&status["title"], &status["artist"]), (&"Blue".into(), &"Eiffel".into()));
    let other = SONG.replace("Blue", "Red");
    assert_eq!(status_of(&rig.ask_locally(&event("tower", "", &other))), 204);
    assert_eq!(rig.status()["title"], "Red");
    for (host, headers, status) in [
        ("localhost", "X-Forwarded-For: 10.0.0.1\r\n", 403),
        ("localhost", "Via: 1.1 proxy\r\nX-Tower-From: control-socket\r\n", 403),
        ("localhost", "Origin: http://evil.example\r\n", 403),
        ("evil.example", "", 403),
    ] {
        assert_eq!(status_of(&rig.ask(&event(host, headers, SONG))), status, "{host} {headers}");
    }
    assert_eq!(rig.status()["title"], "Red");
    let reply = rig.ask(&event("localhost", "", r#"{"event_type":"tea"}"#));
    assert_eq!(status_of(&reply), 400);
    assert!(body_json(&reply)["error"].as_str().expect("why").contains("song_playing"), "{reply}");
}

#[test]
fn k3_loopback_can_be_closed() {
    let rig = Rig::start_with(|config| config.control.loopback = false);
    assert_eq!(status_of(&rig.ask(&event("localhost", "", SONG))), 403);
    assert_eq!(status_of(&rig.ask_locally(&event("localhost", "", SONG))), 204);
}

#[test]
fn k3_a_client_that_waits_for_100_continue_gets_it() {
    use std::io::Write;
    let rig = Rig::start();
    let mut stream = rig.connect();
    let request = event("localhost", "Expect: 100-continue\r\n", SONG);
    let (head, body) = request.split_once("\r\n\r\n").expect("head");
    write!(stream, "{head}\r\n\r\n").expect("sent");
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 100 "));
    stream.write_all(body.as_bytes()).expect("sent");
    assert_eq!(status_of(&read_to_end(&mut stream)), 204);
}

#[test]
fn k4_what_is_not_there_is_a_json_error_in_the_version_that_was_asked() {
    let rig = Rig::start();
    for path in ["/", "/nothing?x=y"] {
        let reply = rig.ask(&format!("GET {path} HTTP/1.0\r\n\r\n"));
        assert!(reply.starts_with("HTTP/1.0 404 ") && body_json(&reply)["error"].is_string(), "{reply}");
    }
    let reply = rig.ask("POST /status HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(status_of(&reply) == 405 && reply.contains("Allow: GET, HEAD"), "{reply}");
    let reply = rig.ask("HEAD /status HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(status_of(&reply) == 200 && reply.ends_with("\r\n\r\n"), "{reply}");
    assert_eq!(status_of(&rig.ask("GET /status HTTP/1.1\r\n\r\n")), 400, "no Host");
}

#[test]
fn k2_healthy_after_ten_good_seconds_and_not_after_a_filler() {
    let rig = Rig::start();
    let health = || rig.ask("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let first = health();
    assert_eq!(status_of(&first), 503);
    assert!(first.contains("watched"), "{first}");
    wait_until("healthy", Duration::from_secs(14), || status_of(&health()) == 200);
    assert_eq!(rig.status()["healthy"], true);
    assert_eq!(rig.listeners.total.get(), 0, "the monitor is not counted");
    rig.encoder.fillers.add(1);
    wait_until("not healthy", Duration::from_secs(3), || status_of(&health()) == 503);
    assert!(body_json(&health())["reasons"][0].as_str().expect("why").contains("1 fillers"));
}
