//! The relay to the control plane: one request out, one whole reply back.
//!
//! tiny_http has neither time-outs nor limits, so it only ever sees requests that
//! the door has read to the end and rebuilt from a whitelist, and its whole reply is taken at once,
//! whatever the speed of the client: no web thread ever waits for a stranger.
//!
//! Requests go out as HTTP/1.0, so that the reply ends where the connection does.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket},
};

use super::{head::Request, reply::status_line};
use crate::limits::{HEADERS_MAX, WEB_REPLY_BYTES_MAX};

/// The header by which the control plane knows where a request came from. Only the
/// door writes it: a request is rebuilt from a whitelist, so one from outside never passes.
pub const ORIGIN_HEADER: &str = "X-Tower-From";

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `control.sock`.
    ControlSocket,
    /// TCP from this machine, and through no proxy.
    Loopback,
    /// Anywhere else.
    Remote,
}

impl Origin {
    /// As in the header.
    pub fn name(self) -> &'static str {
        match self {
            Self::ControlSocket => "control-socket",
            Self::Loopback => "loopback",
            Self::Remote => "remote",
        }
    }

    /// Back from the header. What is not known is remote.
    pub fn from_name(name: &str) -> Self {
        [Self::ControlSocket, Self::Loopback].into_iter().find(|origin| origin.name() == name).unwrap_or(Self::Remote)
    }
}

/// The request as the control plane sees it.
pub fn rebuilt(request: &Request, origin: Origin, body: &[u8]) -> Vec<u8> {
    let query = request.query.as_ref().map(|q| format!("?{q}")).unwrap_or_default();
    let mut head = format!("{} {}{query} HTTP/1.0\r\n", request.method, request.path);
    let fields = [
        (ORIGIN_HEADER, Some(origin.name())),
        ("Host", request.host.as_deref()),
        ("Origin", request.origin.as_deref()),
        ("Content-Type", request.content_type.as_deref()),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str(&format!("Content-Length: {}\r\nConnection: close\r\n\r\n", body.len()));
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A whole reply of the control plane, as the client gets it; `None` if it is none.
pub fn passed_on(reply: &[u8], minor: u8) -> Option<Vec<u8>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(body_at)) = head.parse(reply) else {
        return None;
    };
    let mut bytes = status_line(minor, head.code?).into_bytes();
    for header in head.headers.iter() {
        let hop_by_hop = ["connection", "keep-alive", "transfer-encoding", "upgrade", "server"];
        if !hop_by_hop.contains(&header.name.to_ascii_lowercase().as_str()) {
            bytes.extend_from_slice(header.name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(header.value);
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes.extend_from_slice(b"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n");
    bytes.extend_from_slice(&reply[body_at..]);
    Some(bytes)
}

/// A request on its way, and what has come back.
pub struct Relay {
    socket: OwnedFd,
    request: Vec<u8>,
    reply: Vec<u8>,
}

/// How far a relay has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing more to do now.
    Waiting,
    /// The control plane has said everything.
    Whole(Vec<u8>),
    /// Its reply is longer than the door keeps.
    TooLong,
    /// It hung up or cannot be reached.
    Broken,
}

impl Relay {
    /// Connects without waiting. EAGAIN: the control plane's queue is full.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn start(address: &UnixAddr, request: Vec<u8>) -> nix::Result<Self> {
        let socket =
            socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
        connect(socket.as_raw_fd(), address)?;
        Ok(Self { socket, request, reply: Vec::new() })
    }

    /// Writes and reads as much as can be done now. `scratch` is the reader's buffer.
    pub fn step(&mut self, scratch: &mut [u8]) -> Progress {
        while !self.request.is_empty() {
            match send(self.socket.as_raw_fd(), &self.request, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT) {
                Ok(sent) => drop(self.request.drain(..sent)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                // It may have answered all the same.
                Err(_) => self.request.clear(),
            }
        }
        loop {
            match recv(self.socket.as_raw_fd(), scratch, MsgFlags::MSG_DONTWAIT) {
                Ok(0) if self.reply.is_empty() => return Progress::Broken,
                Ok(0) => return Progress::Whole(std::mem::take(&mut self.reply)),
                Ok(n) if self.reply.len() + n > WEB_REPLY_BYTES_MAX => return Progress::TooLong,
                Ok(n) => self.reply.extend_from_slice(&scratch[..n]),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Progress::Waiting,
                Err(_) => return Progress::Broken,
            }
        }
    }
}

impl AsFd for Relay {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h8_only_the_whitelist_is_relayed() {
        let head = "POST /a?b=c HTTP/1.1\r\nHost: h\r\nX-Tower-From: control-socket\r\nCookie: x\r\n\
                    Origin: http://h\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n";
        let super::super::head::Parsed::Complete(request, _) = super::super::head::parse(head.as_bytes(), 0) else {
            panic!("a request");
        };
        assert_eq!(
            String::from_utf8(rebuilt(&request, Origin::Remote, b"hi")).expect("text"),
            "POST /a?b=c HTTP/1.0\r\nX-Tower-From: remote\r\nHost: h\r\nOrigin: http://h\r\nContent-Type: text/plain\r\n\
             Content-Length: 2\r\nConnection: close\r\n\r\nhi"
        );
    }

    #[test]
    fn h7_h8_a_reply_is_passed_on_in_the_clients_version() {
        let reply = b"HTTP/1.0 200 OK\r\nServer: x\r\nContent-Type: a/b\r\nConnection: keep-alive\r\n\r\nbody";
        let passed = String::from_utf8(passed_on(reply, 1).expect("a reply")).expect("text");
        assert!(passed.starts_with("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n"), "{passed}");
        assert!(passed.ends_with("\r\nConnection: close\r\n\r\nbody") && !passed.contains("keep-alive"));
        assert!(passed_on(reply, 0).expect("a reply").starts_with(b"HTTP/1.0 200"));
        assert_eq!(passed_on(b"garbage", 1), None);
        assert_eq!(passed_on(b"HTTP/1.0 200 OK\r\nCut", 1), None);
    }

    #[test]
    fn k3_an_unknown_origin_is_remote() {
        for origin in [Origin::ControlSocket, Origin::Loopback, Origin::Remote] {
            assert_eq!(Origin::from_name(origin.name()), origin);
        }
        assert_eq!(Origin::from_name("Loopback "), Origin::Remote);
    }
}
