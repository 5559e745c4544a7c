//! `Cushion`: what waits of a pulled stream, so that the network is not heard.
//!
//! The stream is gathered until 3 s of it wait, then all of it goes into the router's queue, and what comes later
//! follows at once. So the queue is the cushion, and the pump's tick takes it up. When nothing is left the
//! input is closed, the next one is heard in that tick, and gathering begins anew: a stream that is
//! behind would otherwise be heard in shreds.
//!
//! *Two clocks.* The sender's is not ours. The live input holds a queue of 96 ms at its place within a millisecond;
//! here the network moves what waits by seconds, which no loop could tell from a clock, and nothing is gained by an
//! exact place. So while between 2.5 and 4 s wait nothing is done, and beyond that band the sound is stretched in
//! proportion, by up to 1500 ppm, which nobody hears. Nothing is ever dropped or inserted: with the clocks
//! 100 ppm apart a queue that just ran would have lost its second of band in three hours, and a cut in music is heard.
//!
//! *Full.* With 5 s waiting FFmpeg is not read, and its source waits in turn: a server's burst, a file that is no
//! live stream. Nothing here blocks, reads or tells the time.

use std::sync::Arc;

use crate::{
    frame::{CHANNELS, PUMP_FRAME_VALUES, PumpFrame, SAMPLE_RATE_HZ, TICK_MS},
    input::live::resampler::DriftResampler,
    limits::{PULL_BEGIN_MS, PULL_FULL_MS, PULL_HIGH_MS, PULL_LOW_MS, PULL_PPM_MAX, PULL_SLOPE_MS},
    meter::levels::Levels,
    router::{AudioInputRouter, InputId},
    sound::mix::{FULL_SCALE, to_i16},
    stats::PullStats,
};

const SAMPLES_PER_MS: f64 = SAMPLE_RATE_HZ as f64 / 1000.0;
const SAMPLE_BYTES: usize = 2 * CHANNELS;

/// What waits of a pulled stream.
pub struct Cushion {
    router: Arc<AudioInputRouter>,
    stats: Arc<PullStats>,
    resampler: DriftResampler,
    pace: Pace,
    levels: Levels,
    /// Sound that is gathered, or is less than a frame.
    fifo: Vec<f32>,
    /// Bytes of a sample that is not whole.
    rest: Vec<u8>,
    frame: Box<[f32; PUMP_FRAME_VALUES]>,
    /// It is in the router; else it is gathered.
    is_begun: bool,
}

impl Cushion {
    /// An empty one.
    ///
    /// # Errors
    /// When there is no resampler to be had.
    pub fn new(
        router: Arc<AudioInputRouter>,
        stats: Arc<PullStats>,
    ) -> Result<Self, rubato::ResamplerConstructionError> {
        Ok(Self {
            router,
            stats,
            resampler: DriftResampler::new(SAMPLE_RATE_HZ)?,
            pace: Pace::default(),
            levels: Levels::default(),
            fifo: Vec::new(),
            rest: Vec::new(),
            frame: Box::new([0.0; PUMP_FRAME_VALUES]),
            is_begun: false,
        })
    }

    /// What waits, in milliseconds.
    #[allow(clippy::cast_precision_loss)] // some seconds
    pub fn waiting_ms(&self) -> f64 {
        self.queued_ms() as f64 + (self.fifo.len() / CHANNELS) as f64 / SAMPLES_PER_MS
    }

    /// There is room for more.
    #[allow(clippy::cast_precision_loss)] // some seconds
    pub fn has_room(&self) -> bool {
        self.waiting_ms() < PULL_FULL_MS as f64
    }

    /// Nothing will be left after so long; `None`: it is not being heard.
    pub fn empty_in_ms(&self) -> Option<u64> {
        self.is_begun.then(|| self.queued_ms())
    }

    /// What comes next will be at this position in the router's queue, within a frame or two.
    pub fn next_position(&self) -> u64 {
        let gathered = self.fifo.len() / PUMP_FRAME_VALUES;
        self.router.next_position(InputId::Relay) + gathered as u64
    }

    /// Time has passed. True if nothing is left: the input is closed.
    pub fn look(&mut self, now_ns: u64) -> bool {
        let is_dry = self.is_begun && self.queued_ms() == 0;
        if is_dry {
            self.run_dry();
        }
        if self.is_begun {
            self.pace.observe(now_ns, self.waiting_ms());
        }
        self.stats.queue_ms.set(Some(self.waiting_ms()));
        self.stats.correction_ppm.set(self.is_begun.then(|| self.pace.correction() * 1e6));
        is_dry
    }

