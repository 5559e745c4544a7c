//! Decoding files to 48 kHz stereo PCM, by FFmpeg as a child (FD).
//!
//! Two faces on the same machinery: [`FfmpegDecoder`] plays a file frame by frame
//! and never keeps its caller waiting; [`decode_whole`] gives a short file at once.
//! Beneath them, `command` holds the command line, `check` what FFmpeg must not be
//! given, `process` the child and what it says. Each child has a thread of its
//! own, because a child dies with the thread that started it.
//!
//! Default probing, on purpose: a shortened one loses the beginning of some files.
//! No `-f mp3` either: it saves nothing that can be measured, and an ID3 tag may
//! stand before other formats.

mod check;
mod command;
mod error;
mod process;
mod stream;
#[cfg(test)]
mod testing;
mod whole;
mod words;

pub(crate) use command::MONO_AT_FULL_LEVEL;
pub use error::DecodeError;
pub use stream::{Decoded, FfmpegDecoder, open_count};
pub use whole::decode_whole;
