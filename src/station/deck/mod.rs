//! `Deck`: segments into blocks of 1024 samples, joined on the sample.
//!
//! Where one segment ends the next begins, in the middle of a block if need be,
//! so nothing is inserted and nothing is lost. A song whose level has fallen is
//! faded out under the next one, which begins at full level; everything else
//! (jingles, station IDs, intros, outros) is cut hard. The deck never waits: a
//! decoder that has nothing yet leaves the block unfinished. Pure but for its
//! sources: no clock, no socket.

use std::{collections::VecDeque, sync::Arc};

use super::{sound::chain::SoundChain, track::TrackKind};
use crate::{
    decoder::{DecodeError, Decoded, FfmpegDecoder},
    frame::{CHANNELS, SAMPLE_RATE_HZ, STATION_FRAME_BYTES, STATION_FRAME_SAMPLES, StationFrame},
    sound::mix,
};

/// A segment that is skipped fades out over this.
pub const SKIP_FADE_SAMPLES: u64 = 300 * SAMPLE_RATE_HZ as u64 / 1000;
/// The last segment fades out over this before the sign-off.
pub const END_FADE_SAMPLES: u64 = SAMPLE_RATE_HZ as u64;
/// A source that breaks off in mid-sound is led to zero over this: 5 ms.
const TAIL_SAMPLES: usize = 240;
/// Interleaved values of a block.
const BLOCK_VALUES: usize = STATION_FRAME_SAMPLES * CHANNELS;

/// Where PCM comes from: a decoder, or in tests a list.
pub trait Source: Send {
    /// The next frame, if there is one yet. Never waits.
    fn try_frame(&mut self) -> Decoded;
}

impl Source for FfmpegDecoder {
    fn try_frame(&mut self) -> Decoded {
        Self::try_frame(self)
    }
}

/// Points within a segment, in samples from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cues {
    /// Silence up to here is left out.
    pub begin: u64,
    /// From here on the level has fallen: the next song may begin.
    pub fallen: u64,
    /// After this there is only silence, which is left out.
    pub end: u64,
}

/// What THINK hands over: chosen, opened, levelled.
pub struct Segment {
    /// Counted by THINK.
    pub id: u64,
    /// Songs overlap with songs; nothing else does.
    pub kind: TrackKind,
    /// Opened ahead.
    pub source: Box<dyn Source>,
    /// Linear.
    pub gain: f32,
    /// None: played from the first sample to the last.
    pub cues: Option<Cues>,
}

/// How a segment ended.
#[derive(Debug)]
pub enum Outcome {
    /// At its end.
    Finished,
    /// By hand.
    Skipped,
    /// Its decoder failed.
    Failed(Arc<DecodeError>),
    /// Its decoder gave nothing for too long.
    Starved,
}

/// What DO tells THINK.
#[derive(Debug)]
pub enum DeckEvent {
    /// Its first sample is in the block that is being filled. What never has a
    /// sample never starts; it only ends.
    Started {
        /// Which segment.
        id: u64,
    },
    /// Its last sample was played.
    Ended {
        /// Which segment.
        id: u64,
        /// How.
        outcome: Outcome,
        /// Samples that were played.
        samples: u64,
    },
}

/// How far a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// Whole: take it.
    Whole,
    /// A decoder has nothing yet.
    Waiting,
    /// There is no segment to go on with; so many samples of the block are filled.
    Dry(usize),
}

/// A segment that is being played.
struct Playing {
    segment: Segment,
    frame: StationFrame,
    /// Samples of `frame` that were played.
    used: usize,
    /// Samples that were taken from the source, the left-out ones too.
    position: u64,
    played: u64,
    /// Set once: a source is not asked again after its end.
    over: Option<Outcome>,
}

/// What a source has at this moment.
enum Ready {
    Samples(usize),
    NotYet,
    Over,
}

impl Playing {
    fn new(segment: Segment) -> Self {
        Self {
            segment,
            frame: StationFrame { samples: 0, ..StationFrame::SILENCE },
            used: 0,
            position: 0,
            played: 0,
            over: None,
        }
    }

