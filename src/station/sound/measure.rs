//! Listens to a whole decoded file once: how loud it is, and where it may be joined.
//!
//! Loudness is EBU R128's, by ebur128. The cues: the first audible sample, and the
//! place near the end where the level has fallen for good, so that the next song may
//! begin over the rest. A song that ends cold has its cue at its last audible sample.
//!
//! One pass, in chunks of any size. Memory is the same for a jingle and for a
//! recording of ten hours: the meter keeps a histogram, the cues the last 30 s.

use std::collections::VecDeque;

use ebur128::{EbuR128, Mode};

use crate::{
    frame::{CHANNELS, SAMPLE_RATE_HZ},
    limits::FALLING_END_SEC_MAX,
    station::track::Measured,
};

/// Quieter than this is silence: −60 dBFS, above the hiss of converters and dither.
pub const AUDIBLE: u16 = 33;
/// The level has fallen when it is this far below the song's own: it is heard as
/// the background of what comes next.
pub const FALLEN_LU: f64 = 15.0;

/// Levels are taken over this long.
const WINDOW_MS: u32 = 100;
const WINDOW_SAMPLES: u64 = (SAMPLE_RATE_HZ * WINDOW_MS / 1000) as u64;
const WINDOWS_MAX: usize = FALLING_END_SEC_MAX * 1000 / WINDOW_MS as usize;
/// Less than this of a last window says nothing about its level.
const WINDOW_SAMPLES_MIN: u64 = WINDOW_SAMPLES / 4;
/// The gate of R128: below it there is no loudness to speak of.
const GATE_LUFS: f64 = -70.0;

/// A measurement under way.
#[derive(Debug)]
pub struct Meter {
    /// None once it has failed, which costs the loudness and not the cues.
    loudness: Option<EbuR128>,
    samples: u64,
    /// A left value whose right one has not come.
    left: Option<i16>,
    audible: Option<Audible>,
    /// Levels of the windows up to the last audible one, in LUFS, newest last.
    levels: VecDeque<f64>,
    /// Windows without an audible sample since.
    silent_windows: u64,
}

/// Samples from the start; the end is one after the last.
#[derive(Debug, Clone, Copy)]
struct Audible {
    from: u64,
    end: u64,
}

impl Meter {
    /// Takes all the memory that it will need.
    pub fn new() -> Self {
        let channels = u32::try_from(CHANNELS).unwrap_or(2);
        Self {
            loudness: EbuR128::new(channels, SAMPLE_RATE_HZ, Mode::I | Mode::HISTOGRAM).ok(),
            samples: 0,
            left: None,
            audible: None,
            levels: VecDeque::with_capacity(WINDOWS_MAX),
            silent_windows: 0,
        }
    }

    /// Takes what was decoded next: interleaved stereo, cut anywhere.
    pub fn push(&mut self, mut values: &[i16]) {
        if let (Some(left), Some((right, rest))) = (self.left, values.split_first()) {
            self.left = None;
            self.push_pairs(&[left, *right]);
            values = rest;
        }
        let (pairs, rest) = values.split_at(values.len() / CHANNELS * CHANNELS);
        self.push_pairs(pairs);
        self.left = rest.first().copied().or(self.left);
    }

    /// What all of it was.
    pub fn finish(mut self) -> Measured {
        let lufs = self.loudness.as_ref().and_then(|meter| meter.loudness_global().ok());
        let lufs = lufs.filter(|lufs| *lufs > GATE_LUFS);
        let begun = self.samples % WINDOW_SAMPLES;
        if begun > 0 {
            self.end_window(begun);
        }
        let silent = Audible { from: self.samples, end: self.samples };
        let audible = self.audible.unwrap_or(silent);
        #[allow(clippy::cast_possible_truncation)] // to a hundredth would do
        let rounded = lufs.map(|lufs| lufs as f32);
        Measured {
            lufs: rounded,
            samples: self.samples,
            cue_in: audible.from,
            cue_out: self.cue_out(audible, lufs),
            end: audible.end,
        }
    }

