//! `FfmpegDecoder`: a file as station frames, for a thread that must not wait (FD2).
//!
//! The file and the child belong to a thread of the decoder's own,
//! `station:decode`: it looks at the file, starts FFmpeg, reads, reaps. Between the
//! two threads are a wait-free ring and an eventfd. The caller's side never opens,
//! locks, joins or reaps; the most it does is write eight bytes to the eventfd.
//!
//! The ring, the pipe and FFmpeg's own buffer hold at most 0.5 s in all; then
//! FFmpeg waits, and nothing is dropped.

use std::{
    io,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Acquire, Release, SeqCst},
        },
    },
    time::Duration,
};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{
    command::Job,
    error::DecodeError,
    process::{Sink, decode},
};
use crate::{
    frame::{STATION_FRAME_BYTES, STATION_FRAME_SAMPLES, StationFrame},
    limits::{DECODER_AHEAD_FRAMES, DECODER_STALL_MS, WhenFull},
    ring::{FrameRingBuffer, Push},
    sys::{
        futex::Futex,
        thread::{self, set_nice},
        time::now_ns,
    },
};

/// The decoder of what is on air: as any other program. It is half a second ahead,
/// and the tower's encoder, which has less time, stands before it.
const NICE_ON_AIR: i32 = 0;
/// Measuring is never urgent.
const NICE_MEASURING: i32 = 19;

/// Decoders whose thread or child is still there.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// How many decoders are still there, with thread and child: one that was dropped
/// counts until its child is reaped. Zero before the station may call itself stopped.
pub fn open_count() -> usize {
    OPEN.load(SeqCst)
}

/// What a look at a decoder found.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // passed on at once, never kept; a box would allocate on the audio path
pub enum Decoded {
    /// The next frame; the last one of a file may be partial.
    Frame(StationFrame),
    /// Nothing yet: FFmpeg starts, or is late.
    NotYet,
    /// All of the file was given out.
    End,
    /// All that came before the failure was given out.
    Failed(Arc<DecodeError>),
}

/// A file that is being decoded. Dropped, it tells its thread, which ends the child
/// and itself; see [`open_count`].
#[derive(Debug)]
pub struct FfmpegDecoder {
    shared: Arc<Shared>,
    is_started: bool,
}

impl FfmpegDecoder {
    /// Begins to decode `file` from `start_ms` on (0: exactly from its first sample),
    /// to be played. Returns at once; whatever is wrong with the file or with FFmpeg
    /// comes as [`Decoded::Failed`].
    ///
    /// # Errors
    /// When there is no thread or descriptor to be had.
    pub fn open(ffmpeg: &Path, file: &Path, start_ms: u64) -> io::Result<Self> {
        Self::start(Job { start_ms, ..Job::new(ffmpeg, file, NICE_ON_AIR, Duration::from_millis(DECODER_STALL_MS)) })
    }

    /// The same, to be measured: from the beginning, behind everything else that runs.
    ///
    /// # Errors
    /// When there is no thread or descriptor to be had.
    pub fn open_to_measure(ffmpeg: &Path, file: &Path) -> io::Result<Self> {
        Self::start(Job::new(ffmpeg, file, NICE_MEASURING, Duration::from_millis(DECODER_STALL_MS)))
    }

