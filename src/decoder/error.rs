//! Why a file could not be decoded, in words for the log: what, where, and what
//! FFmpeg said about it.

use std::{io, os::unix::process::ExitStatusExt, path::PathBuf, process::ExitStatus, time::Duration};

use thiserror::Error;

/// Why a file could not be decoded.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// No file there, or not one that may be read.
    #[error("{}: cannot read the file: {source}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A list of other files: FFmpeg would open those.
    #[error("{}: this is a playlist and not audio; give the files it names", .0.display())]
    Playlist(PathBuf),
    /// The decoder itself could not be started.
    #[error("{}: cannot start the decoder: {source}", program.display())]
    NotStarted {
        /// Which program.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The decoder gave up, or was ended by somebody else.
    #[error("{}: cannot decode the file ({status}): {words}", file.display())]
    Failed {
        /// Which file.
        file: PathBuf,
        /// How the decoder ended.
        status: ExitStatus,
        /// What it said.
        words: String,
    },
    /// The decoder ended well and gave nothing.
    #[error("{}: there is no audio in the file, or none after the start that was asked for", .0.display())]
    Empty(PathBuf),
    /// Longer than may be kept in memory.
    #[error("{}: the file is longer than {seconds_max} s; use a shorter one", file.display())]
    TooLong {
        /// Which file.
        file: PathBuf,
        /// The limit.
        seconds_max: usize,
    },
    /// The decoder neither gave samples nor ended.
    #[error("{}: the decoder hung for {} ms and was ended: {words}", file.display(), waited.as_millis())]
    Hung {
        /// Which file.
        file: PathBuf,
        /// How long it was waited for.
        waited: Duration,
        /// What it had said.
        words: String,
    },
    /// Reading from the decoder failed.
    #[error("{}: cannot read from the decoder: {source}", file.display())]
    Pipe {
        /// Which file.
        file: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The caller does not want it any more.
    #[error("stopped")]
    Cancelled,
}

impl DecodeError {
    /// Another attempt would end the same: the file is to blame, and not whoever
    /// stopped the decoder, nor a system without one.
    pub fn is_the_files_fault(&self) -> bool {
        match self {
            Self::NotStarted { .. } | Self::Pipe { .. } | Self::Cancelled => false,
            // A disk that has gone comes back, with all its files.
            Self::Unreadable { source, .. } => !matches!(
                source.raw_os_error(),
                Some(
                    libc::ENOENT | libc::EIO | libc::ESTALE | libc::ENODEV | libc::EMFILE | libc::ENFILE | libc::ENOMEM
                )
            ),
            // A crash is the file's fault; being ended by somebody is not.
            Self::Failed { status, .. } => {
                !matches!(status.signal(), Some(libc::SIGKILL | libc::SIGTERM | libc::SIGINT | libc::SIGHUP))
            }
            _ => true,
        }
    }
}
