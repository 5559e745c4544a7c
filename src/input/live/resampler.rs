//! From the card's rate to 48 kHz, stretched by what the drift loop says.
//!
//! rubato's windowed sinc, 128 taps (of the card's samples, or of ours where the card is the
//! faster one), interpolated between 256 phases. A frame comes out whole or not at all. Made once
//! for a card; nothing allocates afterwards, and no change of the ratio makes a step in phase:
//! it is ramped over a frame.

use rubato::{
    Adjustable, Async, FixedAsync, Resampler, ResamplerConstructionError, SincInterpolationParameters,
    SincInterpolationType, WindowFunction, audioadapter_buffers::direct::InterleavedSlice,
};

use crate::{
    frame::{CHANNELS, PUMP_FRAME_SAMPLES, PUMP_FRAME_VALUES, SAMPLE_RATE_HZ},
    limits::LIVE_PPM_MAX,
};

/// Taps of the filter at 48 kHz. Longer is a steeper edge at 20 kHz for more work; the MP3
/// encoder after us ends at 16 to 20 kHz.
const TAPS: usize = 128;
/// Phases between which the filter is interpolated.
const PHASES: usize = 256;

/// A resampler of stereo sound that makes whole pump frames.
pub struct DriftResampler {
    inner: Async<f32>,
    /// Without a correction.
    ratio: f64,
}

impl DriftResampler {
    /// From `rate_hz` to 48 kHz.
    ///
    /// # Errors
    /// What rubato will not make: a rate of 0.
    pub fn new(rate_hz: u32) -> Result<Self, ResamplerConstructionError> {
        let ratio = f64::from(SAMPLE_RATE_HZ) / f64::from(rate_hz);
        let mut parameters = SincInterpolationParameters::new(taps(rate_hz), WindowFunction::BlackmanHarris2);
        parameters.oversampling_factor = PHASES;
        parameters.interpolation = SincInterpolationType::Cubic;
        // Twice of what is ever asked for: the bound itself must not be refused for a rounding.
        let relative_max = 1.0 + 2.0 * f64::from(LIVE_PPM_MAX) / 1e6;
        let inner =
            Async::new_sinc(ratio, relative_max, &parameters, PUMP_FRAME_SAMPLES, CHANNELS, FixedAsync::Output)?;
        Ok(Self { inner, ratio })
    }

    /// Samples at 48 kHz for one of the card's frames.
    pub fn ratio(&self) -> f64 {
        self.ratio
    }

    /// The card's frames for the next pump frame.
    pub fn frames_needed(&self) -> usize {
        self.inner.input_frames_next()
    }

    /// How much later sound comes out than it went in, in samples at 48 kHz.
    pub fn delay_samples(&self) -> usize {
        self.inner.output_delay()
    }

    /// Makes a pump frame of the first [`Self::frames_needed`] frames of `input` (interleaved
    /// stereo), with `correction` more samples than the card's rate says. False, and nothing
    /// is made, if there are too few.
    pub fn frame(&mut self, correction: f64, input: &[f32], output: &mut [f32; PUMP_FRAME_VALUES]) -> bool {
        // A correction beyond the bound is refused, and the last one stays.
        let _ = self.inner.set_resample_ratio(self.ratio * (1.0 + correction), true);
        let frames = input.len() / CHANNELS;
        let (Ok(input), Ok(mut output)) = (
            InterleavedSlice::new(input, CHANNELS, frames),
            InterleavedSlice::new_mut(output.as_mut_slice(), CHANNELS, PUMP_FRAME_SAMPLES),
        ) else {
            return false;
        };
        frames >= self.inner.input_frames_next() && self.inner.process_into_buffer(&input, &mut output, None).is_ok()
    }

    /// Forgets what went in.
    pub fn reset(&mut self) {
        self.inner.reset();
    }
}

