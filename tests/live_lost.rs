//! A sound card that goes, stands still or loses sound while it is on air (V3, R6, Q5), with a
//! station below it, as a listener hears it.

// Milliseconds in nanoseconds, of some seconds.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod common;

use std::{thread::sleep, time::Duration};

use common::{
    card::{AfterStall, TestCard},
    listener::Recorder,
    live::{SOON, has_alarm, heard, latency_ms, live, mark, setup, sleep_over_cushion, tone, wait_for},
    sender::Sender,
    sound::{Heard, WINDOW, WINDOW_MS, first, last, leftover, tones},
};
use retrowaves::sys::time::now_ns;

/// The card's tone, the station's, and the card's after something has happened.
const CARD_HZ: f64 = 1000.0;
const STATION_HZ: f64 = 600.0;
const LATER_HZ: f64 = 1800.0;
const HZ: [f64; 3] = [CARD_HZ, STATION_HZ, LATER_HZ];
const AMPLITUDE: f64 = 0.4;
/// More than this of a tone is heard, and it is not what the codec makes of the beginning of another.
const IS_HEARD: f64 = 0.1;
const FILL_FRAMES: u64 = 20;
/// What two sounds that both go on leave at their join, beside what the codec does.
const CROSSFADED: f64 = 0.02;
/// The same where a sound that has broken off is continued by itself, turned back in time: its slope
/// changes. A step of a tenth of the tone's amplitude leaves as much.
const TURNED_BACK: f64 = 0.25;
/// No tone for so long, at most, where one takes over from another.
const GAP_MS_MAX: usize = 100;
/// From the pump to the air.
const ON_AIR_LAG_NS: u64 = 768_000_000;

fn is_card(windows: &[f64; 3]) -> bool {
    windows[0] > IS_HEARD
}

fn is_station(windows: &[f64; 3]) -> bool {
    windows[1] > IS_HEARD
}

fn is_later(windows: &[f64; 3]) -> bool {
    windows[2] > IS_HEARD
}

fn sound(card: &TestCard, hz: f64) {
    card.set_tone([hz; 2], [AMPLITUDE; 2]);
}

fn station(tower: &common::Tower) -> Sender {
    Sender::start(&tower.pcm_socket(), FILL_FRAMES, |number| tone(number, STATION_HZ, AMPLITUDE))
}

/// Nothing clicks between these samples, on either side; joins may leave so much.
fn assert_no_click(heard: &Heard, name: &str, from: usize, to: usize, joins: f64) {
    for side in heard.sides() {
        let left = leftover(&side[from..to], &HZ);
        println!("{name}: {left:.4} is left without the tones");
        assert!(left < joins, "{name}: a click of {left}");
    }
}

/// What is heard, as letters: the card's tone, the station's, the later one; each with its length in ms.
fn runs(windows: &[[f64; 3]]) -> String {
    let letter = |window: &[f64; 3]| -> String {
        let heard = "csl".chars().zip(window).filter(|(_, amplitude)| **amplitude > IS_HEARD);
        heard.map(|(letter, _)| letter).collect()
    };
    let chunks: Vec<String> = windows
        .chunk_by(|a, b| letter(a) == letter(b))
        .map(|run| format!("{}{}", letter(&run[0]), run.len() * WINDOW_MS))
        .collect();
    chunks.join(" ")
}

