//! Everybody misbehaves at once (H3, H4, H9), and who listens hears every frame; then all is as it was before.

mod common;

use std::{
    fs::read_dir,
    io::{Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{JoinHandle, sleep},
    time::{Duration, Instant},
};

use common::{
    Setup, Tower,
    crowd::{Crowd, Heard, Look},
    material::hiss,
    programme::length,
    sender::Sender,
    witness::Witness,
};
use nix::{
    errno::Errno,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        socket::{
            AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn, bind, connect, recv, send, setsockopt, socket,
            sockopt,
        },
    },
};
use retrowaves::sys::{socket::reset_on_close, thread::set_fifo};
use serde_json::Value;

const GOOD: usize = 500;
const STALLED: usize = 500;
const SLOW: usize = 500;
const VANISHING: usize = 500;
const SLOW_HEADS: usize = 200;
/// Connections of the flood, a second: more than the door accepts.
const FLOOD_PER_SEC: u32 = 3000;
/// So many of them stay for a while, and say nothing.
const FLOOD_STAYS: usize = 6000;
const REQUEST: &[u8] = b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// Between two rounds of those who misbehave.
const ROUND: Duration = Duration::from_millis(100);
/// Half of 16,000 bytes a second.
const SLOW_BYTES: usize = 800;

/// What somebody who misbehaves does in each round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Vice {
    /// Asks, and never reads.
    Stall,
    /// Reads at half the speed.
    Crawl,
    /// Leaves in the middle of whatever it is at, without a word.
    Vanish,
    /// Sends its head byte by byte.
    Drip,
}

struct Villain {
    vice: Vice,
    socket: Option<OwnedFd>,
    rounds: usize,
}

/// A connection that may still be on its way, with a small receive buffer: what the kernel of somebody who does
/// not read swallows is his, not the tower's.
fn knock(port: u16, host: u8) -> Option<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None).ok()?;
    setsockopt(&fd, sockopt::RcvBuf, &4096).ok()?;
    setsockopt(&fd, sockopt::IpBindAddressNoPort, &true).ok()?;
    bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 1, host, 0)).ok()?;
    match connect(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Some(fd),
        Err(_) => None,
    }
}

/// Resets instead of closing, which also leaves no port waiting.
fn vanish(socket: OwnedFd) {
    let _ = reset_on_close(&socket);
}

impl Villain {
    fn round(&mut self, port: u16, host: u8) {
        let Some(socket) = &self.socket else {
            (self.socket, self.rounds) = (knock(port, host), 0);
            return;
        };
        self.rounds += 1;
        let say = |bytes: &[u8]| send(socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL);
        let mut buffer = [0; SLOW_BYTES];
        let mut hear = || recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty());
        let goes_on = match (self.vice, self.rounds) {
            (Vice::Drip, n) => say(&REQUEST[n % 30..n % 30 + 1]).is_ok(),
            // Its second half comes never, or in the next round.
            (Vice::Vanish, 1) => say(&REQUEST[..20]).is_ok() && !usize::from(host).is_multiple_of(3),
            (Vice::Vanish, 2) => say(&REQUEST[20..]).is_ok() && !usize::from(host).is_multiple_of(5),
            (Vice::Vanish, n) => n < 3 + usize::from(host) % 7,
            (_, 1) => say(REQUEST).is_ok(),
            (Vice::Crawl, _) => !matches!(hear(), Ok(0) | Err(Errno::ECONNRESET)),
            // Dropped by the tower: it shows when somebody looks.
            (Vice::Stall, n) => n % 20 > 0 || say(b"\r\n").is_ok(),
        };
        if !goes_on && let Some(socket) = self.socket.take() {
            vanish(socket);
        }
    }
}

/// Those who misbehave, until `stop`.
fn villains(port: u16, stop: Arc<AtomicBool>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let vices = [(Vice::Stall, STALLED), (Vice::Crawl, SLOW), (Vice::Vanish, VANISHING), (Vice::Drip, SLOW_HEADS)];
        let mut all: Vec<Villain> = vices
            .into_iter()
            .flat_map(|(vice, count)| (0..count).map(move |_| Villain { vice, socket: None, rounds: 0 }))
            .collect();
        while !stop.load(SeqCst) {
            let start = Instant::now();
            for (villain, host) in all.iter_mut().zip((1..=200).cycle()) {
                villain.round(port, host);
            }
            sleep(ROUND.saturating_sub(start.elapsed()));
        }
        all.into_iter().filter_map(|villain| villain.socket).for_each(vanish);
    })
}

/// Connections that say nothing and are gone again.
fn flood(port: u16, stop: Arc<AtomicBool>) -> JoinHandle<usize> {
    std::thread::spawn(move || {
        let (mut came, start) = (0u32, Instant::now());
        let mut held = Vec::new();
        while !stop.load(SeqCst) {
            let due = start.elapsed().as_secs_f64() * f64::from(FLOOD_PER_SEC);
            while f64::from(came) < due {
                held.extend(knock(port, 200 + u8::try_from(came % 50).expect("small")));
                came += 1;
            }
            let too_many = held.len().saturating_sub(FLOOD_STAYS);
            held.drain(..too_many).for_each(vanish);
            sleep(Duration::from_millis(5));
        }
        held.into_iter().for_each(vanish);
        came as usize
    })
}

