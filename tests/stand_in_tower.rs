//! The stand-ins that the station is tested with are tested themselves: a sink that loses bytes
//! or a comparison that finds no gap would prove anything.

mod common;

use std::{io::Write, os::unix::net::UnixStream, time::Duration};

use common::{
    joins::{continuous, cut_in_two, decoded, join_of},
    pcm_sink::{FakeTower, PcmSink, Queue},
    temp_dir,
};
use retrowaves::frame::{PUMP_FRAME_BYTES, STATION_FRAME_BYTES};

/// No multiple of 1024, 1152 or 576.
const CUT: usize = 3 * 48_000 + 517;

#[test]
fn the_sink_records_every_byte_of_several_connections() {
    let dir = temp_dir();
    let mut sink = PcmSink::start(&dir.join("pcm.sock"));
    for fill in 1..=3u8 {
        let mut stream = UnixStream::connect(&sink.path).expect("it listens");
        stream.write_all(&[fill; STATION_FRAME_BYTES * 5]).expect("taken");
        drop(stream);
        sink.wait_for_bytes(u64::from(fill) * 5 * STATION_FRAME_BYTES as u64, Duration::from_secs(10));
        if fill == 2 {
            sink.vanish();
            assert!(UnixStream::connect(&sink.path).is_err(), "it has vanished");
            sink.come_back();
        }
    }
    let received = sink.received();
    assert_eq!(received.connections, 3);
    received.assert_whole_frames();
    let expected: Vec<u8> = (1..=3).flat_map(|fill| [fill; STATION_FRAME_BYTES * 5]).collect();
    assert_eq!(received.bytes, expected);
    std::fs::remove_dir_all(&dir).expect("removed");
}

#[test]
fn a_paused_sink_fills_and_loses_nothing() {
    let dir = temp_dir();
    let sink = PcmSink::start(&dir.join("pcm.sock"));
    sink.pause(true);
    let mut stream = UnixStream::connect(&sink.path).expect("it listens");
    stream.set_nonblocking(true).expect("non-blocking");
    let mut sent = 0;
    while let Ok(n) = stream.write(&[7; STATION_FRAME_BYTES]) {
        sent += n as u64;
    }
    assert!(sent > 0);
    sink.pause(false);
    sink.wait_for_bytes(sent, Duration::from_secs(10));
    assert_eq!(sink.bytes(), sent);
    std::fs::remove_dir_all(&dir).expect("removed");
}

#[test]
fn the_queue_is_drained_by_its_own_clock() {
    for (ppm, left) in [(0, 50), (300, 20), (-300, 80)] {
        let mut queue = Queue::new(ppm);
        let mut came = 50 * PUMP_FRAME_BYTES as u64;
        queue.look(Duration::ZERO, came);
        // 100 000 frames, 40 minutes: 300 ppm are 30 frames.
        for tick in 1..=100_000u64 {
            came += PUMP_FRAME_BYTES as u64;
            queue.look(Duration::from_millis(24 * tick), came);
        }
        assert!(queue.frames().abs_diff(left) <= 1, "{ppm} ppm: {} frames", queue.frames());
        assert_eq!((queue.overflow_frames, queue.dry_ticks), (0, 0));
    }
    let mut queue = Queue::new(0);
    queue.look(Duration::ZERO, 101 * PUMP_FRAME_BYTES as u64);
    assert_eq!((queue.frames(), queue.overflow_frames), (100, 2));
    queue.look(Duration::from_millis(24 * 103), 101 * PUMP_FRAME_BYTES as u64);
    assert_eq!((queue.frames(), queue.dry_ticks), (0, 3));
}

#[test]
fn the_fake_tower_answers_as_a_tower_and_keeps_events() {
    let dir = temp_dir();
    let sink = PcmSink::start(&dir.join("pcm.sock"));
    let tower = FakeTower::start(&sink, 0);
    let mut buffer = ureq::get(format!("{}/tower/buffer", tower.url)).call().expect("answered");
    let body: serde_json::Value =
        serde_json::from_str(&buffer.body_mut().read_to_string().expect("text")).expect("JSON");
    for key in ["fill", "capacity", "count", "overflow_count", "ratio"] {
        assert!(body[key].is_number(), "{key}: {body}");
    }
    let event = r#"{"event_type":"song_playing","metadata":{"title":"x"}}"#;
    let reply = ureq::post(format!("{}/tower/events/ingest", tower.url)).send(event).expect("answered");
    assert_eq!(reply.status(), 204);
    assert_eq!(tower.events()[0]["metadata"]["title"], "x");
    assert_eq!(tower.fills(), [0]);
    drop(tower);
    std::fs::remove_dir_all(&dir).expect("removed");
}

#[test]
fn the_comparison_finds_a_seamless_join_an_insertion_and_a_gap() {
    let signal = continuous(6 * 48_000);
    let (first, second) = signal.split_at(CUT * 2);
    let heard = |between: &[i16], second: &[i16]| [&[0; 1000], first, between, second].concat();
    let seamless = join_of(&heard(&[], second), &signal, CUT, 20).expect("found");
    assert_eq!((seamless.begin, seamless.inserted, seamless.largest_difference), (500, 0, 0));
    let inserted = join_of(&heard(&[0; 2 * 47], second), &signal, CUT, 20).expect("found");
    assert_eq!(inserted.inserted, 47);
    let missing = join_of(&heard(&[], &second[2 * 11..]), &signal, CUT, 20).expect("found");
    assert_eq!(missing.inserted, -11);
    assert!(missing.largest_at_join > 0);
    assert_eq!(join_of(&vec![0; signal.len()], &signal, CUT, 20), None, "silence is not the signal");
}

/// What the files themselves allow: the bound that the station is held to.
#[test]
fn files_cut_from_one_signal_decode_to_it_again() {
    let dir = temp_dir();
    let signal = continuous(6 * 48_000);
    for (ending, allowed) in [("wav", 0), ("flac", 0), ("mp3", 800)] {
        let files = cut_in_two(&dir.join(ending), &signal, CUT, ending);
        let joined = files.map(|file| decoded(&file)).concat();
        assert_eq!(joined.len(), signal.len(), "{ending}: LAME's delay and padding are taken away");
        let join = join_of(&joined, &signal, CUT, 100).expect("found");
        assert_eq!((join.begin, join.inserted), (0, 0), "{ending}");
        assert!(join.largest_difference <= allowed, "{ending}: {join:?}");
    }
    std::fs::remove_dir_all(&dir).expect("removed");
}