#[test]
fn v3_r6_q5_a_pulled_card_gives_way_at_once_and_comes_back_when_it_has_been_heard_and_so_after_silence() {
    let card = TestCard::builder().make();
    sound(&card, CARD_HZ);
    let tower = setup(&card).set("live.silence_sec=10").start();
    let sender = station(&tower);
    wait_for(&tower, "live");
    let recorder = Recorder::start(tower.port);
    sleep(Duration::from_millis(1000));
    card.unplug();
    let pulled_ns = now_ns();
    tower.wait_until("the alarm", SOON, |status| has_alarm(status, "live_lost"));
    tower.wait_until("the station", SOON, |status| status["source"] == "station");
    tower.wait_for_log("alarm live_lost: the sound card does not run", SOON);
    // Longer than it would be on air if it were not heard first.
    sleep(Duration::from_millis(500));
    sound(&card, LATER_HZ);
    card.plug();
    tower.wait_until("the end of the alarm", SOON, |status| !has_alarm(status, "live_lost"));
    assert_eq!((tower.status()["source"].as_str(), tower.figure("live/losses")), (Some("station"), 1));
    wait_for(&tower, "live");
    sleep(Duration::from_millis(500));
    card.set_tone([CARD_HZ; 2], [0.0; 2]);
    wait_for(&tower, "station");
    sleep(Duration::from_millis(300));
    sound(&card, CARD_HZ);
    let speaks_ns = now_ns();
    wait_for(&tower, "live");
    sleep_over_cushion(&tower);
    let latency_ns = (live(&tower.status(), "latency_ms") * 1e6) as u64;
    assert_eq!(tower.figure("ticks/underruns"), 0, "{}", tower.log());
    let heard = heard(recorder, &tower);
    sender.stop();

    let windows = tones(&heard.left, HZ);
    println!("{}", runs(&windows));
    let found =
        |from, is: fn(&[f64; 3]) -> bool| first(&windows, from, is).unwrap_or_else(|| panic!("{}", runs(&windows)));
    // Pulled: the station follows what waited.
    let pulled = heard.sample_at(pulled_ns) / WINDOW;
    let back = found(found(pulled, is_station), is_later);
    let station = found(pulled, is_station);
    let gap_ms = (station - last(&windows, station, is_card).expect("the card") - 1) * WINDOW_MS;
    println!("pulled: {gap_ms} ms without a tone");
    assert!(gap_ms <= GAP_MS_MAX, "{}", runs(&windows));
    assert_no_click(&heard, "pulled", pulled * WINDOW, (station + 100) * WINDOW, TURNED_BACK);
    // Silent for 10 s; spoken into for 2 s: in the stream's own time, as all of this.
    let silent = last(&windows, found(back, is_station), is_later).expect("the card") + 1;
    let station = found(silent, is_station);
    let spoken = heard.sample_at(speaks_ns + latency_ns) / WINDOW;
    let live_again = found(station, is_card);
    let [silence_ms, resume_ms] = [station - silent, live_again - spoken].map(|windows| windows * WINDOW_MS);
    println!("silent for {silence_ms} ms, heard for {resume_ms} ms");
    assert!(silence_ms.abs_diff(10_000) <= 300 && resume_ms.abs_diff(2000) <= 300, "{}", runs(&windows));
    assert_no_click(&heard, "back after 2 s", (back - 100) * WINDOW, (back + 60) * WINDOW, CROSSFADED);
    assert_no_click(&heard, "silent for 10 s", (station - 100) * WINDOW, (station + 50) * WINDOW, CROSSFADED);
    assert_no_click(&heard, "spoken into for 2 s", (live_again - 50) * WINDOW, (live_again + 50) * WINDOW, CROSSFADED);
}

/// A stall: how long, what becomes of its sound, what is counted afterwards.
#[test]
fn v2_v3_r6_a_card_that_stands_still_is_back_in_its_place_and_nothing_old_is_heard() {
    let rows = [(300, AfterStall::Lost, [1, 0]), (300, AfterStall::Kept, [2, 0]), (3000, AfterStall::Lost, [2, 1])];
    let card = TestCard::builder().make();
    let tower = setup(&card).start();
    let sender = station(&tower);
    wait_for(&tower, "live");
    for (ms, after, counted) in rows {
        sound(&card, CARD_HZ);
        let recorder = Recorder::start(tower.port);
        sleep(Duration::from_millis(500));
        card.stall(after);
        let stalled_ns = now_ns();
        sleep(Duration::from_millis(ms));
        // What it plays from now on; and, if it keeps what it had, in the stall as well.
        sound(&card, LATER_HZ);
        card.end_stall();
        let ended_ns = now_ns();
        wait_for(&tower, "live");
        sleep(Duration::from_millis(600));
        let (marked_ns, status) = (mark(&card), tower.status());
        sleep_over_cushion(&tower);
        let heard = heard(recorder, &tower);
        let name = format!("{after:?} for {ms} ms");
        let counts = ["restarts", "losses"].map(|name| status["live"][name].as_u64().expect("a count"));
        assert_eq!(counts, counted, "{name}\n{}", tower.log());
        let latency_ms = latency_ms(&heard, marked_ns, live(&status, "latency_ms"));
        println!("{name}: queue {} ms, latency {latency_ms:.2} ms", live(&status, "queue_ms"));
        assert!((live(&status, "queue_ms") - 96.0).abs() < 2.0, "{name}: {:#}", status["live"]);
        assert!((latency_ms - live(&status, "latency_ms")).abs() < 5.0, "{name}: {latency_ms}");
        let marked = heard.sample_at(marked_ns + (latency_ms * 1e6) as u64) - 2400;
        assert_back_in_its_place(&heard, &name, [stalled_ns, ended_ns], marked);
    }
    sender.stop();
}

