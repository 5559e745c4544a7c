//! `LiveFeed`: the card's sound on its way into the router, kept at its place in the queue.
//!
//! ```text
//!  card's bytes ─► to_stereo ─► fifo ─► DriftResampler ─► gain, limiter ─► whole frame ─► router
//!                                 ▲            ▲                                       └► meter
//!               what waits, in all ┴─ DriftLoop ┘
//! ```
//!
//! *What waits* is counted in samples and to the moment: frames in the queue, what is in the fifo,
//! what the card holds, less what the pump will take with its next tick, in proportion to how near
//! that is. So it is a smooth figure, though the card delivers in periods and the pump
//! takes whole frames: it is what waits when the pump has just taken one.
//!
//! A *stream* is sound without a gap. It is gathered until its target waits, and begins there
//! exactly: without its oldest sound where too much waits (nobody has heard it yet), or, where the
//! input is being heard, with silence for what was lost. From then on nothing is dropped or
//! repeated; it is only stretched. A gap (an xrun, a card that stood still until its input was
//! absent) ends it, faded, and begins another one.
//!
//! Runs in the capture thread: no allocation, lock or I/O once made.

use std::sync::Arc;

use super::{
    card::Setup,
    convert::to_stereo,
    drift::{DriftLoop, RateMeter},
    resampler::DriftResampler,
    target_ms,
};
use crate::{
    config::{ChannelPick, LiveConfig},
    frame::{CHANNELS, PUMP_FRAME_SAMPLES, PUMP_FRAME_VALUES, PumpFrame, SAMPLE_RATE_HZ, TICK_MS, TICK_NS},
    limits::{
        LIVE_BEGIN_MS, LIVE_FADE_SAMPLES, LIVE_LATE_TICKS_MAX, LIVE_LIMITER_DBTP, LIVE_MISSED_MS, LIVE_PUT_OFF_MAX,
        LIVE_TOO_MUCH_MS,
    },
    meter::tap::MeterTap,
    pump::position::{Position, PumpPosition},
    ring::Push,
    router::{AudioInputRouter, InputId},
    sound::{
        limiter::{LOOKAHEAD_SAMPLES, TruePeakLimiter},
        mix::{amplify, to_i16},
    },
    stats::LiveStats,
};

const SAMPLES_PER_MS: f64 = SAMPLE_RATE_HZ as f64 / 1000.0;
const FRAME_SAMPLES: f64 = PUMP_FRAME_SAMPLES as f64;

/// What a feed works with.
#[derive(Clone)]
pub struct FeedDeps {
    /// Where frames go.
    pub router: Arc<AudioInputRouter>,
    /// How far the pump has taken them.
    pub position: Arc<PumpPosition>,
    /// Where a copy of each frame goes.
    pub tap: Arc<MeterTap>,
    /// What is published.
    pub stats: Arc<LiveStats>,
    /// From the pump's tick to the frame on air, in milliseconds.
    pub on_air_lag_ms: u64,
}

/// One opened card's way into the router.
pub struct LiveFeed {
    deps: FeedDeps,
    setup: Setup,
    pick: ChannelPick,
    gain: f32,
    limiter: Option<Box<TruePeakLimiter>>,
    resampler: DriftResampler,
    drift: DriftLoop,
    rate: RateMeter,
    target_samples: f64,
    fifo: Fifo,
    frame: Box<[f32; PUMP_FRAME_VALUES]>,
    /// Frames pushed and not refused, over all feeds of this tower.
    pushed: u64,
    /// Of the card's frames: all that it has given since it was started.
    given: u64,
    stream: Stream,
    /// How often its beginning was put off.
    put_off: u32,
}

/// Sound without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    /// None yet: what comes is not taken.
    None,
    /// What comes waits until there is enough of it.
    Gathering,
    /// It is being heard, or will be once the pump has its preroll.
    Begun {
        /// The pump has taken of it.
        has_flowed: bool,
        /// The oldest of the card's frames, that are too many.
        skip_frames: usize,
        /// Of its first frames, those that still have to be faded in.
        fade_frames: usize,
    },
}

/// Interleaved stereo at the card's rate that waits for the resampler.
struct Fifo {
    values: Box<[f32]>,
    used: usize,
}

impl Fifo {
    fn new(frames: usize) -> Self {
        Self { values: vec![0.0; frames * CHANNELS].into(), used: 0 }
    }

