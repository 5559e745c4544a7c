//! `StationSocket`: raw PCM from a Unix socket into the router (N).
//!
//! One thread accepts senders and reads them in turns; who of them is heard is
//! decided in `floor`.
//!
//! Nothing here keeps time, waits for the pump, or makes a sender wait: what the
//! queue cannot take is dropped and counted there.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
};

use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::{EfdFlags, EventFd},
    },
};
use thiserror::Error;

use super::floor::Floor;
use crate::{
    config::IngestConfig,
    limits::{SENDER_BYTES_PER_TURN, SENDERS_MAX},
    router::AudioInputRouter,
    stats::IngestStats,
    sys::thread,
    unix_socket::{self, BindError, BoundSocket},
};

/// Who may send: owner and group.
const SOCKET_MODE: u32 = 0o660;
const LISTENER: u64 = 0;
const WAKE: u64 = 1;
const FIRST_SENDER: u64 = 2;
const EVENTS: usize = SENDERS_MAX + 2;
/// Without a descriptor for a newcomer, accepting rests this long.
const ACCEPT_REST_MS: u16 = 100;

/// Why PCM cannot be taken in.
#[derive(Debug, Error)]
pub enum IngestError {
    /// The socket could not be had.
    #[error("PCM socket {0}")]
    Bind(#[from] BindError),
    /// The kernel has no descriptor for us.
    #[error("cannot watch the PCM socket: {0}")]
    Watch(#[from] io::Error),
}

/// The socket, bound: senders can connect, and are read once it is started.
pub struct StationSocket {
    socket: BoundSocket,
    epoll: Epoll,
    wake: Arc<EventFd>,
    stop: Arc<AtomicBool>,
    floor: Floor<UnixStream>,
    next_serial: u64,
    accept_rests: bool,
    buffer: Box<[u8]>,
}

impl StationSocket {
    /// Binds the socket of `config`. The file is removed when it is stopped.
    ///
    /// # Errors
    /// When the path is in use, is no socket, or cannot be made.
    pub fn bind(
        config: &IngestConfig,
        router: Arc<AudioInputRouter>,
        stats: Arc<IngestStats>,
    ) -> Result<Self, IngestError> {
        let socket = unix_socket::bind(&config.socket, SOCKET_MODE)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(io::Error::from)?;
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let wake = Arc::new(EventFd::from_flags(flags).map_err(io::Error::from)?);
        watch(&epoll, &socket, LISTENER)?;
        watch(&epoll, &*wake, WAKE)?;
        Ok(Self {
            socket,
            epoll,
            wake,
            stop: Arc::default(),
            floor: Floor::new(config.frame_samples, router, stats),
            next_serial: FIRST_SENDER,
            accept_rests: false,
            buffer: vec![0; SENDER_BYTES_PER_TURN].into(),
        })
    }

    /// Starts to take senders, on a thread of its own.
    ///
    /// # Errors
    /// When the kernel has no thread to give.
    pub fn start(self) -> io::Result<IngestHandle> {
        let (wake, stop) = (self.wake.clone(), self.stop.clone());
        let thread = thread::spawn("tower:ingest", move || self.run())?;
        Ok(IngestHandle { wake, stop, thread: Some(thread) })
    }

    fn run(mut self) {
        let mut events = [EpollEvent::empty(); EVENTS];
        while !self.stop.load(Relaxed) {
            let timeout = match self.accept_rests {
                true => EpollTimeout::from(ACCEPT_REST_MS),
                false => EpollTimeout::NONE,
            };
            match self.epoll.wait(&mut events, timeout) {
                Ok(ready) => self.turn(&events[..ready]),
                Err(Errno::EINTR) => {}
                Err(errno) => return log::error!("PCM ingest ended: {errno}"),
            }
        }
        self.floor.leave_all();
    }

    /// One look at everything that is ready. Senders come before newcomers, so what
    /// was sent before the floor changed is heard.
    fn turn(&mut self, events: &[EpollEvent]) {
        if events.is_empty() {
            self.rest_from_accepting(false);
        }
        for event in events.iter().filter(|event| event.data() >= FIRST_SENDER) {
            self.floor.read(event.data(), &mut self.buffer);
        }
        if events.iter().any(|event| event.data() == LISTENER) {
            self.accept();
        }
    }

    fn accept(&mut self) {
        // As many as there are places; the kernel keeps the rest for the next turn.
        for _ in 0..SENDERS_MAX {
            match self.socket.listener().accept() {
                Ok((stream, _)) => self.welcome(stream),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(e) => {
                    log::warn!("cannot accept a sender: {e}; next try in {ACCEPT_REST_MS} ms");
                    return self.rest_from_accepting(true);
                }
            }
        }
    }

    fn welcome(&mut self, stream: UnixStream) {
        let serial = self.next_serial;
        if self.floor.is_full() {
            return self.floor.refuse(&format_args!("{SENDERS_MAX} are connected"));
        }
        let watched = stream.set_nonblocking(true).and_then(|()| watch(&self.epoll, &stream, serial));
        if let Err(error) = watched {
            return self.floor.refuse(&error);
        }
        self.next_serial += 1;
        self.floor.join(serial, stream);
    }

    /// A listener that cannot be served would be ready for ever.
    fn rest_from_accepting(&mut self, rests: bool) {
        if self.accept_rests == rests {
            return;
        }
        self.accept_rests = rests;
        let interest = if rests { EpollFlags::empty() } else { EpollFlags::EPOLLIN };
        let mut event = EpollEvent::new(interest, LISTENER);
        if let Err(errno) = self.epoll.modify(&self.socket, &mut event) {
            log::error!("cannot watch the PCM socket: {errno}");
        }
    }
}

fn watch(epoll: &Epoll, fd: impl AsFd, token: u64) -> io::Result<()> {
    let fd: BorrowedFd = fd.as_fd();
    Ok(epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
}

/// Ingest that runs.
#[derive(Debug)]
pub struct IngestHandle {
    wake: Arc<EventFd>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl IngestHandle {
    /// Ends ingest with the turn it is in, and removes the socket. Called again, it
    /// does nothing.
    pub fn stop(&mut self) {
        self.stop.store(true, Relaxed);
        // A counter that is full is readable too.
        let _ = self.wake.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for IngestHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        path::PathBuf,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::{
        frame::{PUMP_FRAME_BYTES, PumpFrame, STATION_FRAME_BYTES, STATION_FRAME_SAMPLES},
        reblock::Reblocker,
        router::InputId,
        scratch::Scratch,
    };

    struct Bench {
        path: PathBuf,
        router: Arc<AudioInputRouter>,
        stats: Arc<IngestStats>,
        handle: IngestHandle,
        _scratch: Scratch,
    }

    impl Bench {
        fn new() -> Self {
            let scratch = Scratch::new();
            let path = scratch.join("pcm.sock");
            let config = IngestConfig { socket: path.clone(), frame_samples: STATION_FRAME_SAMPLES };
            let router = Arc::new(AudioInputRouter::new(100));
            let stats = Arc::new(IngestStats::default());
            let socket = StationSocket::bind(&config, router.clone(), stats.clone()).expect("bound");
            Self { path, router, stats, handle: socket.start().expect("started"), _scratch: scratch }
        }

        /// Connects, and waits until it is one of `connections`.
        fn connect(&self, connections: u64) -> UnixStream {
            let stream = UnixStream::connect(&self.path).expect("connected");
            wait_for(|| self.stats.connections.get() == connections);
            stream
        }

        fn count(&self) -> usize {
            self.router.get_stats(InputId::Station).count
        }

        fn pop(&self) -> Option<PumpFrame> {
            self.router.pop_frame(InputId::Station, None).map(|frame| frame.pcm)
        }

        fn pop_bytes(&self) -> Vec<u8> {
            std::iter::from_fn(|| self.pop()).flat_map(|frame| frame.to_le_bytes()).collect()
        }
    }

    fn wait_for(condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(10), "it never came");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn noise(bytes: usize, seed: u32) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..bytes).map(|_| next()).collect()
    }

    #[test]
    fn n1_n5_single_bytes_arrive_as_the_same_frames() {
        let bench = Bench::new();
        assert!(bench.router.is_closed(InputId::Station), "no station need ever connect");
        let mut sender = bench.connect(1);
        assert!(!bench.router.is_closed(InputId::Station));
        let bytes = noise(9 * STATION_FRAME_BYTES, 1);
        for byte in &bytes[..STATION_FRAME_BYTES + 3] {
            sender.write_all(&[*byte]).expect("taken");
        }
        sender.write_all(&bytes[STATION_FRAME_BYTES + 3..]).expect("taken");
        wait_for(|| bench.count() == 8);
        assert_eq!(bench.pop_bytes(), bytes);
    }

    #[test]
    fn n2_a_partial_frame_is_discarded_and_counted_and_the_rest_is_played() {
        let bench = Bench::new();
        let mut sender = bench.connect(1);
        let bytes = noise(2 * STATION_FRAME_BYTES + 1000, 2);
        sender.write_all(&bytes).expect("taken");
        drop(sender);
        wait_for(|| bench.router.is_closed(InputId::Station));
        assert_eq!(bench.stats.partial_frames.get(), 1);
        let mut expected = Reblocker::new(STATION_FRAME_SAMPLES);
        let mut frames = Vec::new();
        expected.feed(&bytes, |frame| frames.push(*frame));
        frames.extend(expected.finish());
        assert_eq!(frames.len(), 2);
        assert_eq!([bench.pop(), bench.pop(), bench.pop()], [Some(frames[0]), Some(frames[1]), None]);
    }

    #[test]
    fn n3_n5_a_flood_is_read_to_its_end_and_the_newest_frames_are_dropped() {
        let bench = Bench::new();
        let mut sender = bench.connect(1);
        let bytes = noise(9 * 400 * STATION_FRAME_BYTES, 3);
        sender.write_all(&bytes).expect("never pushed back, though nobody pops");
        drop(sender);
        wait_for(|| bench.router.is_closed(InputId::Station));
        let stats = bench.router.get_stats(InputId::Station);
        assert_eq!((stats.count, stats.overflow_count), (100, 8 * 400 - 100));
        assert_eq!(bench.pop_bytes(), bytes[..100 * PUMP_FRAME_BYTES]);
    }

    #[test]
    fn n4_the_newest_has_the_floor_and_gives_it_back_on_a_frame_border() {
        let bench = Bench::new();
        let (old, new) = (noise(40 * STATION_FRAME_BYTES, 4), noise(9 * STATION_FRAME_BYTES, 5));
        let mut first = bench.connect(1);
        first.write_all(&old[..9 * STATION_FRAME_BYTES + 10]).expect("taken");
        wait_for(|| bench.count() == 8);
        assert_eq!(bench.pop_bytes(), old[..9 * STATION_FRAME_BYTES]);

        let mut second = bench.connect(2);
        // Of the old one, this is discarded, up to the middle of a frame.
        let unheard = 9 * STATION_FRAME_BYTES + 10..20 * STATION_FRAME_BYTES + 77;
        first.write_all(&old[unheard.clone()]).expect("taken");
        second.write_all(&new).expect("taken");
        wait_for(|| bench.count() == 8 && bench.stats.bytes_without_floor.get() == unheard.len() as u64);
        assert_eq!(bench.pop_bytes(), new, "not mixed");

        drop(second);
        wait_for(|| bench.stats.senders.get() == 1);
        assert!(!bench.router.is_closed(InputId::Station));
        first.write_all(&old[unheard.end..30 * STATION_FRAME_BYTES]).expect("taken");
        wait_for(|| bench.count() == 8);
        assert_eq!(bench.pop_bytes(), old[21 * STATION_FRAME_BYTES..30 * STATION_FRAME_BYTES]);
        drop(first);
        wait_for(|| bench.router.is_closed(InputId::Station));
        assert_eq!(bench.stats.partial_frames.get(), 0);
    }

    #[test]
    fn n4_what_waits_of_the_old_sender_is_played_before_the_new_one() {
        let bench = Bench::new();
        let mut first = bench.connect(1);
        first.write_all(&noise(STATION_FRAME_BYTES, 6)).expect("taken");
        // The bytes are taken before the newcomer is, whatever the timing: senders come first.
        let mut second = bench.connect(2);
        second.write_all(&noise(9 * STATION_FRAME_BYTES, 7)).expect("taken");
        wait_for(|| bench.count() == 9);
        let mut expected = Reblocker::new(STATION_FRAME_SAMPLES);
        expected.feed(&noise(STATION_FRAME_BYTES, 6), |_| {});
        assert_eq!(bench.pop(), expected.finish());
        assert_eq!(bench.pop_bytes(), noise(9 * STATION_FRAME_BYTES, 7));
    }

    #[test]
    fn n4_one_sender_too_many_is_refused_and_counted() {
        let bench = Bench::new();
        let senders: Vec<UnixStream> = (1..=SENDERS_MAX as u64).map(|n| bench.connect(n)).collect();
        let mut refused = UnixStream::connect(&bench.path).expect("connected");
        assert_eq!(refused.read(&mut [0]).expect("closed"), 0);
        assert_eq!((bench.stats.refused.get(), bench.stats.senders.get()), (1, SENDERS_MAX as u64));
        drop(senders);
        wait_for(|| bench.stats.senders.get() == 0);
    }

    #[test]
    fn i1_stop_ends_the_thread_with_senders_connected_and_removes_the_socket() {
        let mut bench = Bench::new();
        let mut sender = bench.connect(1);
        sender.write_all(&noise(STATION_FRAME_BYTES, 8)).expect("taken");
        let start = Instant::now();
        bench.handle.stop();
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(!bench.path.exists());
        assert!(bench.router.is_closed(InputId::Station));
        bench.handle.stop();
    }
}