fn good(port: u16, stop: Arc<AtomicBool>) -> JoinHandle<Heard> {
    std::thread::spawn(move || {
        // A crowd that others keep from looking would see gaps that are none.
        let _ = set_fifo(1);
        let mut crowd = Crowd::new(port, Look::Order);
        crowd.grow_to(GOOD, 1000);
        crowd.until_all_hear(Duration::from_secs(5));
        crowd.mark();
        while !stop.load(SeqCst) {
            crowd.look();
        }
        crowd.heard()
    })
}

/// Bytes of its own memory, and descriptors.
fn holdings(tower: &Tower) -> (u64, usize) {
    let pid = tower.pid();
    let memory = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("memory");
    let line = memory.lines().find_map(|line| line.strip_prefix("Anonymous:")).expect("a figure");
    let kib: u64 = line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number");
    (kib << 10, read_dir(format!("/proc/{pid}/fd")).expect("descriptors").count())
}

fn status_locally(tower: &Tower) -> Value {
    let mut control = UnixStream::connect(tower.control_socket()).expect("control socket");
    control.write_all(b"GET /status HTTP/1.0\r\n\r\n").expect("asked");
    let mut reply = String::new();
    control.read_to_string(&mut reply).expect("a reply");
    let (_, body) = reply.split_once("\r\n\r\n").expect("a reply");
    serde_json::from_str(body).expect("a status")
}

fn mayhem(setup: &Setup, time: Duration) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("limit");
    let tower = setup.start();
    let _sender = Sender::start(&tower.pcm_socket(), 50, hiss);
    tower.wait_until("the encoder and its spare are ready", Duration::from_secs(60), |status| {
        status["encoder"]["spare_ready"] == true && status["mode"] == "PROGRAM"
    });
    // What came before the noise repeats itself, and is on air for as long as the cushion.
    sleep(Duration::from_secs(3));
    let before = holdings(&tower);
    let (witness, of_the_door) = (Witness::start(), Witness::of_the_door());
    let stop = Arc::new(AtomicBool::new(false));
    let good = good(tower.port, stop.clone());
    tower.wait_until("the good ones hear", Duration::from_secs(10), |status| status["listeners"]["now"] == GOOD);
    let (bad, flood) = (villains(tower.port, stop.clone()), flood(tower.port, stop.clone()));
    sleep(time);
    // While all of that goes on, who may use the control socket is answered, too.
    let asked = Instant::now();
    let during = status_locally(&tower);
    let answered = asked.elapsed();
    stop.store(true, SeqCst);
    let (heard, came) = (good.join().expect("crowd"), flood.join().expect("flood"));
    bad.join().expect("villains");
    tower.wait_until("all have left", Duration::from_secs(20), |status| status["listeners"]["now"] == 0);
    // The last of them linger for a second, and a head has five.
    let start = Instant::now();
    while holdings(&tower).1 > before.1 && start.elapsed() < Duration::from_secs(10) {
        sleep(Duration::from_millis(100));
    }
    let (after, stalls) = (holdings(&tower), of_the_door.stalls());
    println!("status after {answered:?}, worst gap on air {} ms", tower.figure("worst_gap_ms"));
    println!("{came} came with the flood; {:#}\nheard {heard:?}\nholdings {before:?}, {after:?}", during["listeners"]);
    assert_eq!((heard.listening, heard.lost, heard.wrong.len()), (GOOD, 0, 0), "{heard:?}");
    // A core that the door did not get, and the gap on air that came of it.
    let excused = stalls.longest_ms().min(tower.figure("worst_gap_ms")) + heard.away_ms;
    assert!(heard.gap_ms <= 250 + excused, "a gap of {} ms; the machine: {stalls:?}", heard.gap_ms);
    assert_eq!(after.1, before.1, "descriptors");
    assert!(after.0 < before.0 + (4 << 20), "memory: {before:?} before, {after:?} after");
    witness.assert_ticks(&tower, 0);
    assert!(answered < Duration::from_secs(2), "{answered:?} to a status");
    assert!(tower.figure("listeners/rejected") > 0, "the flood was felt");
}

/// Stalled, slow, vanishing, dripping and flooding at once, for ten seconds, and 500 who listen: not one frame
/// is missing or late. The backlog is short, so that those who are slow are dropped within that time.
#[test]
fn h3_h4_h9_mayhem_costs_those_who_listen_nothing_and_leaves_nothing_behind() {
    mayhem(&Setup::default().set("stream.backlog_sec=1"), Duration::from_secs(10));
}

/// The same with the backlog that everybody has, for longer.
#[test]
#[ignore = "takes minutes; make soak runs it"]
fn h3_h4_h9_mayhem_for_long() {
    mayhem(&Setup::default(), length(120));
}
