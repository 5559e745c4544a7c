//! Asks the station that runs: one line out, one line in, over its control socket.
//!
//! Time and size are bounded: somebody else may sit at that path, and a station may
//! be stopped in a debugger.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket},
};

use crate::{
    limits::{STATION_REPLY_BYTES_MAX, STATION_REPLY_MS},
    station::control::protocol::{Answer, Request, reply_from_line},
    sys::time::{now_ms, sleep_until},
};

/// Between two attempts while the station's queue of connections is full.
const RETRY_MS: u64 = 50;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("{}: no station is running here; start one with `station run`", .0.display())]
    NotRunning(PathBuf),
    /// It listens and does not answer.
    #[error("{}: the station has not answered within {} s", .0.display(), STATION_REPLY_MS / 1000)]
    TooSlow(PathBuf),
    /// Somebody else.
    #[error("{}: what answers there is no station, or one of another version", .0.display())]
    NotAStation(PathBuf),
    /// The system refused.
    #[error("{}: cannot ask the station: {source}", path.display())]
    System {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The station refused, and says why.
    #[error("{0}")]
    Refused(String),
}

/// The answer, and the line it came in.
///
/// # Errors
/// When there is none within the bounds, or the station refused.
pub fn ask(socket: &Path, request: &Request) -> Result<(Answer, String), AskError> {
    let give_up_ms = now_ms() + STATION_REPLY_MS;
    let line = exchange(socket, &request.to_line(), give_up_ms).map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => AskError::TooSlow(socket.to_owned()),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NotRunning(socket.to_owned()),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => AskError::NotAStation(socket.to_owned()),
        _ => AskError::System { path: socket.to_owned(), source: error },
    })?;
    match reply_from_line(&line) {
        Some(Ok(answer)) => Ok((answer, line)),
        Some(Err(why)) => Err(AskError::Refused(why)),
        None => Err(AskError::NotAStation(socket.to_owned())),
    }
}

fn exchange(path: &Path, request: &str, give_up_ms: u64) -> io::Result<String> {
    let mut stream = connected(path, give_up_ms)?;
    let mut rest = request.as_bytes();
    while !rest.is_empty() {
        wait(&stream, PollFlags::POLLOUT, give_up_ms)?;
        match stream.write(rest) {
            Ok(taken) => rest = &rest[taken..],
            Err(error) if passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    reply(&mut stream, give_up_ms)
}

/// Up to its line break.
fn reply(stream: &mut UnixStream, give_up_ms: u64) -> io::Result<String> {
    let (mut line, mut piece) = (Vec::new(), [0; 16 << 10]);
    while line.last() != Some(&b'\n') {
        wait(stream, PollFlags::POLLIN, give_up_ms)?;
        match stream.read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(taken) => line.extend_from_slice(&piece[..taken]),
            Err(error) if passing(&error) => {}
            Err(error) => return Err(error),
        }
        if line.len() > STATION_REPLY_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    String::from_utf8(line).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// A blocking `connect` would wait for ever on a station that accepts nobody.
fn connected(path: &Path, give_up_ms: u64) -> io::Result<UnixStream> {
    let address = UnixAddr::new(path)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    loop {
        let fd: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        match connect(fd.as_raw_fd(), &address) {
            Ok(()) => return Ok(fd.into()),
            Err(Errno::EAGAIN) if now_ms() < give_up_ms => sleep_until((now_ms() + RETRY_MS) * 1_000_000)?,
            Err(Errno::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn wait(stream: &UnixStream, what: PollFlags, give_up_ms: u64) -> io::Result<()> {
    let left_ms = give_up_ms.saturating_sub(now_ms());
    let mut asked = [PollFd::new(stream.as_fd(), what)];
    let timeout = PollTimeout::try_from(left_ms).unwrap_or(PollTimeout::MAX);
    match poll(&mut asked, timeout) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
