//! Accepting: how many, how fast, and what happens when there are no descriptors.
//!
//! A descriptor is kept in reserve. When the kernel has none left, the reserve is
//! given up for a moment to accept the newcomer and close it, so that it is told, and
//! the queue does not wake the loop for ever; those who are in do not notice.

use std::{
    fs::File,
    io,
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixListener},
};

use nix::errno::Errno;

use super::admission::{AcceptRate, Peer};
use crate::{frame::TICK_NS, limits::ACCEPTS_PER_TURN};

/// Who came.
pub(super) enum Came {
    /// A connection, non-blocking.
    Somebody(OwnedFd, Peer),
    /// One that had to be sent away for want of descriptors.
    SentAway,
    /// Nobody, or not now.
    Nobody,
}

/// A listening socket and whether somebody may be waiting there.
pub(super) struct Entrance<L> {
    pub(super) listener: L,
    pub(super) waiting: bool,
}

/// What `Entrance` accepts from.
pub(super) trait Accepts {
    /// One connection, non-blocking and closed on exec.
    fn accept_one(&self) -> io::Result<(OwnedFd, Peer)>;
}

impl Accepts for TcpListener {
    fn accept_one(&self) -> io::Result<(OwnedFd, Peer)> {
        let (stream, address) = self.accept()?;
        stream.set_nonblocking(true)?;
        Ok((stream.into(), Peer::of(address)))
    }
}

impl Accepts for UnixListener {
    fn accept_one(&self) -> io::Result<(OwnedFd, Peer)> {
        let (stream, _) = self.accept()?;
        stream.set_nonblocking(true)?;
        Ok((stream.into(), Peer::ControlSocket))
    }
}

/// The pace of accepting.
pub(super) struct Pace {
    rate: AcceptRate,
    reserve: Option<File>,
    paused_until_ns: u64,
    left_in_turn: usize,
}

impl Pace {
    pub(super) fn new(now_ns: u64) -> Self {
        Self { rate: AcceptRate::new(now_ns), reserve: reserve(), paused_until_ns: 0, left_in_turn: 0 }
    }

    /// Between two looks at the tick.
    pub(super) fn new_turn(&mut self) {
        self.left_in_turn = ACCEPTS_PER_TURN;
    }

    /// True if nobody is accepted before the next tick.
    pub(super) fn is_paused(&self, now_ns: u64) -> bool {
        now_ns < self.paused_until_ns
    }

    /// The next connection that may be accepted now.
    pub(super) fn accept(&mut self, from: &impl Accepts, waiting: &mut bool, now_ns: u64) -> Came {
        loop {
            if !*waiting || self.left_in_turn == 0 || self.is_paused(now_ns) {
                return Came::Nobody;
            }
            if !self.rate.take(now_ns) {
                self.paused_until_ns = now_ns + TICK_NS;
                return Came::Nobody;
            }
            self.left_in_turn -= 1;
            match from.accept_one() {
                Ok((socket, peer)) => return Came::Somebody(socket, peer),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => *waiting = false,
                Err(error) if is_exhaustion(&error) => return self.send_away(from, now_ns),
                // That one connection failed; the next may not.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    log::error!("the front door cannot accept: {error}");
                    self.paused_until_ns = now_ns + 1_000_000_000;
                }
            }
        }
    }

    fn send_away(&mut self, from: &impl Accepts, now_ns: u64) -> Came {
        self.reserve = None;
        let sent_away = from.accept_one().is_ok();
        self.reserve = reserve();
        if sent_away {
            return Came::SentAway;
        }
        self.paused_until_ns = now_ns + TICK_NS;
        Came::Nobody
    }
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

fn is_exhaustion(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS))
}

fn is_of_one_connection(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(Errno::ECONNABORTED | Errno::EPROTO | Errno::EPERM | Errno::EINTR | Errno::ENETDOWN | Errno::EHOSTUNREACH)
    )
}
