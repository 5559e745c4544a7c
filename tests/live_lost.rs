//! A sound card that goes, stands still or loses sound while it is on air (V3, R6, Q5), with a
//! station below it, as a listener hears it.

mod common;

use std::{thread::sleep, time::Duration};

use common::{
    card::{AfterStall, TestCard},
    listener::Recorder,
    live::{SOON, has_alarm, heard, latency_ms, live, mark, setup, sleep_over_cushion, tone, wait_for},
    sender::Sender,
    sound::{CODEC_SAMPLES, Heard, WINDOW, WINDOW_MS, first, last, leftover, tones},
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
const CLICK: f64 = 0.02;

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

fn show(heard: &Heard) {
    let windows = tones(&heard.left, HZ);
    let name = |w: &[f64; 3]| {
        if is_card(w) && is_station(w) {
            'x'
        } else if is_card(w) {
            'c'
        } else if is_station(w) {
            's'
        } else if is_later(w) {
            'l'
        } else {
            '.'
        }
    };
    let mut runs: Vec<(char, usize)> = vec![];
    for w in &windows {
        let n = name(w);
        match runs.last_mut() {
            Some(r) if r.0 == n => r.1 += 1,
            _ => runs.push((n, 1)),
        }
    }
    println!(
        "{:?} leftover {}",
        runs.iter().map(|r| format!("{}{}", r.0, r.1 * 5)).collect::<Vec<_>>().join(" "),
        leftover(&heard.left, &HZ)
    );
}

#[test]
fn pull() {
    let card = TestCard::builder().make();
    sound(&card, CARD_HZ);
    let tower = setup(&card).set("live.silence_sec=10").start();
    let sender = station(&tower);
    wait_for(&tower, "station");
    let recorder = Recorder::start(tower.port);
    wait_for(&tower, "live");
    sleep(Duration::from_secs(1));
    card.unplug();
    let pulled = now_ns();
    tower.wait_until("station", SOON, |s| s["source"] == "station");
    println!("{:?}", tower.status()["reason"]);
    tower.wait_until("the alarm", SOON, |status| has_alarm(status, "live_lost"));
    println!("alarm after {}", (now_ns() - pulled) / 1_000_000);
    sound(&card, LATER_HZ);
    card.plug();
    let plugged = now_ns();
    tower.wait_until("over", SOON, |status| !has_alarm(status, "live_lost"));
    println!("over after {}", (now_ns() - plugged) / 1_000_000);
    wait_for(&tower, "live");
    println!("live after {}", (now_ns() - plugged) / 1_000_000);
    sleep_over_cushion(&tower);
    // silence
    card.set_tone([LATER_HZ; 2], [0.0; 2]);
    let silent = now_ns();
    wait_for(&tower, "station");
    println!("station after silence {}", (now_ns() - silent) / 1_000_000);
    sleep(Duration::from_millis(500));
    sound(&card, CARD_HZ);
    let speaks = now_ns();
    wait_for(&tower, "live");
    println!("live after {}", (now_ns() - speaks) / 1_000_000);
    sleep_over_cushion(&tower);
    let heard = heard(recorder, &tower);
    show(&heard);
    println!(
        "pulled {} silent {} speaks {}",
        heard.sample_at(pulled) / 48,
        heard.sample_at(silent) / 48,
        heard.sample_at(speaks) / 48
    );
    println!("{}", tower.log());
    sender.stop();
}

#[test]
fn stall() {
    let card = TestCard::builder().make();
    sound(&card, CARD_HZ);
    let tower = setup(&card).start();
    let sender = station(&tower);
    wait_for(&tower, "live");
    let recorder = Recorder::start(tower.port);
    sleep(Duration::from_secs(1));
    for (ms, after) in
        [(300, AfterStall::Lost), (300, AfterStall::Kept), (60, AfterStall::Kept), (3000, AfterStall::Lost)]
    {
        card.stall(after);
        let a = now_ns();
        sleep(Duration::from_millis(ms));
        card.end_stall();
        let b = now_ns();
        wait_for(&tower, "live");
        println!(
            "{ms} {after:?}: {} live after {}, queue {}",
            (b - a) / 1000_000,
            (now_ns() - b) / 1000000,
            tower.status()["live"]
        );
        sleep(Duration::from_millis(1000));
        let m = mark(&card);
        let q = tower.status();
        sleep(Duration::from_millis(1500));
        println!("   latency {}", latency_ms(&Heard::of(&recorder.so_far(), &tower.dir), m, live(&q, "latency_ms")));
    }
    sleep_over_cushion(&tower);
    show(&heard(recorder, &tower));
    println!("{}", tower.log());
    sender.stop();
}

#[test]
fn xrun() {
    let card = TestCard::builder().make();
    sound(&card, CARD_HZ);
    let tower = setup(&card).start();
    let sender = station(&tower);
    wait_for(&tower, "live");
    let recorder = Recorder::start(tower.port);
    sleep(Duration::from_secs(1));
    for n in 0..10 {
        card.xrun([20, 5, 60, 150][n % 4]);
        sleep(Duration::from_millis(400));
        println!("{}", tower.status()["live"]);
        if n == 0 {
            let m = mark(&card);
            let q = tower.status();
            sleep(Duration::from_millis(1500));
            println!(
                "   latency {}",
                latency_ms(&Heard::of(&recorder.so_far(), &tower.dir), m, live(&q, "latency_ms"))
            );
        }
    }
    tower.wait_until("the alarm", SOON, |status| has_alarm(status, "live_xruns"));
    sleep_over_cushion(&tower);
    show(&heard(recorder, &tower));
    println!("{}\n{}", tower.log(), tower.status()["ticks"]);
    sender.stop();
    let _ = (CODEC_SAMPLES, WINDOW, WINDOW_MS, first::<1>(&[], 0, |_| true), last::<1>(&[], 0, |_| true), CLICK);
}
