//! `Reblocker`: a sender's byte stream in, pump frames out.
//!
//! Nine station frames are eight pump frames, so samples wait here between the
//! two. None is lost, added or altered, with one exception: what waits when the
//! sender goes is faded out over at most 5 ms and completed with zeros. Only
//! whole sender frames pass. Pure: bytes in, frames out, no clock.

use crate::{
    frame::{CHANNELS, PUMP_FRAME_VALUES, PumpFrame},
    limits::REST_FADE_SAMPLES,
};

/// The way of one sender's bytes.
#[derive(Debug)]
pub struct Reblocker {
    sender_frame_bytes: usize,
    /// Bytes of the sender's frame that have passed, kept or not.
    position: usize,
    /// The bytes of the frame in progress; empty if its beginning was not kept.
    partial: Vec<u8>,
    /// The pump frame in progress, `filled` values of it.
    out: PumpFrame,
    filled: usize,
}

impl Reblocker {
    /// For a sender whose frames hold `frame_samples` samples per channel.
    pub fn new(frame_samples: usize) -> Self {
        let sender_frame_bytes = frame_samples * CHANNELS * size_of::<i16>();
        Self {
            sender_frame_bytes,
            position: 0,
            partial: Vec::with_capacity(sender_frame_bytes),
            out: PumpFrame::SILENCE,
            filled: 0,
        }
    }

    /// Takes bytes, cut anywhere, and hands on each pump frame that they complete.
    pub fn feed(&mut self, mut bytes: &[u8], mut push: impl FnMut(&PumpFrame)) {
        while !bytes.is_empty() {
            let wanted = self.sender_frame_bytes - self.position;
            let (now, rest) = bytes.split_at(wanted.min(bytes.len()));
            // A frame whose beginning was discarded is discarded to its end.
            if self.partial.len() == self.position {
                self.partial.extend_from_slice(now);
            }
            self.position += now.len();
            if self.position == self.sender_frame_bytes {
                self.take_sender_frame(&mut push);
            }
            bytes = rest;
        }
    }

    /// Lets `count` bytes pass unheard, and keeps count of the frame borders.
    pub fn discard(&mut self, count: usize) {
        self.position = (self.position + count) % self.sender_frame_bytes;
        self.partial.clear();
    }

    /// Ends the stream: the samples of whole frames that still wait, faded out, if
    /// there are any. What comes after that begins anew.
    pub fn finish(&mut self) -> Option<PumpFrame> {
        let filled = std::mem::take(&mut self.filled);
        if filled == 0 {
            return None;
        }
        let mut last = std::mem::replace(&mut self.out, PumpFrame::SILENCE);
        last.values[filled..].fill(0);
        fade_out_end(&mut last.values[..filled]);
        Some(last)
    }

    /// True in the middle of a sender's frame: what was sent of it is a partial frame.
    pub fn is_mid_frame(&self) -> bool {
        self.position != 0
    }

    fn take_sender_frame(&mut self, push: &mut impl FnMut(&PumpFrame)) {
        for pair in self.partial.chunks_exact(2) {
            self.out.values[self.filled] = i16::from_le_bytes([pair[0], pair[1]]);
            self.filled += 1;
            if self.filled == PUMP_FRAME_VALUES {
                self.filled = 0;
                push(&self.out);
            }
        }
        self.partial.clear();
        self.position = 0;
    }
}

