//! A stand-in for the tower, seen from the station: a socket that records every byte of PCM with
//! its time, a queue that is drained at a chosen rate, and the two addresses that a station calls.

use std::{
    io::Read,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use retrowaves::frame::STATION_FRAME_BYTES;
use serde_json::{Value, json};

/// Frames that the queue of a tower holds.
const CAPACITY_FRAMES: u64 = 100;
/// A tower takes one pump frame of 4608 bytes every 24 ms: 192 bytes a millisecond.
const DRAIN_BYTES_PER_MS: f64 = 192.0;
const PUMP_FRAME_BYTES: u64 = retrowaves::frame::PUMP_FRAME_BYTES as u64;

/// Some bytes that came together.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Since the sink was started.
    pub at: Duration,
    /// How many connections were accepted before this one.
    pub connection: usize,
    /// Bytes of it.
    pub bytes: usize,
}

/// What came, of all connections in turn.
#[derive(Debug, Default, Clone)]
pub struct Received {
    pub bytes: Vec<u8>,
    pub arrivals: Vec<Arrival>,
    pub connections: usize,
}

impl Received {
    /// Interleaved samples, left and right.
    pub fn samples(&self) -> Vec<i16> {
        self.bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    /// Only whole station frames may come, in each connection.
    pub fn assert_whole_frames(&self) {
        for number in 0..self.connections {
            let bytes: usize = self.arrivals.iter().filter(|a| a.connection == number).map(|a| a.bytes).sum();
            assert_eq!(bytes % STATION_FRAME_BYTES, 0, "connection {number} ended within a frame");
        }
    }
}

/// The socket that takes PCM.
pub struct PcmSink {
    pub path: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    start: Instant,
    received: Mutex<Received>,
    bytes: AtomicU64,
    paused: AtomicBool,
    stop: AtomicBool,
}

impl PcmSink {
    pub fn start(path: &Path) -> Self {
        let shared = Arc::new(Shared {
            start: Instant::now(),
            received: Mutex::default(),
            bytes: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let mut sink = Self { path: path.to_owned(), shared, thread: None };
        sink.come_back();
        sink
    }

    pub fn received(&self) -> Received {
        self.shared.received.lock().expect("sink").clone()
    }

    /// Bytes so far; cheap.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(SeqCst)
    }

    /// Stops reading; the connection stays, and fills.
    pub fn pause(&self, paused: bool) {
        self.shared.paused.store(paused, SeqCst);
    }

    /// Closes all and removes the socket, as a tower does that ends.
    pub fn vanish(&mut self) {
        self.shared.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("sink");
        }
        let _ = std::fs::remove_file(&self.path);
    }

    /// Listens again, in the same place.
    pub fn come_back(&mut self) {
        self.shared.stop.store(false, SeqCst);
        let listener = UnixListener::bind(&self.path).expect("bind");
        listener.set_nonblocking(true).expect("non-blocking");
        let shared = self.shared.clone();
        self.thread = Some(std::thread::spawn(move || serve(&listener, &shared)));
    }

