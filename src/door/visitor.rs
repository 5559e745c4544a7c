//! A visitor: a connection that has a request, or will have one, and no stream.
//!
//! ```text
//! ReadingHead ─► ReadingBody ─► Relaying ─► Replying ─► Lingering ─► gone
//!      │              └───────────────────────▲
//!      └─ a stream: it becomes a listener; anything else ─┘
//! ```
//!
//! Each state has a deadline. Every read and write is done until the kernel has no
//! more, since epoll tells of changes only (EPOLLET). A reply is followed by a short linger: a
//! socket closed with unread bytes resets the connection, and the reply with it.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, Shutdown, recv, send, shutdown},
};

use super::{
    admission::Ticket,
    events::Subscription,
    head::{BadHead, Parsed, Request, parse},
    relay_to_web::{Progress, Relay},
};
use crate::limits::HEAD_BYTES_MAX;

/// Reads of a lingering connection in one event: 128 KiB.
const DISCARDS_PER_EVENT: usize = 8;

/// A connection and what it is doing.
pub(super) struct Visitor {
    pub(super) socket: OwnedFd,
    pub(super) ticket: Ticket,
    pub(super) accepted_ns: u64,
    pub(super) deadline_ns: u64,
    pub(super) doing: Doing,
}

pub(super) enum Doing {
    ReadingHead { bytes: Vec<u8> },
    ReadingBody { request: Box<Request>, bytes: Vec<u8> },
    Relaying { relay: Relay, to: ReplyTo },
    Replying { bytes: Vec<u8>, sent: usize },
    Subscribed(Subscription),
    Lingering,
}

/// In which form a reply is sent.
#[derive(Clone, Copy)]
pub(super) struct ReplyTo {
    /// The request's HTTP/1.`minor`.
    pub(super) minor: u8,
    /// It was HEAD.
    pub(super) head_only: bool,
}

impl ReplyTo {
    pub(super) fn of(request: &Request) -> Self {
        Self { minor: request.minor, head_only: request.method == "HEAD" }
    }
}

/// To a request that could not be read.
impl Default for ReplyTo {
    fn default() -> Self {
        Self { minor: 1, head_only: false }
    }
}

/// What a visitor needs next.
pub(super) enum Need {
    /// The next event.
    Nothing,
    /// An answer to this request; the bytes are the beginning of its body.
    Answer(Box<Request>, Vec<u8>),
    /// The relay of a request that is whole.
    Relay(Box<Request>, Vec<u8>),
    /// A refusal.
    Refusal(BadHead),
    /// To be told what the control plane said.
    WebReply(Progress, ReplyTo),
    /// To be told what has happened.
    Events,
    /// To linger: its reply is sent.
    Linger,
    /// To be forgotten.
    Removal,
}

enum Received {
    Bytes(usize),
    Nothing,
    End,
}

impl Visitor {
    /// Does what can be done now without waiting.
    pub(super) fn step(&mut self, scratch: &mut [u8]) -> Need {
        match &mut self.doing {
            Doing::ReadingHead { bytes } => read_head(&self.socket, bytes, scratch),
            Doing::ReadingBody { request, bytes } => match read_body(&self.socket, request, bytes, scratch) {
                None => Need::Removal,
                Some(false) => Need::Nothing,
                Some(true) => Need::Relay(std::mem::take(request), std::mem::take(bytes)),
            },
            Doing::Relaying { relay, to } => match relay.step(scratch) {
                Progress::Waiting => Need::Nothing,
                end => Need::WebReply(end, *to),
            },
            Doing::Replying { bytes, sent } => match send_all(&self.socket, bytes, sent) {
                None => Need::Removal,
                Some(false) => Need::Nothing,
                Some(true) => Need::Linger,
            },
            Doing::Subscribed(_) => match discard(&self.socket, scratch) {
                Need::Nothing => Need::Events,
                gone => gone,
            },
            Doing::Lingering => discard(&self.socket, scratch),
        }
    }

    /// No more is sent; what still comes is read and thrown away.
    pub(super) fn linger(&mut self, until_ns: u64) {
        // A peer that is gone shows at the next read.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Write);
        self.doing = Doing::Lingering;
        self.deadline_ns = until_ns;
    }
}

fn read_head(socket: &OwnedFd, bytes: &mut Vec<u8>, scratch: &mut [u8]) -> Need {
    loop {
        let room = HEAD_BYTES_MAX - bytes.len();
        let seen = bytes.len();
        match receive(socket, &mut scratch[..room]) {
            Received::Bytes(n) => bytes.extend_from_slice(&scratch[..n]),
            Received::Nothing => return Need::Nothing,
            Received::End => return Need::Removal,
        }
        match parse(bytes, seen) {
            Parsed::Incomplete => {}
            Parsed::Complete(request, len) => return Need::Answer(request, bytes.split_off(len)),
            Parsed::Bad(bad) => return Need::Refusal(bad),
        }
    }
}

/// True when the body is whole; bytes beyond it are ignored.
fn read_body(socket: &OwnedFd, request: &Request, bytes: &mut Vec<u8>, scratch: &mut [u8]) -> Option<bool> {
    while bytes.len() < request.content_length {
        let room = (request.content_length - bytes.len()).min(scratch.len());
        match receive(socket, &mut scratch[..room]) {
            Received::Bytes(n) => bytes.extend_from_slice(&scratch[..n]),
            Received::Nothing => return Some(false),
            Received::End => return None,
        }
    }
    bytes.truncate(request.content_length);
    Some(true)
}

/// True when everything is sent.
fn send_all(socket: &OwnedFd, bytes: &[u8], sent: &mut usize) -> Option<bool> {
    while *sent < bytes.len() {
        match send(socket.as_raw_fd(), &bytes[*sent..], MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT) {
            Ok(n) => *sent += n,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM) => return Some(false),
            Err(_) => return None,
        }
    }
    Some(true)
}

/// Bounded, or one who sends without end would have the thread to himself. What is
/// left then is not of interest: more of it is a new event, and the deadline ends it.
fn discard(socket: &OwnedFd, scratch: &mut [u8]) -> Need {
    for _ in 0..DISCARDS_PER_EVENT {
        match receive(socket, scratch) {
            Received::Bytes(_) => {}
            Received::Nothing => return Need::Nothing,
            Received::End => return Need::Removal,
        }
    }
    Need::Nothing
}

fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Received {
    loop {
        match recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return Received::End,
            Ok(n) => return Received::Bytes(n),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Received::Nothing,
            Err(_) => return Received::End,
        }
    }
}
