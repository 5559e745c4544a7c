//! `MeterTap`: PCM on its way to the meter.
//!
//! The pump and the capture thread put a copy of each frame in; the meter takes it out when it
//! comes round. Nobody waits for anybody: what does not fit is missing in the levels, and counted.

use crate::{
    frame::{PUMP_FRAME_BYTES, PumpFrame},
    limits::METER_PCM,
    ring::FrameRingBuffer,
};

/// Frames from one real-time thread to the meter.
pub struct MeterTap(FrameRingBuffer);

impl Default for MeterTap {
    fn default() -> Self {
        Self(FrameRingBuffer::new(METER_PCM.frames_max, PUMP_FRAME_BYTES, METER_PCM.when_full))
    }
}

impl MeterTap {
    /// Hands a copy over; a full tap drops it. Never blocks.
    pub fn push(&self, frame: &PumpFrame) {
        self.0.push_frame(0, &frame.to_le_bytes());
    }

    /// The oldest frame that waits.
    pub fn pop(&self) -> Option<PumpFrame> {
        let mut bytes = [0; PUMP_FRAME_BYTES];
        self.0.pop_frame(&mut bytes).map(|_| PumpFrame::from_le_bytes(&bytes))
    }

    /// Frames that were dropped: they are missing in the levels.
    pub fn dropped(&self) -> u64 {
        self.0.stats().overflow_count
    }
}
