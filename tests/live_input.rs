//! A sound card on air (V1, V3): whatever it is, it is heard as it should be, and a tower whose
//! card is none runs on without it.

// Milliseconds in nanoseconds, of some seconds.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod common;

use std::{
    fs::File,
    io::Write,
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use common::{
    Tower,
    card::{Builder, PCM, TestCard},
    listener::Recorder,
    live::{SOON, has_alarm, heard, latency_ms, live, mark, setup, sleep_over_cushion, wait_for, with_device},
    sound::{Heard, leftover, peak_dbfs, pitch_hz, sine_dbfs, tones},
    witness::Witness,
};
use nix::sys::signal::Signal;
use retrowaves::{frame::PUMP_FRAME_SAMPLES, input::live::convert::SampleFormat};
use serde_json::Value;

/// Two cores carry two towers; what the card plays is on air for so long.
const AT_A_TIME: usize = 2;
const LISTEN: Duration = Duration::from_millis(1200);
const HZ: [f64; 2] = [1000.0, 1400.0];
const AMPLITUDES: [f64; 2] = [0.5, 0.25];
/// The least that a click leaves: a step of 0.3 % of full scale. The codec leaves a twentieth of it.
const CLICK: f64 = 0.003;

fn kind(format: SampleFormat, rate_hz: u32, channels: u32) -> Builder {
    TestCard::builder().formats(&[format]).rates(&[rate_hz]).channels(&[channels])
}

/// A card's sound as it was heard, without its beginning, and the status meanwhile.
struct Listened {
    left: Vec<f64>,
    right: Vec<f64>,
    status: Value,
    /// From the card to the air, by a marker.
    latency_ms: f64,
}

/// Listens to a card of that kind, under a tower with these settings.
fn listen(builder: Builder, pcm: &str, sets: &[&str], amplitudes: [f64; 2]) -> Listened {
    let card = builder.make();
    card.set_tone(HZ, amplitudes);
    let setup = sets.iter().fold(with_device(&card, pcm), |setup, set| setup.set(set));
    let tower = setup.start();
    wait_for(&tower, "live");
    let recorder = Recorder::start(tower.port);
    sleep(LISTEN);
    let status = tower.status();
    let marked_ns = mark(&card);
    sleep_over_cushion(&tower);
    let heard = heard(recorder, &tower);
    assert_eq!(tower.figure("ticks/underruns"), 0, "{}", tower.log());
    let latency_ms = latency_ms(&heard, marked_ns, live(&status, "latency_ms"));
    let Heard { left, right, .. } = &heard;
    // Two frames before the marker, which the codec lets be heard in what is before it; the tone was
    // there long before.
    let end = heard.sample_at(marked_ns + (latency_ms * 1e6) as u64) - 2 * PUMP_FRAME_SAMPLES;
    let begin = end - 48 * usize::try_from(LISTEN.as_millis()).expect("short");
    Listened { left: left[begin..end].to_vec(), right: right[begin..end].to_vec(), status, latency_ms }
}

#[test]
fn v1_v2_every_kind_of_card_is_heard_as_it_is() {
    use SampleFormat::{F32Le, S16Le, S24Le3, S32Le};
    let mut rows = vec![
        (kind(S16Le, 48_000, 2), PCM),
        (kind(S24Le3, 44_100, 2), PCM),
        (kind(S32Le, 96_000, 2), PCM),
        (kind(F32Le, 192_000, 2), PCM),
        (kind(S16Le, 44_100, 1), PCM),
        (kind(S32Le, 48_000, 4), PCM),
        (kind(S16Le, 44_100, 2).plug("plugged"), "plugged"),
        (kind(S16Le, 44_100, 2).rate("rated", 44_100), "rated"),
    ];
    while !rows.is_empty() {
        let some = rows.drain(..AT_A_TIME);
        scope(|scope| some.for_each(|(builder, pcm)| drop(scope.spawn(|| heard_as_it_is(builder, pcm)))));
    }
}

fn heard_as_it_is(builder: Builder, pcm: &str) {
    let listened = listen(builder, pcm, &[], AMPLITUDES);
    let card = &listened.status["live"];
    let name = format!("{pcm}: {} {} {}", card["format"], card["rate"], card["channels"]);
    // What has one channel is heard on both sides.
    let right = usize::from(card["channels"] != 1);
    for (side, is) in [(&listened.left, 0), (&listened.right, right)] {
        let (pitch, level, rest) = (pitch_hz(side), sine_dbfs(side), leftover(side, &[HZ[is]]));
        let expected_dbfs = 20.0 * AMPLITUDES[is].log10();
        println!("{name}: {pitch:.4} Hz, {level:.3} dBFS ({expected_dbfs:.3}), without the sine {rest:.5}");
        // The queue is still being brought to its place, by up to some hundred ppm: nobody hears that.
        assert!((pitch - HZ[is]).abs() < HZ[is] * 500e-6, "{name}: {pitch} Hz");
        assert!((level - expected_dbfs).abs() < 0.1, "{name}: {level} dBFS");
        assert!(rest < CLICK, "{name}: a click of {rest}");
    }
    let published_ms = live(&listened.status, "latency_ms");
    println!("{name}: latency {:.2} ms, published {published_ms} ms", listened.latency_ms);
    assert!((live(&listened.status, "queue_ms") - 96.0).abs() < 2.0, "{name}: {:#}", listened.status["live"]);
    assert!((listened.latency_ms - published_ms).abs() < 5.0, "{name}: {} ms", listened.latency_ms);
}

/// A card's settings, and how loud 1000 Hz and 1400 Hz are then on the left and on the right.
#[test]
fn v1_the_channels_and_the_gain_that_were_chosen_are_heard() {
    let [left, right] = AMPLITUDES;
    let rows = [
        ("live.channels=left", [[left, 0.0]; 2]),
        ("live.channels=right", [[0.0, right]; 2]),
        ("live.channels=mix", [[left / 2.0, right / 2.0]; 2]),
        ("live.gain_db=-6", [[left / 2.0, 0.0], [0.0, right / 2.0]]),
    ];
    for some in rows.chunks(AT_A_TIME) {
        scope(|scope| some.iter().for_each(|(set, expected)| drop(scope.spawn(|| is_heard_as(set, expected)))));
    }
}

fn is_heard_as(set: &str, expected: &[[f64; 2]; 2]) {
    let listened = listen(TestCard::builder(), PCM, &[set], AMPLITUDES);
    for (side, expected) in [listened.left, listened.right].iter().zip(expected) {
        for found in tones(side, HZ) {
            let off = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max);
            assert!(off < 0.005, "{set}: {found:?}, expected {expected:?}");
        }
        assert!(leftover(side, &HZ) < CLICK, "{set}: a click of {}", leftover(side, &HZ));
    }
}

