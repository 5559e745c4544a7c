//! A tower with the test card as its live input.

// Seconds in nanoseconds, and samples: both fit.
#![allow(clippy::cast_possible_truncation)]

use std::time::Duration;

use retrowaves::{
    frame::{PUMP_FRAME_SAMPLES, PumpFrame, SAMPLE_RATE_HZ},
    sys::time::now_ns,
};
use serde_json::Value;

use super::{
    Setup, Tower,
    card::{CONFIG_VARIABLE, PCM, TestCard},
    listener::Recorder,
    sound::Heard,
};

pub const SOON: Duration = Duration::from_secs(60);

/// The card is its live input, which is on air whatever its level; below it is silence. What the
/// encoder leaves out of a tone is as little as it can be.
pub fn setup(card: &TestCard) -> Setup {
    with_device(card, PCM)
}

/// The same with another PCM of the card's configuration.
pub fn with_device(card: &TestCard, pcm: &str) -> Setup {
    Setup::default()
        .env(CONFIG_VARIABLE, card.config())
        .set(&format!("live.device={pcm}"))
        .set("live.silence_sec=0")
        .set("fallback.tone_hz=0")
        .set("encoder.bitrate=320")
        .set("encoder.spare=false")
}

/// What is on air is encoded, and comes from `source`.
pub fn wait_for(tower: &Tower, source: &str) {
    tower.wait_until(&format!("{source} is on air"), SOON, |status| {
        status["encoder"]["state"] == "RUNNING" && status["source"] == source
    });
}

/// What is in the pump now has been heard, and a batch more.
pub fn sleep_over_cushion(tower: &Tower) {
    let cushion_ms = tower.status()["live"]["latency_ms"].as_f64().unwrap_or(890.0);
    std::thread::sleep(Duration::from_secs_f64((cushion_ms + 400.0) / 1000.0));
}

/// A figure of the live input.
pub fn live(status: &Value, name: &str) -> f64 {
    status["live"][name].as_f64().unwrap_or_else(|| panic!("{name} in {:#}", status["live"]))
}

pub fn has_alarm(status: &Value, name: &str) -> bool {
    status["alarms"].as_array().expect("a list").iter().any(|alarm| alarm["alarm"] == name)
}

/// Puts a marker into the card's sound; when.
pub fn mark(card: &TestCard) -> u64 {
    let moment_ns = now_ns() + 150_000_000;
    card.mark_at_ns(moment_ns);
    moment_ns
}

/// From the card to the air, in ms, by a marker.
pub fn latency_ms(heard: &Heard, marked_ns: u64, about_ms: f64) -> f64 {
    let ns = |ms: f64| Duration::from_secs_f64(ms / 1000.0).as_nanos() as u64;
    let from = heard.sample_at(marked_ns + ns((about_ms - 150.0).max(0.0)));
    let at = heard.mark(from, from + 48 * 400).expect("the marker is heard");
    (heard.moment_ns(at) as f64 - marked_ns as f64) / 1e6
}

/// Stops recording: what was heard.
pub fn heard(recorder: Recorder, tower: &Tower) -> Heard {
    let recording = recorder.stop();
    recording.assert_no_break();
    Heard::of(&recording, &tower.dir)
}

/// Frame `number` of a station's tone; the same on both sides.
pub fn tone(number: u64, hz: f64, amplitude: f64) -> PumpFrame {
    let mut frame = PumpFrame::SILENCE;
    for (at, pair) in (number * PUMP_FRAME_SAMPLES as u64..).zip(frame.values.chunks_exact_mut(2)) {
        let turns = (at as f64 * hz / f64::from(SAMPLE_RATE_HZ)).fract();
        pair.fill((amplitude * 32_767.0 * (turns * std::f64::consts::TAU).sin()).round() as i16);
    }
    frame
}
