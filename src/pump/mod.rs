//! `AudioPump`: the tower's sole metronome.

pub mod clock;
pub mod selector;
