//! A crowd: thousands of listeners in one thread, and every byte that each of them hears is looked at.
//!
//! It must cost little, or what is measured would be the crowd and not the server: one epoll, one read per
//! batch, no thread or copy per listener, and after each look at the sockets a pause, so that a server's
//! `send` does not pay for waking it each time. Gaps are as exact as that pause is long; how long
//! the crowd itself was away is told beside them.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{SocketAddrV4, TcpStream},
    os::fd::{AsRawFd, OwnedFd},
    thread::sleep,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
        socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt},
    },
};
use retrowaves::{encoder::Header, sys::time::now_ns};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(4);
/// So many frames are remembered: who is further behind is not in the stream any more.
const REMEMBERED: usize = 2048;
/// Frames of one who has not yet been found in the stream.
const LOST_MAX: usize = 64;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Bytes are counted.
    Bytes,
    /// Every frame begins where the one before it ended, from the first byte on.
    Frames,
    /// And is the one that follows it in the stream that all hear. Only for sound that never repeats itself.
    Order,
}

/// Many listeners.
pub struct Crowd {
    epoll: Epoll,
    server: SocketAddrV4,
    request: &'static [u8],
    look: Look,
    /// Of a listener's kernel; none: the default.
    receive_bytes: Option<usize>,
    members: Vec<Member>,
    order: Order,
    buffer: Vec<u8>,
    looked_ns: u64,
    away_ns: u64,
    since_ns: u64,
}

struct Member {
    /// None: refused, or disconnected.
    stream: Option<TcpStream>,
    came_ns: u64,
    asked: bool,
    /// As long as it is not whole.
    head: Option<Vec<u8>>,
    /// When the first audio came.
    first_ns: Option<u64>,
    last_ns: u64,
    gap_ns: u64,
    bytes: u64,
    frames: Frames,
    place: Place,
    wrong: Option<String>,
}

/// What a crowd heard, since the mark where it is about a time.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Heard {
    /// Those who hear audio.
    pub listening: usize,
    /// Those who still wait for it.
    pub waiting: usize,
    /// Those who heard it and were disconnected, or were refused.
    pub lost: usize,
    pub bytes: u64,
    pub bytes_least: u64,
    /// The longest time in which one of them heard nothing; now counts as an end.
    pub gap_ms: u64,
    /// The longest time in which the crowd did not look.
    pub away_ms: u64,
    /// From coming to the first audio.
    pub first_ms_p50: u64,
    pub first_ms_max: u64,
    /// What was wrong with what they heard, of the first few.
    pub wrong: Vec<String>,
}

