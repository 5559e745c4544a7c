//! How high the sound rises between its samples: the estimate of ITU-R BS.1770,
//! four times oversampled by a 48-tap windowed sinc.
//!
//! The same filter as in ebur128, which measures what we send; that crate gives the
//! highest peak since its start and we need one for each sample, hence our own. It
//! works on runs of samples, planar, so that the compiler can vectorise along time.

use std::f64::consts::PI;

use crate::frame::CHANNELS;

/// Samples under the filter at once.
pub const TAPS: usize = 12;
/// Samples that are taken in one go.
pub const RUN_SAMPLES: usize = 64;

const FACTOR: usize = 4;
/// What the filter remembers between runs.
const HISTORY: usize = TAPS - 1;
/// The tap under which the original samples lie.
const CENTRE: usize = TAPS / 2;

/// One stereo sample.
pub type StereoSample = [f32; CHANNELS];

/// Finds the peak near each sample, of both channels together.
#[derive(Debug, Clone)]
pub struct TruePeakEstimator {
    /// Of the three points between two samples.
    coefficients: [[f32; TAPS]; FACTOR - 1],
    lines: [[f32; HISTORY + RUN_SAMPLES]; CHANNELS],
}

impl TruePeakEstimator {
    /// With silence behind it.
    pub fn new() -> Self {
        let coefficients = std::array::from_fn(|phase| std::array::from_fn(|tap| coefficient(tap, phase + 1)));
        Self { coefficients, lines: [[0.0; HISTORY + RUN_SAMPLES]; CHANNELS] }
    }

    /// For each sample of `run` (at most [`RUN_SAMPLES`]) the highest magnitude of
    /// the sound around the sample that came `TAPS / 2` earlier.
    pub fn peaks(&mut self, run: &[StereoSample]) -> [f32; RUN_SAMPLES] {
        let mut peaks = [0.0; RUN_SAMPLES];
        for (channel, line) in self.lines.iter_mut().enumerate() {
            for (place, sample) in line[HISTORY..].iter_mut().zip(run) {
                *place = sample[channel];
            }
            raise_to(&mut peaks, &line[HISTORY - CENTRE..]);
            for coefficients in &self.coefficients {
                raise_to(&mut peaks, &filtered(line, coefficients));
            }
            line.copy_within(run.len()..run.len() + HISTORY, 0);
        }
        peaks
    }
}

fn filtered(line: &[f32; HISTORY + RUN_SAMPLES], coefficients: &[f32; TAPS]) -> [f32; RUN_SAMPLES] {
    let mut sums = [0.0; RUN_SAMPLES];
    for (tap, coefficient) in coefficients.iter().enumerate() {
        for (sum, value) in sums.iter_mut().zip(&line[HISTORY - tap..]) {
            *sum += coefficient * value;
        }
    }
    sums
}

fn raise_to(peaks: &mut [f32; RUN_SAMPLES], values: &[f32]) {
    for (peak, value) in peaks.iter_mut().zip(values) {
        // Not `max`: its care for NaN keeps it from one instruction, and there is none here.
        let magnitude = value.abs();
        *peak = if magnitude > *peak { magnitude } else { *peak };
    }
}

/// Of a sinc under a Hann window, 48 taps in all.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // 0 to 48; the filter is f32
fn coefficient(tap: usize, phase: usize) -> f32 {
    let (at, length) = ((tap * FACTOR + phase) as f64, (TAPS * FACTOR) as f64);
    let window = 0.5 * (1.0 - (2.0 * PI * at / length).cos());
    // Never 0 between two samples.
    let angle = (at - length / 2.0) * PI / FACTOR as f64;
    (window * angle.sin() / angle) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sound::signals::{Noise, true_peak_of};

    #[test]
    fn the_estimate_is_that_of_ebur128() {
        let mut noise = Noise::new(7);
        for run_samples in [1, 5, 63, 64] {
            let sound: Vec<f32> = (0..4000).map(|_| 0.9 * noise.next()).collect();
            let mut estimator = TruePeakEstimator::new();
            let (samples, _) = sound.as_chunks();
            let highest = samples
                .chunks(run_samples)
                .flat_map(|run| estimator.peaks(run)[..run.len()].to_vec())
                .fold(0f32, f32::max);
            let judged = true_peak_of(&sound);
            assert!((f64::from(highest) / judged - 1.0).abs() < 1e-5, "{highest} and {judged}");
        }
    }

    #[test]
    fn a_sine_at_a_quarter_of_the_rate_peaks_between_its_samples() {
        let mut estimator = TruePeakEstimator::new();
        let height = std::f32::consts::FRAC_1_SQRT_2;
        let sine = [height, height, -height, -height].map(|value| [value, -value]).repeat(16);
        let highest = estimator.peaks(&sine)[TAPS..].iter().copied().fold(0.0, f32::max);
        assert!((highest - 1.0).abs() < 0.03, "{highest}");
    }
}
