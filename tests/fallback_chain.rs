//! Station → grace → fallback → station, as a listener hears it: nobody is
//! disconnected, silence lasts as long as promised, and no join clicks.

mod common;

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use common::{
    Setup, Tower,
    listener::{Recorder, Recording},
    sender::Sender,
};
use retrowaves::frame::{PUMP_FRAME_SAMPLES, PumpFrame};

const PITCH_HZ: f64 = 300.0;
const PEAK: f64 = 8000.0;
/// The steepest step of the sender's sine and of the fallback tone (440 Hz, −20 dBFS).
const SINE_STEP: f64 = PEAK * PITCH_HZ * std::f64::consts::TAU / 48_000.0;
const TONE_STEP: f64 = 3276.8 * 440.0 * std::f64::consts::TAU / 48_000.0;

/// A sine that runs on from frame to frame, beginning anywhere but at zero.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn sine(number: u64) -> PumpFrame {
    let mut frame = PumpFrame::SILENCE;
    for (i, pair) in frame.values.chunks_exact_mut(2).enumerate() {
        let t = (number * PUMP_FRAME_SAMPLES as u64 + i as u64) as f64 / 48_000.0;
        pair.fill(((t * PITCH_HZ * std::f64::consts::TAU + 1.2).sin() * PEAK) as i16);
    }
    frame
}

fn wait_for(tower: &Tower, key: &str, value: &str, within_sec: u64) {
    tower.wait_until(&format!("{key} is {value}"), Duration::from_secs(within_sec), |status| status[key] == value);
}

/// Left channel, RMS of each 24 ms.
fn levels(pcm: &[i16]) -> Vec<f64> {
    pcm.chunks_exact(2 * PUMP_FRAME_SAMPLES)
        .map(|frame| {
            let power: f64 = frame.iter().step_by(2).map(|v| f64::from(*v).powi(2)).sum();
            (power / PUMP_FRAME_SAMPLES as f64).sqrt()
        })
        .collect()
}

fn steepest_step(pcm: &[i16]) -> f64 {
    let left: Vec<f64> = pcm.iter().step_by(2).map(|v| f64::from(*v)).collect();
    left.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f64::max)
}

/// The codec adds a little to any step; a click would add thousands.
fn assert_no_click(recording: &Recording, dir: &Path) -> Vec<i16> {
    let pcm = recording.decoded(dir);
    let step = steepest_step(&pcm);
    println!("steepest step {step:.0}; the sources' own: {SINE_STEP:.0} and {TONE_STEP:.0}");
    assert!(step <= 1.25 * (SINE_STEP + TONE_STEP), "a click: a step of {step:.0}");
    pcm
}

#[test]
fn q2_q3_q6_station_grace_fallback_station_without_a_click() {
    let tower = Tower::start();
    wait_for(&tower, "source", "tone", 5);
    tower.wait_until("the encoder runs", Duration::from_secs(60), |s| s["mp3_buffer"]["count"].as_u64() > Some(20));
    let recorder = Recorder::start(tower.port);
    let first = Sender::start(&tower.pcm_socket(), 20, sine);
    wait_for(&tower, "mode", "PROGRAM", 2);
    std::thread::sleep(Duration::from_secs(3));
    first.stop();
    wait_for(&tower, "mode", "GRACE", 3);
    let grace_began = Instant::now();
    assert_eq!(tower.status()["source"], "silence");
    wait_for(&tower, "mode", "FALLBACK", 7);
    let grace = grace_began.elapsed();
    // To the frame it is counted below; this is seen through status requests.
    assert!((4700..5800).contains(&grace.as_millis()), "grace of {grace:?}");
    std::thread::sleep(Duration::from_secs(2));
    let again = Instant::now();
    let second = Sender::start(&tower.pcm_socket(), 20, sine);
    wait_for(&tower, "source", "station", 1);
    // Four ticks (preroll + 1: tests/sources_on_air.rs), and a few status requests.
    assert!(again.elapsed() < Duration::from_secs(1), "back after {:?}", again.elapsed());
    std::thread::sleep(Duration::from_secs(2));
    second.stop();
    let recording = recorder.stop();
    assert!(!recording.disconnected);
    assert_eq!(tower.figure("ticks/underruns"), 0);
    assert_eq!(tower.figure("listeners/total"), 1);
    recording.assert_decoders_are_content(&tower.dir);
    let levels = levels(&assert_no_click(&recording, &tower.dir));
    // Silence for 5 s (208 frames), but for the two frames that join. What is silent
    // at the very beginning are the fillers before the first frame of all.
    let programme = &levels[40..];
    let silent = programme.iter().filter(|level| **level < 1.0).count();
    assert!((206..=210).contains(&silent), "{silent} silent frames");
    // At 128 kbit/s LAME lowers everything by 5 %.
    let tone = 0.95 * 3276.8 / 2f64.sqrt();
    let heard = levels.iter().filter(|level| (**level - tone).abs() < 0.02 * tone).count();
    // 2 s between the programmes, and a moment before the first one.
    assert!((83..=130).contains(&heard), "{heard} frames of tone");
}

/// A sender that comes too late now and then, with little in the queue.
#[test]
fn q4_q6_an_underrun_is_counted_and_does_not_click() {
    let tower = Setup::default().set("input.start_in_grace=true").start();
    tower.wait_until("the encoder runs", Duration::from_secs(60), |s| s["mp3_buffer"]["count"].as_u64() > Some(20));
    let recorder = Recorder::start(tower.port);
    let sender = Sender::start(&tower.pcm_socket(), 3, |number| {
        if number % 60 == 59 {
            std::thread::sleep(Duration::from_millis(140));
        }
        sine(number)
    });
    std::thread::sleep(Duration::from_secs(6));
    sender.stop();
    std::thread::sleep(Duration::from_secs(1));
    let recording = recorder.stop();
    let underruns = tower.figure("ticks/underruns");
    println!("{underruns} underruns");
    assert!(underruns > 0, "{:#}", tower.status());
    assert_no_click(&recording, &tower.dir);
}

#[test]
fn f2_f3_the_fallback_is_a_file_where_one_is_given_and_the_tone_where_it_is_bad() {
    let dir = common::temp_dir();
    let file = dir.join("fallback.wav");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "sine=f=300:d=1.7", "-ar", "44100", "-y"])
        .arg(&file)
        .status();
    assert!(made.expect("ffmpeg").success());
    let tower = Setup::default().env("TOWER_SILENCE_MP3_PATH", file.display()).start();
    wait_for(&tower, "source", "file", 10);
    let recorder = Recorder::start(tower.port);
    std::thread::sleep(Duration::from_secs(5));
    let recording = recorder.stop();
    let pcm = recording.decoded(&tower.dir);
    // Three times around the file, and never a pause.
    let quiet = levels(&pcm)[40..].iter().filter(|level| **level < 500.0).count();
    assert_eq!(quiet, 0, "the loop has no gap");

    let bad = dir.join("no-audio.mp3");
    std::fs::write(&bad, b"this is no audio").expect("write");
    let tower = Setup::default().env("TOWER_SILENCE_MP3_PATH", bad.display()).start();
    tower.wait_for_log("no-audio.mp3", Duration::from_secs(60));
    assert_eq!(tower.status()["source"], "tone");
    let _ = std::fs::remove_dir_all(dir);
}
