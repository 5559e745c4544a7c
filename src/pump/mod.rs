//! `AudioPump`: the tower's sole metronome.

pub mod clock;
pub mod fade;
pub mod level;
pub mod metronome;
pub mod presence;
pub mod selector;
