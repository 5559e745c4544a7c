//! `EncoderManager`: PCM in, MP3 out, and never nothing.
//!
//! Split into three ends, each owned by one thread: the pump's `PcmInlet`, the
//! broadcaster's `OnAirOutlet`, and the manager, which the service keeps. Only
//! this module knows that there is a supervisor; only the supervisor and its
//! driver know that there is FFmpeg.

mod child;
mod command;
mod drive;
mod events;
mod filler;
mod header;
mod launch;
mod manager;
mod nursery;
mod outlet;
mod packetizer;
pub mod probe;
mod replay;
mod spare;
mod state;
pub(crate) mod stderr;
mod supervisor;
mod tone_loop;

pub use child::Desync;
pub use command::EncoderCommand;
pub use filler::filler;
pub use header::Header;
pub use manager::{EncoderError, EncoderManager, Ends, PcmInlet};
pub use outlet::{FrameKind, OnAirOutlet};
pub use packetizer::{Mp3Packetizer, Packet};
pub use state::EncoderState;
