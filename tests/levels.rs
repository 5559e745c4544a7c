//! Levels and alarms (L, K2) of a real tower that is sent known sounds.

mod common;

use std::{
    f64::consts::TAU,
    thread::sleep,
    time::{Duration, Instant},
};

use common::{Tower, sender::Sender};
use retrowaves::frame::{PUMP_FRAME_SAMPLES, PumpFrame};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);
const FILL_FRAMES: u64 = 20;

/// Frame `number` of a 1 kHz sine; its peak in dBFS each channel has its own, or none.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn tone(number: u64, peaks_dbfs: [Option<f64>; 2]) -> PumpFrame {
    let mut frame = PumpFrame::SILENCE;
    for (at, sample) in (number * PUMP_FRAME_SAMPLES as u64..).zip(frame.values.chunks_exact_mut(2)) {
        let turn = (at % 48) as f64 / 48.0;
        for (value, dbfs) in sample.iter_mut().zip(peaks_dbfs) {
            let amplitude = dbfs.map_or(0.0, |dbfs| 32_768.0 * 10f64.powf(dbfs / 20.0));
            *value = (amplitude * (turn * TAU).sin()).round() as i16;
        }
    }
    frame
}

/// Figures of the status that are within 0.2 of what they should be; null is none.
fn are(status: &Value, figures: &[(&str, Option<f64>)]) -> bool {
    figures.iter().all(|(pointer, expected)| {
        match (status.pointer(pointer).unwrap_or_else(|| panic!("{pointer} in {status:#}")), expected) {
            (Value::Null, None) => true,
            (Value::Number(found), Some(expected)) => (found.as_f64().expect("f64") - expected).abs() <= 0.2,
            _ => false,
        }
    })
}

fn alarms(status: &Value) -> Vec<&str> {
    let list = status["alarms"].as_array().expect("a list");
    list.iter().map(|alarm| alarm["alarm"].as_str().expect("a name")).collect()
}

#[test]
fn l1_l2_l3_k2_figures_of_known_tones_and_the_alarm_of_one_that_is_on_one_side_only() {
    const STEREO: [Option<f64>; 2] = [Some(-20.0), Some(-26.0)];
    let tower = Tower::start();
    // The fallback: 440 Hz, −20 dBFS. Its K weighting is 0.68 dB below that of 997 Hz, where LUFS are dBFS.
    let fallback = [
        ("/levels/peak_dbfs/0", Some(-20.0)),
        ("/levels/peak_dbfs/1", Some(-20.0)),
        ("/levels/rms_dbfs/0", Some(-23.01)),
        ("/levels/rms_dbfs/1", Some(-23.01)),
        ("/levels/lufs_momentary", Some(-20.68)),
        ("/levels/lufs_short", Some(-20.68)),
        ("/levels/lufs_integrated", Some(-20.68)),
    ];
    tower.wait_until("the fallback tone's figures", SOON, |status| are(status, &fallback));

    // Two channels for 5 s, the left one alone for 13 s, then two again.
    let sides = |number| if (208..750).contains(&number) { [STEREO[0], None] } else { STEREO };
    let sender = Sender::start(&tower.pcm_socket(), FILL_FRAMES, move |number| tone(number, sides(number)));
    let both = [
        ("/levels/peak_dbfs/0", Some(-20.0)),
        ("/levels/peak_dbfs/1", Some(-26.0)),
        ("/levels/rms_dbfs/0", Some(-23.01)),
        ("/levels/rms_dbfs/1", Some(-29.01)),
        ("/levels/lufs_momentary", Some(-22.04)),
        ("/levels/lufs_short", Some(-22.04)),
    ];
    tower.wait_until("the figures of two channels", SOON, |status| are(status, &both));
    assert_eq!(tower.figure("levels/clipped"), 0);

    let one = [("/levels/peak_dbfs/1", None), ("/levels/rms_dbfs/0", Some(-23.01)), ("/levels/rms_dbfs/1", None)];
    tower.wait_until("the figures of one channel", SOON, |status| are(status, &one));
    let start = Instant::now();
    tower.wait_until("the alarm", Duration::from_secs(11), |status| alarms(status) == ["on_air_imbalance"]);
    assert!(start.elapsed() > Duration::from_secs(8), "after {:?}", start.elapsed());
    let said = "alarm on_air_imbalance: only left has sound (left -23.0 dBFS, right digital silence)";
    tower.wait_for_log(said, SOON);
    tower.wait_until("the end of the alarm", SOON, |status| alarms(status).is_empty());
    tower.wait_for_log("alarm on_air_imbalance is over after", SOON);
    assert_eq!(tower.log().matches("alarm ").count(), 2, "once each:\n{}", tower.log());
    sender.stop();
    assert!(tower.stop().0.success());
}

#[test]
fn l3_l4_silence_on_air_is_an_alarm_and_grace_is_none() {
    let tower = Tower::start();
    // Sound for 2 s; it goes, and there are 5 s of grace.
    let sender = Sender::start(&tower.pcm_socket(), FILL_FRAMES, |number| tone(number, [Some(-20.0); 2]));
    tower.wait_until("the programme", SOON, |status| status["mode"] == "PROGRAM");
    sleep(Duration::from_secs(2));
    sender.stop();
    for mode in ["GRACE", "FALLBACK"] {
        tower.wait_until(mode, SOON, |status| {
            assert!(alarms(status).is_empty(), "{status:#}");
            status["mode"] == mode
        });
    }
    // Silence that is sent, for 12 s, then sound.
    let sender = Sender::start(&tower.pcm_socket(), FILL_FRAMES, |number| {
        tone(number, if number < 500 { [None; 2] } else { [Some(-20.0); 2] })
    });
    tower.wait_until("the alarm", Duration::from_secs(13), |status| alarms(status) == ["on_air_silence"]);
    assert!(are(&tower.status(), &[("/levels/rms_dbfs/0", None), ("/levels/lufs_momentary", None)]));
    tower.wait_until("its end", SOON, |status| alarms(status).is_empty());
    tower.wait_for_log("alarm on_air_silence: nothing to be heard on air for 10 s", SOON);
    tower.wait_for_log("alarm on_air_silence is over after", SOON);
    assert_eq!(tower.log().matches("alarm ").count(), 2, "once each:\n{}", tower.log());
    sender.stop();
    assert!(tower.stop().0.success());
}