    /// Samples that can be taken now; leaves out the silence before and after.
    fn ready(&mut self) -> Ready {
        loop {
            let left = self.frame.samples - self.used;
            if self.over.is_some() {
                return Ready::Over;
            }
            if let Some(cues) = self.segment.cues {
                if self.position >= cues.end {
                    self.over = Some(Outcome::Finished);
                    continue;
                }
                let silence = usize::try_from(cues.begin.saturating_sub(self.position)).unwrap_or(usize::MAX).min(left);
                if silence > 0 {
                    self.used += silence;
                    self.position += silence as u64;
                    continue;
                }
            }
            if left > 0 {
                let end = self.segment.cues.map_or(u64::MAX, |cues| cues.end);
                return Ready::Samples(left.min(usize::try_from(end - self.position).unwrap_or(usize::MAX)));
            }
            match self.segment.source.try_frame() {
                Decoded::Frame(frame) => (self.frame, self.used) = (frame, 0),
                Decoded::NotYet => return Ready::NotYet,
                Decoded::End => self.over = Some(Outcome::Finished),
                Decoded::Failed(error) => self.over = Some(Outcome::Failed(error)),
            }
        }
    }

    /// Adds its next samples to `out`, each times `volume(i)`. Gives the last pair.
    fn add_to(&mut self, out: &mut [f32], volume: impl Fn(usize) -> f32) -> [f32; CHANNELS] {
        let samples = out.len() / CHANNELS;
        let values = &self.frame.values[self.used * CHANNELS..(self.used + samples) * CHANNELS];
        let mut last = [0.0; CHANNELS];
        for (i, (pair, to)) in values.chunks_exact(CHANNELS).zip(out.chunks_exact_mut(CHANNELS)).enumerate() {
            let volume = self.segment.gain * volume(i);
            for ((value, to), last) in pair.iter().zip(to).zip(&mut last) {
                *last = f32::from(*value) / mix::FULL_SCALE * volume;
                *to += *last;
            }
        }
        self.used += samples;
        self.position += samples as u64;
        self.played += samples as u64;
        last
    }

    fn ended(self, outcome: Outcome) -> DeckEvent {
        DeckEvent::Ended { id: self.segment.id, outcome, samples: self.played }
    }
}

/// A segment on its way out, under the next one.
struct Leaving {
    playing: Playing,
    at: u64,
    length: u64,
    skipped: bool,
}

/// The player's deck.
pub struct Deck {
    current: Option<Playing>,
    leaving: Option<Leaving>,
    queue: VecDeque<Playing>,
    block: Box<[f32; BLOCK_VALUES]>,
    /// Samples of `block` that are filled.
    filled: usize,
    chain: SoundChain,
    overlap_max: u64,
    /// Where the sound broke off, and how much of the way to zero is left.
    tail: ([f32; CHANNELS], usize),
    /// The last pair that was played of `current`.
    last: [f32; CHANNELS],
    /// Samples of silence since the last sound: what the chain still holds back.
    silent: usize,
    events: VecDeque<DeckEvent>,
}

impl Deck {
    /// An empty deck. Songs overlap by at most `overlap_max` samples.
    pub fn new(chain: SoundChain, overlap_max: u64) -> Self {
        Self {
            current: None,
            leaving: None,
            queue: VecDeque::new(),
            block: Box::new([0.0; BLOCK_VALUES]),
            filled: 0,
            chain,
            overlap_max,
            tail: ([0.0; CHANNELS], 0),
            last: [0.0; CHANNELS],
            silent: usize::MAX,
            events: VecDeque::new(),
        }
    }

    /// Behind all others.
    pub fn push(&mut self, segment: Segment) {
        self.queue.push_back(Playing::new(segment));
    }

    /// Takes back what has not begun, in order.
    pub fn clear(&mut self) -> Vec<u64> {
        self.queue.drain(..).map(|waiting| waiting.segment.id).collect()
    }

    /// What has happened, in order.
    pub fn next_event(&mut self) -> Option<DeckEvent> {
        self.events.pop_front()
    }

    /// Samples played of the current segment, the left-out ones too.
    pub fn position(&self) -> u64 {
        self.current.as_ref().map_or(0, |playing| playing.position)
    }