impl Crowd {
    /// Nobody yet.
    pub fn new(port: u16, look: Look) -> Self {
        let now_ns = now_ns();
        Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll"),
            server: SocketAddrV4::new([127, 0, 0, 1].into(), port),
            request: b"GET /stream HTTP/1.0\r\n\r\n",
            look,
            receive_bytes: None,
            members: Vec::new(),
            order: Order::default(),
            buffer: vec![0; 256 << 10],
            looked_ns: now_ns,
            away_ns: 0,
            since_ns: now_ns,
        }
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Their kernels take no more than this for them.
    pub fn with_receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_bytes = Some(bytes);
        self
    }

    /// One more comes, from an address of this machine's own.
    pub fn add(&mut self) {
        let key = self.members.len();
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("socket");
        if let Some(bytes) = self.receive_bytes {
            setsockopt(&fd, sockopt::RcvBuf, &bytes).expect("buffer");
        }
        come_from(&fd, key);
        match connect(fd.as_raw_fd(), &SockaddrIn::from(self.server)) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => panic!("listener {key} cannot connect: {errno}"),
        }
        self.epoll.add(&fd, EpollEvent::new(EpollFlags::EPOLLOUT, key as u64)).expect("epoll");
        let now_ns = now_ns();
        self.members.push(Member {
            stream: Some(fd.into()),
            came_ns: now_ns,
            asked: false,
            head: Some(Vec::new()),
            first_ns: None,
            last_ns: now_ns,
            gap_ns: 0,
            bytes: 0,
            frames: Frames::default(),
            place: if key == 0 { Place::At(0) } else { Place::Sought(Vec::new()) },
            wrong: None,
        });
    }

    /// So many come, `per_sec` of them a second, while the others go on listening.
    pub fn grow_to(&mut self, count: usize, per_sec: usize) {
        let (start_ns, before) = (now_ns(), self.members.len());
        while self.members.len() < count {
            let due = usize::try_from((now_ns() - start_ns) / 1_000_000).expect("small") * per_sec / 1000;
            while self.members.len() < count.min(before + due) {
                self.add();
            }
            self.look();
        }
    }

    /// Listens for so long.
    pub fn listen(&mut self, time: Duration) {
        let end_ns = now_ns() + u64::try_from(time.as_nanos()).expect("short");
        while now_ns() < end_ns {
            self.look();
        }
    }

    /// Listens until all hear something, or for so long.
    pub fn until_all_hear(&mut self, time: Duration) -> bool {
        let end_ns = now_ns() + u64::try_from(time.as_nanos()).expect("short");
        while now_ns() < end_ns {
            self.look();
            if self.members.iter().all(|member| member.first_ns.is_some() || member.stream.is_none()) {
                return true;
            }
        }
        false
    }

    /// Bytes and gaps count from now on.
    pub fn mark(&mut self) {
        self.look();
        self.since_ns = self.looked_ns;
        self.away_ns = 0;
        for member in &mut self.members {
            (member.bytes, member.gap_ns) = (0, 0);
        }
    }

    /// All leave.
    pub fn leave(&mut self) {
        self.members.clear();
        self.order = Order::default();
    }

    /// A look at every socket that has something, and a pause.
    pub fn look(&mut self) {
        let mut events = [EpollEvent::empty(); 1024];
        loop {
            let now_ns = now_ns();
            self.away_ns = self.away_ns.max(now_ns - self.looked_ns);
            self.looked_ns = now_ns;
            let count = self.epoll.wait(&mut events, 0u16).expect("wait");
            for event in &events[..count] {
                self.serve(usize::try_from(event.data()).expect("a key"), now_ns);
            }
            if count < events.len() {
                break;
            }
        }
        sleep(PAUSE);
    }

    fn serve(&mut self, key: usize, now_ns: u64) {
        let member = &mut self.members[key];
        let Some(stream) = &mut member.stream else { return };
        if !member.asked {
            member.asked = stream.write_all(self.request).is_ok();
            self.epoll.modify(&*stream, &mut EpollEvent::new(EpollFlags::EPOLLIN, key as u64)).expect("epoll");
            if member.asked {
                return;
            }
        }
        match stream.read(&mut self.buffer) {
            Ok(read) if read > 0 => member.take(&self.buffer[..read], now_ns, self.look, &mut self.order),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => member.stream = None,
        }
    }

    /// What they heard so far.
    pub fn heard(&self) -> Heard {
        let now_ns = now_ns();
        let hearing = || self.members.iter().filter(|member| member.stream.is_some() && member.first_ns.is_some());
        let gap_ns = hearing().map(|member| member.gap_ns.max(now_ns - member.last_ns.max(self.since_ns))).max();
        let mut first_ms: Vec<u64> =
            self.members.iter().filter_map(|member| Some((member.first_ns? - member.came_ns) / 1_000_000)).collect();
        first_ms.sort_unstable();
        Heard {
            listening: hearing().count(),
            waiting: self.members.iter().filter(|m| m.stream.is_some() && m.first_ns.is_none()).count(),
            lost: self.members.iter().filter(|member| member.stream.is_none()).count(),
            bytes: hearing().map(|member| member.bytes).sum(),
            bytes_least: hearing().map(|member| member.bytes).min().unwrap_or(0),
            gap_ms: gap_ns.unwrap_or(0) / 1_000_000,
            away_ms: self.away_ns / 1_000_000,
            first_ms_p50: first_ms.get(first_ms.len() / 2).copied().unwrap_or(0),
            first_ms_max: first_ms.last().copied().unwrap_or(0),
            wrong: self.members.iter().filter_map(|member| member.wrong.clone()).take(5).collect(),
        }
    }
}

/// 127.0.0.0/8 is this machine: some thousands come from each of its addresses, since a port is taken for a
/// while after its connection has ended.
fn come_from(fd: &OwnedFd, key: usize) {
    setsockopt(fd, sockopt::IpBindAddressNoPort, &true).expect("address");
    let host = u8::try_from(1 + key / 4000).expect("few");
    bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, host, 0)).expect("address");
}

