//! Is the tower healthy? A thread listens to the stream as anyone would, and judges.
//!
//! Counters can say that all is well while nothing reaches a listener, so the monitor
//! comes through the door (by the control socket, where it is not counted) and reads the
//! stream back: every frame must begin where the last one ended, with a
//! header of the same class. Once a second it notes the counters; the verdict is a pure function of
//! the notes of the last ten seconds.

use std::{
    collections::VecDeque,
    io::{self, Read},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use serde::Serialize;

use super::status::StatusSources;
use crate::{
    encoder::{EncoderState, Header},
    own_stream,
    sys::time::now_ns,
};

/// How long all must have been well.
const WINDOW_SEC: u64 = 10;
/// A stream that pauses for longer is not gapless: batches come every 288 ms at the longest.
const PAUSE_MS_MAX: u64 = 1000;
/// How often the thread looks whether it should stop, when nothing comes.
const READ_TIMEOUT: Duration = Duration::from_millis(200);
const SEC: u64 = 1_000_000_000;

/// Whether the tower is healthy, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// No reason against it.
    pub healthy: bool,
    /// Sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// What is noted once a second. Counters, but for `encoder`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at_ns: u64,
    /// Ticks that happened.
    pub ticks: u64,
    /// The encoder's state.
    pub encoder: EncoderState,
    /// Failures of the encoder.
    pub failures: u64,
    /// Stand-ins on air.
    pub fillers: u64,
    /// Frames read back from the stream.
    pub frames_heard: u64,
    /// Gaps, wrong frames and lost connections there.
    pub faults: u64,
}

/// The verdict on notes, oldest first.
pub fn judge(notes: &[Note]) -> Health {
    let mut reasons = Vec::new();
    if let (Some(first), Some(last)) = (notes.first(), notes.last()) {
        // A note comes a little late rather than early.
        let watched_sec = (last.at_ns - first.at_ns + SEC / 2) / SEC;
        if watched_sec < WINDOW_SEC {
            reasons.push(format!("watched for {watched_sec} of {WINDOW_SEC} seconds so far"));
        }
        if notes.windows(2).any(|pair| pair[0].ticks == pair[1].ticks) {
            reasons.push("ticks did not advance".into());
        }
        if let Some(note) = notes.iter().rev().find(|note| note.encoder != EncoderState::Running) {
            reasons.push(format!("the encoder was {}", note.encoder.name()));
        }
        count(&mut reasons, last.failures - first.failures, "failures of the encoder");
        count(&mut reasons, last.fillers - first.fillers, "fillers on air");
        if last.frames_heard == first.frames_heard {
            reasons.push("no frame could be read back from the stream".into());
        }
        count(&mut reasons, last.faults - first.faults, "gaps in the stream as read back");
    } else {
        reasons.push("not watched yet".into());
    }
    Health { healthy: reasons.is_empty(), reasons }
}

fn count(reasons: &mut Vec<String>, n: u64, what: &str) {
    if n > 0 {
        reasons.push(format!("{n} {what} in the last {WINDOW_SEC} seconds"));
    }
}

/// Reads a stream and counts what is wrong with it. Pure.
pub struct StreamCheck {
    frame_bytes: usize,
    /// The first header: all others are of its class.
    class: Option<Header>,
    /// The beginning of a frame that is not whole yet.
    begun: Vec<u8>,
    /// Whole frames.
    pub frames: u64,
    /// Frames that are none.
    pub faults: u64,
}

impl StreamCheck {
    /// A stream whose frames have `frame_bytes` each.
    pub fn new(frame_bytes: usize) -> Self {
        Self { frame_bytes, class: None, begun: Vec::with_capacity(frame_bytes), frames: 0, faults: 0 }
    }

    /// A connection begins: at a frame header.
    pub fn begin(&mut self) {
        self.begun.clear();
    }

    /// More bytes of it. False after a fault: the connection is of no use any more.
    pub fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let taken = (self.frame_bytes - self.begun.len()).min(bytes.len());
            self.begun.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.begun.len() == self.frame_bytes {
                if !self.is_frame() {
                    self.faults += 1;
                    return false;
                }
                self.frames += 1;
                self.begun.clear();
            }
        }
        true
    }

    /// A header of the class, a length that fits, and no need of earlier frames.
    fn is_frame(&mut self) -> bool {
        let Some(header) = self.begun.first_chunk().and_then(|bytes| Header::parse(*bytes)) else {
            return false;
        };
        self.class.get_or_insert(header).same_encoder(header)
            && header.frame_bytes() == self.frame_bytes
            && header.main_data_begin(&self.begun) == 0
    }
}

/// Where the verdict is read.
#[derive(Debug, Clone)]
pub struct HealthBoard(Arc<Mutex<Health>>);

