//! `OnAirOutlet`: the MP3 frame of a number, or a stand-in. Never nothing (M3).

use std::sync::{Arc, OnceLock, atomic::Ordering::Relaxed};

use super::state::EncoderState;
use crate::{
    frame::MP3_FRAME_BYTES_MAX,
    ring::{FrameRingBuffer, Popped},
    stats::EncoderStats,
};

/// Where a frame on air came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// The encoder, for this very number.
    Encoded,
    /// The silent filler.
    Filler,
    /// The loop of fallback tone that stands in while the encoder is DEGRADED.
    ToneLoop,
}

/// The broadcaster's end of the encoder.
pub struct OnAirOutlet {
    mp3: Arc<FrameRingBuffer>,
    stats: Arc<EncoderStats>,
    filler: Box<[u8]>,
    /// Empty until it is encoded.
    tone_loop: Arc<OnceLock<Box<[u8]>>>,
    /// The tone loop stood in last: it does so until the encoder's next frame.
    on_tone: bool,
    held: Option<Popped>,
    buffer: [u8; MP3_FRAME_BYTES_MAX],
}

impl OnAirOutlet {
    /// An outlet over `mp3`, whose frames carry their number as tag.
    pub fn new(
        mp3: Arc<FrameRingBuffer>,
        stats: Arc<EncoderStats>,
        filler: Box<[u8]>,
        tone_loop: Arc<OnceLock<Box<[u8]>>>,
    ) -> Self {
        Self { mp3, stats, filler, tone_loop, on_tone: false, held: None, buffer: [0; MP3_FRAME_BYTES_MAX] }
    }

    /// Bytes of every frame on air (the stream is CBR).
    pub fn frame_bytes(&self) -> usize {
        self.filler.len()
    }

    /// The frame of `number`, `frame_bytes` long. Numbers must not go down. A
    /// frame of an earlier number that comes to light is late: counted, dropped.
    pub fn get_frame(&mut self, number: u64) -> (&[u8], FrameKind) {
        loop {
            match self.held {
                Some(held) if held.tag == number => {
                    self.held = None;
                    self.on_tone = false;
                    return (&self.buffer[..held.len], FrameKind::Encoded);
                }
                Some(held) if held.tag > number => break,
                Some(_) => self.stats.late_frames.add(1),
                None => {}
            }
            self.held = self.mp3.pop_frame(&mut self.buffer);
            if self.held.is_none() {
                break;
            }
        }
        self.stand_in(number)
    }

    /// What is on air instead: from DEGRADED until the encoder delivers again the
    /// tone loop, else silence.
    fn stand_in(&mut self, number: u64) -> (&[u8], FrameKind) {
        self.stats.fillers.add(1);
        self.on_tone |= self.stats.state.load(Relaxed) == EncoderState::Degraded as u8;
        let Some(tone) = self.tone_loop.get().filter(|_| self.on_tone) else {
            return (&self.filler, FrameKind::Filler);
        };
        self.stats.tone_loop_frames.add(1);
        let frames = tone.len() / self.filler.len();
        let at = usize::try_from(number % frames as u64).unwrap_or(0) * self.filler.len();
        (&tone[at..at + self.filler.len()], FrameKind::ToneLoop)
    }

    /// What every listener hears before there is a first number: the filler, not counted.
    pub fn filler(&self) -> &[u8] {
        &self.filler
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::WhenFull;

    fn outlet() -> OnAirOutlet {
        let mp3 = Arc::new(FrameRingBuffer::new(8, 4, WhenFull::DropOldest));
        OnAirOutlet::new(mp3, Arc::default(), Box::new([0; 4]), Arc::default())
    }

    fn heard(outlet: &mut OnAirOutlet, numbers: std::ops::Range<u64>) -> Vec<u8> {
        numbers.map(|number| outlet.get_frame(number).0[0]).collect()
    }

    #[test]
    fn m3_each_number_has_exactly_one_frame_and_the_missing_are_fillers() {
        let mut outlet = outlet();
        for number in [2u8, 3, 6] {
            outlet.mp3.push_frame(u64::from(number), &[number; 4]);
        }
        assert_eq!(heard(&mut outlet, 0..8), [0, 0, 2, 3, 0, 0, 6, 0]);
        assert_eq!((outlet.stats.fillers.get(), outlet.stats.late_frames.get()), (5, 0));
    }

    #[test]
    fn m3_a_frame_whose_tick_has_passed_is_discarded_and_counted() {
        let mut outlet = outlet();
        assert_eq!(heard(&mut outlet, 0..2), [0, 0]);
        for number in [0u8, 1, 2] {
            outlet.mp3.push_frame(u64::from(number), &[9; 4]);
        }
        assert_eq!(heard(&mut outlet, 2..3), [9]);
        assert_eq!(outlet.stats.late_frames.get(), 2);
    }

    #[test]
    fn s7_degraded_repeats_the_tone_loop_in_step_with_the_numbers() {
        let mut outlet = outlet();
        outlet.tone_loop.set(Box::new([1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3])).expect("empty before");
        assert_eq!(heard(&mut outlet, 0..2), [0, 0], "not while it is only restarting");
        outlet.stats.state.store(EncoderState::Degraded as u8, Relaxed);
        assert_eq!(heard(&mut outlet, 2..9), [3, 1, 2, 3, 1, 2, 3]);
        assert_eq!((outlet.stats.fillers.get(), outlet.stats.tone_loop_frames.get()), (9, 7));
        // It runs again, and owes its first frame: no silence between tone and programme.
        outlet.stats.state.store(EncoderState::Running as u8, Relaxed);
        outlet.mp3.push_frame(11, &[7; 4]);
        assert_eq!(heard(&mut outlet, 9..13), [1, 2, 7, 0]);
    }
}
