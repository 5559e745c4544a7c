//! The last in the chain: no peak leaves above the ceiling, between samples neither.
//!
//! It looks 5 ms ahead, so the gain has come down, smoothly, before the peak is
//! played, and it never clips. Both channels get the same gain: the image stays put.
//! Below the ceiling every sample passes with each of its bits.
//!
//! How: each sample's true peak says how much reduction it needs; the highest need
//! of the look-ahead is held, let go slowly, and smoothed by two boxcars. Everything
//! under the smoothing covers the peak, so its mean does too: no overshoot. The
//! reduction is counted in whole fractions of an octave: sums are exact, never
//! drift, and come back to exactly none.
//!
//! The gain still moves a little under the 12 taps of the peak filter, which costs
//! less than a thousandth of a dB; [`MARGIN_DB`] is for that, for rounding to 16 bits,
//! and for meters with another filter. Nothing allocates; a block may have any size.

use super::{
    linear_from_db,
    sliding_max::SlidingMax,
    true_peak::{RUN_SAMPLES, StereoSample, TAPS, TruePeakEstimator},
};

/// Sound comes out this much later: 5 ms.
pub const LOOKAHEAD_SAMPLES: usize = 240;
/// The ceiling is held this much lower than asked for, so that it holds as measured.
pub const MARGIN_DB: f64 = 0.1;

/// A reduction falls to 1/e of itself in this time: 150 ms.
const RELEASE_SAMPLES: u32 = 7200;
/// Both boxcars and the taps of the peak filter together are the look-ahead.
const BOXCAR_SAMPLES: usize = (LOOKAHEAD_SAMPLES + 3 - TAPS) / 2;
/// From the first sample under the peak filter to the last under the boxcars.
const HOLD_SAMPLES: usize = LOOKAHEAD_SAMPLES + 1;
/// Steps of reduction in 6.02 dB.
const STEPS_PER_OCTAVE: f32 = 1_048_576.0;
/// 60 dB. More is not music but an error, and the state must stay bounded.
const OCTAVES_MAX: f32 = 10.0;

const _: () = assert!(2 * BOXCAR_SAMPLES - 1 + TAPS - 2 <= LOOKAHEAD_SAMPLES);

/// A limiter of stereo sound at 48 kHz.
#[derive(Debug, Clone)]
pub struct TruePeakLimiter {
    ceiling: f32,
    estimator: TruePeakEstimator,
    held: SlidingMax<HOLD_SAMPLES>,
    /// The reduction on its way down, in steps.
    released: u32,
    first: Boxcar,
    second: Boxcar,
    delay: [StereoSample; LOOKAHEAD_SAMPLES],
    /// The oldest in `delay`.
    oldest: usize,
}

impl TruePeakLimiter {
    /// Keeps the true peak below `peak_dbtp`, with silence behind it.
    #[allow(clippy::cast_possible_truncation)] // f32 is what the sound is
    pub fn new(peak_dbtp: f64) -> Self {
        Self {
            ceiling: linear_from_db(peak_dbtp - MARGIN_DB) as f32,
            estimator: TruePeakEstimator::new(),
            held: SlidingMax::new(),
            released: 0,
            first: Boxcar::new(),
            second: Boxcar::new(),
            delay: [[0.0; 2]; LOOKAHEAD_SAMPLES],
            oldest: 0,
        }
    }

    /// Limits a block of interleaved stereo in place; what comes out went in
    /// [`LOOKAHEAD_SAMPLES`] earlier. A value that is no number counts as silence.
    pub fn process(&mut self, block: &mut [f32]) {
        let (samples, rest) = block.as_chunks_mut();
        debug_assert!(rest.is_empty(), "half a stereo sample");
        for run in samples.chunks_mut(RUN_SAMPLES) {
            run.as_flattened_mut().iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = 0.0);
            let peaks = self.estimator.peaks(run);
            for (sample, peak) in run.iter_mut().zip(peaks) {
                let gain = self.gain(peak);
                let delayed = std::mem::replace(&mut self.delay[self.oldest], *sample);
                *sample = delayed.map(|value| value * gain);
                self.oldest = if self.oldest + 1 == LOOKAHEAD_SAMPLES { 0 } else { self.oldest + 1 };
            }
        }
    }

    /// The gain of the sample that leaves now, when one with this peak comes in.
    fn gain(&mut self, peak: f32) -> f32 {
        let held = self.held.push(steps_needed(peak, self.ceiling));
        let above = self.released.saturating_sub(held);
        // Rounded up, so that it arrives.
        self.released = held + (above - above.div_ceil(RELEASE_SAMPLES));
        let sum = self.second.push(self.first.push(u64::from(self.released)));
        if sum == 0 { 1.0 } else { gain_of(sum) }
    }
}