    pub fn wait_for_bytes(&self, bytes: u64, within: Duration) {
        let start = Instant::now();
        while self.bytes() < bytes {
            assert!(start.elapsed() < within, "{} of {bytes} bytes within {within:?}", self.bytes());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for PcmSink {
    fn drop(&mut self) {
        self.vanish();
    }
}

fn serve(listener: &UnixListener, shared: &Shared) {
    while !shared.stop.load(SeqCst) {
        match listener.accept() {
            Ok((stream, _)) => {
                let number = {
                    let mut received = shared.received.lock().expect("sink");
                    received.connections += 1;
                    received.connections - 1
                };
                take(stream, number, shared);
            }
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// Reads one connection to its end.
fn take(mut stream: UnixStream, connection: usize, shared: &Shared) {
    stream.set_nonblocking(false).expect("blocking");
    stream.set_read_timeout(Some(Duration::from_millis(5))).expect("timeout");
    let mut bytes = [0; 16 * STATION_FRAME_BYTES];
    while !shared.stop.load(SeqCst) {
        if shared.paused.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        }
        match stream.read(&mut bytes) {
            Ok(0) => return,
            Ok(n) => {
                let mut received = shared.received.lock().expect("sink");
                received.bytes.extend_from_slice(&bytes[..n]);
                received.arrivals.push(Arrival { at: shared.start.elapsed(), connection, bytes: n });
                shared.bytes.fetch_add(n as u64, SeqCst);
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

/// A tower's queue by arithmetic: filled by what came, drained by a clock.
#[derive(Debug, Clone, Copy)]
pub struct Queue {
    /// How much faster than ours the tower's clock is.
    pub ppm: i64,
    bytes: u64,
    in_all_bytes: u64,
    looked_at: Duration,
    owed_ms: f64,
    /// Station frames that found it full.
    pub overflow_frames: u64,
    /// Ticks that found it empty, once something had come.
    pub dry_ticks: u64,
}

impl Queue {
    pub fn new(ppm: i64) -> Self {
        let looked_at = Duration::ZERO;
        Self { ppm, bytes: 0, in_all_bytes: 0, looked_at, owed_ms: 0.0, overflow_frames: 0, dry_ticks: 0 }
    }

    /// `now`, since the same origin each time, and all bytes that have come until then.
    #[allow(clippy::cast_precision_loss)]
    pub fn look(&mut self, now: Duration, in_all_bytes: u64) {
        let faster = 1.0 + self.ppm as f64 / 1e6;
        self.owed_ms += now.saturating_sub(self.looked_at).as_secs_f64() * 1000.0 * faster;
        self.looked_at = now;
        self.bytes += in_all_bytes - self.in_all_bytes;
        self.in_all_bytes = in_all_bytes;
        let tick_ms = PUMP_FRAME_BYTES as f64 / DRAIN_BYTES_PER_MS;
        while self.owed_ms >= tick_ms {
            self.owed_ms -= tick_ms;
            if self.bytes >= PUMP_FRAME_BYTES {
                self.bytes -= PUMP_FRAME_BYTES;
            } else if in_all_bytes > 0 {
                self.dry_ticks += 1;
            }
        }
        let room = CAPACITY_FRAMES * PUMP_FRAME_BYTES;
        if self.bytes > room {
            self.overflow_frames += (self.bytes - room).div_ceil(STATION_FRAME_BYTES as u64);
            self.bytes = room;
        }
    }

    pub fn frames(&self) -> u64 {
        self.bytes / PUMP_FRAME_BYTES
    }
}

/// The tower's HTTP surface, as far as a station calls it.
pub struct FakeTower {
    pub url: String,
    state: Arc<FakeState>,
    server: Arc<tiny_http::Server>,
    thread: Option<JoinHandle<()>>,
}

struct FakeState {
    sink: Arc<Shared>,
    queue: Mutex<Queue>,
    ppm: AtomicI64,
    events: Mutex<Vec<Value>>,
    fills: Mutex<Vec<u64>>,
    /// Answers wait this long: a tower that hangs.
    delay_ms: AtomicU64,
}

impl FakeTower {
    /// Its queue is filled by what `sink` receives and drained by a clock `ppm` faster than ours.
    pub fn start(sink: &PcmSink, ppm: i64) -> Self {
        let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").expect("listen"));
        let url = format!("http://{}", server.server_addr().to_ip().expect("TCP"));
        let state = Arc::new(FakeState {
            sink: sink.shared.clone(),
            queue: Mutex::new(Queue::new(ppm)),
            ppm: AtomicI64::new(ppm),
            events: Mutex::default(),
            fills: Mutex::default(),
            delay_ms: AtomicU64::new(0),
        });
        let (shared, requests) = (state.clone(), server.clone());
        let thread = std::thread::spawn(move || {
            for request in requests.incoming_requests() {
                answer(request, &shared);
            }
        });
        Self { url, state, server, thread: Some(thread) }
    }

    /// Every event that was sent in, in order.
    pub fn events(&self) -> Vec<Value> {
        self.state.events.lock().expect("events").clone()
    }

    /// The fill, in frames, at each poll of `/tower/buffer`.
    pub fn fills(&self) -> Vec<u64> {
        self.state.fills.lock().expect("fills").clone()
    }

    pub fn queue(&self) -> Queue {
        *self.state.queue.lock().expect("queue")
    }

    pub fn set_ppm(&self, ppm: i64) {
        self.state.ppm.store(ppm, SeqCst);
    }

    pub fn delay_answers(&self, delay: Duration) {
        self.state.delay_ms.store(u64::try_from(delay.as_millis()).expect("short"), SeqCst);
    }
}

impl Drop for FakeTower {
    fn drop(&mut self) {
        self.delay_answers(Duration::ZERO);
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut request: tiny_http::Request, state: &FakeState) {
    std::thread::sleep(Duration::from_millis(state.delay_ms.load(SeqCst)));
    let reply = match (request.method().as_str(), request.url()) {
        ("GET", "/tower/buffer") => (200, buffer(state)),
        ("POST", "/tower/events/ingest") => {
            let mut body = String::new();
            request.as_reader().read_to_string(&mut body).expect("a body");
            let event: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
            state.events.lock().expect("events").push(event);
            (204, String::new())
        }
        _ => (404, json!({"error": "no such address"}).to_string()),
    };
    let response = tiny_http::Response::from_string(reply.1).with_status_code(reply.0);
    let _ = request.respond(response);
}

#[allow(clippy::cast_precision_loss)]
fn buffer(state: &FakeState) -> String {
    let mut queue = state.queue.lock().expect("queue");
    queue.ppm = state.ppm.load(SeqCst);
    queue.look(state.sink.start.elapsed(), state.sink.bytes.load(SeqCst));
    let fill = queue.frames();
    state.fills.lock().expect("fills").push(fill);
    let ratio = fill as f64 / CAPACITY_FRAMES as f64;
    json!({"fill": fill, "capacity": CAPACITY_FRAMES, "count": fill, "overflow_count": queue.overflow_frames, "ratio": ratio})
        .to_string()
}
