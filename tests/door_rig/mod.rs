//! A tower without an encoder: the real door and control plane, and a metronome
//! that makes numbered frames.
#![allow(dead_code)] // each test file uses its part

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nix::sys::socket::{setsockopt, sockopt};
use retrowaves::{
    config::TowerConfig,
    control::{self, ControlDeps, ControlHandle, status::StatusSources},
    door::{Door, DoorDeps, DoorHandle},
    encoder::{EncoderState, OnAirOutlet},
    frame::{MP3_FRAME_BYTES_MAX, TICK_NS},
    limits::{EVENTS_TO_DOOR_MAX, MP3, TITLES_WAITING_MAX},
    pump::clock::OnAirClock,
    ring::FrameRingBuffer,
    router::AudioInputRouter,
    stats::{EncoderStats, ListenerStats, PumpStats},
    sys::time::{now_ns, sleep_until},
};

pub const FRAME_BYTES: usize = 384;
const HEADER: [u8; 6] = [0xff, 0xfb, 0x94, 0x44, 0, 0];

/// The frame of a number: it says which it is, all over.
pub fn frame(number: u64) -> [u8; FRAME_BYTES] {
    let mut frame = [0; FRAME_BYTES];
    for (i, byte) in frame.iter_mut().enumerate() {
        // Never 0xff: no header anywhere but at the beginning.
        *byte = u8::try_from((number * 7 + i as u64) % 200).expect("below 200");
    }
    frame[..6].copy_from_slice(&HEADER);
    frame[6..14].copy_from_slice(&number.to_le_bytes());
    frame
}

/// The silent filler.
pub fn filler() -> [u8; FRAME_BYTES] {
    let mut filler = [0; FRAME_BYTES];
    filler[..4].copy_from_slice(&HEADER[..4]);
    filler
}

/// The number of a frame; `None` for the filler. Panics if it is neither.
pub fn number_of(bytes: &[u8]) -> Option<u64> {
    if bytes == filler() {
        return None;
    }
    let number = u64::from_le_bytes(bytes[6..14].try_into().expect("8 bytes"));
    assert_eq!(bytes, frame(number), "not a frame");
    Some(number)
}

static NEXT: AtomicU32 = AtomicU32::new(0);

pub struct Rig {
    dir: PathBuf,
    pub config: TowerConfig,
    pub address: SocketAddr,
    pub listeners: Arc<ListenerStats>,
    pub pump: Arc<PumpStats>,
    pub encoder: Arc<EncoderStats>,
    pub router: Arc<AudioInputRouter>,
    door: Option<DoorHandle>,
    control: Option<ControlHandle>,
    metronome: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Rig {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub fn start_with(configure: impl FnOnce(&mut TowerConfig)) -> Self {
        let name = format!("retrowaves-door-{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
        let dir = std::env::temp_dir().join(name);
        let mut config = TowerConfig::with_runtime_dir(&dir);
        config.http.port = 0;
        // What is sent at once is the subject of few tests.
        config.stream.burst_ms = 0;
        configure(&mut config);
        let clock = Arc::new(OnAirClock::new(0).expect("clock"));
        let mp3 = Arc::new(FrameRingBuffer::new(MP3.frames_max, MP3_FRAME_BYTES_MAX, MP3.when_full));
        let (listeners, pump, encoder) =
            (Arc::<ListenerStats>::default(), Arc::<PumpStats>::default(), Arc::<EncoderStats>::default());
        encoder.state.store(EncoderState::Running as u8, SeqCst);
        let router = Arc::new(AudioInputRouter::new(100));
        let outlet = OnAirOutlet::new(mp3.clone(), encoder.clone(), filler().into(), Arc::default());
        let sources = StatusSources {
            pump: pump.clone(),
            encoder: encoder.clone(),
            listeners: listeners.clone(),
            ingest: Arc::default(),
            router: router.clone(),
            mp3: mp3.clone(),
            live: Arc::default(),
            live_device: None,
            meter: Default::default(),
            events: Arc::default(),
            relay: None,
            pull: None,
            box_report: None,
            started_ns: now_ns(),
        };
        let door = Door::bind(&config).expect("bound");
        let (titles, announced) = std::sync::mpsc::sync_channel(TITLES_WAITING_MAX);
        let (events, said) = std::sync::mpsc::sync_channel(EVENTS_TO_DOOR_MAX);
        let event_stats = sources.events.clone();
        let control = control::start(ControlDeps {
            config: &config,
            sources,
            titles,
            events,
            event_stats: event_stats.clone(),
            frame_bytes: FRAME_BYTES,
        });
        let deps = DoorDeps {
            config: &config,
            clock: clock.clone(),
            outlet,
            router: router.clone(),
            listeners: listeners.clone(),
            pump: pump.clone(),
            announced,
            events: said,
            event_stats,
        };
        let door = door.start(deps).expect("open");
        let stop = Arc::new(AtomicBool::new(false));
        let metronome = metronome(clock, mp3, pump.clone(), stop.clone());
        let port = door.local_addr().port();
        Self {
            dir,
            config,
            address: ([127, 0, 0, 1], port).into(),
            listeners,
            pump,
            encoder,
            router,
            door: Some(door),
            control: Some(control.expect("control plane")),
            metronome: Some(metronome),
            stop,
        }
    }

    pub fn control_socket(&self) -> &Path {
        &self.config.control.socket
    }

    pub fn folder(&self) -> &Path {
        &self.dir
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
        stream
    }

    /// Sends bytes on a new connection and reads the reply to its end.
    pub fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("sent");
        read_to_end(&mut stream)
    }

    /// The same, by the control socket.
    pub fn ask_locally(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.control_socket()).expect("connected");
        stream.write_all(request.as_bytes()).expect("sent");
        read_to_end(&mut stream)
    }

