//! How loud it is, of what is on air and of the sound card, and whether anything is wrong with it (L).
//!
//! ```text
//!   AudioPump ── tap ──┐                ┌─► SoundStats ─┐
//!                      ├─► tower:meter ─┤               ├─► /status
//!   capture ──── tap ──┘                └─► AlarmBoard ─┘
//! ```
//!
//! `levels`, `loudness`, `alarm` and `judge` are pure: sound and time go in. `thread` has
//! the clock, publishes and logs. No audio thread ever waits for any of this.

pub mod alarm;
pub mod judge;
pub mod levels;
pub mod loudness;
pub mod tap;
pub mod thread;

use std::sync::{Arc, Mutex, PoisonError};

use self::judge::AlarmName;
use crate::stats::SoundStats;

/// What the meter publishes.
#[derive(Debug, Default, Clone)]
pub struct MeterStats {
    /// Levels of what is on air.
    pub on_air: Arc<SoundStats>,
    /// Levels of the sound card.
    pub live: Arc<SoundStats>,
    /// What is wrong now.
    pub alarms: Arc<AlarmBoard>,
}

/// An alarm that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Which.
    pub name: AlarmName,
    /// What is wrong, with the figures that raised it.
    pub text: String,
    /// `sys::time::now_ns` when it was raised.
    pub since_ns: u64,
}

/// The alarms that stand, oldest first. Written by the meter, read by the control plane: two
/// threads of normal priority, each of which holds it for a copy.
#[derive(Debug, Default)]
pub struct AlarmBoard(Mutex<Vec<Alarm>>);

impl AlarmBoard {
    /// The alarms that stand now.
    pub fn get(&self) -> Vec<Alarm> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces them.
    pub fn set(&self, alarms: &[Alarm]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = alarms.to_vec();
    }
}

/// Sounds for the tests of this folder, made by arithmetic.
#[cfg(test)]
pub(crate) mod sounds {
    use std::f64::consts::TAU;

    use crate::frame::{CHANNELS, PUMP_FRAME_SAMPLES, PumpFrame, SAMPLE_RATE_HZ};

    /// The frames of a sine of `hz`, whose peak in dBFS (of 32768) each channel has its own.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub fn tone(hz: f64, peaks_dbfs: [f64; CHANNELS], frames: usize) -> Vec<PumpFrame> {
        let amplitudes = peaks_dbfs.map(|dbfs| 32_768.0 * 10f64.powf(dbfs / 20.0));
        let frame = |number: usize| {
            let mut frame = PumpFrame::SILENCE;
            for (at, sample) in frame.values.chunks_exact_mut(CHANNELS).enumerate() {
                let turn = (number * PUMP_FRAME_SAMPLES + at) as f64 * hz / f64::from(SAMPLE_RATE_HZ);
                for (value, amplitude) in sample.iter_mut().zip(amplitudes) {
                    *value = (amplitude * (turn * TAU).sin()).round() as i16; // `as` saturates
                }
            }
            frame
        };
        (0..frames).map(frame).collect()
    }
}
