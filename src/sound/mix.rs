//! The arithmetic of joins: crossfades, fades, and the way to f32 and back.
//!
//! All pure, on blocks of interleaved stereo. What is not changed keeps every bit:
//! i16 → f32 → i16 is exact, and gain 1 touches nothing. Rounding to 16 bits adds
//! no dither: its noise, 98 dB down, is far below what the MP3 encoder after us
//! makes, music carries its own, and the same file gives the same samples each time.

use std::f64::consts::FRAC_PI_2;

use super::true_peak::StereoSample;

/// i16 as fractions of this are exact in f32, and come back exactly.
pub const FULL_SCALE: f32 = 32_768.0;

/// i16 as fractions of full scale; as many as both hold.
pub fn to_f32(values: &[i16], out: &mut [f32]) {
    for (out, value) in out.iter_mut().zip(values) {
        *out = f32::from(*value) / FULL_SCALE;
    }
}

/// Fractions of full scale as the nearest i16; above full scale: full scale.
/// As many as both hold. What is no number becomes silence.
#[allow(clippy::cast_possible_truncation)] // `as` saturates, which is what we want
pub fn to_i16(values: &[f32], out: &mut [i16]) {
    for (out, value) in out.iter_mut().zip(values) {
        *out = (value * FULL_SCALE).round_ties_even() as i16;
    }
}

/// Multiplies by `gain`; 1 leaves every bit.
pub fn amplify(block: &mut [f32], gain: f32) {
    if gain != 1.0 {
        block.iter_mut().for_each(|value| *value *= gain);
    }
}

/// Two songs over one another for `samples`, of constant power where they have
/// nothing in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossfade {
    /// From all of the first to all of the second.
    pub samples: u64,
}

impl Crossfade {
    /// Gains of the outgoing and of the incoming song, `at` samples after the
    /// start: (1, 0) there, (0, 1) from the end on.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // 30 s are 2^21 samples
    pub fn gains(self, at: u64) -> (f32, f32) {
        if at == 0 && self.samples > 0 {
            return (1.0, 0.0);
        }
        if at >= self.samples {
            return (0.0, 1.0);
        }
        let (incoming, outgoing) = (at as f64 / self.samples as f64 * FRAC_PI_2).sin_cos();
        (outgoing as f32, incoming as f32)
    }

    /// Mixes `incoming` into `outgoing`, both of which start `at` samples after the
    /// start of the crossfade. Where `incoming` is shorter, it is silent.
    pub fn mix(self, at: u64, outgoing: &mut [f32], incoming: &[f32]) {
        let incoming = incoming.as_chunks().0.iter().copied().chain(std::iter::repeat([0.0; 2]));
        for ((place, new), at) in samples(outgoing).zip(incoming).zip(at..) {
            let (out_gain, in_gain) = self.gains(at);
            *place = [place[0] * out_gain + new[0] * in_gain, place[1] * out_gain + new[1] * in_gain];
        }
    }
}

/// A short fade of one stream, where a join without one would click. Its curve is
/// half a cosine, without a corner at either end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fade {
    /// How long it takes.
    pub samples: u64,
}

impl Fade {
    /// Gain `at` samples after the start of a fade-in: 0 there, 1 from its end on.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // far below 2^52
    pub fn gain_in(self, at: u64) -> f32 {
        if at >= self.samples {
            return 1.0;
        }
        let angle = at as f64 / self.samples as f64 * FRAC_PI_2;
        (angle.sin() * angle.sin()) as f32
    }

    /// Gain `at` samples after the start of a fade-out: 1 there, 0 from its end on.
    pub fn gain_out(self, at: u64) -> f32 {
        if at >= self.samples { 0.0 } else { self.gain_in(self.samples - at) }
    }

    /// Fades in a block that starts `at` samples after the start of the fade.
    pub fn fade_in(self, at: u64, block: &mut [f32]) {
        for (sample, at) in samples(block).zip(at..self.samples) {
            let gain = self.gain_in(at);
            *sample = sample.map(|value| value * gain);
        }
    }

    /// Fades out a block that starts `at` samples after the start of the fade.
    pub fn fade_out(self, at: u64, block: &mut [f32]) {
        for (sample, at) in samples(block).zip(at..) {
            let gain = self.gain_out(at);
            *sample = sample.map(|value| value * gain);
        }
    }
}

