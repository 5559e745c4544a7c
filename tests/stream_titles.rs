//! A title is told where its sound is heard: through queue, encoder, cushion and ring.

mod common;

use std::{io::Write, net::TcpStream, time::Duration};

use common::{
    icy::{Icy, read_for},
    listener::Recording,
    live::tone,
    programme::quiet_tower,
    sender::Sender,
};
use retrowaves::frame::{PUMP_FRAME_SAMPLES, PumpFrame, STATION_FRAME_SAMPLES};

const METAINT: usize = 1024;
/// The sender's silence ends, and its second title begins, with this frame: at a border of a station frame too.
const SOUND_FROM: u64 = 304;
const FRAME_BYTES: usize = 384;

#[test]
fn h6_a_title_comes_with_the_first_sound_of_it() {
    let tower = quiet_tower().start();
    tower.wait_until("on air", Duration::from_secs(60), |status| {
        status["encoder"]["state"] == "RUNNING" && status["ticks"]["count"].as_u64() > Some(60)
    });
    let mut stream = TcpStream::connect(("127.0.0.1", tower.port)).expect("connected");
    let request = format!("GET /live?metaint={METAINT} HTTP/1.1\r\nHost: localhost\r\nIcy-MetaData: 1\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let frame =
        |number: u64| if number < SOUND_FROM { PumpFrame::SILENCE } else { tone(number - SOUND_FROM, 1000.0, 0.5) };
    let sender = Sender::start(&tower.pcm_socket(), 50, frame);
    tower.wait_until("the sender is on air", Duration::from_secs(60), |status| status["source"] == "station");
    tower.say(Some("Test"), "silence", Some(0));
    // Told seconds before it is heard, as a station does.
    let at_frame = SOUND_FROM * PUMP_FRAME_SAMPLES as u64 / STATION_FRAME_SAMPLES as u64;
    tower.say(Some("Test"), "sound", Some(at_frame));
    let bytes = read_for(&mut stream, Duration::from_secs(11));
    sender.stop();

    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a response head") + 4;
    let icy = Icy::of(&bytes[head..], METAINT);
    let texts: Vec<&str> = icy.titles.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["Retrowaves", "Test - silence", "Test - sound"].map(|title| format!("StreamTitle='{title}';")));
    let told_at = icy.titles[2].0;

    let recording = Recording { bytes: icy.audio, ..Recording::default() };
    let samples = recording.decoded(&tower.dir);
    let sounds = samples.chunks_exact(2).position(|pair| pair[0].abs() > 3000).expect("the tone");
    let heard_at = sounds / PUMP_FRAME_SAMPLES * FRAME_BYTES;
    println!("told at byte {told_at}, heard at {heard_at}; 16 are a millisecond");
    // The place of a block is at most METAINT late; the encoder's own delay is a frame, two after a busy tick.
    let early = heard_at.saturating_sub(told_at);
    assert!(early <= 3 * FRAME_BYTES && told_at <= heard_at + METAINT + 2 * FRAME_BYTES, "{told_at} {heard_at}");
    assert_eq!(tower.stop().0.code(), Some(0));
}