impl Member {
    fn take(&mut self, mut bytes: &[u8], now_ns: u64, look: Look, order: &mut Order) {
        if let Some(head) = &mut self.head {
            head.extend_from_slice(bytes);
            let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else { return };
            if head.get(9..12) != Some(b"200") {
                return self.stream = None;
            }
            bytes = &bytes[bytes.len() - (head.len() - end - 4)..];
            self.head = None;
        }
        if bytes.is_empty() {
            return;
        }
        match self.first_ns {
            None => self.first_ns = Some(now_ns),
            Some(_) => self.gap_ns = self.gap_ns.max(now_ns - self.last_ns),
        }
        self.last_ns = now_ns;
        self.bytes += bytes.len() as u64;
        let (place, wrong) = (&mut self.place, &mut self.wrong);
        let looked = match look {
            Look::Bytes => Ok(()),
            Look::Frames => self.frames.feed(bytes, |_| Ok(())),
            Look::Order => self.frames.feed(bytes, |frame| order.hear(place, digest(frame))),
        };
        if let Err(what) = looked {
            wrong.get_or_insert(what);
        }
    }
}

/// Cuts a stream into its frames, which have one length, with no byte between them.
#[derive(Default)]
struct Frames {
    header: Option<Header>,
    rest: Vec<u8>,
    count: u64,
}

impl Frames {
    fn feed(&mut self, mut bytes: &[u8], mut hear: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(), String> {
        if self.header.is_none() {
            let first = bytes.first_chunk().and_then(|four| Header::parse(*four));
            self.header = Some(first.ok_or("the first byte is not a frame's")?);
        }
        let header = self.header.ok_or("no header")?;
        let mut take = |frame: &[u8]| {
            let here = frame.first_chunk().and_then(|four| Header::parse(*four));
            if !here.is_some_and(|here| here.same_stream(header) && here.frame_bytes() == frame.len()) {
                return Err(format!("no frame where frame {} begins", self.count));
            }
            self.count += 1;
            hear(frame)
        };
        if !self.rest.is_empty() {
            let missing = (header.frame_bytes() - self.rest.len()).min(bytes.len());
            self.rest.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.rest.len() < header.frame_bytes() {
                return Ok(());
            }
            take(&self.rest)?;
            self.rest = Vec::new();
        }
        let frames = bytes.chunks_exact(header.frame_bytes());
        self.rest.extend_from_slice(frames.remainder());
        frames.into_iter().try_for_each(take)
    }
}

/// The stream that all hear: each frame by what it is made of.
#[derive(Default)]
struct Order {
    known: VecDeque<u64>,
    /// Number of the first one that is known.
    first: u64,
}

/// Where in it a listener is.
enum Place {
    /// What came, until the first of it is found.
    Sought(Vec<u64>),
    /// The number of its next frame.
    At(u64),
}

impl Order {
    /// Who is ahead of all others tells what comes next; who is not must hear the same.
    fn hear(&mut self, place: &mut Place, frame: u64) -> Result<(), String> {
        match place {
            Place::At(next) => {
                let known = next.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
                let known = known.ok_or_else(|| format!("frame {next} comes too late"))?;
                match self.known.get(known) {
                    Some(expected) if *expected != frame => return Err(format!("not frame {next}")),
                    Some(_) => {}
                    None => self.known.push_back(frame),
                }
                *next += 1;
                if self.known.len() > REMEMBERED {
                    self.known.pop_front();
                    self.first += 1;
                }
                Ok(())
            }
            Place::Sought(frames) => {
                frames.push(frame);
                if let Some(at) = self.known.iter().rposition(|known| *known == frames[0]) {
                    let frames = std::mem::take(frames);
                    *place = Place::At(self.first + at as u64);
                    return frames.into_iter().try_for_each(|frame| self.hear(place, frame));
                }
                if frames.len() < LOST_MAX { Ok(()) } else { Err("none else hears what this one hears".into()) }
            }
        }
    }
}

/// A number that two different frames do not share.
fn digest(frame: &[u8]) -> u64 {
    let words = frame.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes")));
    words.fold(0, |sum: u64, word| (sum.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95))
}