#[test]
fn v1_the_limiter_keeps_a_gain_that_is_too_high_below_its_bound_and_without_it_clipping_is_counted() {
    const TOO_LOUD: [&str; 2] = ["live.gain_db=12", "live.limiter=false"];
    let [with, without] = scope(|scope| {
        let loud = |sets: [&'static str; 2]| scope.spawn(move || listen(TestCard::builder(), PCM, &sets, [0.8, 0.8]));
        [loud(["live.gain_db=12", "live.limiter=true"]), loud(TOO_LOUD)].map(|thread| thread.join().expect("listened"))
    });
    for side in [&with.left, &with.right] {
        println!("limited: peak {:.2} dBFS, {:.3} dBFS as a sine", peak_dbfs(side), sine_dbfs(side));
        assert!(peak_dbfs(side) < -1.0 && sine_dbfs(side) > -1.5, "{} dBFS", peak_dbfs(side));
    }
    let clipped = |listened: &Listened, of: &str| listened.status[of]["clipped"].as_u64().expect("a count");
    assert_eq!([clipped(&with, "levels"), clipped(&with, "live")], [0, 0]);
    // The 5 ms that it looks ahead are in the figure.
    assert!(live(&with.status, "latency_ms") - live(&without.status, "latency_ms") > 4.0);
    assert!(clipped(&without, "levels") > 1000 && clipped(&without, "live") > 1000, "{:#}", without.status);
    let flat = without.left.iter().filter(|value| value.abs() > 0.8).count();
    assert!(flat * 2 > without.left.len(), "saturated, and not turned over: {flat} of {}", without.left.len());
}

#[test]
fn v3_a_tower_starts_without_its_card_and_has_it_when_it_appears() {
    let card = TestCard::builder().make();
    card.unplug();
    card.set_tone(HZ, AMPLITUDES);
    let mut tower = setup(&card).start();
    tower.wait_until("it says what is missing", SOON, |status| {
        let error = status["live"]["error"].as_str().unwrap_or_default();
        status["live"]["state"] == "waiting" && error.contains("no sound card has this id")
    });
    tower.wait_until("the alarm", SOON, |status| has_alarm(status, "live_lost"));
    assert_eq!(tower.log().matches("no sound card has this id").count(), 2, "once, and in the alarm:\n{}", tower.log());
    card.plug();
    wait_for(&tower, "live");
    tower.wait_until("the end of the alarm", SOON, |status| !has_alarm(status, "live_lost"));
    assert_eq!(tower.status()["live"]["error"], Value::Null);
    // A card that is let go at a stop is no card that is lost.
    assert!(tower.end(Signal::SIGTERM).0.success());
    assert_eq!(tower.log().matches("alarm live_lost").count(), 2, "raised and over, once each:\n{}", tower.log());
}

/// User and system time of the tower.
fn cpu_ms(tower: &Tower) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", tower.pid())).expect("stat");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("ticks") * 10).sum()
}