    fn start(job: Job) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            ring: FrameRingBuffer::new(DECODER_AHEAD_FRAMES, STATION_FRAME_BYTES, WhenFull::DropNewest),
            wake: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            progress: Futex::default(),
            is_closed: AtomicBool::new(false),
            outcome: OnceLock::new(),
        });
        let (open, theirs) = (Open::new(), shared.clone());
        thread::spawn("station:decode", move || {
            theirs.run(&job);
            drop(open);
        })?;
        Ok(Self { shared, is_started: false })
    }

    /// The next frame, if there is one. Never blocks. After `End` or `Failed` it is
    /// the same for ever.
    pub fn try_frame(&mut self) -> Decoded {
        // In this order: what is known to have ended puts no more frames.
        let outcome = self.shared.outcome.get();
        if let Some(frame) = self.shared.take() {
            self.is_started = true;
            return Decoded::Frame(frame);
        }
        match outcome {
            None => Decoded::NotYet,
            Some(None) => Decoded::End,
            Some(Some(error)) => Decoded::Failed(error.clone()),
        }
    }

    /// The next frame, waited for. `NotYet` when `timeout` is over. Not for a thread
    /// that plays.
    pub fn wait_frame(&mut self, timeout: Duration) -> Decoded {
        let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let deadline_ns = now_ns().saturating_add(timeout_ns);
        loop {
            let seen = self.shared.progress.sequence();
            match self.try_frame() {
                Decoded::NotYet if now_ns() < deadline_ns => self.shared.progress.wait(seen, deadline_ns),
                decoded => return decoded,
            }
        }
    }

    /// Samples that wait to be taken; a partial frame counts as a whole one.
    pub fn ready_samples(&self) -> usize {
        self.shared.ring.stats().count * STATION_FRAME_SAMPLES
    }

    /// True once a first frame has come, taken or not.
    pub fn is_started(&self) -> bool {
        self.is_started || self.ready_samples() > 0
    }

    /// Ends it. Dropping does the same.
    pub fn close(self) {}
}

impl Drop for FfmpegDecoder {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Release);
        self.shared.wake();
    }
}

/// What the caller and the decoder's thread share.
struct Shared {
    /// From the decoder's thread to the caller.
    ring: FrameRingBuffer,
    /// From the caller: there is room again, or it is closed.
    wake: EventFd,
    /// From the decoder's thread, to a caller that waits.
    progress: Futex,
    /// Written by the caller, once.
    is_closed: AtomicBool,
    /// Written by the decoder's thread, once, after its last frame.
    outcome: OnceLock<Option<Arc<DecodeError>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shared({:?}, {:?})", self.ring.stats(), self.outcome.get())
    }
}

impl Shared {
    fn take(&self) -> Option<StationFrame> {
        let mut bytes = [0; STATION_FRAME_BYTES];
        let popped = self.ring.pop_frame(&mut bytes)?;
        self.wake();
        Some(StationFrame::from_le_bytes(&bytes[..popped.len]))
    }

    fn wake(&self) {
        // A counter that is full is readable too.
        let _ = self.wake.write(1);
    }

    /// The life of the decoder's thread.
    fn run(&self, job: &Job) {
        // Refused, it stays at what it has inherited.
        let _ = set_nice(job.nice);
        let outcome = decode(job, &self.wake, &mut &*self);
        let _ = self.outcome.set(outcome.err().map(Arc::new));
        self.progress.wake();
    }
}

impl Sink for &Shared {
    fn put(&mut self, pcm: &[u8]) -> Result<bool, DecodeError> {
        let taken = self.ring.push_frame(0, pcm) == Push::Taken;
        if taken {
            self.progress.wake();
        }
        Ok(taken)
    }

    fn is_wanted(&mut self) -> bool {
        // Emptied first: what is written after this look wakes the next wait.
        let _ = self.wake.read();
        !self.is_closed.load(Acquire)
    }
}

/// Counts one decoder for as long as it is there.
struct Open;