/// Steps of reduction that bring `peak` to the ceiling.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // between 0 and 10 octaves
fn steps_needed(peak: f32, ceiling: f32) -> u32 {
    if peak <= ceiling {
        return 0;
    }
    ((peak / ceiling).log2().min(OCTAVES_MAX) * STEPS_PER_OCTAVE).ceil() as u32
}

#[allow(clippy::cast_precision_loss)] // 24 bits of a sum are more than the ear and i16 have
fn gain_of(sum: u64) -> f32 {
    const STEPS: f32 = STEPS_PER_OCTAVE * (BOXCAR_SAMPLES * BOXCAR_SAMPLES) as f32;
    (-(sum as f32) / STEPS).exp2()
}

/// The sum of the last [`BOXCAR_SAMPLES`] values, exact.
#[derive(Debug, Clone)]
struct Boxcar {
    ring: [u64; BOXCAR_SAMPLES],
    oldest: usize,
    sum: u64,
}

impl Boxcar {
    fn new() -> Self {
        Self { ring: [0; BOXCAR_SAMPLES], oldest: 0, sum: 0 }
    }

    fn push(&mut self, value: u64) -> u64 {
        let oldest = std::mem::replace(&mut self.ring[self.oldest], value);
        self.oldest = if self.oldest + 1 == BOXCAR_SAMPLES { 0 } else { self.oldest + 1 };
        self.sum = self.sum + value - oldest;
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sound::{
        mix::to_i16,
        signals::{Signal, dbtp_of_i16},
    };

    fn limited(mut sound: Vec<f32>, block_values: usize) -> Vec<f32> {
        let mut limiter = TruePeakLimiter::new(-1.0);
        sound.extend([0.0; 2 * LOOKAHEAD_SAMPLES]);
        sound.chunks_mut(block_values).for_each(|block| limiter.process(block));
        sound
    }

    fn scaled(sound: &[f32], gain_db: f64) -> Vec<f32> {
        #[allow(clippy::cast_possible_truncation)]
        let gain = linear_from_db(gain_db) as f32;
        sound.iter().map(|value| value * gain).collect()
    }

    fn output_dbtp(sound: Vec<f32>) -> f64 {
        let sound = limited(sound, 2048);
        let mut values = vec![0; sound.len()];
        to_i16(&sound, &mut values);
        dbtp_of_i16(&values)
    }

    #[test]
    fn the_true_peak_stays_below_the_ceiling_for_every_kind_of_sound() {
        let mut worst = (f64::NEG_INFINITY, String::new());
        for signal in Signal::ALL {
            let sound = signal.samples(16_000, 1);
            for gain_db in [-6.0, 0.0, 3.0, 6.0, 12.0, 20.0] {
                let dbtp = output_dbtp(scaled(&sound, gain_db));
                if dbtp > worst.0 {
                    worst = (dbtp, format!("{signal:?} {gain_db:+} dB"));
                }
                assert!(dbtp < -1.0, "{signal:?} {gain_db:+} dB: {dbtp:.3} dBTP");
            }
        }
        println!("worst case: {:.4} dBTP, {}", worst.0, worst.1);
    }

    #[test]
    fn below_the_ceiling_it_only_delays() {
        for signal in Signal::ALL {
            let sound = scaled(&signal.samples(6000, 3), -10.0);
            let out = limited(sound.clone(), 2048);
            assert!(out[..2 * LOOKAHEAD_SAMPLES].iter().all(|value| *value == 0.0));
            assert!(out[2 * LOOKAHEAD_SAMPLES..] == sound, "{signal:?}");
        }
    }

    #[test]
    fn after_a_peak_it_comes_back_to_every_bit() {
        let quiet = scaled(&Signal::Music.samples(200_000, 5), -12.0);
        let mut sound = quiet.clone();
        sound[2000] = 8.0;
        let out = limited(sound.clone(), 2048);
        assert!(out[2 * LOOKAHEAD_SAMPLES..][2000] < 0.9);
        let last = 2 * 190_000;
        assert!(out[2 * LOOKAHEAD_SAMPLES..][last..] == sound[last..]);
    }

    /// A steady tone shows the gain: down within the look-ahead, never below what is
    /// needed, and no jump on the way.
    #[test]
    fn the_gain_comes_down_smoothly_and_in_time() {
        let mut limiter = TruePeakLimiter::new(-1.0);
        let needed = limiter.ceiling / 4.0;
        let mut gains: Vec<f32> = (0..400).map(|_| limiter.gain(0.1)).collect();
        gains.push(limiter.gain(4.0));
        gains.extend((0..LOOKAHEAD_SAMPLES * 2).map(|_| limiter.gain(0.1)));
        let lowest = gains.iter().copied().fold(f32::MAX, f32::min);
        assert!(lowest <= needed * 1.00001 && lowest > needed * 0.9999, "{lowest} for {needed}");
        // From the time the peak's first tap plays (its sample came 11 before) to its last.
        let plays = 400 + LOOKAHEAD_SAMPLES;
        assert!(gains[plays + 1 - TAPS..=plays].iter().all(|gain| *gain <= needed * 1.00001));
        let jump_db = gains.windows(2).map(|pair| 20.0 * (pair[1] / pair[0]).log10().abs()).fold(0.0, f32::max);
        assert!(jump_db < 0.13, "{jump_db} dB from one sample to the next");
        assert!(gains[..400].iter().all(|gain| *gain == 1.0));
    }

    #[test]
    fn both_channels_get_the_same_gain() {
        let mut sound = vec![0.0; 4000];
        for (at, sample) in sound.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            *sample = if at % 7 == 0 { [3.0, 0.5] } else { [-1.5, -0.25] };
        }
        let out = limited(sound, 2048);
        for [left, right] in out.as_chunks().0 {
            assert!((left - right * 6.0).abs() < 1e-6);
        }
    }