    /// Whole stereo samples, cut into windows.
    fn push_pairs(&mut self, mut values: &[i16]) {
        while !values.is_empty() {
            let room = WINDOW_SAMPLES - self.samples % WINDOW_SAMPLES;
            let take = values.len().min(usize::try_from(room).unwrap_or(usize::MAX) * CHANNELS);
            let (now, rest) = values.split_at(take);
            self.push_within_window(now);
            values = rest;
            if self.samples.is_multiple_of(WINDOW_SAMPLES) {
                self.end_window(WINDOW_SAMPLES);
            }
        }
    }

    fn push_within_window(&mut self, values: &[i16]) {
        if self.loudness.as_mut().is_some_and(|meter| meter.add_frames_i16(values).is_err()) {
            self.loudness = None;
        }
        let pairs = values.as_chunks::<CHANNELS>().0;
        let audible = |pair: &[i16; CHANNELS]| pair.iter().any(|value| value.unsigned_abs() >= AUDIBLE);
        if let (Some(first), Some(last)) = (pairs.iter().position(audible), pairs.iter().rposition(audible)) {
            let from = self.audible.map_or(self.samples + first as u64, |audible| audible.from);
            self.audible = Some(Audible { from, end: self.samples + last as u64 + 1 });
        }
        self.samples += pairs.len() as u64;
    }

    /// Notes the level of a window of which `samples` have come. Silent ones are only
    /// counted: at the end of a file they are not part of the song.
    fn end_window(&mut self, samples: u64) {
        let start = self.samples - samples;
        let sounding = self.audible.map_or(0, |audible| audible.end.saturating_sub(start));
        if sounding == 0 {
            self.silent_windows += 1;
            return;
        }
        for _ in 0..self.silent_windows.min(WINDOWS_MAX as u64) {
            self.note(f64::NEG_INFINITY);
        }
        self.silent_windows = 0;
        self.note(self.level(samples, sounding));
    }

    /// Level of the audible part of a window. Too short a part takes the level of the
    /// window before, which it ends.
    #[allow(clippy::cast_precision_loss)] // at most 4800
    fn level(&self, samples: u64, sounding: u64) -> f64 {
        if sounding < WINDOW_SAMPLES_MIN {
            return self.levels.back().copied().unwrap_or(f64::NEG_INFINITY);
        }
        let window_ms = u32::try_from(samples * 1000 / u64::from(SAMPLE_RATE_HZ)).unwrap_or(WINDOW_MS);
        let level = self.loudness.as_ref().and_then(|meter| meter.loudness_window(window_ms).ok());
        level.unwrap_or(f64::NEG_INFINITY) + 10.0 * (samples as f64 / sounding as f64).log10()
    }

    fn note(&mut self, level: f64) {
        if self.levels.len() == WINDOWS_MAX {
            self.levels.pop_front();
        }
        self.levels.push_back(level);
    }

    /// The end of the last window that is not yet fallen. Fallen is relative to the
    /// whole song, but where its last 30 s are quieter than that (a coda, a very
    /// long fade) to these: music is not mistaken for the end of music.
    fn cue_out(&self, audible: Audible, lufs: Option<f64>) -> u64 {
        let loudest = self.levels.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let threshold = lufs.map_or(loudest, |lufs| lufs.min(loudest)) - FALLEN_LU;
        let fallen = self.levels.iter().rev().take_while(|level| **level < threshold).count() as u64;
        // Levels end with the window of the last audible sample.
        let windows = audible.end.div_ceil(WINDOW_SAMPLES);
        ((windows - fallen.min(windows)) * WINDOW_SAMPLES).clamp(audible.from, audible.end)
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use proptest::prelude::*;

    use super::*;

    const RATE: f64 = SAMPLE_RATE_HZ as f64;

    /// A 1 kHz tone in both channels whose level in dBFS (of its peak) depends on the
    /// seconds since its start. It begins at its peak, so its first sample is audible.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    fn shaped(seconds: f64, dbfs: impl Fn(f64) -> f64) -> Vec<i16> {
        let sample = |at: usize| {
            let t = at as f64 / RATE;
            let value = 10f64.powf(dbfs(t) / 20.0) * (2.0 * PI * 1000.0 * t).cos() * 32_767.0;
            [value.round() as i16; 2]
        };
        (0..(seconds * RATE) as usize).flat_map(sample).collect()
    }

