//! The floor: as little as a program can do that sends every listener the same 128 kbit/s.
//!
//! One epoll for who comes and who goes, one timer, and one `send` of a whole batch per listener, with the
//! tower's own batch and phases. It makes its frames itself, drops whoever takes less than a whole batch at once,
//! and knows no limits, no requests but one, and no slow listener: what it costs is the kernel's price.

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd,
};

use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
    socket::{Backlog, MsgFlags, listen, send},
    time::{TimeSpec, TimeValLike},
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};
use retrowaves::{
    broadcast::{batch::Batch, slab::Slab},
    encoder::Header,
    frame::TICK_NS,
    limits::LISTEN_BACKLOG,
};

const FRAMES: usize = 640;
const HEAD: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n";
const TIMER: u64 = u64::MAX;
const DOOR: u64 = u64::MAX - 1;

/// Whoever is connected.
struct Guest {
    stream: TcpStream,
    /// None: its request has not come.
    phase: Option<usize>,
    position: u64,
}

struct Floor {
    epoll: Epoll,
    door: TcpListener,
    /// The last frames on air, one after the other.
    ring: Vec<u8>,
    frame: Vec<u8>,
    head: u64,
    tick: u64,
    batch: Batch,
    guests: Slab<Guest>,
    phases: Vec<Vec<u64>>,
}

/// Serves until it is killed. Says its port first.
pub fn run(batch_ms: &str) {
    let mut floor = Floor::new(Batch::new(batch_ms.parse().expect("milliseconds")));
    println!("{}", floor.door.local_addr().expect("address").port());
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK).expect("timer");
    let tick = TimeSpec::nanoseconds(i64::try_from(TICK_NS).expect("small"));
    timer.set(Expiration::Interval(tick), TimerSetTimeFlags::empty()).expect("timer");
    floor.epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER)).expect("epoll");
    let mut events = [EpollEvent::empty(); 256];
    loop {
        let count = floor.epoll.wait(&mut events, EpollTimeout::NONE).expect("wait");
        for event in &events[..count] {
            match event.data() {
                TIMER => {
                    let mut ticks = [0; 8];
                    nix::unistd::read(&timer, &mut ticks).expect("timer");
                    (0..u64::from_ne_bytes(ticks)).for_each(|_| floor.tick());
                }
                DOOR => floor.accept(),
                key => floor.on_event(key),
            }
        }
    }
}

impl Floor {
    fn new(batch: Batch) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll");
        let door = TcpListener::bind("127.0.0.1:0").expect("bind");
        door.set_nonblocking(true).expect("non-blocking");
        listen(&door, Backlog::new(i32::try_from(LISTEN_BACKLOG).expect("small")).expect("backlog")).expect("listen");
        epoll.add(&door, EpollEvent::new(EpollFlags::EPOLLIN, DOOR)).expect("epoll");
        let header = Header::on_air(128).expect("a bitrate");
        let mut frame = vec![0; header.frame_bytes()];
        frame[..4].copy_from_slice(&header.bytes());
        let ring = vec![0; FRAMES * frame.len()];
        let phases = vec![Vec::new(); batch.phases()];
        Self { epoll, door, ring, frame, head: 0, tick: 0, batch, guests: Slab::default(), phases }
    }

    fn tick(&mut self) {
        self.tick += 1;
        let at = usize::try_from(self.head % self.ring.len() as u64).expect("an index");
        self.ring[at..at + self.frame.len()].copy_from_slice(&self.frame);
        self.head += self.frame.len() as u64;
        if self.batch.is_round(self.tick) {
            self.batch.suit(self.guests.len());
        }
        for phase in self.batch.due(self.tick) {
            for place in (0..self.phases[phase].len()).rev() {
                if !self.send(self.phases[phase][place]) {
                    self.leave(self.phases[phase][place]);
                }
            }
        }
    }

    /// False: it did not take all of it.
    fn send(&mut self, key: u64) -> bool {
        let Some(guest) = self.guests.get_mut(key) else { return true };
        while guest.position < self.head {
            let start = usize::try_from(guest.position % self.ring.len() as u64).expect("an index");
            let len = usize::try_from(self.head - guest.position).expect("small").min(self.ring.len() - start);
            let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
            if send(guest.stream.as_raw_fd(), &self.ring[start..start + len], flags) != Ok(len) {
                return false;
            }
            guest.position += len as u64;
        }
        true
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.door.accept() {
            stream.set_nonblocking(true).expect("non-blocking");
            stream.set_nodelay(true).expect("no delay");
            let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, self.guests.next_key());
            self.epoll.add(&stream, event).expect("epoll");
            let key = self.guests.insert(Guest { stream, phase: None, position: 0 });
            // Its request may have come with it.
            self.on_event(key);
        }
    }

    fn on_event(&mut self, key: u64) {
        let mut request = [0; 1024];
        let Some(guest) = self.guests.get_mut(key) else { return };
        match guest.stream.read(&mut request) {
            Ok(read) if request[..read].ends_with(b"\r\n\r\n") && guest.phase.is_none() => self.join(key),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => self.leave(key),
        }
    }

    fn join(&mut self, key: u64) {
        let phase = (0..self.phases.len()).min_by_key(|phase| self.phases[*phase].len());
        let Some(guest) = self.guests.get_mut(key) else { return };
        guest.phase = phase;
        guest.position = self.head.saturating_sub(self.frame.len() as u64);
        let is_told = guest.stream.write_all(HEAD).is_ok();
        self.phases[phase.expect("a phase")].push(key);
        if !is_told || !self.send(key) {
            self.leave(key);
        }
    }

    fn leave(&mut self, key: u64) {
        if let Some(Guest { phase: Some(phase), .. }) = self.guests.remove(key) {
            self.phases[phase].retain(|other| *other != key);
        }
    }
}
