//! Loudness by EBU R128 (ITU-R BS.1770): momentary, short-term, integrated.
//!
//! ebur128 filters and gates. It is fed to the borders of blocks of 100 ms and asked for each
//! one's loudness; 4 of them are the momentary loudness, 30 the short-term one. Its own short-term
//! would keep 2.3 MB of samples, and add them all up each time. No true peak: it costs ten times the
//! rest, and the limiters hold it.

use std::collections::VecDeque;

use ebur128::{EbuR128, Mode};

use crate::{
    frame::{CHANNELS, PUMP_FRAME_VALUES, PumpFrame, SAMPLE_RATE_HZ},
    limits::LOUDNESS_HISTORY_MS,
};

const BLOCK_MS: u32 = 100;
const BLOCK_VALUES: usize = (SAMPLE_RATE_HZ * BLOCK_MS / 1000) as usize * CHANNELS;
/// 400 ms.
const MOMENTARY_BLOCKS: usize = 4;
/// 3 s.
const SHORT_BLOCKS: usize = 30;
/// The integrated loudness goes through all that is remembered, so it is computed once a second.
const INTEGRATED_EVERY_BLOCKS: u32 = 10;
/// The gate of R128: below it there is no loudness to speak of.
const GATE_LUFS: f64 = -70.0;

/// The loudness of a sound. Its memory is taken at the start and stays as it is.
pub struct Loudness {
    /// None once it has failed.
    meter: Option<EbuR128>,
    /// Values of the block that has begun.
    begun_values: usize,
    /// Power of each block, newest last.
    blocks: VecDeque<f64>,
    /// Blocks since the integrated loudness was computed.
    blocks_since: u32,
    integrated_lufs: Option<f64>,
}

impl Loudness {
    /// Remembers an hour.
    pub fn new() -> Self {
        Self::with_history_ms(LOUDNESS_HISTORY_MS)
    }

    fn with_history_ms(history_ms: u32) -> Self {
        Self {
            meter: meter(history_ms).ok(),
            begun_values: 0,
            blocks: VecDeque::with_capacity(SHORT_BLOCKS),
            blocks_since: 0,
            integrated_lufs: None,
        }
    }

    /// Takes a frame.
    pub fn feed(&mut self, frame: &PumpFrame) {
        // A block is longer than a frame, so at most one ends within it.
        let until_end = (BLOCK_VALUES - self.begun_values).min(PUMP_FRAME_VALUES);
        let (before, after) = frame.values.split_at(until_end);
        self.add(before);
        if self.begun_values == BLOCK_VALUES {
            self.end_block();
        }
        self.add(after);
    }

    /// Of the last 400 ms, in LUFS; none: below the gate, or not as long yet.
    pub fn momentary(&self) -> Option<f64> {
        self.mean_of(MOMENTARY_BLOCKS)
    }

    /// Of the last 3 s, in LUFS; none: below the gate, or not as long yet.
    pub fn short_term(&self) -> Option<f64> {
        self.mean_of(SHORT_BLOCKS)
    }

    /// Of all that is remembered and above the gates, in LUFS; up to a second old.
    pub fn integrated(&self) -> Option<f64> {
        self.integrated_lufs
    }

    fn add(&mut self, values: &[i16]) {
        if self.meter.as_mut().is_some_and(|meter| meter.add_frames_i16(values).is_err()) {
            self.meter = None;
        }
        self.begun_values += values.len();
    }

    fn end_block(&mut self) {
        self.begun_values = 0;
        let lufs = self.meter.as_ref().and_then(|meter| meter.loudness_window(BLOCK_MS).ok());
        if self.blocks.len() == SHORT_BLOCKS {
            self.blocks.pop_front();
        }
        // Silence is −∞ LUFS, whose power is 0.
        self.blocks.push_back(lufs.map_or(0.0, |lufs| 10f64.powf(lufs / 10.0)));
        self.blocks_since += 1;
        if self.blocks_since >= INTEGRATED_EVERY_BLOCKS {
            self.blocks_since = 0;
            let lufs = self.meter.as_ref().and_then(|meter| meter.loudness_global().ok());
            self.integrated_lufs = lufs.filter(|lufs| *lufs >= GATE_LUFS);
        }
    }

    #[allow(clippy::cast_precision_loss)] // at most 30
    fn mean_of(&self, blocks: usize) -> Option<f64> {
        if self.blocks.len() < blocks {
            return None;
        }
        let power: f64 = self.blocks.iter().rev().take(blocks).sum();
        let lufs = 10.0 * (power / blocks as f64).log10();
        (lufs >= GATE_LUFS).then_some(lufs)
    }
}

impl Default for Loudness {
    fn default() -> Self {
        Self::new()
    }
}