    fn tone(seconds: f64, dbfs: f64) -> Vec<i16> {
        shaped(seconds, |_| dbfs)
    }

    fn silence(seconds: f64) -> Vec<i16> {
        tone(seconds, -200.0)
    }

    fn measured(parts: &[Vec<i16>]) -> Measured {
        let mut meter = Meter::new();
        parts.iter().for_each(|part| meter.push(part));
        meter.finish()
    }

    fn samples(parts: &[Vec<i16>]) -> u64 {
        parts.iter().map(|part| part.len() as u64 / 2).sum()
    }

    /// The cosine is small around its zeros: its last audible sample is within 1 ms.
    fn assert_ends(found: Measured, end: u64, what: &str) {
        assert!(found.cue_out <= end && found.cue_out + 48 > end, "{what}: {found:?}, expected {end}");
    }

    #[allow(clippy::cast_precision_loss)]
    fn assert_near(found: u64, seconds: f64, what: &str) {
        let found = found as f64 / RATE;
        assert!((found - seconds).abs() < 0.15, "{what}: {found} s, expected {seconds} s");
    }

    #[test]
    fn reference_tones_have_their_loudness() {
        // EBU Tech 3341, cases 1 and 2, and our own target.
        for dbfs in [-23.0, -33.0, -16.0] {
            let found = measured(&[tone(20.0, dbfs)]);
            let lufs = f64::from(found.lufs.expect("loud enough"));
            assert!((lufs - dbfs).abs() <= 0.1, "{lufs} LUFS for {dbfs}");
        }
        // Case 3: what is far below the rest does not count.
        let lufs = measured(&[tone(10.0, -36.0), tone(60.0, -23.0), tone(10.0, -36.0)]).lufs.expect("loud enough");
        assert!((lufs + 23.0).abs() <= 0.1, "{lufs} LUFS");
    }

