//! Many listeners in one thread: each reads all it is sent, and nothing is kept.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::{JoinHandle, sleep},
    time::Duration,
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

/// So many arrive in a second.
const ARRIVALS_PER_SEC: u32 = 500;

/// Listeners that listen until dropped.
pub struct Listeners {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    bytes: AtomicU64,
    disconnected: AtomicU64,
}

/// What all of them heard in a window, and how many were cut off, ever.
#[derive(Clone, Copy)]
pub struct Heard {
    pub bytes: u64,
    pub disconnected: u64,
}

impl Listeners {
    /// Connects `count` of them, one after the other.
    pub fn connect(port: u16, count: usize) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll");
        let shared = Arc::<Shared>::default();
        let streams = (0..count).map(|index| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
            stream.write_all(b"GET /stream HTTP/1.0\r\n\r\n").expect("request");
            stream.set_nonblocking(true).expect("non-blocking");
            epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, index as u64)).expect("epoll");
            sleep(Duration::from_secs(1) / ARRIVALS_PER_SEC);
            stream
        });
        let streams: Vec<TcpStream> = streams.collect();
        let theirs = shared.clone();
        let thread = std::thread::spawn(move || listen(&epoll, streams, &theirs));
        Self { shared, thread: Some(thread) }
    }

    /// What they hear while `what` happens.
    pub fn during<T>(&self, what: impl FnOnce() -> T) -> (T, Heard) {
        let before = self.shared.bytes.load(SeqCst);
        let result = what();
        let bytes = self.shared.bytes.load(SeqCst) - before;
        (result, Heard { bytes, disconnected: self.shared.disconnected.load(SeqCst) })
    }
}

fn listen(epoll: &Epoll, mut streams: Vec<TcpStream>, shared: &Shared) {
    let (mut events, mut bytes) = ([EpollEvent::empty(); 256], vec![0; 64 << 10]);
    while !shared.stop.load(SeqCst) {
        let ready = epoll.wait(&mut events, 100u16).unwrap_or(0);
        for event in &events[..ready] {
            let stream = &mut streams[usize::try_from(event.data()).expect("an index")];
            match stream.read(&mut bytes) {
                Ok(n) if n > 0 => _ = shared.bytes.fetch_add(n as u64, SeqCst),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                _ => {
                    epoll.delete(&*stream).expect("epoll");
                    shared.disconnected.fetch_add(1, SeqCst);
                }
            }
        }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
