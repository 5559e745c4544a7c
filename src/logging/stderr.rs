//! The last resort, which never blocks either (LOG4).
//!
//! Stderr is shared with whoever started us, so it is never set non-blocking:
//! that would change it for them too. Instead it is asked first, and given no
//! more than a pipe with room is sure to take.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::{AsFd, OwnedFd},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A pipe that is writable takes this much without waiting (PIPE_BUF).
const BYTES_MAX: usize = 4096;

/// Where a person may be looking, or nobody.
#[derive(Debug)]
pub struct Stderr {
    file: Option<File>,
    is_terminal: bool,
}

impl Stderr {
    /// Ours. A copy of the descriptor: std's own has a lock that others may hold.
    pub fn of_process() -> Self {
        Self::from(io::stderr().as_fd().try_clone_to_owned().ok())
    }

    /// A person is looking.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes a line; false if it would have to wait, or there is no stderr.
    pub fn write(&mut self, line: &str) -> bool {
        let bytes = &line.as_bytes()[..line.len().min(BYTES_MAX)];
        match &mut self.file {
            Some(file) => is_writable(file) && file.write(bytes).is_ok_and(|taken| taken == bytes.len()),
            None => false,
        }
    }
}

impl From<Option<OwnedFd>> for Stderr {
    fn from(fd: Option<OwnedFd>) -> Self {
        let file = fd.map(File::from);
        Self { is_terminal: file.as_ref().is_some_and(IsTerminal::is_terminal), file }
    }
}

fn is_writable(file: &File) -> bool {
    let mut asked = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
    poll(&mut asked, PollTimeout::ZERO) == Ok(1) && asked[0].revents() == Some(PollFlags::POLLOUT)
}
