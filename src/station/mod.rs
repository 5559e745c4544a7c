//! The station: a player that chooses, decodes, levels and joins music, and
//! sends it to the tower in its own time.
//!
//! It THINKs (chooses and opens what comes next, off the audio path) and DOes
//! (plays exactly that). Nothing it asks, waits for or writes delays a frame.

pub mod track;

pub mod history;
pub mod library;
pub(crate) mod lossless_path;
pub mod state;

pub mod rotation;
pub mod sound;

pub mod measuring;
pub mod think;

pub mod deck;
pub mod pace;
pub mod playout;
pub mod sink;
pub mod tower_link;

pub mod control;
pub mod service;

pub mod clock;
pub mod stats;
