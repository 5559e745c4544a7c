//! Slow listeners (H3, H4): who stops reading is dropped when it is due, and nobody else notices.

mod door_rig;

use std::{
    io::{ErrorKind, Read},
    net::TcpStream,
    time::{Duration, Instant},
};

use door_rig::*;
use retrowaves::config::Slow;

/// For so few.
const BATCH_MS: u128 = 48;

/// Reads until the connection ends; true if it was reset.
fn drain(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "the connection did not end");
                return error.kind() == ErrorKind::ConnectionReset;
            }
        }
    }
}

#[test]
fn h3_h4_a_listener_that_stops_reading_is_dropped_at_backlog_plus_250_ms_and_costs_the_others_nothing() {
    let rig = Rig::start_with(|config| config.stream.backlog_sec = 2);
    let mut other = rig.listen();
    let others = std::thread::spawn(move || numbers(&read_frames(&mut other, 300)));
    let mut stalled = listen_with_buffer(&rig, 2304);
    let start = Instant::now();
    read_head(&mut stalled);
    std::thread::sleep(Duration::from_millis(1500));
    // What its own kernel has taken and acknowledged comes on top.
    let swallowed = stalled.peek(&mut [0; 65536]).expect("the beginning of the stream");
    let swallowed_ms = u128::try_from(swallowed).expect("small") / 16;
    wait_until("dropped", Duration::from_secs(6), || rig.listeners.dropped_slow.get() == 1);
    let dropped_ms = start.elapsed().as_millis();
    assert!(drain(&mut stalled), "it learns of it by a reset");
    let due_ms = 2000 + 250 + swallowed_ms;
    println!("due {due_ms} ms ({swallowed} bytes swallowed), dropped after {dropped_ms} ms");
    // A busy machine is looked at late: 100 ms for that.
    assert!((due_ms - BATCH_MS..=due_ms + BATCH_MS + 100).contains(&dropped_ms), "due {due_ms}: {dropped_ms} ms");
    let heard = others.join().expect("the other listener");
    assert_gapless(&heard);
    assert!(heard.len() >= 297);
    // That the other one has left shows at its next batch.
    wait_until("nobody is left", Duration::from_secs(2), || rig.listeners.now.get() == 0);
    assert!(rig.listeners.worst_gap_ms.get() < 500, "{} ms", rig.listeners.worst_gap_ms.get());
}

#[test]
fn h3_a_listener_that_pauses_within_the_backlog_loses_nothing() {
    let rig = Rig::start_with(|config| config.stream.backlog_sec = 3);
    let mut listener = listen_with_buffer(&rig, 16 << 10);
    read_head(&mut listener);
    std::thread::sleep(Duration::from_millis(3500));
    assert!(rig.listeners.unacknowledged_bytes.get() > 10_000, "the backlog was used");
    let heard = numbers(&read_frames(&mut listener, 200));
    assert_gapless(&heard);
    assert_eq!(rig.listeners.dropped_slow.get(), 0);
}

#[test]
fn h3_with_skip_a_slow_listener_is_moved_to_live_on_a_frame_border() {
    let rig = Rig::start_with(|config| {
        config.stream.backlog_sec = 1;
        config.stream.slow = Slow::Skip;
    });
    let mut listener = listen_with_buffer(&rig, 16 << 10);
    read_head(&mut listener);
    wait_until("skipped", Duration::from_secs(5), || rig.listeners.skipped_slow.get() == 1);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!((rig.listeners.now.get(), rig.listeners.dropped_slow.get()), (1, 0));
    assert_eq!(rig.listeners.skipped_slow.get(), 1, "one stall is one skip");
    // `numbers` insists on whole frames: the border was kept.
    let heard = numbers(&read_frames(&mut listener, 200));
    let jumps: Vec<_> = heard.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert_eq!(jumps.len(), 1, "{jumps:?}");
    assert!(jumps[0][1] > jumps[0][0] + 20, "{jumps:?}");
}

#[test]
fn h3_a_stalled_listener_on_the_control_socket_is_dropped_too() {
    let rig = Rig::start_with(|config| config.stream.backlog_sec = 1);
    let mut stalled = std::os::unix::net::UnixStream::connect(rig.control_socket()).expect("connected");
    std::io::Write::write_all(&mut stalled, b"GET /stream HTTP/1.0\r\n\r\n").expect("sent");
    // The kernel takes some 7 s of audio on a Unix socket before it refuses more.
    wait_until("dropped", Duration::from_secs(16), || rig.listeners.dropped_slow.get() == 1);
    assert_eq!((rig.listeners.now.get(), rig.listeners.total.get()), (0, 0), "it was never counted");
}

#[test]
fn h3_stopping_the_door_ends_every_connection() {
    let mut rig = Rig::start();
    let mut listener = rig.listen();
    rig.stop();
    drain(&mut listener);
    assert!(!rig.config.control.socket.exists() && !rig.config.control.web_socket.exists());
}
