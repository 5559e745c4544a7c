//! Sounds for the tests of this folder, made by arithmetic, and the judge of their peaks.

use std::f64::consts::PI;

use ebur128::{EbuR128, Mode};

use crate::frame::SAMPLE_RATE_HZ;

/// Even noise, the same for the same seed.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x9E37_79B9_7F4A_7C15)
    }

    /// Between −1 and 1.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 >> 33 ^ self.0 >> 13) as u32;
        (f64::from(mixed) / f64::from(u32::MAX) * 2.0 - 1.0) as f32
    }
}

/// Kinds of sound that are hard on a limiter, at full scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// White, each channel its own.
    Noise,
    /// −1 or 1 at random: peaks between samples are as high as they get.
    Bits,
    /// Noise in bursts of 10 ms.
    Bursts,
    /// A sine from 20 Hz to 23 kHz.
    Sweep,
    /// A quarter of the rate, sampled beside its peaks.
    Quarter,
    /// Close to a quarter: the samples wander over the peaks.
    NearQuarter,
    /// 100 Hz.
    Square,
    /// 7919 Hz, aliased and all.
    FastSquare,
    /// One sample now and then, alone and in pairs of both signs.
    Clicks,
    /// Chords with an attack and a decay, and a beat below.
    Music,
    /// 40 Hz: gain that follows the wave would be heard.
    Bass,
    /// Two tones close to each other: the level swells and falls.
    Beat,
}

impl Signal {
    pub const ALL: [Self; 12] = [
        Self::Noise,
        Self::Bits,
        Self::Bursts,
        Self::Sweep,
        Self::Quarter,
        Self::NearQuarter,
        Self::Square,
        Self::FastSquare,
        Self::Clicks,
        Self::Music,
        Self::Bass,
        Self::Beat,
    ];

    /// Interleaved stereo.
    pub fn samples(self, samples: usize, seed: u64) -> Vec<f32> {
        let mut noise = Noise::new(seed);
        (0..samples).flat_map(|at| self.sample(at, samples, &mut noise)).collect()
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn sample(self, at: usize, samples: usize, noise: &mut Noise) -> [f32; 2] {
        let t = at as f64 / f64::from(SAMPLE_RATE_HZ);
        let sine = |hz: f64| (2.0 * PI * hz * t).sin();
        let both = |value: f64| [value as f32, value as f32 * -0.7];
        match self {
            Self::Noise => [noise.next(), noise.next()],
            Self::Bits => [noise.next().signum(), noise.next().signum()],
            Self::Bursts => [noise.next(), noise.next()]
                .map(|value| if (at / 480).is_multiple_of(5) { value } else { 0.01 * value }),
            Self::Sweep => {
                let (from, octaves, length) = (20f64, (23_000f64 / 20.0).log2(), samples as f64 / 48_000.0);
                let rate = octaves / length;
                both((2.0 * PI * from * ((rate * t).exp2() - 1.0) / (rate * 2f64.ln())).sin())
            }
            Self::Quarter => both((PI / 2.0 * at as f64 + PI / 4.0).sin()),
            Self::NearQuarter => both(sine(12_007.0)),
            Self::Square => both(sine(100.0).signum()),
            Self::FastSquare => both(sine(7919.0).signum()),
            Self::Clicks => match at % 997 {
                0 | 500 | 503 => [1.0, 0.3],
                1 => [-1.0, 1.0],
                _ => [0.0, 0.0],
            },
            Self::Music => {
                let beat = (-(t % 0.5) * 9.0).exp();
                let chord: f64 = [220.0, 277.2, 329.6, 440.0, 1318.5, 5274.0].iter().map(|hz| sine(*hz)).sum();
                both((chord * 0.11 * (0.3 + 0.7 * beat) + 0.3 * beat * sine(55.0)) + 0.02 * f64::from(noise.next()))
            }
            Self::Bass => both(sine(40.0)),
            Self::Beat => both(0.5 * (sine(11_000.0) + sine(11_200.0))),
        }
    }
}

/// The highest true peak of both channels by ebur128, as amplitude.
pub fn true_peak_of(sound: &[f32]) -> f64 {
    let mut judge = EbuR128::new(2, SAMPLE_RATE_HZ, Mode::TRUE_PEAK).expect("mode");
    judge.add_frames_f32(sound).expect("frames");
    highest(&judge)
}

/// The highest true peak of both channels by ebur128.
pub fn dbtp_of_i16(sound: &[i16]) -> f64 {
    let mut judge = EbuR128::new(2, SAMPLE_RATE_HZ, Mode::TRUE_PEAK).expect("mode");
    judge.add_frames_i16(sound).expect("frames");
    20.0 * highest(&judge).log10()
}

fn highest(judge: &EbuR128) -> f64 {
    judge.true_peak(0).expect("left").max(judge.true_peak(1).expect("right"))
}
