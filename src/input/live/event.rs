//! What the capture thread has to say while a card runs, as small values: the main thread
//! makes words of them.

use std::fmt;

use super::card::Setup;

/// Something that belongs in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveEvent {
    /// A card gives sound, and this is how.
    Runs(Setup),
    /// Sound was lost because nobody came for it; so many times by now.
    Xrun(u64),
    /// The card or the machine stood still, and its sound begins anew at its place.
    Restarted,
    /// Real-time priority was refused, with this errno; capture runs without it.
    RealTimeRefused(i32),
}

impl LiveEvent {
    /// How much it matters.
    pub fn level(&self) -> log::Level {
        match self {
            Self::Runs(_) => log::Level::Info,
            Self::Xrun(_) | Self::Restarted | Self::RealTimeRefused(_) => log::Level::Warn,
        }
    }
}

impl fmt::Display for LiveEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs(setup) => write!(f, "sound card: it runs: {setup}"),
            Self::Xrun(xruns) => write!(f, "sound card: overrun, some of its sound is lost; {xruns} by now"),
            Self::Restarted => write!(f, "sound card: it stood still; its sound begins anew"),
            Self::RealTimeRefused(errno) => {
                let error = std::io::Error::from_raw_os_error(*errno);
                write!(f, "no real-time priority for capture ({error}); it runs at normal priority")
            }
        }
    }
}
