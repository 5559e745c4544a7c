//! Those who are told what happens (`GET /events`): server-sent events, held like a listener.
//!
//! Messages come whole from the control plane; each subscriber has a place in the last 64 of them. Nobody is waited
//! for: who falls behind that is let go, and an `EventSource` comes back by itself and is told everything anew.

use std::{
    collections::VecDeque,
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, send},
};

use super::reply::status_line;
use crate::{control::events::Said, limits::EVENTS_PER_SUBSCRIBER_MAX};

/// How far a subscriber has come.
#[derive(Debug)]
pub(super) struct Subscription {
    /// Before the messages: the reply's head, and the welcome.
    preface: Vec<u8>,
    /// Of the preface, or of message `next`.
    sent: usize,
    next: u64,
}

/// What became of a subscriber.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// It has everything, or its socket is full.
    Waits,
    /// It fell behind.
    TooSlow,
    /// It is gone.
    Gone,
}

/// The last messages.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    messages: VecDeque<Arc<[u8]>>,
    /// Number of the first of them.
    first: u64,
    welcome: Option<Arc<[u8]>>,
}

impl Announcements {
    /// Takes in what was said; true if subscribers have something to get.
    pub(super) fn take(&mut self, said: Said) -> bool {
        match said {
            Said::Welcome(bytes) => {
                self.welcome = Some(bytes);
                false
            }
            Said::Message(bytes) => {
                if self.messages.len() == EVENTS_PER_SUBSCRIBER_MAX {
                    self.messages.pop_front();
                    self.first += 1;
                }
                self.messages.push_back(bytes);
                true
            }
        }
    }

    /// A newcomer: the reply's head, what has happened, and then whatever comes.
    pub(super) fn subscribe(&self, minor: u8) -> Subscription {
        let mut preface = status_line(minor, 200).into_bytes();
        preface.extend_from_slice(
            b"Content-Type: text/event-stream\r\nCache-Control: no-cache, no-store\r\nX-Accel-Buffering: no\r\n\
              X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\nretry: 1000\n\n",
        );
        preface.extend_from_slice(self.welcome.as_deref().unwrap_or_default());
        Subscription { preface, sent: 0, next: self.first + self.messages.len() as u64 }
    }

    /// Sends what can be sent now.
    pub(super) fn serve(&self, socket: &OwnedFd, subscription: &mut Subscription) -> Served {
        while let Some(bytes) = self.due(subscription) {
            let Some(bytes) = bytes else { return Served::TooSlow };
            let length = bytes.len();
            let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
            match send(socket.as_raw_fd(), &bytes[subscription.sent..], flags) {
                Ok(sent) => {
                    subscription.sent += sent;
                    if subscription.sent == length {
                        subscription.pass_on();
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM) => return Served::Waits,
                Err(_) => return Served::Gone,
            }
        }
        Served::Waits
    }

    /// What it gets next; `Some(None)`: that is gone already.
    fn due<'a>(&'a self, subscription: &'a Subscription) -> Option<Option<&'a [u8]>> {
        if !subscription.preface.is_empty() {
            return Some(Some(&subscription.preface));
        }
        let Some(place) = subscription.next.checked_sub(self.first) else { return Some(None) };
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        self.messages.get(place).map(|bytes| Some(&bytes[..]))
    }
}

impl Subscription {
    fn pass_on(&mut self) {
        self.sent = 0;
        if self.preface.is_empty() {
            self.next += 1;
        } else {
            self.preface = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, os::unix::net::UnixStream};

    use super::*;

    fn said(text: &str) -> Said {
        Said::Message(text.as_bytes().into())
    }

    #[test]
    fn h8_a_subscriber_gets_the_welcome_then_what_comes_and_who_falls_behind_is_let_go() {
        let (ours, mut theirs) = UnixStream::pair().expect("pair");
        let ours: OwnedFd = ours.into();
        let mut announcements = Announcements::default();
        announcements.take(said("event: before\n\n"));
        assert!(!announcements.take(Said::Welcome(b"event: welcome\n\n"[..].into())));
        let mut subscription = announcements.subscribe(1);
        assert_eq!(announcements.serve(&ours, &mut subscription), Served::Waits);
        assert!(announcements.take(said("event: one\n\n")));
        assert_eq!(announcements.serve(&ours, &mut subscription), Served::Waits);
        let mut got = [0; 4096];
        let count = theirs.read(&mut got).expect("read");
        let text = String::from_utf8_lossy(&got[..count]).into_owned();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\nretry: 1000\n\nevent: welcome\n\nevent: one\n\n"), "{text}");
        for _ in 0..EVENTS_PER_SUBSCRIBER_MAX {
            announcements.take(said("event: flood\n\n"));
        }
        assert_eq!(announcements.due(&subscription), Some(Some(&b"event: flood\n\n"[..])));
        announcements.take(said("event: flood\n\n"));
        assert_eq!(announcements.serve(&ours, &mut subscription), Served::TooSlow);
        let mut gone = announcements.subscribe(0);
        drop(theirs);
        assert_eq!(announcements.serve(&ours, &mut gone), Served::Gone);
    }
}