impl HealthBoard {
    /// The verdict now.
    pub fn health(&self) -> Health {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The thread's own.
pub(super) struct Monitor {
    control_socket: PathBuf,
    sources: StatusSources,
    check: StreamCheck,
    lost: u64,
    notes: VecDeque<Note>,
    board: HealthBoard,
    stop: Arc<AtomicBool>,
}

impl Monitor {
    pub(super) fn new(control_socket: PathBuf, sources: StatusSources, frame_bytes: usize) -> Self {
        Self {
            control_socket,
            sources,
            check: StreamCheck::new(frame_bytes),
            lost: 0,
            notes: VecDeque::new(),
            board: HealthBoard(Arc::new(Mutex::new(judge(&[])))),
            stop: Arc::default(),
        }
    }

    pub(super) fn board(&self) -> HealthBoard {
        self.board.clone()
    }

    /// Set it, and the thread ends within `READ_TIMEOUT`.
    pub(super) fn stop_flag(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    pub(super) fn run(mut self) {
        self.note();
        while !self.stop.load(SeqCst) {
            match self.connect() {
                Ok(stream) => self.hear(stream),
                Err(_) => std::thread::sleep(READ_TIMEOUT),
            }
            self.note_if_due();
        }
    }

    fn connect(&mut self) -> io::Result<UnixStream> {
        let stream = own_stream::open(&self.control_socket, "tower:monitor", None, READ_TIMEOUT)?;
        self.check.begin();
        Ok(stream)
    }

    /// Hears a connection to its end.
    fn hear(&mut self, mut stream: UnixStream) {
        let mut buffer = [0; 4096];
        let mut heard_ns = now_ns();
        while !self.stop.load(SeqCst) {
            match stream.read(&mut buffer) {
                Ok(n) if n > 0 => {
                    if !self.check.feed(&buffer[..n]) {
                        return;
                    }
                    if now_ns() - heard_ns > PAUSE_MS_MAX * 1_000_000 {
                        self.lost += 1;
                    }
                    heard_ns = now_ns();
                }
                Err(error) if is_timeout(&error) => {}
                _ => {
                    self.lost += 1;
                    return;
                }
            }
            self.note_if_due();
        }
    }

    fn note_if_due(&mut self) {
        if self.notes.back().is_none_or(|last| now_ns() - last.at_ns >= SEC) {
            self.note();
        }
    }

    fn note(&mut self) {
        let encoder = &self.sources.encoder;
        self.notes.push_back(Note {
            at_ns: now_ns(),
            ticks: self.sources.pump.ticks.get(),
            encoder: self.sources.encoder_state(),
            failures: encoder.failures.get(),
            fillers: encoder.fillers.get(),
            frames_heard: self.check.frames,
            faults: self.check.faults + self.lost,
        });
        while self.notes.len() > usize::try_from(WINDOW_SEC).unwrap_or(0) + 1 {
            self.notes.pop_front();
        }
        let health = judge(self.notes.make_contiguous());
        *self.board.0.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well(seconds: u64) -> Vec<Note> {
        (0..=seconds)
            .map(|sec| Note {
                at_ns: sec * SEC,
                ticks: sec * 41,
                encoder: EncoderState::Running,
                failures: 2,
                fillers: 30,
                frames_heard: sec * 41,
                faults: 1,
            })
            .collect()
    }

    #[test]
    fn k2_healthy_is_ten_seconds_in_which_nothing_was_wrong() {
        assert_eq!(judge(&well(10)), Health { healthy: true, reasons: vec![] });
    }

    #[test]
    fn k2_each_thing_that_is_wrong_is_a_reason() {
        type Spoil = fn(&mut Vec<Note>);
        let table: [(Spoil, &str); 9] = [
            (|notes| notes.truncate(4), "watched for 3 of 10 seconds"),
            (Vec::clear, "not watched yet"),
            (|notes| notes[5].ticks = notes[4].ticks, "ticks did not advance"),
            (|notes| notes[3].encoder = EncoderState::Degraded, "the encoder was DEGRADED"),
            (|notes| notes[0].encoder = EncoderState::Booting, "the encoder was BOOTING"),
            (|notes| notes[10].failures = 3, "1 failures of the encoder"),
            (|notes| notes[10].fillers = 37, "7 fillers on air in the last 10 seconds"),
            (|notes| notes.iter_mut().for_each(|n| n.frames_heard = 5), "no frame could be read back"),
            (|notes| notes[10].faults = 2, "1 gaps in the stream"),
        ];
        for (spoil, part) in table {
            let mut notes = well(10);
            spoil(&mut notes);
            let health = judge(&notes);
            assert!(!health.healthy && health.reasons.len() == 1, "{part}: {health:?}");
            assert!(health.reasons[0].contains(part), "{health:?}");
        }
    }

    fn frame(bytes: usize) -> Vec<u8> {
        let mut frame = vec![0; bytes];
        frame[..4].copy_from_slice(&[0xff, 0xfb, 0x94, 0x44]);
        frame
    }

    #[test]
    fn k2_the_stream_is_checked_however_it_is_cut() {
        let stream = frame(384).repeat(5);
        for cut in [1, 7, 383, 384, 385, 1920] {
            let mut check = StreamCheck::new(384);
            assert!(stream.chunks(cut).all(|chunk| check.feed(chunk)), "{cut}");
            assert_eq!((check.frames, check.faults), (5, 0));
        }
    }

    #[test]
    fn k2_a_byte_too_many_another_class_or_a_reservoir_is_a_fault() {
        type Spoil = fn(&mut Vec<u8>);
        let table: [Spoil; 5] = [
            |stream| stream.insert(700, 0),
            |stream| *stream = [&stream[..10], &stream[11..]].concat(),
            |stream| stream[384 + 2] = 0xa4,
            |stream| stream[768 + 4] = 1,
            |stream| stream[384] = 0,
        ];
        for spoil in table {
            let mut stream = frame(384).repeat(5);
            spoil(&mut stream);
            let mut check = StreamCheck::new(384);
            assert!(!check.feed(&stream));
            assert_eq!(check.faults, 1);
        }
    }
}
