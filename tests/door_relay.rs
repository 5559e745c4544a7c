//! The relay to the control plane when that misbehaves (H8): the client is told, the stream goes on.

mod door_rig;

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::mpsc,
    time::{Duration, Instant},
};

use door_rig::*;

const STATUS: &str = "GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn read_request(web: &mut UnixStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(web.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

#[test]
fn h8_a_control_plane_that_is_gone_is_503_and_the_buffer_is_still_answered() {
    let mut rig = Rig::start();
    let mut listener = rig.listen();
    rig.stop_control();
    let reply = rig.ask(STATUS);
    assert!(status_of(&reply) == 503 && reply.contains("Retry-After"), "{reply}");
    assert!(body_json(&reply)["error"].is_string());
    assert_eq!(status_of(&rig.ask("GET /tower/buffer HTTP/1.0\r\n\r\n")), 200);
    assert_gapless(&numbers(&read_frames(&mut listener, 30)));
}

#[test]
fn h8_a_control_plane_that_never_answers_is_504_after_five_seconds() {
    let mut rig = Rig::start();
    let mut listener = rig.listen();
    let heard = std::thread::spawn(move || numbers(&read_frames(&mut listener, 250)));
    rig.replace_control(std::mem::forget);
    let start = Instant::now();
    let replies: Vec<_> = std::thread::scope(|scope| {
        // Eight more than there are slots.
        let asking: Vec<_> = (0..72).map(|_| scope.spawn(|| status_of(&rig.ask(STATUS)))).collect();
        asking.into_iter().map(|a| a.join().expect("asked")).collect()
    });
    assert!((5.0..6.5).contains(&start.elapsed().as_secs_f64()), "{:?}", start.elapsed());
    let of = |status| replies.iter().filter(|s| **s == status).count();
    assert_eq!((of(504), of(503)), (64, 8), "{replies:?}");
    assert_gapless(&heard.join().expect("listener"));
}

#[test]
fn h8_a_reply_that_is_too_long_or_none_is_502() {
    for reply in [&b""[..], b"nonsense", b"HTTP/1.0 200 OK\r\n\r\n"] {
        let mut rig = Rig::start();
        let endless = reply.starts_with(b"HTTP");
        rig.replace_control(move |mut web| {
            read_request(&mut web);
            let _ = web.write_all(reply);
            while endless && web.write_all(&[b'x'; 65536]).is_ok() {}
        });
        assert_eq!(status_of(&rig.ask(STATUS)), 502, "{reply:?}");
    }
}

#[test]
fn h8_the_whole_reply_is_taken_at_once_from_the_web_thread_and_dripped_out() {
    const BODY: usize = 1_000_000;
    let mut rig = Rig::start();
    let (done, when_done) = mpsc::channel();
    rig.replace_control(move |mut web| {
        let request = read_request(&mut web);
        let start = Instant::now();
        write!(web, "HTTP/1.0 200 OK\r\nContent-Length: {BODY}\r\n\r\n").expect("head");
        web.write_all(&vec![b'x'; BODY]).expect("body");
        drop(web);
        done.send((request, start.elapsed())).expect("told");
    });
    let mut slow = ask_and_read_later(&rig);
    let (request, took) = when_done.recv_timeout(Duration::from_secs(5)).expect("the web thread is free");
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert!(request.contains("\r\nX-Tower-From: loopback\r\n"), "{request}");
    std::thread::sleep(Duration::from_millis(500));
    let reply = read_to_end(&mut slow);
    assert_eq!(reply.split_once("\r\n\r\n").map(|(_, body)| body.len()), Some(BODY));
}

fn ask_and_read_later(rig: &Rig) -> std::net::TcpStream {
    let mut stream = rig.connect();
    stream.write_all(STATUS.as_bytes()).expect("sent");
    stream
}
