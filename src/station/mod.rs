//! The station: a player that chooses, decodes, levels and joins music, and
//! sends it to the tower in its own time.
//!
//! It THINKs (chooses and opens what comes next, off the audio path) and DOes
//! (plays exactly that). Nothing it asks, waits for or writes delays a frame.

pub mod history;
pub mod library;
pub mod lossless_path;
pub mod rotation;
pub mod state;
pub mod track;
