//! What was heard, as sound: which tones are in it and how loud, whether it clicks, and when it
//! was on air.

// Samples of a minute, far below 2^53.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use std::{f64::consts::TAU, path::Path};

use retrowaves::frame::{PUMP_FRAME_SAMPLES, TICK_NS};

use super::{card::MARK_MS, listener::Recording};

const RATE_HZ: f64 = 48_000.0;
/// Of `tones`: 5 ms. Tones of multiples of 200 Hz do not disturb each other in it.
pub const WINDOW: usize = 240;
pub const WINDOW_MS: usize = 5;
/// LAME and whoever decodes it are later by this.
pub const CODEC_SAMPLES: usize = 1105;

/// A recording, decoded. 1 is full scale.
pub struct Heard {
    pub left: Vec<f64>,
    pub right: Vec<f64>,
    /// When its first frame was on air.
    on_air_ns: u64,
}

impl Heard {
    pub fn of(recording: &Recording, folder: &Path) -> Self {
        let values = recording.decoded(folder);
        let side = |channel: usize| values.iter().skip(channel).step_by(2).map(|value| f64::from(*value) / 32_768.0);
        Self { left: side(0).collect(), right: side(1).collect(), on_air_ns: recording.on_air_ns() }
    }

    pub fn sides(&self) -> [&[f64]; 2] {
        [&self.left, &self.right]
    }

    /// When the pump's sample that became this one would be heard by whoever plays each
    /// frame as soon as it is on air, with a codec that takes no time.
    pub fn moment_ns(&self, sample: usize) -> u64 {
        let frames = (sample as f64 - CODEC_SAMPLES as f64) / PUMP_FRAME_SAMPLES as f64;
        (self.on_air_ns as f64 + frames * TICK_NS as f64) as u64
    }

    /// The sample of that moment.
    pub fn sample_at(&self, moment_ns: u64) -> usize {
        let frames = (moment_ns as f64 - self.on_air_ns as f64) / TICK_NS as f64;
        (frames * PUMP_FRAME_SAMPLES as f64).max(0.0) as usize + CODEC_SAMPLES
    }

    /// Where a marker of the card's begins, left: the place where it is most like it.
    pub fn mark(&self, from: usize, to: usize) -> Option<usize> {
        let samples = (MARK_MS * 48) as usize;
        let to = to.min(self.left.len().saturating_sub(samples));
        let likeness = |at: usize| {
            let piece = &self.left[at..at + samples];
            piece.iter().enumerate().map(|(n, value)| value * (TAU * n as f64 / 48.0).sin()).sum::<f64>()
        };
        let best = (from..to).map(|at| (likeness(at), at)).max_by(|a, b| a.0.total_cmp(&b.0))?;
        // A whole marker is half of its samples; it may have been made quieter.
        (best.0 > samples as f64 / 8.0).then_some(best.1)
    }
}

impl Recording {
    /// When the frame had come that this decoded sample is in.
    pub fn arrival_ns(&self, sample: usize) -> u64 {
        let frame_bytes = self.frames().first().map_or(1, Vec::len);
        let needed = (sample / PUMP_FRAME_SAMPLES + 1) * frame_bytes;
        self.arrivals.iter().find(|(_, bytes)| *bytes >= needed).expect("it came").0
    }

    /// When its first frame was on air. A frame is sent later than that, by up to a batch and
    /// whatever keeps the machine, and never earlier: so the least late one tells.
    fn on_air_ns(&self) -> u64 {
        let frame_bytes = self.frames().first().map_or(1, Vec::len) as u64;
        let first = self.arrivals.iter().filter_map(|(at_ns, bytes)| {
            let last = (*bytes as u64 / frame_bytes).checked_sub(1)?;
            at_ns.checked_sub(last * TICK_NS)
        });
        first.min().expect("something arrived")
    }
}

/// How often a sine rises through zero, each second, between the first time and the last.
pub fn pitch_hz(side: &[f64]) -> f64 {
    let rises = side.windows(2).enumerate().filter(|(_, pair)| pair[0] < 0.0 && pair[1] >= 0.0);
    let rises: Vec<f64> = rises.map(|(at, pair)| at as f64 - pair[0] / (pair[1] - pair[0])).collect();
    match (rises.first(), rises.last()) {
        (Some(first), Some(last)) if last > first => (rises.len() - 1) as f64 * RATE_HZ / (last - first),
        _ => 0.0,
    }
}

/// The amplitude of a sine, in dBFS.
pub fn sine_dbfs(side: &[f64]) -> f64 {
    10.0 * (2.0 * side.iter().map(|value| value * value).sum::<f64>() / side.len() as f64).log10()
}

pub fn peak_dbfs(side: &[f64]) -> f64 {
    20.0 * side.iter().fold(0f64, |peak, value| peak.max(value.abs())).log10()
}

/// The amplitude of each of these tones in each window.
pub fn tones<const N: usize>(side: &[f64], hz: [f64; N]) -> Vec<[f64; N]> {
    side.chunks_exact(WINDOW).map(|window| hz.map(|hz| amplitude(window, hz))).collect()
}

fn amplitude(window: &[f64], hz: f64) -> f64 {
    let (mut sine, mut cosine) = (0.0, 0.0);
    for (n, value) in window.iter().enumerate() {
        let turn = TAU * hz * n as f64 / RATE_HZ;
        (sine, cosine) = (sine + value * turn.sin(), cosine + value * turn.cos());
    }
    2.0 * sine.hypot(cosine) / window.len() as f64
}

/// The largest that is left when each of these sines is taken away, by what a sine's neighbours
/// say of it. A step of d leaves d or more; fades leave next to nothing.
pub fn leftover(side: &[f64], hz: &[f64]) -> f64 {
    let mut rest = side.to_vec();
    for hz in hz {
        let two_cos = 2.0 * (TAU * hz / RATE_HZ).cos();
        rest = rest.windows(3).map(|w| w[0] + w[2] - two_cos * w[1]).collect();
    }
    rest.iter().fold(0.0, |largest, value| value.abs().max(largest))
}

/// The first window from `from` on in which `is` holds, and in the three after it.
pub fn first<const N: usize>(windows: &[[f64; N]], from: usize, is: impl Fn(&[f64; N]) -> bool) -> Option<usize> {
    (from..windows.len().saturating_sub(3)).find(|at| windows[*at..*at + 4].iter().all(&is))
}

/// The last window before `to` in which `is` holds.
pub fn last<const N: usize>(windows: &[[f64; N]], to: usize, is: impl Fn(&[f64; N]) -> bool) -> Option<usize> {
    (0..to.min(windows.len())).rev().find(|at| is(&windows[*at]))
}