    fn frames(&self) -> usize {
        self.used / CHANNELS
    }

    fn waiting(&self) -> &[f32] {
        &self.values[..self.used]
    }

    fn push_silence(&mut self, frames: usize) {
        let to = (self.used + frames * CHANNELS).min(self.values.len());
        self.values[self.used..to].fill(0.0);
        self.used = to;
    }

    /// Before all that waits, as much as fits.
    fn precede_by_silence(&mut self, frames: usize) {
        let values = (frames * CHANNELS).min(self.values.len() - self.used);
        self.values.copy_within(..self.used, values);
        self.values[..values].fill(0.0);
        self.used += values;
    }

    fn drop_oldest(&mut self, frames: usize) {
        let gone = (frames * CHANNELS).min(self.used);
        self.values.copy_within(gone..self.used, 0);
        self.used -= gone;
    }
}

impl LiveFeed {
    /// For a card that was opened. `pushed`: frames that earlier feeds have pushed.
    ///
    /// # Errors
    /// When no resampler is to be had for its rate.
    pub fn new(
        setup: Setup,
        config: &LiveConfig,
        deps: FeedDeps,
        pushed: u64,
    ) -> Result<Self, rubato::ResamplerConstructionError> {
        let target_samples = samples(target_ms(config.latency));
        let resampler = DriftResampler::new(setup.rate_hz)?;
        // Silence up to the target, a whole buffer of the card's, what makes a frame.
        let frames = setup.buffer_frames + usize::try_from(setup.rate_hz / 4).unwrap_or(0) + 2 * PUMP_FRAME_SAMPLES;
        Ok(Self {
            setup,
            pick: config.channels,
            gain: config.gain,
            limiter: config.limiter.then(|| Box::new(TruePeakLimiter::new(LIVE_LIMITER_DBTP))),
            drift: DriftLoop::new(target_samples),
            rate: RateMeter::new(setup.rate_hz),
            target_samples,
            fifo: Fifo::new(frames),
            frame: Box::new([0.0; PUMP_FRAME_VALUES]),
            pushed,
            given: 0,
            stream: Stream::None,
            put_off: 0,
            resampler,
            deps,
        })
    }

    /// Frames pushed, those of earlier feeds included.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// The card was looked at: at `now_ns`, `held_frames` waited in it. Steers; begins a stream
    /// where none is, or (true) where the one that was has stood still for too long.
    pub fn look(&mut self, now_ns: u64, held_frames: usize) -> bool {
        self.rate.observe(now_ns, self.given + held_frames as u64);
        // The pump is just then in its tick, or has not begun, or stands still and has ticks to make
        // up: then nobody can say what waits. Another look comes soon.
        let is_now = |position: &Position| now_ns < position.tick_ns + LIVE_LATE_TICKS_MAX * TICK_NS;
        let Some(position) = self.deps.position.read().filter(is_now) else {
            return false;
        };
        let waiting = self.waiting_samples(now_ns, held_frames, position);
        let off = waiting - self.target_samples;
        let (stood_still, missed) = match &mut self.stream {
            Stream::None | Stream::Gathering => (false, false),
            Stream::Begun { has_flowed, .. } => {
                let flowed_before = std::mem::replace(has_flowed, *has_flowed || position.flowing);
                let stood_still = flowed_before && (!position.flowing || off > samples(LIVE_TOO_MUCH_MS));
                // The pump's first frame of it was not that of the tick that it was meant for.
                let missed = !flowed_before && position.flowing && off.abs() > samples(LIVE_MISSED_MS);
                (stood_still, missed)
            }
        };
        if stood_still || missed {
            self.end_stream();
            self.deps.stats.restarts.add(u64::from(stood_still));
        }
        match self.stream {
            Stream::Begun { .. } if position.flowing => _ = self.drift.observe(now_ns, waiting),
            Stream::Begun { .. } => {}
            Stream::None | Stream::Gathering => self.gather(now_ns, held_frames, position),
        }
        self.publish();
        stood_still
    }

