//! `TowerSink`: station frames into the tower's socket.
//!
//! It never waits: what the socket does not take is dropped and counted, a tower
//! that is gone is tried again now and then, and the station plays on meanwhile.
//! Frames are whole on the wire, always: the rest of one that was taken in part
//! goes before anything else.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket},
};

use super::stats::SinkStats;
use crate::{frame::STATION_FRAME_BYTES, limits::TOWER_RETRY_MS};

/// A connection that has taken this many is one; before, the tower may only turn
/// it away: a quarter of a second.
const TAKEN_IN_FRAMES: u64 = 12;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The socket has taken it.
    Taken,
    /// The socket is full: the tower does not read.
    Dropped,
    /// There is no tower.
    NoTower,
}

/// The way to the tower.
#[derive(Debug)]
pub struct TowerSink {
    path: PathBuf,
    stream: Option<OwnedFd>,
    /// Bytes of the last frame that the socket has not taken.
    rest: Vec<u8>,
    /// Frames that this connection has taken.
    connection_frames: u64,
    retry_at_ns: u64,
    /// Why the last attempt failed: said once, not five times a second.
    complaint: Option<Errno>,
    /// The tower took the last connection and closed it at once, which was said.
    turned_away: bool,
    stats: Arc<SinkStats>,
}

impl TowerSink {
    /// To the socket at `path`; connects with [`Self::connect_if_due`].
    pub fn new(path: &Path, stats: Arc<SinkStats>) -> Self {
        Self {
            path: path.to_owned(),
            stream: None,
            rest: Vec::with_capacity(STATION_FRAME_BYTES),
            connection_frames: 0,
            retry_at_ns: 0,
            complaint: None,
            turned_away: false,
            stats,
        }
    }

    /// True when a connection was made just now.
    pub fn connect_if_due(&mut self, now_ns: u64) -> bool {
        if self.stream.is_some() || now_ns < self.retry_at_ns {
            return false;
        }
        self.retry_at_ns = now_ns + TOWER_RETRY_MS * 1_000_000;
        match open(&self.path) {
            Ok(stream) => {
                if !self.turned_away {
                    log::info!("connected to the tower at {}", self.path.display());
                }
                self.stream = Some(stream);
                self.rest.clear();
                (self.connection_frames, self.complaint) = (0, None);
                self.stats.connections.add(1);
                self.stats.connected.set(1);
                true
            }
            Err(errno) => {
                if self.complaint != Some(errno) {
                    let why = io::Error::from(errno);
                    log::warn!("{}: no tower ({why}); playing on, trying again", self.path.display());
                    self.complaint = Some(errno);
                }
                false
            }
        }
    }

    /// Frames that the connection of now has taken: the `at_frame` of events (K3).
    pub fn connection_frames(&self) -> u64 {
        self.connection_frames
    }

    /// Hands a frame over, or drops it. Never waits.
    pub fn send(&mut self, frame: &[u8; STATION_FRAME_BYTES]) -> Sent {
        let sent = self.try_send(frame).unwrap_or_else(|errno| self.lose(errno));
        match sent {
            Sent::Taken => {
                self.connection_frames += 1;
                self.stats.frames.add(1);
                if self.connection_frames >= TAKEN_IN_FRAMES && std::mem::take(&mut self.turned_away) {
                    log::info!("the tower at {} takes what it is sent", self.path.display());
                }
            }
            Sent::Dropped | Sent::NoTower => self.stats.dropped.add(1),
        }
        sent
    }

    fn try_send(&mut self, frame: &[u8]) -> Result<Sent, Errno> {
        let Some(stream) = &self.stream else {
            return Ok(Sent::NoTower);
        };
        if !self.rest.is_empty() {
            let taken = put(stream, &self.rest)?;
            self.rest.drain(..taken);
            if !self.rest.is_empty() {
                return Ok(Sent::Dropped);
            }
        }
        match put(stream, frame)? {
            0 => Ok(Sent::Dropped),
            taken => {
                self.rest.extend_from_slice(&frame[taken..]);
                Ok(Sent::Taken)
            }
        }
    }