    /// Nothing plays and nothing waits.
    pub fn is_empty(&self) -> bool {
        self.current.is_none() && self.leaving.is_none() && self.queue.is_empty()
    }

    /// The segment that plays, or is the next to play.
    pub fn current_id(&self) -> Option<u64> {
        self.current.as_ref().map(|playing| playing.segment.id)
    }

    /// Some sound has not come out yet: the block is begun, or the chain or a way to
    /// zero holds the last of it.
    pub fn holds_sound(&self) -> bool {
        self.filled > 0 || self.tail.1 > 0 || self.silent < self.chain.delay_samples()
    }

    /// On to the next segment, while the current one fades out over `fade_samples`.
    pub fn skip(&mut self, fade_samples: u64) {
        match self.current.take() {
            Some(playing) if playing.played > 0 => self.leave(playing, fade_samples, true),
            // Nobody has heard it.
            Some(playing) => self.events.push_back(playing.ended(Outcome::Skipped)),
            None => {}
        }
    }

    /// The next segment has its first samples, or has ended without any.
    pub fn next_is_ready(&mut self) -> bool {
        self.queue.front_mut().is_some_and(|next| !matches!(next.ready(), Ready::NotYet))
    }

    /// Gives up what keeps the block waiting, if there is something to go on with.
    pub fn abandon(&mut self) -> bool {
        if let Some(leaving) = self.leaving.take_if(|leaving| matches!(leaving.playing.ready(), Ready::NotYet)) {
            self.break_off();
            self.tell_end(leaving);
            return true;
        }
        if self.queue.is_empty() {
            return false;
        }
        if let Some(playing) = self.current.take() {
            if playing.played > 0 {
                self.break_off();
            }
            self.events.push_back(playing.ended(Outcome::Starved));
        }
        true
    }

    fn leave(&mut self, playing: Playing, length: u64, skipped: bool) {
        // One fade at a time: an older one is led to zero.
        if let Some(older) = self.leaving.take() {
            self.break_off();
            self.tell_end(older);
        }
        self.leaving = Some(Leaving { playing, at: 0, length, skipped });
    }

    fn tell_end(&mut self, leaving: Leaving) {
        let outcome = if leaving.skipped { Outcome::Skipped } else { Outcome::Finished };
        self.events.push_back(leaving.playing.ended(outcome));
    }

    /// Fills the block as far as it can be filled now.
    pub fn fill(&mut self) -> Fill {
        while self.filled < STATION_FRAME_SAMPLES {
            self.begin_overlap();
            self.begin_next();
            let Some(samples) = self.samples_now() else {
                return Fill::Waiting;
            };
            if samples > 0 {
                self.mix(samples);
            } else if self.is_empty() {
                return Fill::Dry(self.filled);
            }
        }
        Fill::Whole
    }

    /// The rest of the block becomes silence: nothing follows.
    pub fn pad(&mut self) {
        let samples = STATION_FRAME_SAMPLES - self.filled;
        let sound = self.tail.1.min(samples);
        self.end_tail(samples);
        self.silent = (samples - sound).saturating_add(if sound > 0 { 0 } else { self.silent });
        self.filled = STATION_FRAME_SAMPLES;
    }

    /// The whole block, as it goes to the tower.
    pub fn take(&mut self, bytes: &mut [u8; STATION_FRAME_BYTES]) {
        self.chain.process(&mut self.block[..]);
        let mut values = [0; BLOCK_VALUES];
        mix::to_i16(&self.block[..], &mut values);
        for (value, pair) in values.iter().zip(bytes.chunks_exact_mut(2)) {
            pair.copy_from_slice(&value.to_le_bytes());
        }
        self.block.fill(0.0);
        self.filled = 0;
    }

    fn begin_next(&mut self) {
        if self.current.is_none() {
            self.current = self.queue.pop_front();
        }
    }