/// Brings the last 5 ms, or all if it is less, down to zero in a straight line.
fn fade_out_end(values: &mut [i16]) {
    let samples = (values.len() / CHANNELS).min(REST_FADE_SAMPLES);
    let first = values.len() - samples * CHANNELS;
    let steps = i32::try_from(samples + 1).unwrap_or(i32::MAX);
    for (left, sample) in (1..steps).rev().zip(values[first..].chunks_exact_mut(CHANNELS)) {
        for value in sample {
            *value = i16::try_from(i32::from(*value) * left / steps).unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::{PUMP_FRAME_BYTES, STATION_FRAME_BYTES, STATION_FRAME_SAMPLES};

    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..bytes).map(|_| next()).collect()
    }

    fn frames_of(reblocker: &mut Reblocker, bytes: &[u8]) -> Vec<PumpFrame> {
        let mut frames = Vec::new();
        reblocker.feed(bytes, |frame| frames.push(*frame));
        frames
    }

    fn bytes_of(frames: &[PumpFrame]) -> Vec<u8> {
        frames.iter().flat_map(PumpFrame::to_le_bytes).collect()
    }

    #[test]
    fn c3_nine_station_frames_are_eight_pump_frames_exactly() {
        let bytes = noise(9 * STATION_FRAME_BYTES);
        let mut reblocker = Reblocker::new(STATION_FRAME_SAMPLES);
        let frames = frames_of(&mut reblocker, &bytes);
        assert_eq!(frames.len(), 8);
        assert_eq!(bytes_of(&frames), bytes);
        assert_eq!(reblocker.finish(), None);
    }

    #[test]
    fn c3_a_sender_of_pump_frames_passes_unchanged() {
        let bytes = noise(5 * PUMP_FRAME_BYTES + 100);
        let mut reblocker = Reblocker::new(1152);
        assert_eq!(bytes_of(&frames_of(&mut reblocker, &bytes)), bytes[..5 * PUMP_FRAME_BYTES]);
        assert!(reblocker.is_mid_frame());
        assert_eq!(reblocker.finish(), None, "a partial frame is not heard");
    }

    #[test]
    fn n2_the_rest_is_faded_out_over_5_ms_and_completed_with_zeros() {
        let mut reblocker = Reblocker::new(STATION_FRAME_SAMPLES);
        let loud = 20_000i16.to_le_bytes().repeat(2 * STATION_FRAME_SAMPLES);
        assert!(frames_of(&mut reblocker, &loud).is_empty());
        assert!(frames_of(&mut reblocker, &loud[..77]).is_empty());
        let last = reblocker.finish().expect("1024 samples wait");
        let fade = 2 * (STATION_FRAME_SAMPLES - REST_FADE_SAMPLES);
        assert!(last.values[..fade].iter().all(|v| *v == 20_000), "before the fade");
        assert!(last.values[2 * STATION_FRAME_SAMPLES..].iter().all(|v| *v == 0));
        let steepest = last.values.windows(3).map(|w| w[0] - w[2]).max();
        assert_eq!(steepest, Some(20_000 / 241 + 1));
        assert_eq!(reblocker.finish(), None, "once");
    }

    #[test]
    fn n4_what_is_discarded_keeps_the_frame_borders() {
        let bytes = noise(20 * STATION_FRAME_BYTES);
        let mut reblocker = Reblocker::new(STATION_FRAME_SAMPLES);
        reblocker.discard(3 * STATION_FRAME_BYTES + 5);
        assert!(reblocker.is_mid_frame());
        let heard = frames_of(&mut reblocker, &bytes[3 * STATION_FRAME_BYTES + 5..]);
        let from = &bytes[4 * STATION_FRAME_BYTES..];
        assert_eq!(bytes_of(&heard), from[..heard.len() * PUMP_FRAME_BYTES]);
        assert_eq!(heard.len(), 16 * 8 / 9);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn n1_any_chunking_gives_the_same_frames(
            cuts in prop::collection::vec(1usize..9000, 1..40),
            samples in prop::sample::select(vec![1024usize, 1152]),
        ) {
            let bytes = noise(cuts.iter().sum());
            let mut whole = Reblocker::new(samples);
            let expected = frames_of(&mut whole, &bytes);
            let (mut cut, mut frames, mut at) = (Reblocker::new(samples), Vec::new(), 0);
            for length in cuts {
                frames.extend(frames_of(&mut cut, &bytes[at..at + length]));
                at += length;
            }
            prop_assert_eq!(bytes_of(&frames), &bytes[..frames.len() * PUMP_FRAME_BYTES]);
            prop_assert_eq!(frames, expected);
            prop_assert_eq!(cut.finish(), whole.finish());
        }
    }
}
