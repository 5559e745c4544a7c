//! The relay: pushes what is on air to an Icecast server, for more listeners than a box can serve.
//!
//! The thread `tower:relay` hears the tower's own stream as any listener does, by the control socket and with
//! titles, and sends its frames by Icecast's source protocol (HTTP PUT). It has no other tie to the tower: when
//! Icecast hangs, the door drops this listener as it drops any slow one, and nobody else notices.
//!
//! The PUT has a length that is never reached, and no chunks: Icecast 2.4 passes the marks of chunks on to its
//! listeners. `ureq` has no bound on a single write to a server that stands still, so this one request
//! goes by a plain socket, whose writes end after `WRITE_TIMEOUT`. Titles go by `ureq`.

pub mod backoff;
mod icecast;
mod own_stream;
pub mod target;
mod titles;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::Duration,
};

use self::{backoff::Backoff, own_stream::OwnStream, target::Target, titles::Titles};
use crate::{
    config::StreamConfig,
    stats::{Counter, Gauge},
    sys::{thread, time::now_ns},
};

/// What the relay tells of itself.
#[derive(Debug, Default)]
pub struct RelayStats {
    /// 1 while frames are taken by the server.
    pub connected: Gauge,
    /// Connections that the server took.
    pub connections: Counter,
    /// Audio bytes that were sent.
    pub sent_bytes: Counter,
    /// Why the last connection ended, or could not be had.
    error: Mutex<Option<String>>,
}

impl RelayStats {
    /// Why the last connection ended; none: it stands.
    pub fn error(&self) -> Option<String> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_error(&self, error: Option<String>) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

/// What it needs of the tower.
pub struct RelayDeps<'a> {
    /// Where to.
    pub target: Target,
    /// Name and genre, for the server's directory.
    pub stream: &'a StreamConfig,
    /// Of the stream.
    pub bitrate_kbps: u32,
    /// Where the tower's own stream is heard.
    pub control_socket: &'a Path,
    /// Written here.
    pub stats: Arc<RelayStats>,
}

/// A running relay.
pub struct RelayHandle {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    titles: Titles,
}

/// Starts the threads.
///
/// # Errors
/// When the kernel has no thread to give.
pub fn start(deps: RelayDeps<'_>) -> io::Result<RelayHandle> {
    let stop = Arc::new(AtomicBool::new(false));
    let titles = Titles::start(deps.target.clone(), stop.clone())?;
    let relay = Relay {
        head: icecast::head(&deps.target, deps.stream, deps.bitrate_kbps),
        target: deps.target,
        control_socket: deps.control_socket.to_owned(),
        titles: titles.inbox(),
        stop: stop.clone(),
        stats: deps.stats,
    };
    let thread = thread::spawn("tower:relay", move || relay.run())?;
    Ok(RelayHandle { stop, thread, titles })
}

impl RelayHandle {
    /// True while the thread runs.
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Tells both threads to end. They do within the bounds of their sockets; a server that
    /// stands still is not waited for.
    pub fn stop(self) {
        self.stop.store(true, SeqCst);
        self.titles.stop();
    }
}

struct Relay {
    target: Target,
    head: Vec<u8>,
    control_socket: PathBuf,
    titles: titles::Inbox,
    stop: Arc<AtomicBool>,
    stats: Arc<RelayStats>,
}

impl Relay {
    fn run(self) {
        let mut backoff = Backoff::default();
        while !self.stop.load(SeqCst) {
            let began_ns = now_ns();
            let ended = self.relay();
            let was_connected = self.stats.connected.get() == 1;
            self.stats.connected.set(0);
            if self.stop.load(SeqCst) {
                return;
            }
            let held_ms = if was_connected { (now_ns() - began_ns) / 1_000_000 } else { 0 };
            let wait = backoff.after(held_ms);
            let why = ended.err().map_or("the tower's stream ended".to_owned(), |error| error.to_string());
            log::warn!("relay to {}: {why}; again in {} s", self.target, wait.as_secs());
            self.stats.set_error(Some(why));
            self.sleep(wait);
        }
    }

    /// One connection, to its end.
    fn relay(&self) -> io::Result<()> {
        let mut server = icecast::connect(&self.target, &self.head)?;
        let mut own = OwnStream::open(&self.control_socket)?;
        self.stats.connections.add(1);
        self.stats.connected.set(1);
        self.stats.set_error(None);
        log::info!("relay to {}: connected", self.target);
        while !self.stop.load(SeqCst) {
            let Some(audio) = own.next(|title| self.titles.send(title))? else {
                return Ok(());
            };
            icecast::send(&mut server, audio)?;
            self.stats.sent_bytes.add(audio.len() as u64);
        }
        Ok(())
    }

    fn sleep(&self, wait: Duration) {
        let until_ns = now_ns() + u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX / 2);
        while now_ns() < until_ns && !self.stop.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