    /// Nothing more comes. What waits is played, and the tick after its last frame is another input's.
    pub fn end(&mut self) {
        if self.is_begun {
            self.router.close(InputId::Relay);
        }
    }

    /// What comes from now on is not the continuation of what came: another FFmpeg gives it. What waits is played.
    pub fn part(&mut self) {
        // Less than a frame of what waits, or too little to begin with.
        self.fifo.clear();
        self.rest.clear();
        self.resampler.reset();
        if self.is_begun {
            self.router.open(InputId::Relay);
        }
    }

    /// Takes 16-bit stereo at 48 kHz, cut anywhere.
    #[allow(clippy::cast_precision_loss)] // some seconds
    pub fn take(&mut self, bytes: &[u8]) {
        // What the pump has waited for in vain is not the continuation of what it had.
        if self.is_begun && self.queued_ms() == 0 {
            self.run_dry();
        }
        self.rest.extend_from_slice(bytes);
        let whole = self.rest.len() / SAMPLE_BYTES * SAMPLE_BYTES;
        let values = self.rest[..whole].as_chunks::<2>().0.iter().map(|two| f32::from(i16::from_le_bytes(*two)));
        self.fifo.extend(values.map(|value| value / FULL_SCALE));
        self.rest.drain(..whole);
        if !self.is_begun && self.waiting_ms() >= PULL_BEGIN_MS as f64 {
            self.is_begun = true;
            self.pace = Pace::default();
            self.router.open(InputId::Relay);
        }
        if self.is_begun {
            self.make_frames();
        }
    }

    fn queued_ms(&self) -> u64 {
        self.router.get_stats(InputId::Relay).count as u64 * TICK_MS
    }

    fn run_dry(&mut self) {
        self.is_begun = false;
        self.router.close(InputId::Relay);
        self.stats.gaps.add(1);
    }

    fn make_frames(&mut self) {
        let mut used = 0;
        loop {
            let needed = self.resampler.correct(self.pace.correction()) * CHANNELS;
            let Some(sound) = self.fifo.get(used..used + needed) else {
                break;
            };
            if !self.resampler.frame(sound, &mut self.frame) {
                break;
            }
            used += needed;
            let mut frame = PumpFrame::SILENCE;
            to_i16(self.frame.as_slice(), &mut frame.values);
            // There is room: FFmpeg is not read when there is not.
            let _ = self.router.push_frame(InputId::Relay, &frame);
            self.measure(&frame);
        }
        self.fifo.drain(..used);
    }

    fn measure(&mut self, frame: &PumpFrame) {
        let Some(window) = self.levels.feed(frame) else {
            return;
        };
        let stats = &self.stats.levels;
        stats.clipped.add(window.clipped);
        let (peak, rms) = (self.levels.peak_dbfs(), self.levels.rms_dbfs());
        stats.peak_dbfs.iter().zip(peak).for_each(|(figure, level)| figure.set(level));
        stats.rms_dbfs.iter().zip(rms).for_each(|(figure, level)| figure.set(level));
    }
}

/// By how much sound is stretched, so that what waits stays within its band. Pure.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// When it was last observed, and what waits, smoothed.
    seen: Option<(u64, f64)>,
}

/// What comes in lumps of the server's is smoothed over this.
const SMOOTHING_SEC: f64 = 10.0;
/// Observations further apart count as so far apart.
const APART_SEC_MAX: f64 = 1.0;

impl Pace {
    /// At `now_ns` so much waits.
    #[allow(clippy::cast_precision_loss)] // far below 2^53
    pub fn observe(&mut self, now_ns: u64, waiting_ms: f64) {
        let (before_ns, smoothed) = self.seen.unwrap_or((now_ns, waiting_ms));
        let sec = (now_ns.saturating_sub(before_ns) as f64 / 1e9).min(APART_SEC_MAX);
        let part = 1.0 - (-sec / SMOOTHING_SEC).exp();
        self.seen = Some((now_ns, smoothed + part * (waiting_ms - smoothed)));
    }

    /// By what fraction more samples are to be made (below 0: fewer).
    #[allow(clippy::cast_precision_loss)] // small
    pub fn correction(&self) -> f64 {
        let waiting_ms = self.seen.map_or(PULL_BEGIN_MS as f64, |(_, smoothed)| smoothed);
        let missing_ms = waiting_ms.clamp(PULL_LOW_MS as f64, PULL_HIGH_MS as f64) - waiting_ms;
        let bound = f64::from(PULL_PPM_MAX) / 1e6;
        (missing_ms / PULL_SLOPE_MS as f64).clamp(-1.0, 1.0) * bound
    }
}

#[cfg(test)]
mod tests;