    /// Begins a stream if enough of it waits, and if the pump's next tick is not so near that it
    /// may come while the stream's first frames are being made: then the next period will do, or
    /// the one after that. An input that is being heard is not kept waiting.
    fn gather(&mut self, now_ns: u64, held_frames: usize, position: Position) {
        self.stream = Stream::Gathering;
        let waiting = self.waiting_samples(now_ns, held_frames, position);
        if !position.flowing {
            let since_tick_ms = now_ns.saturating_sub(position.tick_ns) / 1_000_000;
            let is_near = since_tick_ms >= TICK_MS - LIVE_BEGIN_MS && self.put_off < LIVE_PUT_OFF_MAX;
            if waiting < self.target_samples || is_near {
                self.put_off += u32::from(waiting >= self.target_samples);
                return;
            }
        }
        self.put_off = 0;
        self.begin(waiting);
    }

    /// Takes whole frames of the card's; what the fifo cannot hold at once is taken in turns.
    pub fn take(&mut self, mut bytes: &[u8]) {
        let frame_bytes = self.setup.frame_bytes().max(1);
        self.given += (bytes.len() / frame_bytes) as u64;
        match &mut self.stream {
            Stream::None => return,
            Stream::Gathering => {}
            Stream::Begun { skip_frames, .. } => {
                let skipped = (*skip_frames).min(bytes.len() / frame_bytes);
                *skip_frames -= skipped;
                bytes = &bytes[skipped * frame_bytes..];
            }
        }
        while bytes.len() >= frame_bytes {
            let room = &mut self.fifo.values[self.fifo.used..];
            let frames = to_stereo(self.setup.format, self.setup.channels, self.pick, bytes, room);
            self.fade_in(frames);
            self.fifo.used += frames * CHANNELS;
            self.make_frames();
            if frames == 0 {
                return;
            }
            bytes = &bytes[frames * frame_bytes..];
        }
    }

    /// Counts an xrun; how many there were by now.
    pub fn count_xrun(&self) -> u64 {
        self.deps.stats.xruns.add(1);
        self.deps.stats.xruns.get()
    }

    /// The card lost sound, and goes on: what comes is another stream.
    pub fn broken(&mut self) {
        self.end_stream();
        self.rate.restart();
        self.deps.stats.restarts.add(1);
    }

    /// The card has gone.
    pub fn end(&mut self) {
        self.end_stream();
        self.deps.router.close(InputId::Live);
    }

    /// What waits between the card and the pump, at `now_ns`, in samples at 48 kHz.
    #[allow(clippy::cast_precision_loss)] // some hundred frames
    fn waiting_samples(&self, now_ns: u64, held_frames: usize, position: Position) -> f64 {
        let queued = self.pushed.saturating_sub(position.taken) as f64 * FRAME_SAMPLES;
        let ours = (self.fifo.frames() + held_frames) as f64 * self.resampler.ratio();
        // Between two ticks the pump is using up what it took, though that is no longer here.
        let since_tick_ms = (now_ns as f64 - position.tick_ns as f64) / 1e6;
        queued + ours - since_tick_ms * SAMPLES_PER_MS
    }

    /// Begins a stream where `waiting` samples wait, such that it begins at its target.
    // Bounded below, and by the fifo.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
    fn begin(&mut self, waiting: f64) {
        self.deps.router.open(InputId::Live);
        let missing = self.target_samples - waiting;
        // Silence needs no resampler, which takes its time on a small machine: the pump's tick may be near.
        let whole_frames = (missing / FRAME_SAMPLES).max(0.0) as usize;
        (0..whole_frames).for_each(|_| self.push(&PumpFrame::SILENCE));
        let missing = (missing - whole_frames as f64 * FRAME_SAMPLES) / self.resampler.ratio();
        let excess_frames = (-missing).max(0.0).round() as usize;
        let gathered = excess_frames.min(self.fifo.frames());
        self.fifo.drop_oldest(gathered);
        let fade_frames = self.fade_gathered();
        self.fifo.precede_by_silence(missing.max(0.0).round() as usize);
        self.stream = Stream::Begun { has_flowed: false, skip_frames: excess_frames - gathered, fade_frames };
        self.drift.restart();
        self.make_frames();
    }

    /// Fades in what was gathered; of how many more frames the fade still lacks.
    fn fade_gathered(&mut self) -> usize {
        let all = self.fade_frames();
        let gathered = all.min(self.fifo.frames());
        fade(&mut self.fifo.values[..gathered * CHANNELS], |at| at / ramp(all));
        all - gathered
    }

