//! Ten thousand listeners at once: each hears a whole stream, and no tick is late.

mod common;

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use common::{Setup, witness::Witness};
use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
    resource::{Resource, getrlimit, setrlimit},
};
use retrowaves::encoder::Mp3Packetizer;

const LISTENERS: usize = 10_000;
/// Every so many-th listener's bytes are looked at, not only counted.
const CHECKED_EVERY: usize = 100;

struct Listener {
    stream: TcpStream,
    bytes: usize,
    last: Instant,
    worst_gap: Duration,
    head_seen: bool,
    packetizer: Mp3Packetizer,
    garbage: usize,
}

impl Listener {
    fn connect(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        stream.write_all(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("request");
        stream.set_nonblocking(true).expect("non-blocking");
        let packetizer = Mp3Packetizer::new();
        Self {
            stream,
            bytes: 0,
            last: Instant::now(),
            worst_gap: Duration::ZERO,
            head_seen: false,
            packetizer,
            garbage: 0,
        }
    }

    fn read(&mut self, buffer: &mut [u8], checked: bool) {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => panic!("disconnected after {} bytes", self.bytes),
                Ok(n) => self.take(&buffer[..n], checked),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) => panic!("disconnected after {} bytes: {e}", self.bytes),
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8], checked: bool) {
        if !self.head_seen {
            let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("the head comes in one piece");
            assert!(bytes.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&bytes[..end]));
            bytes = &bytes[end + 4..];
            self.head_seen = true;
        } else {
            self.worst_gap = self.worst_gap.max(self.last.elapsed());
        }
        self.last = Instant::now();
        self.bytes += bytes.len();
        if checked {
            self.packetizer.feed(bytes, |packet| self.garbage += packet.garbage_before);
        }
    }
}

#[test]
#[ignore = "takes both cores for half a minute; make soak runs it"]
fn h4_ten_thousand_listeners_hear_a_whole_stream_and_no_tick_is_late() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limit");
    assert!(hard > 10_200, "ulimit -Hn is {hard}: too few descriptors for this test");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("limit");
    let tower = Setup::default().start();
    std::thread::sleep(Duration::from_secs(2));
    let witness = Witness::start();
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll");
    let mut listeners: Vec<Listener> = Vec::with_capacity(LISTENERS);
    let mut buffer = vec![0; 64 << 10];
    let start = Instant::now();
    let mut everybody = None;
    while everybody.is_none_or(|at: Instant| at.elapsed() < Duration::from_secs(20)) {
        for _ in 0..50.min(LISTENERS - listeners.len()) {
            let listener = Listener::connect(tower.port);
            let key = listeners.len() as u64;
            epoll.add(&listener.stream, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, key)).expect("add");
            listeners.push(listener);
        }
        if listeners.len() == LISTENERS && everybody.is_none() {
            println!("{LISTENERS} connected after {:?}", start.elapsed());
            everybody = Some(Instant::now());
        }
        let mut events = [EpollEvent::empty(); 512];
        let count = epoll.wait(&mut events, 20u16).expect("wait");
        for event in &events[..count] {
            let key = usize::try_from(event.data()).expect("small");
            listeners[key].read(&mut buffer, key.is_multiple_of(CHECKED_EVERY));
        }
    }
    let status = tower.status();
    println!("{:#}\n{:#}\nworst gap on air {} ms", status["listeners"], status["ticks"], status["worst_gap_ms"]);
    assert_eq!(tower.figure("listeners/now"), LISTENERS as u64);
    assert_eq!(tower.figure("listeners/dropped_slow"), 0);
    // The tower's first two seconds, with three FFmpegs starting, must be in time too.
    witness.assert_ticks(&tower, 0);
    assert_eq!(tower.figure("encoder/fillers"), 0);
    let worst = listeners.iter().map(|l| l.worst_gap.max(l.last.elapsed())).max().expect("listeners");
    let least = listeners.iter().map(|l| l.bytes).min().expect("listeners");
    println!("worst gap of any listener {worst:?}, least heard {least} bytes");
    // 20 s of 16,000 bytes; a test machine's two cores are shared with the listeners themselves.
    assert!(least > 18 * 16_000 && worst < Duration::from_secs(2));
    assert!(listeners.iter().all(|listener| listener.garbage == 0));
}
