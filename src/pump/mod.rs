//! `AudioPump`: the tower's sole metronome.

pub mod clock;
pub mod selector;

use crate::frame::PumpFrame;

/// Where the pump's frames go.
pub trait PcmSink: Send {
    /// Takes the frame of a number. Never blocks.
    fn write_pcm(&mut self, number: u64, frame: &PumpFrame);
}
