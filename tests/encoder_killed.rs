//! The encoder is killed, and stopped, while a programme plays and is recorded.

mod common;

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use common::{
    Setup, Tower,
    programme::{Heard, play, quiet_tower, soaking},
};
use nix::sys::signal::{Signal, kill};

fn disturb(tower: &Tower, signal: Signal) {
    kill(tower.encoder_pid(), signal).expect("the encoder runs");
}

/// Some moment between two ticks, never the same.
fn random_ms(below: u64) -> Duration {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("clock").subsec_nanos();
    Duration::from_millis(u64::from(nanos / 1000) % below)
}

fn nothing_was_heard_of_it(heard: &Heard, failures: u64) {
    let comparison = heard.compare(128);
    let status = heard.tower.status();
    println!("{} frames compared, recovery {}", comparison.frames, status["encoder"]["recovery_ms"]);
    assert_eq!(
        (comparison.fillers, comparison.different),
        (0, vec![]),
        "{:#}\n{}",
        status["encoder"],
        heard.tower.log()
    );
    assert!(!heard.recording.disconnected);
    for (figure, wanted) in [
        ("encoder/fillers", 0),
        ("encoder/late_frames", 0),
        ("encoder/restarts", failures),
        ("ticks/skipped", 0),
        ("ticks/underruns", 0),
        ("listeners/dropped_slow", 0),
    ] {
        assert_eq!(heard.tower.figure(figure), wanted, "{figure}");
    }
    assert!(status["encoder"]["recovery_ms"]["worst"].as_u64() > Some(0));
    heard.recording.assert_decoders_are_content(&heard.tower.dir);
}

fn with_and_without_spare() -> [Setup; 2] {
    [quiet_tower().set("encoder.spare=true"), quiet_tower().set("encoder.spare=false")]
}

#[test]
fn s8_s9_four_kills_within_five_seconds_cost_nothing() {
    for setup in with_and_without_spare() {
        let heard = play(&setup, Duration::from_secs(9), |tower| {
            sleep(Duration::from_secs(2));
            let start = Instant::now();
            for n in 1..=4u64 {
                disturb(tower, Signal::SIGKILL);
                tower.wait_until("it runs again", Duration::from_secs(3), |s| {
                    s["encoder"]["state"] == "RUNNING" && s["encoder"]["restarts"].as_u64() == Some(n)
                });
                sleep(Duration::from_millis(1100) + random_ms(100));
            }
            // Four kills within 5 s, and a pause; a busy machine may take longer to see them.
            assert!(start.elapsed() < Duration::from_secs(8));
        });
        nothing_was_heard_of_it(&heard, 4);
    }
}

#[test]
fn s6_s8_a_stopped_encoder_is_a_stall_and_costs_nothing() {
    for setup in with_and_without_spare() {
        let heard = play(&setup, Duration::from_secs(9), |tower| {
            sleep(Duration::from_secs(2));
            for _ in 0..2 {
                disturb(tower, Signal::SIGSTOP);
                sleep(Duration::from_millis(2500) + random_ms(100));
            }
        });
        nothing_was_heard_of_it(&heard, 2);
        assert_eq!(heard.tower.figure("encoder/stalls"), 2);
        assert!(heard.tower.log().contains("failed: stall, SIGKILL"), "{}", heard.tower.log());
    }
}

#[test]
fn m3_without_a_cushion_the_fillers_are_counted_exactly_and_all_else_is_in_its_place() {
    let setup = quiet_tower().env("TOWER_CUSHION_MS", 0);
    let mut before = 0;
    let heard = play(&setup, Duration::from_secs(8), |tower| {
        before = tower.figure("encoder/fillers");
        sleep(Duration::from_secs(2));
        for signal in [Signal::SIGKILL, Signal::SIGSTOP, Signal::SIGKILL] {
            disturb(tower, signal);
            sleep(Duration::from_millis(1500) + random_ms(100));
        }
    });
    let comparison = heard.compare(128);
    let counted = heard.tower.figure("encoder/fillers") - before;
    println!("{counted} fillers, recovery {}", heard.tower.status()["encoder"]["recovery_ms"]);
    assert!(counted > 10, "a stall of 250 ms alone is ten frames");
    assert_eq!((comparison.fillers as u64, comparison.different), (counted, vec![]));
    heard.recording.assert_decoders_are_content(&heard.tower.dir);
}

/// `make soak`: 20 kills at random moments at least 13 s apart, and 5 stops.
#[test]
#[ignore = "six minutes each; make soak runs it"]
fn s8_s9_twenty_kills_and_five_stops_cost_nothing() {
    assert!(soaking(), "run it by `make soak`");
    for setup in with_and_without_spare() {
        let heard = play(&setup, Duration::from_secs(25 * 14 + 10), |tower| {
            for n in 0..25 {
                sleep(Duration::from_secs(13) + random_ms(900));
                disturb(tower, if n % 5 == 4 { Signal::SIGSTOP } else { Signal::SIGKILL });
            }
        });
        nothing_was_heard_of_it(&heard, 25);
        assert_eq!(heard.tower.figure("encoder/stalls"), 5);
    }
}
