//! The door's bounds (H8, H9): whoever misbehaves is cut, and the stream goes on.

mod door_rig;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use door_rig::*;

#[test]
fn h9_a_slow_head_is_cut_after_five_seconds() {
    let rig = Rig::start();
    let start = Instant::now();
    let mut silent = rig.connect();
    let mut slow = rig.connect();
    let mut writer = slow.try_clone().expect("clone");
    let dripping = std::thread::spawn(move || {
        for byte in "GET /stream HTTP/1.1\r\nHost: a".bytes() {
            if writer.write_all(&[byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    // Firefox opens a second connection in advance: nothing was asked, so nothing is answered and nothing was bad.
    assert_eq!(read_to_end(&mut silent), "");
    let silent_after = start.elapsed();
    assert!(read_head(&mut slow).starts_with("HTTP/1.1 408 "));
    for after in [silent_after, start.elapsed()] {
        assert!((5.0..5.4).contains(&after.as_secs_f64()), "{after:?}");
    }
    dripping.join().expect("dripper");
    assert_eq!(rig.listeners.bad_requests.get(), 1);
}

#[test]
fn h9_an_endless_head_and_a_huge_body_are_refused_before_they_are_read() {
    let rig = Rig::start();
    let endless = format!("GET /stream HTTP/1.1\r\nX: {}", "a".repeat(20_000));
    assert_eq!(status_of(&rig.ask(&endless)), 431);
    let many = format!("GET /stream HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65));
    assert_eq!(status_of(&rig.ask(&many)), 431);
    for length in ["65537", "100000000000000", "18446744073709551615", "99999999999999999999999"] {
        let post = format!("POST /tower/events/ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(status_of(&rig.ask(&post)), 413, "{length}");
    }
    assert_eq!(status_of(&rig.ask("\u{16}\u{3}\u{1}\u{2}\u{0}")), 400);
    assert_eq!(rig.status()["listeners"]["bad_requests"], 7);
}

#[test]
fn h9_a_thousand_idle_connections_do_not_keep_anyone_out() {
    let rig = Rig::start();
    let mut before = rig.listen();
    let idle: Vec<TcpStream> = (0..1000).map(|_| rig.connect()).collect();
    wait_until("the oldest have made room", Duration::from_secs(3), || rig.listeners.rejected.get() >= 1000 - 512);
    assert_gapless(&numbers(&read_frames(&mut rig.listen(), 30)));
    assert_eq!(rig.status()["mode"], "PROGRAM");
    assert_gapless(&numbers(&read_frames(&mut before, 60)));
    let open = idle.iter().filter(|stream| is_open(stream)).count();
    assert!((500..=512).contains(&open), "{open} are still open");
}

fn is_open(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("non-blocking");
    let error = stream.read(&mut [0]).err().map(|error| error.kind());
    error == Some(std::io::ErrorKind::WouldBlock)
}

#[test]
fn h8_a_slow_reader_of_a_reply_holds_no_web_thread() {
    let rig = Rig::start();
    let slow: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = rig.connect();
            stream.write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
            stream
        })
        .collect();
    let start = Instant::now();
    for _ in 0..5 {
        assert!(rig.status()["version"].is_string());
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    for mut stream in slow {
        assert_eq!(status_of(&read_to_end(&mut stream)), 200);
    }
}

#[test]
fn h9_control_is_answered_when_every_listeners_place_is_taken() {
    let rig = Rig::start_with(|config| config.stream.max_clients = 3);
    let mut listeners: Vec<_> = (0..3).map(|_| rig.listen()).collect();
    assert_eq!(status_of(&rig.ask("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")), 503);
    assert_eq!(rig.status()["listeners"]["now"], 3);
    listeners.pop();
    wait_until("a place is free", Duration::from_secs(1), || rig.listeners.now.get() == 2);
    assert_gapless(&numbers(&read_frames(&mut rig.listen(), 10)));
}

#[test]
fn h9_a_crowd_of_requests_leaves_the_stream_without_a_gap() {
    let rig = Rig::start();
    let mut listener = rig.listen();
    let heard = std::thread::spawn(move || numbers(&read_frames(&mut listener, 120)));
    let until = Instant::now() + Duration::from_secs(2);
    let mut asked = 0;
    while Instant::now() < until {
        assert_eq!(status_of(&rig.ask("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")), 404);
        asked += 1;
    }
    assert!(asked > 50, "{asked}");
    assert_gapless(&heard.join().expect("listener"));
}
