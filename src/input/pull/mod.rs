//! Pulled relay: another radio's stream as an input of the tower.
//!
//! ```text
//!  http(s) ─► ffmpeg ─ PCM ─► Cushion: DriftResampler ─► router (6 s) ─► pump
//!                 └─ words ─► titles, errors
//! ```
//!
//! FFmpeg, as a child, fetches and decodes whatever it can; the thread `tower:pull` starts it, takes its sound,
//! and starts it again when it dies, stands still or has nothing. FFmpeg is not told to reconnect by itself:
//! one who waits inside it can be neither seen nor counted. The remote clock and the network are met by
//! a cushion of seconds (`cushion`), which nobody but the network sees the bottom of: a source that is
//! back before it is empty was never missed.
//!
//! Nobody waits for this thread, and it waits for no one but FFmpeg and the clock. It never touches the tick.

mod child;
mod command;
pub mod cushion;
pub mod life;
pub mod source;
mod thread;
mod words;

pub use thread::{PullDeps, PullHandle, start};

use crate::published::published;

published! {
    /// Where the thread is.
    pub enum PullState, name, else Off {
        /// No stream is configured.
        Off = "off",
        /// No FFmpeg runs; the next attempt comes.
        Waiting = "waiting",
        /// FFmpeg runs and has given nothing yet.
        Connecting = "connecting",
        /// Its sound comes.
        Running = "running",
    }
}