    #[test]
    fn a_fade_out_has_its_cue_where_it_has_fallen() {
        type Row = (&'static str, f64, fn(f64) -> f64, f64);
        let table: [Row; 4] = [
            ("6 dB a second", 10.0, |t| -16.0 - 6.0 * t, 2.5),
            ("linear over 8 s", 8.0, |t| -16.0 + 20.0 * (1.0 - t / 8.0).max(1e-6).log10(), 6.58),
            ("a last chord", 3.0, |t| -16.0 - 20.0 * t, 0.75),
            ("3 dB a second", 20.0, |t| -16.0 - 3.0 * t, 5.0),
        ];
        for (what, seconds, dbfs, fallen_after) in table {
            let found = measured(&[tone(30.0, -16.0), shaped(seconds, dbfs)]);
            assert_near(found.cue_out, 30.0 + fallen_after, what);
            let found = measured(&[tone(30.0, -16.0), shaped(seconds, dbfs), silence(7.0)]);
            assert_near(found.cue_out, 30.0 + fallen_after, what);
        }
    }

    #[test]
    fn a_cold_end_has_its_cue_at_the_last_audible_sample() {
        for seconds in [4.0, 4.01, 4.03, 4.05, 4.0999] {
            let song = tone(seconds, -14.0);
            let end = samples(std::slice::from_ref(&song));
            for silent_sec in [0.0, 0.04, 0.3, 2.0] {
                let found = measured(&[song.clone(), silence(silent_sec)]);
                assert_ends(found, end, &format!("{seconds} s and {silent_sec} s of silence"));
            }
        }
        let song = tone(3.3, -14.0);
        let end = samples(std::slice::from_ref(&song));
        assert_ends(measured(&[song, silence(45.0)]), end, "more silence than levels are kept");
    }

    #[test]
    fn silence_before_the_song_is_left_out() {
        let before = silence(1.2345);
        let found = measured(&[before.clone(), tone(3.0, -20.0)]);
        assert_eq!(found.cue_in, samples(&[before]));
        assert_eq!(measured(&[tone(3.0, -20.0)]).cue_in, 0);
    }

    #[test]
    fn quiet_and_silent_passages_inside_a_song_are_not_its_end() {
        for (what, passage) in [
            ("quiet", tone(12.0, -45.0)),
            ("silent", silence(12.0)),
            ("silent for longer than the memory of levels", silence(45.0)),
            ("falling", shaped(9.0, |t| -16.0 - 6.0 * t)),
        ] {
            let parts = [tone(10.0, -16.0), passage, tone(4.0, -18.0)];
            assert_ends(measured(&parts), samples(&parts), what);
        }
    }

    #[test]
    fn a_quiet_coda_is_played_and_a_very_long_fade_ends_within_its_last_30_s() {
        let coda = [tone(40.0, -16.0), tone(50.0, -40.0)];
        assert_ends(measured(&coda), samples(&coda), "coda");
        // From −16 dBFS to −56 in 80 s: the last 30 s begin at −41.
        let found = measured(&[tone(40.0, -16.0), shaped(80.0, |t| -16.0 - 0.5 * t)]);
        assert_near(found.cue_out, 120.0, "long fade");
        let steeper = measured(&[tone(40.0, -16.0), shaped(40.0, |t| -16.0 - t)]);
        assert_near(steeper.cue_out, 40.0 + 25.0, "from its level 10 s into the fade");
    }

    #[test]
    fn silence_has_no_loudness_and_nothing_to_play() {
        for seconds in [0.05, 3.0, 40.0] {
            for dbfs in [-200.0, -62.0] {
                let found = measured(&[tone(seconds, dbfs)]);
                assert_eq!(
                    (found.cue_in, found.cue_out, found.end),
                    (found.samples, found.samples, found.samples),
                    "{seconds} s at {dbfs}"
                );
                assert!(dbfs > -70.0 || found.lufs.is_none());
            }
        }
        assert_eq!(measured(&[]), Measured { lufs: None, samples: 0, cue_in: 0, cue_out: 0, end: 0 });
    }

    #[test]
    fn very_short_sounds_are_played_whole() {
        for count in [1usize, 10, 480, 4799, 4800, 4801, 9000, 19_199] {
            let sound = tone(1.0, -10.0)[..count * 2].to_vec();
            let found = measured(&[sound]);
            assert_eq!(found.lufs, None, "shorter than the 400 ms of a gating block");
            assert_eq!(found.samples, count as u64);
            assert_eq!(found.cue_in, 0);
            assert_ends(found, count as u64, "short");
        }
        assert!(measured(&[tone(0.5, -10.0)]).lufs.is_some());
    }

    #[test]
    fn half_a_sample_at_the_end_does_not_count() {
        let mut sound = tone(1.0, -10.0);
        sound.push(1234);
        assert_eq!(measured(&[sound]).samples, 48_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn chunks_of_any_size_give_the_same(cuts in prop::collection::vec(0usize..9001, 1..40)) {
            let sound = [silence(0.21), tone(1.1, -12.0), shaped(0.9, |t| -12.0 - 40.0 * t), silence(0.31)].concat();
            let mut meter = Meter::new();
            let mut rest = sound.as_slice();
            for cut in cuts.iter().cycle().take(4000) {
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                meter.push(chunk);
                rest = after;
            }
            meter.push(rest);
            prop_assert_eq!(meter.finish(), measured(&[sound]));
        }
    }
}
