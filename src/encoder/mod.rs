//! `EncoderManager`: PCM in, MP3 out, and never nothing.
//!
//! Split into three ends, each owned by one thread: the pump's `PcmInlet`, the
//! broadcaster's `OnAirOutlet`, and the manager, which the service keeps. Only
//! this module knows that there is a supervisor.

mod outlet;
mod state;

pub use outlet::{FrameKind, OnAirOutlet};
pub use state::EncoderState;