fn assert_back_in_its_place(heard: &Heard, name: &str, [stalled_ns, ended_ns]: [u64; 2], marked: usize) {
    let windows = tones(&heard.left[..marked], HZ);
    println!("{name}: {}", runs(&windows));
    let [stalled, ended] = [stalled_ns, ended_ns].map(|ns| heard.sample_at(ns + ON_AIR_LAG_NS) / WINDOW);
    let station = first(&windows, stalled, is_station).expect("the station");
    // 96 ms in the queue, 96 ms of misses; a period and a frame that are not whole.
    let absent_ms = (station - stalled) * WINDOW_MS;
    assert!((96 + 48..=96 + 96 + 24 + 48).contains(&absent_ms), "{name}: absent after {absent_ms} ms");
    assert_eq!(last(&windows, windows.len(), is_card).filter(|at| *at > station), None, "{name}: old sound");
    let back = first(&windows, station, is_later).expect("the card");
    let back_ms = (back - ended) * WINDOW_MS;
    println!("{name}: absent after {absent_ms} ms, back after {back_ms} ms");
    assert!(back_ms < 400, "{name}: back after {back_ms} ms");
    assert_no_click(heard, name, (stalled - 40) * WINDOW, marked, TURNED_BACK);
}

#[test]
fn v3_an_overrun_is_recovered_in_place_without_a_click_and_many_are_an_alarm() {
    let card = TestCard::builder().make();
    sound(&card, CARD_HZ);
    let tower = setup(&card).start();
    let sender = station(&tower);
    wait_for(&tower, "live");
    let recorder = Recorder::start(tower.port);
    sleep(Duration::from_millis(500));
    card.xrun(100);
    sleep(Duration::from_millis(1000));
    let (marked_ns, status) = (mark(&card), tower.status());
    assert_eq!(["xruns", "losses"].map(|name| status["live"][name].as_u64()), [Some(1), Some(0)]);
    assert!((live(&status, "queue_ms") - 96.0).abs() < 2.0, "{:#}", status["live"]);
    assert!(!has_alarm(&status, "live_xruns"));
    sleep(Duration::from_millis(400));
    let several_ns = now_ns();
    (0..9).for_each(|_| {
        card.xrun(37);
        sleep(Duration::from_millis(250));
    });
    tower.wait_until("the alarm", SOON, |status| has_alarm(status, "live_xruns"));
    sleep_over_cushion(&tower);
    let status = tower.status();
    assert_eq!(["xruns", "losses"].map(|name| status["live"][name].as_u64()), [Some(10), Some(0)]);
    assert!((live(&status, "queue_ms") - 96.0).abs() < 2.0, "{:#}", status["live"]);
    assert_eq!(tower.log().matches("PROGRAM (live) ->").count(), 0, "it never left the air:\n{}", tower.log());
    let heard = heard(recorder, &tower);
    sender.stop();
    let latency_ms = latency_ms(&heard, marked_ns, live(&status, "latency_ms"));
    assert!((latency_ms - live(&status, "latency_ms")).abs() < 5.0, "{latency_ms} ms");
    let marked = heard.sample_at(marked_ns + (latency_ms * 1e6) as u64);
    let windows = tones(&heard.left, HZ);
    println!("latency {latency_ms:.2} ms; {}", runs(&windows));
    let begin = first(&windows, 0, is_card).expect("the card");
    let gaps = windows[begin..].chunk_by(|a, b| is_card(a) == is_card(b)).filter(|run| !is_card(&run[0]));
    let gaps_ms: Vec<usize> = gaps.map(|run| run.len() * WINDOW_MS).collect();
    assert!(gaps_ms.iter().all(|ms| *ms <= GAP_MS_MAX), "{gaps_ms:?}");
    assert_no_click(&heard, "an overrun", (begin + 20) * WINDOW, marked - 2400, TURNED_BACK);
    assert_no_click(&heard, "nine", heard.sample_at(several_ns + ON_AIR_LAG_NS), heard.left.len(), TURNED_BACK);
}
