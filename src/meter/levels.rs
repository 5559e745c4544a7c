//! Peaks, RMS and clipping of a sound, frame by frame.
//!
//! Counted in windows of four frames, 96 ms, so a window never ends within a frame. Sums of
//! squares are whole numbers: nothing is rounded before a figure is read. 0 dBFS is 32768.

use std::collections::VecDeque;

use crate::frame::{CHANNELS, PUMP_FRAME_SAMPLES, PumpFrame, TICK_MS};

/// A window is long enough for an RMS of the lowest notes, and short enough to be joined to others.
pub const WINDOW_FRAMES: usize = 4;
/// 96 ms.
pub const WINDOW_MS: u64 = WINDOW_FRAMES as u64 * TICK_MS;
/// RMS is taken over 288 ms: near the 300 ms of the studio's level meters.
const RMS_WINDOWS: usize = 3;
/// A peak is held for about a second, so that one who looks now and then sees it.
const PEAK_WINDOWS: usize = 11;
/// One or two samples at full scale may be a peak that just fits; three in a row are a flat top.
const CLIPPED_RUN: u32 = 3;

/// What a window of sound was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// Sum of squares of each channel.
    sums: [u64; CHANNELS],
    /// Largest magnitude of each channel, at most 32768.
    peaks: [u16; CHANNELS],
    /// Samples at full scale in runs of three and more that were seen in it.
    pub clipped: u64,
}

/// The last second of a sound.
#[derive(Debug, Default)]
pub struct Levels {
    /// Whole windows, newest last.
    windows: VecDeque<Window>,
    begun: Window,
    begun_frames: usize,
    /// Samples at full scale in a row, up to now, of each channel.
    runs: [u32; CHANNELS],
}

impl Levels {
    /// Takes a frame; if a window ends with it, that window.
    pub fn feed(&mut self, frame: &PumpFrame) -> Option<Window> {
        for sample in frame.values.as_chunks::<CHANNELS>().0 {
            for (channel, value) in sample.iter().enumerate() {
                let magnitude = value.unsigned_abs();
                self.begun.sums[channel] += u64::from(magnitude).pow(2);
                self.begun.peaks[channel] = self.begun.peaks[channel].max(magnitude);
                self.begun.clipped += clipped(&mut self.runs[channel], magnitude);
            }
        }
        self.begun_frames += 1;
        (self.begun_frames == WINDOW_FRAMES).then(|| self.end_window())
    }

    /// RMS of the last 288 ms in dBFS, per channel; none: digital silence, or nothing heard yet.
    pub fn rms_dbfs(&self) -> [Option<f64>; CHANNELS] {
        let windows = self.windows.len().min(RMS_WINDOWS);
        let latest = || self.windows.iter().rev().take(windows);
        let samples = (windows * WINDOW_FRAMES * PUMP_FRAME_SAMPLES).max(1);
        #[allow(clippy::cast_precision_loss)] // at most 2^44
        let power = |sum: u64| sum as f64 / samples as f64;
        [0, 1].map(|channel| dbfs(power(latest().map(|window| window.sums[channel]).sum())))
    }

    /// Highest sample of the last second in dBFS, per channel; none: digital silence.
    pub fn peak_dbfs(&self) -> [Option<f64>; CHANNELS] {
        let peak = |channel: usize| self.windows.iter().map(|window| window.peaks[channel]).max().unwrap_or(0);
        [0, 1].map(|channel| dbfs(f64::from(peak(channel)).powi(2)))
    }

    fn end_window(&mut self) -> Window {
        let window = std::mem::take(&mut self.begun);
        self.begun_frames = 0;
        if self.windows.len() == PEAK_WINDOWS {
            self.windows.pop_front();
        }
        self.windows.push_back(window);
        window
    }
}

/// Samples that this one makes known as clipped: the whole run with its third one.
fn clipped(run: &mut u32, magnitude: u16) -> u64 {
    if magnitude < 32_767 {
        *run = 0;
        return 0;
    }
    *run = run.saturating_add(1);
    match (*run).cmp(&CLIPPED_RUN) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => u64::from(CLIPPED_RUN),
        std::cmp::Ordering::Greater => 1,
    }
}

