//! How loud an input is, and whether that counts as silence (Q5).
//!
//! Whole numbers only: the sum of squares of 100 ms is compared with the square
//! of the threshold, so nothing is rounded and nothing costs a square root.

use crate::frame::{CHANNELS, PumpFrame};

/// Samples of a window: 100 ms.
const WINDOW_SAMPLES: u64 = 4800;
const WINDOW_MS: u64 = 100;

/// Sums the louder channel over windows of 100 ms, across frame borders.
#[derive(Debug, Default)]
pub struct LevelMeter {
    sums: [u64; CHANNELS],
    samples: u64,
}

impl LevelMeter {
    /// Takes a frame; if a window ends in it, the window's sum of squares. (A window
    /// is longer than a frame, so two never end in one.)
    pub fn feed(&mut self, frame: &PumpFrame) -> Option<u64> {
        let mut window = None;
        for sample in frame.values.chunks_exact(CHANNELS) {
            for (sum, value) in self.sums.iter_mut().zip(sample) {
                *sum += u64::from(value.unsigned_abs()).pow(2);
            }
            self.samples += 1;
            if self.samples == WINDOW_SAMPLES {
                window = self.sums.iter().max().copied();
                *self = Self::default();
            }
        }
        window
    }
}

/// When an input that sends silence is as good as absent. A station has no such
/// rule: its silence is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SilenceRule {
    /// Below `below` for this long: absent.
    pub silence_ms: u64,
    /// Above `above` for this long: present again.
    pub resume_ms: u64,
    /// A sum of squares over a window.
    below: u64,
    /// The same.
    above: u64,
}

impl SilenceRule {
    /// Levels in dBFS (0: an RMS of 32768), each with the time in ms that it must last:
    /// below the first is silence, above the second is sound.
    pub fn new((silence_dbfs, silence_ms): (f64, u64), (resume_dbfs, resume_ms): (f64, u64)) -> Self {
        Self { silence_ms, resume_ms, below: sum_of_squares(silence_dbfs), above: sum_of_squares(resume_dbfs) }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // at most 2^43
fn sum_of_squares(dbfs: f64) -> u64 {
    (32_768f64.powi(2) * 10f64.powf(dbfs / 10.0) * WINDOW_SAMPLES as f64).round() as u64
}

/// A rule at work.
#[derive(Debug)]
pub struct SilenceWatch {
    rule: SilenceRule,
    silent: bool,
    /// How long the level has asked for a change.
    run_ms: u64,
}

impl SilenceWatch {
    /// An input that was opened starts silent.
    pub fn new(rule: SilenceRule) -> Self {
        Self { rule, silent: true, run_ms: 0 }
    }

    /// True while the input counts as silent.
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// A window has ended with this sum of squares.
    pub fn window(&mut self, sum: u64) {
        let (asks, enough_ms) = if self.silent {
            (sum > self.rule.above, self.rule.resume_ms)
        } else {
            (sum < self.rule.below, self.rule.silence_ms)
        };
        self.run_ms = if asks { self.run_ms + WINDOW_MS } else { 0 };
        if self.run_ms >= enough_ms && asks {
            self.silent = !self.silent;
            self.run_ms = 0;
        }
    }

    /// The input was opened again.
    pub fn reset(&mut self) {
        *self = Self::new(self.rule);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LiveConfig;

    /// −60 dBFS and −54 dBFS.
    const BELOW: u64 = 5_153_961;
    const ABOVE: u64 = 20_518_287;

    fn live() -> SilenceRule {
        LiveConfig::default().silence.expect("a rule by default")
    }

    /// Left silent, right at `value` up and down.
    fn square(value: i16) -> PumpFrame {
        let mut frame = PumpFrame::SILENCE;
        for (i, sample) in frame.values.chunks_exact_mut(2).enumerate() {
            sample[1] = if i % 2 == 0 { value } else { -value };
        }
        frame
    }

    #[test]
    fn q5_thresholds_are_those_levels() {
        let rule = live();
        assert_eq!((rule.below, rule.above, rule.silence_ms, rule.resume_ms), (BELOW, ABOVE, 10_000, 2000));
    }

    #[test]
    fn q5_windows_are_100_ms_of_the_louder_channel() {
        let mut meter = LevelMeter::default();
        let windows: Vec<u64> = (0..25).filter_map(|_| meter.feed(&square(100))).collect();
        assert_eq!(windows, [48_000_000; 6], "600 ms");
    }

    #[test]
    fn q5_silence_and_resume_have_their_times_and_a_gap_between_levels() {
        let mut watch = SilenceWatch::new(live());
        let mut windows = |count: u32, sum: u64| {
            (0..count).for_each(|_| watch.window(sum));
            watch.is_silent()
        };
        let between = u64::midpoint(BELOW, ABOVE);
        // windows, level, silent afterwards
        let table = [
            (0, 0, true),
            (100, between, true),
            (19, ABOVE + 1, true),
            (1, between, true),
            (19, ABOVE + 1, true),
            (1, ABOVE + 1, false),
            (200, between, false),
            (99, BELOW - 1, false),
            (1, BELOW, false),
            (99, BELOW - 1, false),
            (1, BELOW - 1, true),
            (20, ABOVE + 1, false),
        ];
        for (row, (count, sum, silent)) in table.into_iter().enumerate() {
            assert_eq!(windows(count, sum), silent, "row {row}");
        }
        watch.reset();
        assert!(watch.is_silent(), "opened again");
    }
}