fn samples(block: &mut [f32]) -> impl Iterator<Item = &mut StereoSample> {
    let (samples, rest) = block.as_chunks_mut();
    debug_assert!(rest.is_empty(), "half a stereo sample");
    samples.iter_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sound::signals::Noise;

    #[test]
    fn all_65_536_values_come_back() {
        let values: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let (mut middle, mut back) = (vec![0.0; values.len()], vec![0; values.len()]);
        to_f32(&values, &mut middle);
        amplify(&mut middle, 1.0);
        to_i16(&middle, &mut back);
        assert!(back == values);
    }

    #[test]
    fn what_does_not_fit_saturates_and_the_rest_rounds_to_the_nearest() {
        let table = [
            (1.0, 32767),
            (2.5, 32767),
            (-1.0, -32768),
            (-7.0, -32768),
            (f32::INFINITY, 32767),
            (f32::NAN, 0),
            (0.4 / FULL_SCALE, 0),
            (0.6 / FULL_SCALE, 1),
            (-0.6 / FULL_SCALE, -1),
            (-1.4 / FULL_SCALE, -1),
        ];
        for (value, expected) in table {
            let mut out = [0];
            to_i16(&[value], &mut out);
            assert_eq!(out, [expected], "{value}");
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn power_db(sound: &[f32]) -> f64 {
        10.0 * (sound.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / sound.len() as f64).log10()
    }

    #[test]
    fn a_crossfade_of_noise_keeps_its_power() {
        let crossfade = Crossfade { samples: 480_000 };
        let (mut first, mut second) = (Noise::new(1), Noise::new(2));
        let mut mixed: Vec<f32> = (0..960_000).map(|_| first.next()).collect();
        let incoming: Vec<f32> = (0..960_000).map(|_| second.next()).collect();
        let before = power_db(&mixed);
        for (block, at) in mixed.chunks_mut(2048).zip((0..).step_by(1024)) {
            let from = usize::try_from(at).expect("small") * 2;
            crossfade.mix(at, block, &incoming[from..from + block.len()]);
        }
        for part in mixed.chunks_exact(96_000) {
            assert!((power_db(part) - before).abs() < 0.1, "{} of {before} dB", power_db(part));
        }
    }

    #[test]
    fn a_crossfade_has_no_step_and_ends_on_every_bit() {
        for samples in [1u64, 2, 240, 48_000, 30 * 48_000] {
            let crossfade = Crossfade { samples };
            assert_eq!(crossfade.gains(0), (1.0, 0.0));
            assert_eq!(crossfade.gains(samples), (0.0, 1.0));
            assert_eq!(crossfade.gains(u64::MAX), (0.0, 1.0));
            #[allow(clippy::cast_precision_loss)]
            let step_max = 1.6 / samples as f32 + 1e-6;
            let mut last = crossfade.gains(0);
            for at in 1..=samples {
                let gains = crossfade.gains(at);
                assert!((gains.0 - last.0).abs() <= step_max && (gains.1 - last.1).abs() <= step_max, "at {at}");
                assert!((gains.0.powi(2) + gains.1.powi(2) - 1.0).abs() < 1e-6, "at {at}");
                last = gains;
            }
        }
        assert_eq!(Crossfade { samples: 0 }.gains(0), (0.0, 1.0), "a cut is all of the second");
    }

    #[test]
    fn an_incoming_song_that_is_too_short_is_followed_by_silence() {
        let mut block = [0.5; 8];
        Crossfade { samples: 2 }.mix(0, &mut block, &[0.25; 6]);
        assert_eq!(block[..2], [0.5, 0.5]);
        assert_eq!(block[4..], [0.25, 0.25, 0.0, 0.0]);
    }

    #[test]
    fn a_fade_cut_into_blocks_is_the_same_fade() {
        for samples in [0u64, 1, 7, 240] {
            let fade = Fade { samples };
            let (mut rising, mut falling) = (vec![1.0; 600], vec![1.0; 600]);
            fade.fade_in(0, &mut rising);
            for (block, at) in falling.chunks_mut(14).zip((0..).step_by(7)) {
                fade.fade_out(at, block);
            }
            for (up, down) in rising.iter().zip(&falling) {
                assert!((up + down - 1.0).abs() < 1e-6);
            }
            let length = usize::try_from(samples).expect("small") * 2;
            assert!(rising[length..].iter().all(|value| *value == 1.0));
            assert!(falling[length..].iter().all(|value| *value == 0.0));
            assert!(rising.windows(2).all(|pair| pair[0] <= pair[1]));
        }
    }
}
