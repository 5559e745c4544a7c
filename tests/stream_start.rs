//! Where a new listener begins, and the titles it is told: the real door, frames that are numbered.

mod door_rig;
#[path = "common/icy.rs"]
mod icy;

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::Ordering::SeqCst,
    time::Duration,
};

use door_rig::{FRAME_BYTES, Rig, number_of, read_head};
use icy::{Icy, read_for};
use retrowaves::pump::selector::Source;

/// A listener of a path, and the head that it got.
fn listen(rig: &Rig, path: &str, headers: &str) -> (TcpStream, String) {
    let mut stream = rig.connect();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes()).expect("sent");
    let head = read_head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    (stream, head)
}

fn next_number(stream: &mut TcpStream) -> u64 {
    let mut frame = [0; FRAME_BYTES];
    stream.read_exact(&mut frame).expect("a frame");
    number_of(&frame).expect("no filler")
}

fn wait_for_frames(rig: &Rig, frames: u64) {
    while rig.listeners.frames_on_air.get() < frames {
        std::thread::sleep(Duration::from_millis(24));
    }
}

#[test]
fn h5_a_burst_is_as_long_as_asked_for_and_begins_with_a_whole_frame() {
    let rig = Rig::start_with(|config| config.stream.burst_ms = 2000);
    wait_for_frames(&rig, 300);
    for (path, behind_frames) in
        [("/stream", 83), ("/stream?burst=0", 0), ("/live", 0), ("/stream?burst=1", 41), ("/stream.mp3?burst=6", 250)]
    {
        let newest = rig.listeners.frames_on_air.get() - 1;
        let (mut stream, _) = listen(&rig, path, "");
        let first = next_number(&mut stream);
        let expected = newest - behind_frames;
        // Between the two looks a frame or some may have gone on air.
        assert!((expected - 2..expected + 12).contains(&first), "{path}: from {first}, {newest} was the newest");
        let numbers: Vec<u64> = (0..behind_frames + 20).map(|_| next_number(&mut stream)).collect();
        assert!(numbers.iter().zip(first + 1..).all(|(number, expected)| *number == expected), "{path}: {numbers:?}");
    }
}

#[test]
fn h5_before_there_is_as_much_the_burst_is_what_there_is() {
    let rig = Rig::start_with(|config| config.stream.burst_ms = 6000);
    wait_for_frames(&rig, 10);
    let (mut stream, _) = listen(&rig, "/stream", "");
    let mut frames = vec![0; FRAME_BYTES * 20];
    stream.read_exact(&mut frames).expect("frames");
    let numbers: Vec<Option<u64>> = frames.chunks(FRAME_BYTES).map(number_of).collect();
    // The first ticks have no number yet.
    assert_eq!(numbers[..3], [None, None, Some(0)]);
    assert!(numbers[2..].iter().zip(0..).all(|(number, expected)| *number == Some(expected)), "{numbers:?}");
}

#[test]
fn h6_only_who_asks_gets_titles_and_the_audio_is_the_same() {
    let rig = Rig::start();
    rig.pump.on_air.store(Source::Tone as u8, SeqCst);
    wait_for_frames(&rig, 10);
    let (_, head) = listen(&rig, "/stream", "");
    assert!(
        !head.contains("\r\nicy-metaint") && head.contains("icy-name: Retrowaves\r\nicy-genre: Various\r\n"),
        "{head}"
    );
    let (_, head) = listen(&rig, "/stream", "Icy-MetaData: 0\r\n");
    assert!(!head.contains("\r\nicy-metaint"), "{head}");
    for (path, metaint) in [("/stream", 16_000), ("/stream?metaint=8192", 8192), ("/live?metaint=1", 1024)] {
        let (mut stream, head) = listen(&rig, path, "icy-metadata: 1\r\n");
        assert!(head.contains(&format!("\r\nicy-metaint: {metaint}\r\n")), "{head}");
        let icy = Icy::of(&read_for(&mut stream, Duration::from_millis(1500)), metaint);
        assert!(icy.audio.len() > 17_000, "{} bytes", icy.audio.len());
        let whole = icy.audio.len() / FRAME_BYTES;
        let numbers: Vec<u64> =
            icy.audio.chunks_exact(FRAME_BYTES).map(|frame| number_of(frame).expect("no filler")).collect();
        assert!((1..whole).all(|i| numbers[i] == numbers[0] + i as u64), "{numbers:?}");
        // Once, in the first block: after that there is nothing new.
        assert_eq!(icy.titles, [(metaint, "StreamTitle='Retrowaves';".to_owned())]);
    }
    let head = rig.ask("HEAD /stream HTTP/1.1\r\nHost: localhost\r\nIcy-MetaData: 1\r\n\r\n");
    assert!(head.contains("\r\nicy-metaint: 16000\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

/// Titles that could break a block, a header or a player.
#[test]
fn h6_k3_titles_of_all_kinds_arrive_as_clean_text_in_their_order() {
    let rig = Rig::start();
    rig.pump.on_air.store(Source::Station as u8, SeqCst);
    let (mut stream, _) = listen(&rig, "/stream?metaint=1024", "Icy-MetaData: 1\r\n");
    let long = "é".repeat(5000);
    let table = [
        ("It's \"quoted\"; isn't it", "It's \"quoted\"; isn't it".to_owned()),
        ("end';StreamUrl='http://evil", "end\u{2019};StreamUrl='http://evil".to_owned()),
        ("Grüße 🎷 日本", "Grüße 🎷 日本".to_owned()),
        ("two\r\nIcy-Evil: 1\r\n\r\nlines", "twoIcy-Evil: 1lines".to_owned()),
        (&long, "é".repeat(256)),
    ];
    let mut bytes = read_for(&mut stream, Duration::from_millis(300));
    for (title, _) in &table {
        rig.say(&serde_json::json!({"title": title}));
        bytes.extend(read_for(&mut stream, Duration::from_millis(300)));
    }
    let icy = Icy::of(&bytes, 1024);
    let texts: Vec<&str> = icy.titles.iter().map(|(_, text)| text.as_str()).collect();
    let expected: Vec<String> = std::iter::once("Retrowaves")
        .chain(table.iter().map(|(_, text)| text.as_str()))
        .map(|t| format!("StreamTitle='{t}';"))
        .collect();
    assert_eq!(texts, expected);
}
