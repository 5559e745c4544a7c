//! What is on air.

/// PROGRAM, GRACE or FALLBACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// An input is on air.
    Program = 0,
    /// No input; silence, for the grace time.
    Grace = 1,
    /// No input; file, tone or silence.
    Fallback = 2,
}

/// What is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// The sound card.
    Live = 0,
    /// The player.
    Station = 1,
    /// Silence: grace, an underrun, or no tone configured.
    Silence = 2,
    /// The fallback file.
    File = 3,
    /// The tone.
    Tone = 4,
}

/// Why it is on air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// Nothing has been on air before.
    Start = 0,
}
