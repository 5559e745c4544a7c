//! What playout does to sound: levels it and keeps its peaks in bounds. The tools
//! for it are in `crate::sound`.

pub mod chain;
pub mod gain;
pub mod measure;