    /// Tells it what plays, as a station does: the event's `metadata`.
    pub fn say(&self, metadata: &serde_json::Value) {
        let event = serde_json::json!({"event_type": "song_playing", "metadata": metadata}).to_string();
        let reply = self.ask_locally(&format!(
            "POST /tower/events/ingest HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{event}",
            event.len()
        ));
        assert!(reply.starts_with("HTTP/1.1 204 "), "{reply}");
    }

    /// A listener whose response head has been read.
    pub fn listen(&self) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
        let head = read_head(&mut stream);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        stream
    }

    pub fn status(&self) -> serde_json::Value {
        body_json(&self.ask("GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// Puts `web` in the place of the control plane: it gets each connection of the door.
    pub fn replace_control(&mut self, web: impl Fn(UnixStream) + Send + 'static) {
        if let Some(control) = self.control.take() {
            control.stop();
        }
        let listener = std::os::unix::net::UnixListener::bind(&self.config.control.web_socket).expect("bound");
        // Ends with the process.
        std::thread::spawn(move || listener.incoming().flatten().for_each(web));
    }

    /// Stops the control plane and leaves nothing in its place.
    pub fn stop_control(&mut self) {
        self.control.take().expect("running").stop();
    }

    /// Stops door and control; the metronome stops too.
    pub fn stop(&mut self) {
        if let Some(door) = self.door.take() {
            assert!(door.stop(), "the door stops in time");
        }
        if let Some(control) = self.control.take() {
            control.stop();
        }
        self.stop.store(true, SeqCst);
        if let Some(metronome) = self.metronome.take() {
            metronome.join().expect("metronome");
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn metronome(
    clock: Arc<OnAirClock>,
    mp3: Arc<FrameRingBuffer>,
    pump: Arc<PumpStats>,
    stop: Arc<AtomicBool>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let start_ns = now_ns();
        for tick in 0.. {
            if stop.load(SeqCst) {
                return;
            }
            sleep_until(start_ns + tick * TICK_NS).expect("sleep");
            mp3.push_frame(tick, &frame(tick));
            pump.ticks.add(1);
            clock.tick();
        }
    })
}

pub fn read_to_end(stream: &mut impl Read) -> String {
    let mut reply = Vec::new();
    // A reset after the reply ends it as well.
    let _ = stream.read_to_end(&mut reply);
    String::from_utf8_lossy(&reply).into_owned()
}

pub fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a response head");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

pub fn read_frames(stream: &mut impl Read, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count * FRAME_BYTES];
    stream.read_exact(&mut bytes).expect("frames");
    bytes
}

/// Numbers of the frames in `bytes`; fillers are left out.
pub fn numbers(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks(FRAME_BYTES).filter_map(number_of).collect()
}

pub fn assert_gapless(numbers: &[u64]) {
    assert!(!numbers.is_empty(), "no frames");
    for pair in numbers.windows(2) {
        assert_eq!(pair[1], pair[0] + 1, "a gap");
    }
}

pub fn body_json(reply: &str) -> serde_json::Value {
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no reply: {reply:?}"));
    serde_json::from_str(body).unwrap_or_else(|e| panic!("{e} in {head}\n{body}"))
}

pub fn status_of(reply: &str) -> u16 {
    reply.get(9..12).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("no reply: {reply:?}"))
}

pub fn wait_until(what: &str, timeout: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < timeout, "{what}: not within {timeout:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A listener whose kernel holds little, so that the server soon sees that it does not read.
pub fn listen_with_buffer(rig: &Rig, bytes: usize) -> TcpStream {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, socket};
    use std::os::fd::AsRawFd;
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("socket");
    setsockopt(&fd, sockopt::RcvBuf, &bytes).expect("small buffer");
    let SocketAddr::V4(v4) = rig.address else {
        panic!("IPv4");
    };
    connect(fd.as_raw_fd(), &SockaddrIn::from(v4)).expect("connected");
    let mut stream = TcpStream::from(fd);
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
    stream.write_all(b"GET /stream HTTP/1.0\r\n\r\n").expect("sent");
    stream
}