    /// What is left is faded out and completed with silence. (Too little to be faded is
    /// left out: the pump then fades the frame before. And so is what the pump has waited for
    /// in vain: it would be heard by itself, long after.)
    fn end_stream(&mut self) {
        let fade_frames = self.fade_frames();
        if self.is_wanted() && self.fifo.frames() > fade_frames {
            let from = self.fifo.used - fade_frames * CHANNELS;
            fade(&mut self.fifo.values[from..self.fifo.used], |at| 1.0 - at / ramp(fade_frames));
            let missing = self.resampler.correct(self.drift.correction()).saturating_sub(self.fifo.frames());
            self.fifo.push_silence(missing);
            self.make_frames();
        }
        self.fifo.used = 0;
        self.resampler.reset();
        self.stream = Stream::None;
    }

    /// The pump is taking this stream, or has not begun to.
    fn is_wanted(&self) -> bool {
        match self.stream {
            Stream::None | Stream::Gathering => false,
            Stream::Begun { has_flowed, .. } => {
                !has_flowed || self.deps.position.read().is_none_or(|position| position.flowing)
            }
        }
    }

    /// The first sound of a stream comes after silence, in the middle of a frame.
    fn fade_in(&mut self, frames: usize) {
        let all = self.fade_frames();
        let Stream::Begun { fade_frames, .. } = &mut self.stream else {
            return;
        };
        let now = frames.min(*fade_frames);
        let sound = &mut self.fifo.values[self.fifo.used..][..now * CHANNELS];
        let done = all - *fade_frames;
        *fade_frames -= now;
        fade(sound, |at| (ramp(done) + at) / ramp(all));
    }

    /// Of the card's frames.
    fn fade_frames(&self) -> usize {
        LIVE_FADE_SAMPLES * usize::try_from(self.setup.rate_hz.div_ceil(SAMPLE_RATE_HZ)).unwrap_or(1)
    }

    fn make_frames(&mut self) {
        while matches!(self.stream, Stream::Begun { .. }) {
            let frames = self.resampler.correct(self.drift.correction());
            if self.fifo.frames() < frames || !self.resampler.frame(self.fifo.waiting(), &mut self.frame) {
                return;
            }
            self.fifo.drop_oldest(frames);
            self.finish_frame();
        }
    }

    fn finish_frame(&mut self) {
        amplify(self.frame.as_mut_slice(), self.gain);
        if let Some(limiter) = &mut self.limiter {
            limiter.process(self.frame.as_mut_slice());
        }
        let mut frame = PumpFrame::SILENCE;
        to_i16(self.frame.as_slice(), &mut frame.values);
        self.push(&frame);
    }

    fn push(&mut self, frame: &PumpFrame) {
        // What a full queue drops is counted there.
        self.pushed += u64::from(self.deps.router.push_frame(InputId::Live, frame) == Push::Taken);
        self.deps.tap.push(frame);
    }

    #[allow(clippy::cast_precision_loss)] // small
    fn publish(&self) {
        let stats = &self.deps.stats;
        let queue_ms = self.drift.waiting_samples() / SAMPLES_PER_MS;
        let limiter_samples = if self.limiter.is_some() { LOOKAHEAD_SAMPLES } else { 0 };
        let filters_ms = (self.resampler.delay_samples() + limiter_samples) as f64 / SAMPLES_PER_MS;
        stats.queue_ms.set(Some(queue_ms));
        // A sample waits for the tick that takes its frame, and plays when its turn in it comes.
        let whole_ms = queue_ms + TICK_MS as f64 + filters_ms + self.deps.on_air_lag_ms as f64;
        stats.latency_ms.set(Some(whole_ms));
        stats.ppm.set(self.rate.ppm());
    }
}

/// Multiplies each frame by its gain; `gain` is given the frame's place.
fn fade(sound: &mut [f32], gain: impl Fn(f32) -> f32) {
    for (at, frame) in sound.chunks_exact_mut(CHANNELS).enumerate() {
        let gain = gain(ramp(at));
        frame.iter_mut().for_each(|value| *value *= gain);
    }
}

#[allow(clippy::cast_precision_loss)] // a thousand frames
fn ramp(frames: usize) -> f32 {
    frames as f32
}

#[allow(clippy::cast_precision_loss)] // small
fn samples(ms: u64) -> f64 {
    ms as f64 * SAMPLES_PER_MS
}

#[cfg(test)]
mod tests;