/// ALSA's `null` gives silence as fast as it is read.
#[test]
fn v3_a_device_that_is_an_endless_flood_is_refused_in_words_and_costs_no_tick_and_next_to_no_cpu() {
    const WATCH: Duration = Duration::from_secs(4);
    let card = TestCard::builder().make();
    // Without the silence rule, which alone would keep its silence off the air.
    let tower = with_device(&card, "null").start();
    let witness = Witness::start();
    tower.wait_for_log("null: it gives sound much faster than its rate says", SOON);
    let (cpu_before_ms, ticks, start) = (cpu_ms(&tower), tower.figure("ticks/count"), Instant::now());
    sleep(WATCH);
    let cpu = cpu_ms(&tower) - cpu_before_ms;
    let (happened, due) = (tower.figure("ticks/count") - ticks, start.elapsed().as_millis() / 24);
    println!("{cpu} ms of CPU in {WATCH:?}");
    // Unoptimised, most of it is the tower's own.
    assert!(cpu < 600, "{cpu} ms of CPU in {WATCH:?}");
    assert!(u128::from(happened) + 20 > due, "{happened} ticks of {due}");
    witness.assert_ticks(&tower, 0);
    let status = tower.status();
    assert_eq!((&status["live"]["state"], &status["source"]), (&"waiting".into(), &"silence".into()));
    assert!(!tower.log().contains("PROGRAM"), "{}", tower.log());
    assert!(tower.figure("live/losses") > 2, "it is tried again and again: {:#}", tower.status()["live"]);
    assert_eq!(tower.log().matches("sound card null").count(), 1, "said once:\n{}", tower.log());
    assert!(tower.stop().0.success());
}

#[test]
fn v3_a_device_that_does_not_exist_is_said_in_words_and_tried_again_without_a_word() {
    let card = TestCard::builder().make();
    let tower = with_device(&card, "nonsense").start();
    tower.wait_for_log("nonsense: no sound card has this id and ALSA has no PCM of this name", SOON);
    let ticks = tower.figure("ticks/count");
    tower.wait_until("it ticks on", SOON, |status| status["ticks"]["count"].as_u64() > Some(ticks + 60));
    assert_eq!(tower.log().matches("no sound card has this id").count(), 1, "{}", tower.log());
    assert_eq!((tower.status()["live"]["state"].as_str(), tower.figure("live/losses")), (Some("waiting"), 0));
    assert!(tower.stop().0.success());
}

/// ALSA's `file` plug-in does not say when its FIFO ends; opening that again waits for a writer, which
/// a driver may do as well.
#[test]
fn v3_a_device_whose_fifo_ends_is_given_up_and_one_that_hangs_in_its_opening_does_not_keep_a_stop() {
    let card = TestCard::builder().piped("piped").make();
    let fifo = card.fifo("piped");
    let writer = std::thread::spawn(move || {
        let mut fifo = File::options().write(true).open(fifo).expect("a reader");
        fifo.write_all(&[1; 48_000])
    });
    let tower = with_device(&card, "piped").start();
    let witness = Witness::start();
    tower.wait_until("it is given up", SOON, |status| {
        status["live"]["state"] == "waiting" && status["live"]["losses"].as_u64() == Some(1)
    });
    writer.join().expect("joined").expect("written");
    tower.wait_until("silence again", SOON, |status| status["source"] == "silence");
    witness.assert_ticks(&tower, 0);
    let (status, took) = tower.stop();
    assert!(status.success() && took < Duration::from_secs(4), "{status:?} after {took:?}");
}
