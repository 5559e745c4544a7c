//! What all sound passes on its way out, after songs are levelled and joined.
//!
//! With levelling off there is nothing here: no delay, and every bit as it came.

use crate::sound::limiter::{LOOKAHEAD_SAMPLES, TruePeakLimiter};

/// The end of playout's path.
#[derive(Debug, Clone)]
pub struct SoundChain {
    limiter: Option<Box<TruePeakLimiter>>,
}

impl SoundChain {
    /// With levelling, peaks stay below `peak_dbtp`. The only place that allocates.
    pub fn new(level: bool, peak_dbtp: f64) -> Self {
        Self { limiter: level.then(|| Box::new(TruePeakLimiter::new(peak_dbtp))) }
    }

    /// Works on a block of interleaved stereo, of any size, in place.
    pub fn process(&mut self, block: &mut [f32]) {
        if let Some(limiter) = &mut self.limiter {
            limiter.process(block);
        }
    }

    /// Sound comes out this much later than it went in. So many samples of silence
    /// after the last sound bring out all of it.
    pub fn delay_samples(&self) -> usize {
        if self.limiter.is_some() { LOOKAHEAD_SAMPLES } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sound::signals::{Signal, true_peak_of};

    #[test]
    fn without_levelling_nothing_is_touched() {
        let mut chain = SoundChain::new(false, -1.0);
        let sound: Vec<f32> = Signal::Noise.samples(5000, 1).iter().map(|value| value * 3.0).collect();
        let mut out = sound.clone();
        out.chunks_mut(2048).for_each(|block| chain.process(block));
        assert!(out == sound);
        assert_eq!(chain.delay_samples(), 0);
    }

    #[test]
    fn with_levelling_peaks_are_limited_to_what_was_asked() {
        for peak_dbtp in [-6.0, -1.0, 0.0] {
            let mut chain = SoundChain::new(true, peak_dbtp);
            let mut sound = Signal::Sweep.samples(12_000, 1);
            sound.extend(vec![0.0; 2 * chain.delay_samples()]);
            sound.iter_mut().for_each(|value| *value *= 2.0);
            sound.chunks_mut(2048).for_each(|block| chain.process(block));
            let dbtp = 20.0 * true_peak_of(&sound).log10();
            assert!(dbtp < peak_dbtp && dbtp > peak_dbtp - 0.3, "{dbtp} for {peak_dbtp}");
        }
    }
}
