//! The tone: a sine whose phase is a whole number (F4).
//!
//! A pitch in whole hertz repeats after 48 000 samples at the latest, so a table
//! of its whole period holds every sample there can be, and the phase is a counter
//! that never rounds: no step at a frame border, no drift, ever. The table is in the
//! order in which it is played, since a tick finds cold caches.

use crate::frame::{CHANNELS, PumpFrame, SAMPLE_RATE_HZ};

/// −20 dBFS.
const PEAK: f64 = 3276.8;

/// An endless sine on both channels.
#[derive(Debug)]
pub struct Tone {
    /// Whole turns, until the first sample comes again.
    period: Box<[i16]>,
    phase: usize,
}

impl Tone {
    /// A tone of `hz`, below half the sample rate.
    pub fn new(hz: u32) -> Self {
        let step = hz % SAMPLE_RATE_HZ;
        let rest = (1..SAMPLE_RATE_HZ).map(|sample| sample * step % SAMPLE_RATE_HZ).take_while(|turn| *turn != 0);
        Self { period: std::iter::once(0).chain(rest).map(value).collect(), phase: 0 }
    }

    /// The next frame.
    pub fn next_frame(&mut self) -> PumpFrame {
        let mut frame = PumpFrame::SILENCE;
        for sample in frame.values.chunks_exact_mut(CHANNELS) {
            sample.fill(self.period[self.phase]);
            self.phase += 1;
            if self.phase == self.period.len() {
                self.phase = 0;
            }
        }
        frame
    }
}

#[allow(clippy::cast_possible_truncation)] // within ±3277
fn value(phase: u32) -> i16 {
    let turn = f64::from(phase) / f64::from(SAMPLE_RATE_HZ);
    ((turn * std::f64::consts::TAU).sin() * PEAK).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f4_no_step_at_frame_borders_and_no_drift_after_a_billion_samples() {
        let mut tone = Tone::new(440);
        let frames: Vec<PumpFrame> = (0..200).map(|_| tone.next_frame()).collect();
        let left: Vec<i16> = frames.iter().flat_map(|f| f.values).step_by(2).collect();
        let steepest = left.windows(2).map(|w| (w[1] - w[0]).abs()).max();
        // 2π × 440 / 48000 × 3276.8, and rounding.
        assert!(steepest.is_some_and(|step| (188..=190).contains(&step)), "{steepest:?}");
        assert_eq!(left.iter().max(), Some(&3277), "−20 dBFS");

        // 125 frames are 3 s, after which the state is that of the start: so it is after
        // 10⁹ samples, and after any number of them.
        for hz in [1, 440, 443, 23_999] {
            let mut tone = Tone::new(hz);
            let first = tone.next_frame();
            (1..125).for_each(|_| _ = tone.next_frame());
            assert_eq!((tone.phase, tone.next_frame()), (0, first), "{hz} Hz");
        }
    }
}
