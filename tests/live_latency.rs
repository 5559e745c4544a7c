//! From the sound card to the listener (V2): how long it takes, by a marker in the card's sound, against
//! what the tower says; and a card with a bad crystal under the shortest queue.

// Milliseconds in nanoseconds, of some seconds.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]

mod common;

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use common::{
    Tower,
    card::TestCard,
    listener::Recorder,
    live::{live, mark, setup, sleep_over_cushion, wait_for},
    sound::{CODEC_SAMPLES, Heard},
    witness::Witness,
};
use retrowaves::frame::TICK_MS;

const MARKS: usize = 3;
/// What is published is what is, but for the rounding of the card's bunches of a millisecond.
const OFF_MS_MAX: f64 = 3.0;
/// A listener, one of a few, gets two frames at once; and whatever keeps a thread from its turn.
const BATCH_MS: f64 = 64.0;

/// Marks the card's sound several times: the latency that was measured, and what a listener waited for
/// each marker, in ms. What the codec takes, 23 ms, is left out.
fn measure(card: &TestCard, tower: &Tower) -> Vec<(f64, f64)> {
    let recorder = Recorder::start(tower.port);
    sleep(Duration::from_millis(300));
    let marks = [(); MARKS].map(|()| {
        let marked_ns = mark(card);
        sleep(Duration::from_millis(330));
        marked_ns
    });
    let about_ns = (live(&tower.status(), "latency_ms") * 1e6) as u64;
    sleep_over_cushion(tower);
    let recording = recorder.stop();
    let heard = Heard::of(&recording, &tower.dir);
    let measured = marks.map(|marked_ns| {
        let from = heard.sample_at(marked_ns + about_ns.saturating_sub(100_000_000));
        let at = heard.mark(from, from + 48 * 250).expect("the marker is heard");
        let since_ms = |ns: u64| (ns as f64 - marked_ns as f64) / 1e6;
        let codec_ms = CODEC_SAMPLES as f64 / 48.0;
        (since_ms(heard.moment_ns(at)), since_ms(recording.arrival_ns(at)) - codec_ms)
    });
    measured.to_vec()
}

fn assert_as_published(name: &str, card: &TestCard, tower: &Tower, expected_ms: f64) {
    let witness = Witness::start();
    let measured = measure(card, tower);
    let published_ms = live(&tower.status(), "latency_ms");
    let (latency_ms, arrival_ms): (Vec<f64>, Vec<f64>) = measured.into_iter().unzip();
    println!("{name}: published {published_ms:.1} ms, measured {latency_ms:.1?} ms, at a listener {arrival_ms:.1?} ms");
    assert!((published_ms - expected_ms).abs() < 3.0, "{name}: {published_ms} ms, expected {expected_ms}");
    let stalls_ms = witness.stalls().time().as_secs_f64() * 1000.0;
    for latency_ms in latency_ms {
        assert!((latency_ms - published_ms).abs() < OFF_MS_MAX, "{name}: {latency_ms} ms");
    }
    for arrival_ms in arrival_ms {
        // A frame goes out as a whole, when its first sample is on air.
        let range = published_ms - TICK_MS as f64 - OFF_MS_MAX..published_ms + BATCH_MS + stalls_ms;
        assert!(range.contains(&arrival_ms), "{name}: {arrival_ms} ms, {range:?}");
    }
}

/// Queue, the frame that a sample is in, half of the filter, two frames to the air.
fn expected_ms(queue_ms: f64) -> f64 {
    queue_ms + 24.0 + 64.0 / 48.0 + 48.0
}

#[test]
fn v2_latency_is_what_the_tower_says() {
    for (latency, cushion_ms, expected_ms) in
        [("normal", 720, expected_ms(96.0) + 720.0), ("normal", 0, expected_ms(96.0)), ("low", 0, expected_ms(48.0))]
    {
        let card = TestCard::builder().make();
        let tower = setup(&card)
            .set(&format!("live.latency={latency}"))
            .set(&format!("encoder.cushion_ms={cushion_ms}"))
            .start();
        wait_for(&tower, "live");
        assert_as_published(&format!("{latency}, cushion {cushion_ms} ms"), &card, &tower, expected_ms);
    }
}

#[test]
fn v2_a_card_that_is_300_ppm_fast_keeps_the_short_queue_for_20_s_without_an_underrun() {
    let card = TestCard::builder().make();
    card.set_ppm(300.0);
    card.set_tone([440.0; 2], [0.1; 2]);
    let tower = setup(&card).set("live.latency=low").start();
    wait_for(&tower, "live");
    let (witness, start) = (Witness::start(), Instant::now());
    let mut queues_ms = Vec::new();
    while start.elapsed() < Duration::from_secs(20) {
        queues_ms.push(live(&tower.status(), "queue_ms"));
        sleep(Duration::from_millis(200));
    }
    let range = queues_ms.iter().fold((f64::MAX, 0f64), |range, ms| (range.0.min(*ms), range.1.max(*ms)));
    let (status, stalls) = (tower.status(), witness.stalls());
    println!("queue {range:.2?} ms, {} underruns; the machine: {stalls:?}", status["ticks"]["underruns"]);
    // 48 ms wait: a machine that stood still for most of that may have used them up.
    if !stalls.0.iter().any(|ms| *ms >= 24) {
        assert_eq!(tower.figure("ticks/underruns"), 0, "{:#}", status["live"]);
        assert!(range.0 > 46.0 && range.1 < 50.0, "queue {range:?} ms");
        assert_eq!(["xruns", "restarts", "overflows"].map(|name| status["live"][name].as_u64()), [Some(0); 3]);
        assert_as_published("low, cushion 720 ms, 300 ppm", &card, &tower, expected_ms(48.0) + 720.0);
    }
}