/// A card that is faster than 48 kHz has a filter as long in time.
fn taps(rate_hz: u32) -> usize {
    TAPS * usize::try_from(rate_hz.div_ceil(SAMPLE_RATE_HZ)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// A sine through the resampler, its first 100 ms left out; left channel.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn sine_through(rate_hz: u32, hz: f64, correction: f64) -> Vec<f64> {
        let mut resampler = DriftResampler::new(rate_hz).expect("a resampler");
        let mut output = [0.0; PUMP_FRAME_VALUES];
        let (mut at, mut heard) = (0usize, Vec::new());
        for _ in 0..30 {
            let frames = resampler.frames_needed();
            let sine = |n: usize| (TAU * hz * (at + n) as f64 / f64::from(rate_hz)).sin() as f32;
            let input: Vec<f32> = (0..frames).flat_map(|n| [sine(n), 0.0]).collect();
            // What it needs may change with the correction, by a frame.
            let input = [input.as_slice(), &[0.0; 8]].concat();
            let needed = resampler.frames_needed();
            assert!(resampler.frame(correction, &input, &mut output));
            at += needed;
            heard.extend(output.iter().step_by(2).map(|value| f64::from(*value)));
        }
        heard.split_off(4800)
    }

    /// What is left of `sound` without its sine, relative to that, in dB: THD+N.
    #[allow(clippy::cast_precision_loss)]
    fn rest_db(sound: &[f64], hz: f64) -> f64 {
        let turn = |n: usize| TAU * hz * n as f64 / 48_000.0;
        let n = sound.len() as f64;
        // Least squares for sine and cosine: over many periods they are as good as orthogonal, twice is exact enough.
        let mut rest = sound.to_vec();
        let mut power = 0.0;
        for _ in 0..3 {
            let s = rest.iter().enumerate().map(|(at, v)| v * turn(at).sin()).sum::<f64>() * 2.0 / n;
            let c = rest.iter().enumerate().map(|(at, v)| v * turn(at).cos()).sum::<f64>() * 2.0 / n;
            power += s * s + c * c;
            rest.iter_mut().enumerate().for_each(|(at, v)| *v -= s * turn(at).sin() + c * turn(at).cos());
        }
        let noise = rest.iter().map(|v| v * v).sum::<f64>() / n;
        10.0 * (noise / (power / 2.0)).log10()
    }

    #[test]
    fn v2_thd_plus_noise_is_below_90_db_at_every_rate_and_correction() {
        for rate_hz in [44_100, 48_000, 96_000, 192_000] {
            for (hz, correction) in [(1000.0, 0.0), (1000.0, 437e-6), (1000.0, -500e-6), (9973.0, 250e-6)] {
                let sound = sine_through(rate_hz, hz, correction);
                // Stretched sound is lower.
                let rest = rest_db(&sound, hz / (1.0 + correction));
                println!("{rate_hz} Hz, {hz} Hz, {:+.0} ppm: THD+N {rest:.1} dB", correction * 1e6);
                assert!(rest < -100.0, "{rate_hz} Hz, {hz} Hz, {correction}: {rest} dB");
            }
        }
    }

    #[test]
    fn v1_nothing_above_what_48_khz_holds_comes_back_as_something_else() {
        for (rate_hz, hz) in [(96_000, 30_000.0), (192_000, 40_000.0), (192_000, 70_000.0)] {
            let sound = sine_through(rate_hz, hz, 0.0);
            let loudest = sound.iter().fold(0f64, |loudest, value| loudest.max(value.abs()));
            assert!(loudest < 1e-4, "{hz} Hz at {rate_hz}: {loudest}");
        }
    }

    #[test]
    fn v1_what_is_heard_is_as_loud_up_to_16_khz() {
        for rate_hz in [44_100, 48_000, 96_000] {
            for hz in [50.0, 1000.0, 16_000.0] {
                let sound = sine_through(rate_hz, hz, 0.0);
                let power = sound.iter().map(|value| value * value).sum::<f64>()
                    / f64::from(u32::try_from(sound.len()).expect("short"));
                let db = 10.0 * (2.0 * power).log10();
                assert!(db.abs() < 0.1, "{hz} Hz at {rate_hz}: {db} dB");
            }
        }
    }

    #[test]
    fn too_little_makes_nothing() {
        let mut resampler = DriftResampler::new(48_000).expect("a resampler");
        let mut output = [7.0; PUMP_FRAME_VALUES];
        assert!(!resampler.frame(0.0, &[0.5; 100], &mut output));
        assert!(output.iter().all(|value| *value == 7.0));
        assert!(DriftResampler::new(0).is_err());
    }
}