    fn lose(&mut self, errno: Errno) -> Sent {
        let why = io::Error::from(errno);
        if self.connection_frames >= TAKEN_IN_FRAMES {
            log::warn!("the tower has gone ({why}); playing on");
        } else if !std::mem::replace(&mut self.turned_away, true) {
            log::warn!(
                "{}: the tower closes connections at once ({why}); playing on, trying again",
                self.path.display()
            );
        }
        self.stream = None;
        self.stats.connected.set(0);
        Sent::NoTower
    }
}

/// A Unix socket connects at once or not at all, so this never waits either.
fn open(path: &Path) -> Result<OwnedFd, Errno> {
    let address = UnixAddr::new(path)?;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let stream = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(stream.as_raw_fd(), &address)?;
    Ok(stream)
}

/// How much of `bytes` the socket takes now.
fn put(stream: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    match send(stream.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT) {
        Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS | Errno::ENOMEM) => Ok(0),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, os::unix::net::UnixListener};

    use super::*;
    use crate::scratch::Scratch;

    fn frame(number: u8) -> [u8; STATION_FRAME_BYTES] {
        [number; STATION_FRAME_BYTES]
    }

    #[test]
    fn st2_no_tower_a_tower_a_tower_that_goes_and_one_that_comes_back() {
        let scratch = Scratch::new();
        let path = scratch.join("pcm.sock");
        let stats = Arc::<SinkStats>::default();
        let mut sink = TowerSink::new(&path, stats.clone());
        let second = 1_000_000_000;
        assert!(!sink.connect_if_due(second));
        assert_eq!(sink.send(&frame(1)), Sent::NoTower);

        let tower = UnixListener::bind(&path).expect("bind");
        assert!(!sink.connect_if_due(second + 1), "it is tried now and then, not all the time");
        assert!(sink.connect_if_due(2 * second));
        assert!(!sink.connect_if_due(3 * second), "it is connected");
        let (mut reader, _) = tower.accept().expect("accept");
        assert_eq!(sink.send(&frame(2)), Sent::Taken);
        let mut bytes = frame(0);
        reader.read_exact(&mut bytes).expect("a whole frame");
        assert_eq!((bytes, sink.connection_frames()), (frame(2), 1));

        drop((reader, tower));
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(sink.send(&frame(3)), Sent::NoTower);
        assert!(!sink.connect_if_due(4 * second));
        let _tower = UnixListener::bind(&path).expect("bind");
        assert!(sink.connect_if_due(5 * second));
        assert_eq!(sink.connection_frames(), 0, "counted per connection");
        assert_eq!((stats.connections.get(), stats.frames.get(), stats.dropped.get()), (2, 1, 2));
    }

    #[test]
    fn st2_a_tower_that_does_not_read_costs_frames_and_no_time_and_frames_stay_whole() {
        let scratch = Scratch::new();
        let path = scratch.join("pcm.sock");
        let tower = UnixListener::bind(&path).expect("bind");
        let stats = Arc::<SinkStats>::default();
        let mut sink = TowerSink::new(&path, stats.clone());
        assert!(sink.connect_if_due(1));
        let (mut reader, _) = tower.accept().expect("accept");
        let mut taken = Vec::new();
        for number in 0..=255u8 {
            if sink.send(&frame(number)) == Sent::Taken {
                taken.push(number);
            }
        }
        assert!(stats.dropped.get() > 0 && !taken.is_empty());
        // Read a little, so that some frames may be taken in part; then all.
        let mut heard = vec![0; 6000];
        reader.read_exact(&mut heard).expect("bytes");
        for number in 0..=255u8 {
            if sink.send(&frame(number)) == Sent::Taken {
                taken.push(number);
            }
        }
        // What is begun is finished.
        while !sink.rest.is_empty() {
            let mut more = vec![0; 4096];
            let count = reader.read(&mut more).expect("bytes");
            heard.extend_from_slice(&more[..count]);
            let stream = sink.stream.as_ref().expect("connected");
            let count = put(stream, &sink.rest).expect("sent");
            sink.rest.drain(..count);
        }
        drop(sink);
        reader.read_to_end(&mut heard).expect("the end");
        let expected: Vec<u8> = taken.iter().flat_map(|number| frame(*number)).collect();
        assert!(heard == expected, "{} frames were taken, {} bytes heard", taken.len(), heard.len());
    }
}