impl Open {
    fn new() -> Self {
        OPEN.fetch_add(1, SeqCst);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::PathBuf,
        thread::sleep,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::{
        decoder::testing::script,
        frame::CHANNELS,
        limits::{DECODER_AHEAD_SAMPLES_MAX, DECODER_FFMPEG_BYTES, DECODER_WORDS_BYTES_MAX},
        scratch::Scratch,
    };

    const LONG: Duration = Duration::from_secs(60);

    /// A decoder of any file, by a stand-in.
    fn open(scratch: &Scratch, body: &str, stall_ms: u64) -> FfmpegDecoder {
        let file = scratch.join("any");
        fs::write(&file, "x").expect("file");
        let program = script(scratch, &body.replace("DIR", &scratch.join("").to_string_lossy()));
        FfmpegDecoder::start(Job::new(&program, &file, 0, Duration::from_millis(stall_ms))).expect("decoder")
    }

    /// PCM of which no two samples in a row are alike, as a file and as values.
    fn pcm(scratch: &Scratch, samples: usize) -> Vec<i16> {
        let values: Vec<i16> = (0..samples * CHANNELS).map(|i| i16::try_from(i % 32_749).expect("small")).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        fs::write(scratch.join("pcm"), bytes).expect("pcm");
        values
    }

    /// All frames, checked to be whole but the last, and how it ended.
    fn drain(decoder: &mut FfmpegDecoder) -> (Vec<i16>, Decoded) {
        let mut values = Vec::new();
        let mut was_partial = false;
        loop {
            match decoder.wait_frame(LONG) {
                Decoded::Frame(frame) => {
                    assert!(!was_partial, "a frame after the partial one");
                    was_partial = !frame.is_whole();
                    values.extend_from_slice(frame.played());
                }
                other => return (values, other),
            }
        }
    }

    fn failure(decoder: &mut FfmpegDecoder) -> (Vec<i16>, String) {
        match drain(decoder) {
            (values, Decoded::Failed(error)) => (values, error.to_string()),
            (_, other) => panic!("it did not fail: {other:?}"),
        }
    }

    fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < LONG, "never: {what}");
            sleep(Duration::from_millis(10));
        }
    }

    fn number_in(path: &PathBuf) -> Option<usize> {
        fs::read_to_string(path).ok()?.trim().parse().ok()
    }

    /// Ended; whoever inherited it may not have reaped it yet.
    fn is_gone(pid: usize) -> bool {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
    }

    #[test]
    fn fd1_2_fd1_3_frames_come_in_order_and_only_the_last_is_partial() {
        let scratch = Scratch::new();
        for samples in [1, 1023, 1024, 1025, 100_000] {
            let expected = pcm(&scratch, samples);
            // Cut where no sample ends, and with a sample at the end that is not whole.
            let mut decoder = open(&scratch, "dd if=DIR/pcm bs=4093 2>&-; printf abc", 10_000);
            let (values, end) = drain(&mut decoder);
            assert!(values == expected, "{samples} samples: {} came", values.len() / CHANNELS);
            assert!(matches!(end, Decoded::End), "{end:?}");
            assert!(matches!(decoder.try_frame(), Decoded::End) && matches!(decoder.try_frame(), Decoded::End));
            assert!(decoder.is_started() && decoder.ready_samples() == 0);
        }
    }

    #[test]
    fn fd1_4_a_failure_comes_after_all_that_was_decoded_and_stays() {
        let scratch = Scratch::new();
        let expected = pcm(&scratch, 50_000);
        for (death, words) in [
            ("echo 'Invalid data found' >&2; exit 3", "(exit status: 3): Invalid data found"),
            ("echo 'so far' >&2; kill -9 $$", "SIGKILL"),
            ("kill -SEGV $$", "SIGSEGV"),
            ("exec >&-; exec sleep 60", "the decoder hung"),
        ] {
            let mut decoder = open(&scratch, &format!("cat DIR/pcm; {death}"), 10_000);
            let (values, error) = failure(&mut decoder);
            assert!(values == expected, "{death}: {} samples", values.len() / CHANNELS);
            assert!(error.contains(words), "{error}");
            assert_eq!(failure(&mut decoder), (Vec::new(), error));
        }
    }

    #[test]
    fn fd1_4_what_cannot_be_decoded_fails_in_words_and_not_in_open() {
        let scratch = Scratch::new();
        let fifo = scratch.join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("fifo");
        for (file, words) in
            [(fifo, "it is not a regular file"), (scratch.join("none"), "No such file"), (scratch.join(""), "regular")]
        {
            let mut decoder = FfmpegDecoder::open(Path::new("ffmpeg"), &file, 0).expect("opened");
            let (_, error) = failure(&mut decoder);
            assert!(error.contains(words) && !decoder.is_started(), "{error}");
        }
        fs::write(scratch.join("any"), "x").expect("file");
        let mut decoder = FfmpegDecoder::open(&scratch.join("none"), &scratch.join("any"), 0).expect("opened");
        assert!(failure(&mut decoder).1.contains("cannot start the decoder"));
        assert!(failure(&mut open(&scratch, "exit 0", 10_000)).1.contains("no audio"));
    }

    #[test]
    fn fd1_4_a_silent_or_stopped_decoder_is_ended() {
        let scratch = Scratch::new();
        for body in ["echo $$ >DIR/pid; exec sleep 60", "echo $$ >DIR/pid; kill -STOP $$", "yes >&2"] {
            let (_, error) = failure(&mut open(&scratch, body, 1000));
            assert!(error.contains("the decoder hung"), "{body}: {error}");
            // It was reaped before the failure was told.
            assert!(number_in(&scratch.join("pid")).is_none_or(is_gone), "{body}");
        }
    }

    #[test]
    fn fd1_4_nobody_hangs_while_the_consumer_takes_nothing() {
        let scratch = Scratch::new();
        let expected = pcm(&scratch, 200_000);
        let mut decoder = open(&scratch, "cat DIR/pcm", 2000);
        wait_until("it is full", || decoder.ready_samples() == DECODER_AHEAD_FRAMES * STATION_FRAME_SAMPLES);
        sleep(Duration::from_millis(4500));
        let (values, end) = drain(&mut decoder);
        assert!(values == expected && matches!(end, Decoded::End), "{end:?}");
    }

    #[test]
    fn fd2_2_at_most_half_a_second_is_decoded_ahead() {
        let scratch = Scratch::new();
        pcm(&scratch, STATION_FRAME_SAMPLES);
        let count = scratch.join("count");
        let body = "i=0; while cat DIR/pcm; do i=$((i+1)); echo $i >DIR/new; mv DIR/new DIR/count; done";
        let mut decoder = open(&scratch, body, 60_000);
        let ahead_max = DECODER_AHEAD_SAMPLES_MAX - DECODER_FFMPEG_BYTES / (2 * CHANNELS);
        let written = || number_in(&count).unwrap_or(0) * STATION_FRAME_SAMPLES;
        for taken in (0..100).step_by(20) {
            let taken_samples = taken * STATION_FRAME_SAMPLES;
            wait_until("it goes on", || written() > taken_samples + ahead_max - 3 * STATION_FRAME_SAMPLES);
            sleep(Duration::from_millis(300));
            assert!(written() - taken_samples <= ahead_max, "{} samples ahead", written() - taken_samples);
            (0..20).for_each(|_| assert!(matches!(decoder.wait_frame(LONG), Decoded::Frame(_))));
        }
    }

    #[test]
    fn fd2_1_endless_output_and_words_move_only_as_they_are_taken() {
        let scratch = Scratch::new();
        let mut decoder = open(&scratch, "head -c 10000000 /dev/zero >&2; exec cat /dev/zero", 60_000);
        for _ in 0..500 {
            assert!(decoder.ready_samples() <= DECODER_AHEAD_FRAMES * STATION_FRAME_SAMPLES);
            assert!(matches!(decoder.wait_frame(LONG), Decoded::Frame(frame) if frame == StationFrame::SILENCE));
        }
        decoder.close();
        let mut decoder = open(&scratch, "yes 'a long story' | head -c 10000000 >&2; exit 1", 60_000);
        let (_, error) = failure(&mut decoder);
        assert!(error.contains("more lines") && error.len() < 2 * DECODER_WORDS_BYTES_MAX, "{error}");
    }

    #[test]
    fn fd2_1_a_dropped_decoder_leaves_no_child_and_no_thread() {
        let scratch = Scratch::new();
        // A script with a child of its own, which ignores what can be ignored.
        let body = "trap '' TERM HUP INT; sleep 300 & echo $! >DIR/grandchild; echo $$ >DIR/child; cat /dev/zero; wait";
        let mut decoder = open(&scratch, body, 60_000);
        assert!(matches!(decoder.wait_frame(LONG), Decoded::Frame(_)));
        assert!(open_count() > 0);
        drop(decoder);
        for name in ["child", "grandchild"] {
            let pid = number_in(&scratch.join(name)).expect("pid");
            wait_until(name, || is_gone(pid));
        }
        // Other tests have theirs; none of them lasts.
        wait_until("all are gone", || open_count() == 0);
    }
}
