//! V, Q: capture through the real ALSA API for as long as wanted, with a real station below it:
//! a card that is off and falls silent now and then, and no alarm without a cause.

mod common;

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use common::{
    Setup, Tower,
    card::{CONFIG_VARIABLE, PCM, TestCard},
    listener::Recorder,
    programme::length,
    station::StationSetup,
    temp_dir,
    witness::Witness,
};
use serde_json::Value;

/// Of each ten minutes, the card is silent for the last half minute (of shorter runs: the last sixth).
const ROUND_SEC: u64 = 600;
const SILENT_SEC: u64 = 30;
const TARGET_MS: f64 = 96.0;

/// What was seen, second by second.
#[derive(Debug)]
struct Seen {
    queue_ms: (f64, f64),
    /// Published ppm less the truth, from the first minute on.
    ppm_off: (f64, f64),
    latency_ms: (f64, f64),
    seconds: u64,
    seconds_of_station: u64,
    alarms: Vec<String>,
    unhealthy: Vec<String>,
}

fn wider(range: &mut (f64, f64), value: f64) {
    *range = (range.0.min(value), range.1.max(value));
}

fn demo(folder: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/demo.sh");
    let made = Command::new(script).arg(folder).output().expect("the script runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Seconds of work of a thread of the tower.
fn work_sec(tower: &Tower, name: &str) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", tower.pid())).expect("threads");
    let stat = tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok())
        .find(|stat| stat.contains(&format!("({name})")))
        .unwrap_or_else(|| panic!("no thread {name}"));
    let fields: Vec<f64> =
        stat.rsplit_once(')').expect("a name").1.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // After the name and the state (which is no number): utime and stime are the 11th and 12th, in 1/100 s.
    (fields[10] + fields[11]) / 100.0
}

fn look(tower: &Tower, seen: &mut Seen, ppm: f64) {
    let status = tower.status();
    let figure = |path: &str| status.pointer(path).and_then(Value::as_f64);
    seen.seconds += 1;
    seen.seconds_of_station += u64::from(status["source"] == "station");
    for alarm in status["alarms"].as_array().expect("alarms") {
        seen.alarms.push(alarm.to_string());
    }
    if seen.seconds > 15 {
        let queue_ms = figure("/live/queue_ms").unwrap_or_else(|| panic!("no card: {status:#}\n{}", tower.log()));
        wider(&mut seen.queue_ms, queue_ms);
        wider(&mut seen.latency_ms, figure("/live/latency_ms").expect("a latency"));
        if status["healthy"] != true {
            seen.unhealthy.push(tower.get("/healthz").1);
        }
    }
    if seen.seconds > 60 {
        wider(&mut seen.ppm_off, figure("/live/ppm").expect("measured") - ppm);
    }
}

#[test]
#[ignore = "ten minutes or an hour: make soak"]
fn v2_v4_q5_capture_with_a_station_below_and_no_alarm_without_a_cause() {
    let (card, dir, mut witness) = (TestCard::builder().make(), temp_dir(), Witness::start());
    let ppm = 83.0;
    card.set_ppm(ppm);
    card.set_tone([440.0, 554.37], [0.3, 0.3]);
    demo(&dir.join("demo"));
    let tower = Setup::default().env(CONFIG_VARIABLE, card.config()).set(&format!("live.device={PCM}")).start();
    let station = StationSetup::default().music(&dir.join("demo")).start(&tower.pcm_socket(), &tower.url());
    tower.wait_until("live is on air", Duration::from_secs(20), |status| status["source"] == "live");
    witness.mark();
    let late_before = tower.figure("ticks/late");
    let recorder = Recorder::start(tower.port);
    let none = (f64::MAX, f64::MIN);
    let mut seen = Seen {
        queue_ms: none,
        ppm_off: none,
        latency_ms: none,
        seconds: 0,
        seconds_of_station: 0,
        alarms: Vec::new(),
        unhealthy: Vec::new(),
    };
    let (start, all) = (Instant::now(), length(3600));
    let round_sec = ROUND_SEC.min(all.as_secs());
    let silent_sec = SILENT_SEC.min(round_sec / 6);
    while start.elapsed() < all {
        let silent = start.elapsed().as_secs() % round_sec >= round_sec - silent_sec;
        let amplitude = if silent { 0.0 } else { 0.3 };
        card.set_tone([440.0, 554.37], [amplitude; 2]);
        std::thread::sleep(Duration::from_secs(seen.seconds + 1).saturating_sub(start.elapsed()));
        look(&tower, &mut seen, ppm);
    }
    let recording = recorder.stop();
    let sec = start.elapsed().as_secs_f64();
    println!("{seen:.2?}");
    for thread in ["tower:capture", "tower:pump", "tower:meter"] {
        println!("{thread}: {:.3} s of work a second", work_sec(&tower, thread) / sec);
    }
    println!("stalls of the machine (ms): {:?}", witness.stalls().0);
    println!("{:#}\n{:#}", tower.status()["live"], tower.status()["ticks"]);
    drop(station);
    witness.assert_ticks(&tower, late_before);
    recording.assert_no_break();
    assert_eq!(seen.alarms, Vec::<String>::new());
    assert_eq!(seen.unhealthy, Vec::<String>::new());
    let excused = !witness.stalls().0.is_empty();
    for counter in ["live/xruns", "live/restarts", "live/overflows", "live/losses", "ticks/underruns"] {
        assert!(excused || tower.figure(counter) == 0, "{counter}: {:#}\n{}", tower.status(), tower.log());
    }
    let (least, most) = seen.queue_ms;
    assert!(least > TARGET_MS - 2.0 && most < TARGET_MS + 2.0, "{seen:?}");
    if all > Duration::from_secs(60) {
        assert!(seen.ppm_off.0 > -3.0 && seen.ppm_off.1 < 3.0, "{seen:?}");
    }
    // It gives way after 10 s of silence, and is back after 2 s of sound.
    if silent_sec > 15 {
        assert!(seen.seconds_of_station > 10, "{seen:?}");
    }
}