    #[test]
    fn what_is_no_number_is_silence_and_leaves_no_trace() {
        let mut sound = scaled(&Signal::Music.samples(60_000, 9), -12.0);
        for (at, value) in [(1000, f32::NAN), (1401, f32::INFINITY), (1802, f32::NEG_INFINITY), (2203, f32::MAX)] {
            sound[at] = value;
        }
        let out = limited(sound, 2048);
        assert!(out.iter().all(|value| value.abs() <= 1e36), "no number came out");
        let mut clean = scaled(&Signal::Music.samples(60_000, 9), -12.0);
        clean[1000] = f32::NAN;
        assert!(limited(clean, 2048).iter().all(|value| value.abs() < 1.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_sound_at_any_gain_stays_below_the_ceiling(
            pieces in prop::collection::vec((0..Signal::ALL.len(), -10f64..20.0, 10usize..1500), 1..12),
            seed in any::<u64>(),
        ) {
            // Cut together without care: every join may be a step.
            let sound = pieces.iter().flat_map(|(signal, gain_db, samples)| {
                scaled(&Signal::ALL[*signal].samples(*samples, seed), *gain_db)
            });
            let dbtp = output_dbtp(sound.collect());
            prop_assert!(dbtp < -1.0, "{} dBTP", dbtp);
        }

        #[test]
        fn blocks_of_any_size_give_the_same(samples in prop::collection::vec(1usize..200, 1..30), seed in any::<u64>()) {
            let sound = scaled(&Signal::Noise.samples(samples.iter().sum(), seed), 9.0);
            let mut whole = sound.clone();
            TruePeakLimiter::new(-1.0).process(&mut whole);
            let (mut cut, mut limiter, mut from) = (sound, TruePeakLimiter::new(-1.0), 0);
            for samples in samples {
                limiter.process(&mut cut[from..from + 2 * samples]);
                from += 2 * samples;
            }
            prop_assert!(cut == whole);
        }
    }
}