    /// A song whose level has fallen leaves, if the next song can begin at once.
    fn begin_overlap(&mut self) {
        let (Some(current), Some(next)) = (&self.current, self.queue.front_mut()) else {
            return;
        };
        let Some(cues) = current.segment.cues else {
            return;
        };
        let songs = current.segment.kind == TrackKind::Song && next.segment.kind == TrackKind::Song;
        let due = songs && current.position >= cues.fallen && current.position < cues.end;
        if !due || self.overlap_max == 0 || !matches!(next.ready(), Ready::Samples(_)) {
            return;
        }
        let length = (cues.end - current.position).min(self.overlap_max);
        if let Some(playing) = self.current.take() {
            self.leave(playing, length, false);
        }
    }

    /// Samples that all who play have now, up to the next point where something
    /// changes; 0: something has just ended. None: somebody has nothing yet.
    fn samples_now(&mut self) -> Option<usize> {
        let mut samples = STATION_FRAME_SAMPLES - self.filled;
        let mut anybody = false;
        if let Some(leaving) = &mut self.leaving {
            let left = usize::try_from(leaving.length - leaving.at).unwrap_or(usize::MAX);
            match leaving.playing.ready() {
                Ready::Samples(ready) if left > 0 => samples = samples.min(ready).min(left),
                Ready::NotYet if left > 0 => return None,
                _ => {
                    self.end_leaving();
                    return Some(0);
                }
            }
            anybody = true;
        }
        if let Some(current) = &mut self.current {
            match current.ready() {
                Ready::Samples(ready) => samples = samples.min(ready).min(before_fallen(current)),
                Ready::NotYet => return None,
                Ready::Over => {
                    self.end_current();
                    return Some(0);
                }
            }
            anybody = true;
        }
        Some(if anybody { samples } else { 0 })
    }

    fn mix(&mut self, samples: usize) {
        let out = &mut self.block[self.filled * CHANNELS..(self.filled + samples) * CHANNELS];
        if let Some(current) = &mut self.current {
            if current.played == 0 {
                self.events.push_back(DeckEvent::Started { id: current.segment.id });
            }
            self.last = current.add_to(out, |_| 1.0);
        }
        if let Some(leaving) = &mut self.leaving {
            let (at, fade) = (leaving.at, mix::Crossfade { samples: leaving.length });
            let last = leaving.playing.add_to(out, |i| fade.gains(at + i as u64).0);
            leaving.at += samples as u64;
            if self.current.is_none() {
                self.last = last;
            }
        }
        self.end_tail(samples);
        self.silent = 0;
        self.filled += samples;
    }

    /// Adds the next samples of the way to zero.
    fn end_tail(&mut self, samples: usize) {
        let (from, left) = &mut self.tail;
        let out = &mut self.block[self.filled * CHANNELS..];
        for pair in out.chunks_exact_mut(CHANNELS).take(samples.min(*left)) {
            #[allow(clippy::cast_precision_loss)] // at most 240
            let volume = *left as f32 / TAIL_SAMPLES as f32;
            pair.iter_mut().zip(&*from).for_each(|(value, from)| *value += from * volume);
            *left -= 1;
        }
    }

    /// The sound stops where it is: from there it goes to zero, without a step.
    fn break_off(&mut self) {
        self.tail = (self.last, TAIL_SAMPLES);
    }

    fn end_current(&mut self) {
        let Some(mut playing) = self.current.take() else {
            return;
        };
        let outcome = playing.over.take().unwrap_or(Outcome::Finished);
        if matches!(outcome, Outcome::Failed(_)) && playing.played > 0 {
            self.break_off();
        }
        self.events.push_back(playing.ended(outcome));
    }

    fn end_leaving(&mut self) {
        let Some(mut leaving) = self.leaving.take() else {
            return;
        };
        match leaving.playing.over.take() {
            Some(outcome @ Outcome::Failed(_)) => {
                self.break_off();
                self.events.push_back(leaving.playing.ended(outcome));
            }
            _ => self.tell_end(leaving),
        }
    }
}

/// Samples until the level has fallen, so that an overlap begins on the sample.
fn before_fallen(current: &Playing) -> usize {
    match current.segment.cues {
        Some(cues) if current.position < cues.fallen => {
            usize::try_from(cues.fallen - current.position).unwrap_or(usize::MAX)
        }
        _ => usize::MAX,
    }
}

#[cfg(test)]
mod tests;
