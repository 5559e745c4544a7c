//! Exactness: what a listener hears is what was sent, encoded by the one command,
//! byte for byte and with no frame more or less.

mod common;

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use common::{
    Setup,
    listener::Recorder,
    programme::{Comparison, FILL_FRAMES, length, play, quiet_tower},
};

#[test]
fn c2_c4_m3_the_recording_is_the_offline_encode_byte_for_byte() {
    assert_exact(Duration::from_secs(20));
}

#[test]
#[ignore = "ten minutes: make soak"]
fn c2_c4_m3_ten_minutes_are_the_offline_encode_byte_for_byte() {
    assert_exact(length(600));
}

fn assert_exact(length: Duration) {
    let heard = play(&quiet_tower(), length, |_| {});
    let comparison = heard.compare(128);
    println!("{comparison:?}");
    assert!(comparison.frames as u64 + 16 > heard.sent - FILL_FRAMES / 8, "{} of {}", comparison.frames, heard.sent);
    assert_eq!(comparison, Comparison { frames: comparison.frames, fillers: 0, different: vec![] });
    for (figure, wanted) in
        [("encoder/fillers", 0), ("ticks/skipped", 0), ("ticks/underruns", 0), ("encoder/restarts", 0)]
    {
        assert_eq!(heard.tower.figure(figure), wanted, "{figure}");
    }
    heard.recording.assert_decoders_are_content(&heard.tower.dir);
}

#[test]
fn c4_every_bitrate_is_on_air_as_ordered() {
    for kbps in [64, 320] {
        let setup = quiet_tower().set(&format!("encoder.bitrate={kbps}"));
        let heard = play(&setup, Duration::from_secs(3), |_| {});
        let comparison = heard.compare(kbps);
        assert_eq!((comparison.fillers, comparison.different), (0, vec![]), "{kbps} kbit/s");
        let bytes = usize::try_from(kbps).expect("small") * 3;
        assert!(heard.recording.frames().iter().all(|frame| frame.len() == bytes), "{kbps} kbit/s");
    }
}

/// The command of the README, with a real MP3 file.
#[test]
fn r6_n1_a_plain_ffmpeg_re_sender_plays_without_an_underrun() {
    let tower = Setup::default().start();
    let song = tower.dir.join("song.mp3");
    make_song(&song, 12);
    let recorder = Recorder::start(tower.port);
    let sender = Command::new("ffmpeg")
        .args(["-v", "error", "-re", "-i"])
        .arg(&song)
        .args(["-f", "s16le", "-ar", "48000", "-ac", "2"])
        .arg(format!("unix:{}", tower.pcm_socket().display()))
        .stdin(Stdio::null())
        .spawn();
    let mut sender = sender.expect("ffmpeg");
    tower.wait_until("the station is on air", Duration::from_secs(60), |status| status["source"] == "station");
    assert_eq!(tower.status()["mode"], "PROGRAM");
    assert!(sender.wait().expect("ffmpeg").success());
    tower.wait_until("grace", Duration::from_secs(5), |status| status["mode"] == "GRACE");
    // A closed input is no underrun: all it sent was played.
    assert_eq!(tower.figure("ticks/underruns"), 0, "{}", tower.log());
    assert_eq!(tower.figure("encoder/fillers"), 0);
    let recording = recorder.stop();
    recording.assert_decoders_are_content(&tower.dir);
    assert!(!recording.disconnected);
}

fn make_song(song: &Path, seconds: u32) {
    let source = format!("sine=f=330:d={seconds},volume=0.5[a];anoisesrc=d={seconds}:a=0.1:c=pink[b];[a][b]amix=2");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", &source, "-ar", "44100", "-ac", "2", "-b:a", "160k", "-y"])
        .arg(song)
        .status();
    assert!(made.expect("ffmpeg").success());
}
