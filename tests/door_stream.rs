//! The stream as a listener hears it (H1, H2, H5, H7).

mod door_rig;

use std::{
    io::Write,
    net::Shutdown,
    time::{Duration, Instant},
};

use door_rig::*;

#[test]
fn h1_the_stream_begins_at_once_on_a_frame_header_and_has_no_gap() {
    let rig = Rig::start();
    for path in ["/stream", "/stream.mp3", "/listen", "/;", "/;stream.mp3", "/stream?t=1"] {
        let mut stream = rig.connect();
        let asked = Instant::now();
        write!(stream, "GET {path} HTTP/1.0\nRange: bytes=0-1\n\n").expect("sent");
        let head = read_head(&mut stream);
        assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{path}: {head}");
        read_frames(&mut stream, 1);
        assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
    }
    let numbers = numbers(&read_frames(&mut rig.listen(), 60));
    assert_gapless(&numbers);
    assert!(numbers.len() >= 57, "at most the fillers before the first frame are missing");
}

#[test]
fn h1_h2_everybody_hears_the_same_bytes() {
    let rig = Rig::start();
    let mut listeners: Vec<_> = (0..12).map(|_| rig.listen()).collect();
    let recordings: Vec<_> = listeners.iter_mut().map(|l| numbers(&read_frames(l, 40))).collect();
    let last_start = recordings.iter().map(|r| r[0]).max().expect("twelve");
    for recording in &recordings {
        assert_gapless(recording);
        // `numbers` has compared every byte with the frame of its number.
        assert!(recording.contains(&last_start) && recording.len() >= 37);
    }
    assert_eq!(rig.listeners.now.get(), 12);
    assert_eq!((rig.listeners.peak.get(), rig.listeners.total.get()), (12, 12));
}

#[test]
fn h3_one_frame_a_tick_goes_on_air_whether_or_not_there_is_one() {
    let rig = Rig::start();
    std::thread::sleep(Duration::from_millis(1200));
    let (ticks, on_air) = (rig.pump.ticks.get(), rig.listeners.frames_on_air.get());
    assert!(ticks >= 49 && ticks.abs_diff(on_air) <= 1, "{ticks} ticks, {on_air} on air");
    assert_eq!(rig.encoder.fillers.get(), 0, "the first ticks have no number, so no filler is counted");
    assert!(rig.listeners.worst_gap_ms.get() >= 24);
}

#[test]
fn h7_head_and_options_are_answered_and_take_no_place() {
    let rig = Rig::start_with(|config| config.stream.max_clients = 1);
    let _listener = rig.listen();
    for _ in 0..3 {
        let reply = rig.ask("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n") && reply.ends_with("\r\n\r\n"), "{reply}");
        assert!(reply.contains("Content-Type: audio/mpeg\r\n"));
        let reply = rig.ask("OPTIONS /stream HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(status_of(&reply), 204);
        assert!(reply.contains("Access-Control-Allow-Headers: Range, Icy-MetaData"), "{reply}");
    }
    let reply = rig.ask("POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert!(status_of(&reply) == 405 && reply.contains("Allow: GET, HEAD, OPTIONS"), "{reply}");
    let reply = rig.ask("GET /stream HTTP/1.0\r\n\r\n");
    assert!(reply.starts_with("HTTP/1.0 503 ") && reply.contains("Retry-After: "), "{reply}");
    assert_eq!((rig.listeners.rejected.get(), rig.listeners.total.get()), (1, 1));
}

#[test]
fn h7_playlists_lead_to_the_stream() {
    let rig = Rig::start();
    let reply = rig.ask("GET /stream.m3u HTTP/1.1\r\nHost: radio.local:8000\r\n\r\n");
    assert!(reply.contains("\r\nhttp://radio.local:8000/stream\r\n"), "{reply}");
    let reply = rig.ask("GET /stream.pls HTTP/1.0\r\n\r\n");
    assert!(reply.contains(&format!("File1=http://{}/stream\r\n", rig.address)), "{reply}");
}

#[test]
fn h1_a_peer_that_only_stops_sending_still_listens() {
    let rig = Rig::start();
    let mut listener = rig.listen();
    listener.shutdown(Shutdown::Write).expect("half-closed");
    assert_gapless(&numbers(&read_frames(&mut listener, 50)));
    assert_eq!(rig.listeners.now.get(), 1);
}

#[test]
fn h1_a_listener_that_leaves_is_forgotten_at_once() {
    let rig = Rig::start();
    let mut listeners: Vec<_> = (0..8).map(|_| rig.listen()).collect();
    drop(listeners.drain(..7));
    wait_until("seven have left", Duration::from_secs(1), || rig.listeners.now.get() == 1);
    assert_gapless(&numbers(&read_frames(&mut listeners[0], 30)));
    assert_eq!(rig.listeners.dropped_slow.get(), 0);
}

#[test]
fn h1_what_is_sent_after_the_request_is_ignored() {
    let rig = Rig::start();
    let mut listener = rig.connect();
    let pipelined = "GET /stream HTTP/1.1\r\nHost: a\r\n\r\nGET /status HTTP/1.1\r\nHost: a\r\n\r\n";
    listener.write_all(pipelined.as_bytes()).expect("sent");
    read_head(&mut listener);
    assert_gapless(&numbers(&read_frames(&mut listener, 30)));
}

#[test]
fn h4_a_thousand_listeners_hear_the_same_without_a_gap() {
    const LISTENERS: usize = 1000;
    let rig = Rig::start();
    let mut listeners: Vec<_> = (0..LISTENERS).map(|_| rig.listen()).collect();
    let mut starts = Vec::new();
    for listener in &mut listeners {
        let heard = numbers(&read_frames(listener, 30));
        assert_gapless(&heard);
        starts.push(heard[0]);
    }
    assert!(starts.is_sorted(), "who came later does not hear earlier frames");
    assert_eq!(rig.listeners.now.get(), 1000);
    assert_eq!((rig.listeners.dropped_slow.get(), rig.listeners.rejected.get()), (0, 0));
    drop(listeners);
    wait_until("all have left", Duration::from_secs(2), || rig.listeners.now.get() == 0);
    wait_until("nothing is owed", Duration::from_secs(2), || rig.listeners.unacknowledged_bytes.get() == 0);
}