fn meter(history_ms: u32) -> Result<EbuR128, ebur128::Error> {
    let channels = u32::try_from(CHANNELS).unwrap_or(2);
    let mut meter = EbuR128::new(channels, SAMPLE_RATE_HZ, Mode::I | Mode::M)?;
    meter.set_max_history(history_ms)?;
    // ebur128 0.1.11 fills a history whose length is set with blocks of silence, which would put the
    // relative gate far too low for as long as they are there.
    meter.reset();
    Ok(meter)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::{fallback::tone::Tone, meter::sounds::tone};

    const SEC_FRAMES: usize = 42;

    fn assert_near(found: Option<f64>, expected: f64, what: &str) {
        assert!(found.is_some_and(|lufs| (lufs - expected).abs() <= 0.1), "{what}: {found:?}, expected {expected}");
    }

    fn feed(loudness: &mut Loudness, frames: &[PumpFrame]) {
        frames.iter().for_each(|frame| loudness.feed(frame));
    }

    /// The K weighting of a frequency in dB, by BS.1770's own figures for 48 kHz.
    fn k_weight_db(hz: f64) -> f64 {
        let power = |b: [f64; 3], a: [f64; 3]| {
            let turn = TAU * hz / 48_000.0;
            let part = |c: [f64; 3]| {
                let re = c[0] + c[1] * turn.cos() + c[2] * (2.0 * turn).cos();
                let im = c[1] * turn.sin() + c[2] * (2.0 * turn).sin();
                re * re + im * im
            };
            part(b) / part(a)
        };
        let shelf = power(
            [1.535_124_859_586_97, -2.691_696_189_406_38, 1.198_392_810_852_85],
            [1.0, -1.690_659_293_182_41, 0.732_480_774_215_85],
        );
        let high_pass = power([1.0, -2.0, 1.0], [1.0, -1.990_047_454_833_98, 0.990_072_250_366_21]);
        10.0 * (shelf * high_pass).log10()
    }

    #[test]
    fn l2_sines_have_the_loudness_of_bs_1770() {
        // −0.691 dB, the weighting, and the power of both channels.
        let expected = |hz: f64, [left, right]: [f64; 2]| {
            let power = (10f64.powf(left / 10.0) + 10f64.powf(right / 10.0)) / 2.0;
            -0.691 + k_weight_db(hz) + 10.0 * power.log10()
        };
        let table = [
            (997.0, [-20.0, -20.0]),
            (997.0, [0.0, -200.0]),
            (997.0, [-23.0, -23.0]),
            (440.0, [-20.0, -20.0]),
            (100.0, [-10.0, -30.0]),
            (6000.0, [-16.0, -16.0]),
        ];
        for (hz, peaks_dbfs) in table {
            let mut loudness = Loudness::new();
            feed(&mut loudness, &tone(hz, peaks_dbfs, 6 * SEC_FRAMES));
            let expected = expected(hz, peaks_dbfs);
            for (what, found) in [
                ("momentary", loudness.momentary()),
                ("short-term", loudness.short_term()),
                ("integrated", loudness.integrated()),
            ] {
                assert_near(found, expected, &format!("{what}, {hz} Hz, {peaks_dbfs:?}"));
            }
        }
        assert!((expected(997.0, [-20.0; 2]) + 20.0).abs() < 0.01, "the reference itself");
        assert!((expected(997.0, [0.0, -200.0]) + 3.01).abs() < 0.01, "the reference itself");
    }

    #[test]
    fn l2_the_fallback_tone_is_as_loud_as_a_sine_of_20_dbfs() {
        let (mut loudness, mut tone) = (Loudness::new(), Tone::new(440));
        (0..4 * SEC_FRAMES).for_each(|_| loudness.feed(&tone.next_frame()));
        assert_near(loudness.short_term(), -20.691 + k_weight_db(440.0), "tone");
    }

    #[test]
    fn l2_the_relative_gate_works_from_the_first_block_on() {
        // EBU Tech 3341, case 3: what is far below the rest does not count.
        let mut loudness = Loudness::new();
        for (dbfs, seconds) in [(-36.0, 10), (-23.0, 60), (-36.0, 10)] {
            feed(&mut loudness, &tone(1000.0, [dbfs; 2], seconds * SEC_FRAMES));
        }
        assert_near(loudness.integrated(), -23.0, "case 3");
    }

    #[test]
    fn l2_what_is_older_than_the_history_is_forgotten_and_memory_is_bounded() {
        let mut loudness = Loudness::with_history_ms(10_000);
        feed(&mut loudness, &tone(1000.0, [-10.0; 2], 20 * SEC_FRAMES));
        assert_near(loudness.integrated(), -10.0, "loud");
        feed(&mut loudness, &tone(1000.0, [-30.0; 2], 12 * SEC_FRAMES));
        assert_near(loudness.integrated(), -30.0, "quiet, and nothing else is remembered");
        assert_eq!(loudness.blocks.len(), SHORT_BLOCKS);
        assert_eq!(Loudness::new().meter.expect("made").max_history(), 3_600_000);
    }

    #[test]
    fn l2_silence_and_what_is_below_the_gate_have_no_loudness() {
        for dbfs in [-200.0, -71.0] {
            let mut loudness = Loudness::new();
            feed(&mut loudness, &tone(997.0, [dbfs; 2], 4 * SEC_FRAMES));
            let found = (loudness.momentary(), loudness.short_term(), loudness.integrated());
            assert_eq!(found, (None, None, None), "{dbfs}");
        }
    }

    #[test]
    fn l2_no_figure_before_its_time_is_full() {
        let (mut loudness, frames) = (Loudness::new(), tone(997.0, [-20.0; 2], 130));
        let mut first = [None; 2];
        for (number, frame) in frames.iter().enumerate() {
            loudness.feed(frame);
            for (first, found) in first.iter_mut().zip([loudness.momentary(), loudness.short_term()]) {
                if found.is_some() && first.is_none() {
                    *first = Some(number + 1);
                    assert_near(found, -20.0, "the first one is right");
                }
            }
        }
        // 400 ms are 16.7 frames, 3 s are 125.
        assert_eq!(first, [Some(17), Some(125)]);
    }
}
