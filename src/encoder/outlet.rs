//! `OnAirOutlet`: the MP3 frame of a number, or a stand-in. Never nothing (M3).

use std::sync::Arc;

use crate::{
    frame::MP3_FRAME_BYTES_MAX,
    ring::{FrameRingBuffer, Popped, RingStats},
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
    held: Option<Popped>,
    buffer: [u8; MP3_FRAME_BYTES_MAX],
}

impl OnAirOutlet {
    /// An outlet over `mp3`, whose frames carry their number as tag.
    pub fn new(mp3: Arc<FrameRingBuffer>, stats: Arc<EncoderStats>, filler: Box<[u8]>) -> Self {
        Self {
            mp3,
            stats,
            filler,
            held: None,
            buffer: [0; MP3_FRAME_BYTES_MAX],
        }
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
        self.stats.fillers.add(1);
        (&self.filler, FrameKind::Filler)
    }

    /// What every listener hears before there is a first number: the filler, not counted.
    pub fn filler(&self) -> &[u8] {
        &self.filler
    }

    /// The MP3 queue, for `/status`.
    pub fn mp3_stats(&self) -> RingStats {
        self.mp3.stats()
    }
}
