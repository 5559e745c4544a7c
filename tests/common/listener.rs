//! A listener that records: what came, when, and whether it is a whole MP3 stream.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use retrowaves::{encoder::Mp3Packetizer, sys::time::now_ns};

use super::witness::{Stalls, Witness};

/// Records `/stream` until stopped.
pub struct Recorder {
    stop: Arc<AtomicBool>,
    shared: Arc<Mutex<Recording>>,
    thread: Option<JoinHandle<()>>,
    /// Of the machine, as long as it records.
    pub witness: Witness,
}

/// What was heard.
#[derive(Default, Clone)]
pub struct Recording {
    pub head: String,
    pub bytes: Vec<u8>,
    /// At which moment (CLOCK_MONOTONIC) so many bytes had come.
    pub arrivals: Vec<(u64, usize)>,
    /// The longest time between two reads.
    pub worst_gap: Duration,
    /// The tower closed the connection.
    pub disconnected: bool,
    /// When the machine stood still meanwhile.
    pub stalls: Stalls,
}

impl Recorder {
    pub fn start(port: u16) -> Self {
        Self::request(port, "/stream")
    }

    pub fn request(port: u16, path: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("request");
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("timeout");
        let stop = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Mutex::new(Recording::default()));
        let (stopped, recording) = (stop.clone(), shared.clone());
        let thread = std::thread::spawn(move || record(stream, &stopped, &recording));
        Self { stop, shared, thread: Some(thread), witness: Witness::start() }
    }

    pub fn so_far(&self) -> Recording {
        self.shared.lock().expect("recorder").clone()
    }

    pub fn stop(mut self) -> Recording {
        self.stop.store(true, SeqCst);
        self.thread.take().expect("once").join().expect("recorder");
        Recording { stalls: self.witness.stalls(), ..self.so_far() }
    }
}

fn record(stream: TcpStream, stop: &AtomicBool, recording: &Mutex<Recording>) {
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            break;
        }
    }
    recording.lock().expect("recorder").head = head;
    let mut last = Instant::now();
    let mut bytes = [0; 16 << 10];
    while !stop.load(SeqCst) {
        match reader.read(&mut bytes) {
            Ok(0) => {
                recording.lock().expect("recorder").disconnected = true;
                return;
            }
            Ok(n) => {
                let mut recording = recording.lock().expect("recorder");
                recording.bytes.extend_from_slice(&bytes[..n]);
                let so_far = recording.bytes.len();
                recording.arrivals.push((now_ns(), so_far));
                recording.worst_gap = recording.worst_gap.max(last.elapsed());
                last = Instant::now();
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => {
                recording.lock().expect("recorder").disconnected = true;
                return;
            }
        }
    }
}

impl Recording {
    /// What came, came without a break that is the tower's.
    pub fn assert_no_break(&self) {
        let longest = Duration::from_millis(500) + self.stalls.time();
        assert!(!self.disconnected && self.worst_gap < longest, "{:?}; the machine: {:?}", self.worst_gap, self.stalls);
    }

    /// Every frame; no byte may lie between two of them.
    pub fn frames(&self) -> Vec<Vec<u8>> {
        let mut packetizer = Mp3Packetizer::new();
        let mut frames = Vec::new();
        packetizer.feed(&self.bytes, |packet| {
            assert_eq!(packet.garbage_before, 0, "garbage before frame {}", frames.len());
            frames.push(packet.bytes.to_vec());
        });
        assert_eq!(packetizer.garbage_bytes(), 0, "garbage at the end");
        frames
    }

    /// Real decoders find nothing wrong with it.
    pub fn assert_decoders_are_content(&self, dir: &Path) {
        let file = dir.join("recording.mp3");
        let whole = self.frames().concat();
        std::fs::write(&file, whole).expect("write");
        let ffmpeg = Command::new("ffmpeg")
            .args(["-v", "error", "-xerror", "-i"])
            .arg(&file)
            .args(["-f", "null", "-"])
            .output()
            .expect("ffmpeg");
        assert!(
            ffmpeg.status.success() && ffmpeg.stderr.is_empty(),
            "ffmpeg: {}",
            String::from_utf8_lossy(&ffmpeg.stderr)
        );
        let mpg123 = Command::new("mpg123").args(["-q", "-t"]).arg(&file).output().expect("mpg123");
        assert!(
            mpg123.status.success() && mpg123.stderr.is_empty(),
            "mpg123: {}",
            String::from_utf8_lossy(&mpg123.stderr)
        );
    }

    /// Decoded to interleaved samples by FFmpeg.
    pub fn decoded(&self, dir: &Path) -> Vec<i16> {
        let file = dir.join("decode.mp3");
        std::fs::write(&file, self.frames().concat()).expect("write");
        let out = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(&file)
            .args(["-f", "s16le", "-ar", "48000", "-ac", "2", "-"])
            .output()
            .expect("ffmpeg");
        out.stdout.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }
}

/// The longest time without sound in interleaved samples.
pub fn longest_silence(values: &[i16]) -> Duration {
    // Louder than what a codec makes of silence, softer than any programme.
    let pairs = values.chunks_exact(2).map(|pair| pair.iter().all(|value| value.abs() < 64));
    let (mut longest, mut current) = (0, 0);
    for silent in pairs {
        current = if silent { current + 1 } else { 0 };
        longest = longest.max(current);
    }
    Duration::from_millis(longest * 1000 / 48_000)
}