/// A mean square as a level.
fn dbfs(power: f64) -> Option<f64> {
    (power > 0.0).then(|| 10.0 * (power / 32_768f64.powi(2)).log10())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{frame::PUMP_FRAME_VALUES, meter::sounds::tone};

    const FRAMES: usize = 60;

    fn heard(frames: &[PumpFrame]) -> (Levels, u64) {
        let mut levels = Levels::default();
        let clipped = frames.iter().filter_map(|frame| levels.feed(frame)).map(|window| window.clipped).sum();
        (levels, clipped)
    }

    fn assert_near(found: [Option<f64>; CHANNELS], expected: [Option<f64>; CHANNELS], what: &str) {
        for (found, expected) in found.into_iter().zip(expected) {
            let near = match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() < 0.01,
                (found, expected) => found == expected,
            };
            assert!(near, "{what}: {found:?}, expected {expected:?}");
        }
    }

    #[test]
    fn l1_peak_and_rms_of_known_signals() {
        let square = |value: i16| vec![PumpFrame { values: [value; PUMP_FRAME_VALUES] }; FRAMES];
        let both = |level: f64| [Some(level); 2];
        let none = [None; 2];
        let table = [
            ("sine at full scale", tone(997.0, [0.0; 2], FRAMES), both(0.0), both(-3.01)),
            ("sine at -20 dBFS", tone(997.0, [-20.0; 2], FRAMES), both(-20.0), both(-23.01)),
            ("left only", tone(440.0, [-12.0, -200.0], FRAMES), [Some(-12.0), None], [Some(-15.01), None]),
            ("two levels", tone(1000.0, [-6.0, -40.0], FRAMES), [Some(-6.0), Some(-40.0)], [Some(-9.01), Some(-43.01)]),
            ("all at the lowest value", square(i16::MIN), both(0.0), both(0.0)),
            ("one bit", square(1), both(-90.31), both(-90.31)),
            ("digital silence", square(0), none, none),
            ("nothing yet", Vec::new(), none, none),
            ("less than a window", tone(997.0, [0.0; 2], 3), none, none),
        ];
        for (what, frames, peak, rms) in table {
            let (levels, _) = heard(&frames);
            assert_near(levels.peak_dbfs(), peak, what);
            assert_near(levels.rms_dbfs(), rms, what);
        }
    }

    #[test]
    fn l1_a_peak_is_held_for_a_second_and_rms_follows_within_300_ms() {
        let (mut levels, _) = heard(&tone(997.0, [-6.0; 2], FRAMES));
        let mut windows_until = |gone: fn(&Levels) -> bool| {
            let mut windows = 0;
            while !gone(&levels) {
                windows += usize::from(levels.feed(&PumpFrame::SILENCE).is_some());
            }
            windows
        };
        assert_eq!(windows_until(|levels| levels.rms_dbfs() == [None; 2]), 3);
        assert_eq!(windows_until(|levels| levels.peak_dbfs() == [None; 2]), 11 - 3);
    }

    #[test]
    fn l1_clipping_is_three_samples_in_a_row_at_full_scale_across_frame_borders_too() {
        const FULL: i16 = i16::MAX;
        const LOW: i16 = i16::MIN;
        let last = PUMP_FRAME_SAMPLES - 1;
        // First sample of the run, its values, samples that count.
        let table: [(usize, &[i16], u64); 8] = [
            (100, &[FULL, FULL], 0),
            (100, &[FULL, FULL, FULL], 3),
            (100, &[LOW; 7], 7),
            (100, &[FULL, LOW, FULL, LOW], 4),
            (100, &[FULL, FULL, 32_766, FULL, FULL], 0),
            (last, &[FULL, FULL], 0),
            (last, &[FULL, FULL, FULL], 3),
            // From one window into the next.
            (WINDOW_FRAMES * PUMP_FRAME_SAMPLES - 2, &[FULL; 5], 5),
        ];
        for (from, run, expected) in table {
            for channel in [0, 1] {
                let mut frames = vec![PumpFrame::SILENCE; 2 * WINDOW_FRAMES];
                for (at, value) in (from..).zip(run) {
                    frames[at / PUMP_FRAME_SAMPLES].values[at % PUMP_FRAME_SAMPLES * 2 + channel] = *value;
                }
                assert_eq!(heard(&frames).1, expected, "{run:?} from {from}, channel {channel}");
            }
        }
    }

    #[test]
    fn l1_a_sine_that_fits_is_not_clipped_and_one_that_does_not_is() {
        for (peak_dbfs, clips) in [(0.0, false), (-0.1, false), (1.0, true), (6.0, true)] {
            let (_, clipped) = heard(&tone(440.0, [peak_dbfs, -20.0], FRAMES));
            assert_eq!(clipped > 0, clips, "{peak_dbfs} dBFS: {clipped}");
        }
    }
}
