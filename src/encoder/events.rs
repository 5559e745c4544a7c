//! What the encoder thread reports, and how it reads in the log.

use std::fmt;

use super::{child::Desync, state::EncoderState};
use crate::sys::child::Ended;

/// Why a child is no longer the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// It ended.
    Exit,
    /// It closed its stdout.
    Eof,
    /// It does not read its stdin.
    StdinBroken,
    /// No first frame in time.
    StartupTimeout,
    /// It owes frames and delivers none.
    Stall,
    /// What it delivers does not belong.
    Desync(Desync),
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit => f.write_str("exit"),
            Self::Eof => f.write_str("EOF on its stdout"),
            Self::StdinBroken => f.write_str("broken stdin"),
            Self::StartupTimeout => f.write_str("startup timeout"),
            Self::Stall => f.write_str("stall"),
            Self::Desync(what) => write!(f, "desync ({what})"),
        }
    }
}

/// Something for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderEvent {
    /// A child runs.
    Started {
        /// Its process id.
        pid: u32,
        /// Its nice value.
        nice: Option<i32>,
        /// It stands by.
        spare: bool,
    },
    /// The state has changed.
    State {
        /// Before.
        old: EncoderState,
        /// Now.
        new: EncoderState,
    },
    /// No first frame in 500 ms.
    SlowStart {
        /// The child's process id.
        pid: u32,
    },
    /// A child has failed, and is gone.
    Failed {
        /// Which child, for its last lines.
        generation: u64,
        /// Its process id.
        pid: u32,
        /// It stood by.
        spare: bool,
        /// Why it was given up.
        kind: FailureKind,
        /// How it ended; none: unknown.
        ended: Option<Ended>,
        /// Frames that it had delivered.
        frames: u64,
        /// Frames that it still owed.
        owed: usize,
    },
    /// A child could not be started.
    SpawnFailed {
        /// It would have stood by.
        spare: bool,
        /// The system's error number.
        errno: i32,
    },
    /// The first owed frame after a failure.
    Recovered {
        /// Since the failure was seen.
        after_ms: u64,
    },
    /// The spare is primed.
    SpareReady {
        /// Its process id.
        pid: u32,
    },
    /// Real-time priority was refused.
    NotRealTime,
}

impl EncoderEvent {
    /// How important it is.
    pub fn level(&self) -> log::Level {
        match self {
            Self::Failed { .. } | Self::SlowStart { .. } | Self::NotRealTime => log::Level::Warn,
            Self::SpawnFailed { .. } | Self::State { new: EncoderState::Degraded, .. } => log::Level::Error,
            Self::SpareReady { .. } => log::Level::Debug,
            Self::Started { .. } | Self::State { .. } | Self::Recovered { .. } => log::Level::Info,
        }
    }
}

impl fmt::Display for EncoderEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = |spare| if spare { "spare " } else { "" };
        match self {
            Self::Started { pid, nice, spare } => {
                write!(f, "Started {}ffmpeg PID={pid}", role(*spare))?;
                match nice {
                    Some(nice) if *nice > super::launch::CHILD_NICE => {
                        write!(f, " at nice {nice} ({} was refused)", super::launch::CHILD_NICE)
                    }
                    _ => Ok(()),
                }
            }
            Self::State { old, new } => write!(f, "encoder {} -> {}", old.name(), new.name()),
            Self::SlowStart { pid } => write!(f, "ffmpeg PID={pid} has not delivered a frame in 500 ms"),
            Self::Failed { pid, spare, kind, ended, frames, owed, .. } => {
                write!(f, "{}ffmpeg PID={pid} failed: {kind}, ", role(*spare))?;
                match ended {
                    Some(ended) => write!(f, "{ended}")?,
                    None => f.write_str("exit code unknown")?,
                }
                write!(f, "; {frames} frames delivered, {owed} owed")
            }
            Self::SpawnFailed { spare, errno } => write!(
                f,
                "{}ffmpeg cannot be started: {}; encoder.ffmpeg (TOWER_FFMPEG) must name an FFmpeg with libmp3lame",
                role(*spare),
                std::io::Error::from_raw_os_error(*errno)
            ),
            Self::Recovered { after_ms } => write!(f, "encoder delivers again, {after_ms} ms after the failure"),
            Self::SpareReady { pid } => write!(f, "spare ffmpeg PID={pid} stands ready"),
            Self::NotRealTime => f.write_str("tower:encoder runs at normal priority: real time was refused"),
        }
    }
}
