//! How loud an input is, and whether that counts as silence (Q5).
//!
//! Whole numbers only: the sum of squares of 100 ms is compared with the square
//! of the threshold, so nothing is rounded and nothing costs a square root.

use crate::frame::{CHANNELS, PumpFrame};

/// Samples of a window: 100 ms.
const WINDOW_SAMPLES: u64 = 4800;
const WINDOW_MS: u64 = 100;
/// −60 dBFS and −54 dBFS as sums of squares over a window; 0 dBFS is an RMS of 32768.
const BELOW: u64 = 5_153_961;
const ABOVE: u64 = 20_518_287;

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

/// When an input that sends silence is as good as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SilenceRule {
    /// Below −60 dBFS for this long: absent.
    pub silence_ms: u64,
    /// Above −54 dBFS for this long: present again.
    pub resume_ms: u64,
}

impl SilenceRule {
    /// What a sound card has by default. A station has none: its silence is meant.
    pub const LIVE: Self = Self { silence_ms: 10_000, resume_ms: 2000 };
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
        let (asks, enough_ms) =
            if self.silent { (sum > ABOVE, self.rule.resume_ms) } else { (sum < BELOW, self.rule.silence_ms) };
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
        for (db, sum) in [(-60.0, BELOW), (-54.0, ABOVE)] {
            let square = 32_768f64.powi(2) * 10f64.powf(db / 10.0) * 4800.0;
            let gap = square - f64::from(u32::try_from(sum).expect("small"));
            assert!(gap.abs() <= 1.0, "{db}: {square}");
        }
    }

    #[test]
    fn q5_windows_are_100_ms_of_the_louder_channel() {
        let mut meter = LevelMeter::default();
        let windows: Vec<u64> = (0..25).filter_map(|_| meter.feed(&square(100))).collect();
        assert_eq!(windows, [48_000_000; 6], "600 ms");
    }

    #[test]
    fn q5_silence_and_resume_have_their_times_and_a_gap_between_levels() {
        let mut watch = SilenceWatch::new(SilenceRule::LIVE);
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
