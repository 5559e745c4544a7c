//! One FFmpeg from start to end: its PCM to a sink, its words kept, its exit seen.
//!
//! All of its outputs are watched at once, so it can neither block on its own words
//! nor hang us. It is read only while the sink has room: that is what holds it
//! back. Whatever happens, it is ended and reaped before `decode` returns.

use std::{
    io::{self, PipeReader, Read},
    os::fd::{AsFd, BorrowedFd},
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::EventFd,
};

use super::{check::check, command::Job, error::DecodeError, words::Words};
use crate::{
    encoder::stderr::StderrLines,
    frame::{CHANNELS, STATION_FRAME_BYTES},
    limits::{DECODER_EXIT_MS, DECODER_PIPE_BYTES},
    sys::child::{PidFd, end_group, set_nonblocking},
};

/// One wait is never longer, and never counts for more: a process that was frozen
/// for a minute and woke again has not been waiting for FFmpeg.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Where the PCM goes.
pub(super) trait Sink {
    /// Takes one station frame as bytes; only the last of a file may be shorter.
    /// False when there is no room: it is offered again when somebody woke us.
    fn put(&mut self, pcm: &[u8]) -> Result<bool, DecodeError>;
    /// Somebody woke us. False when the rest is not wanted any more.
    fn is_wanted(&mut self) -> bool;
}

/// Decodes `job` into `sink` until the end or the first failure, what came before
/// which is delivered. `wake` says that there is room again, or an end to it.
pub(super) fn decode(job: &Job, wake: &EventFd, sink: &mut impl Sink) -> Result<(), DecodeError> {
    check(&job.file)?;
    let mut part = Part::default();
    let ended = Process::start(job)?.run(&mut part, wake, sink);
    if matches!(ended, Err(DecodeError::Cancelled | DecodeError::TooLong { .. })) {
        return ended;
    }
    // The child is gone; its last samples are still to be taken.
    let rest = part.filled / SAMPLE_BYTES * SAMPLE_BYTES;
    while rest > 0 && !sink.put(&part.bytes[..rest])? {
        let _ = wait([wake.as_fd()], WAIT_MAX);
        if !sink.is_wanted() {
            return Err(DecodeError::Cancelled);
        }
    }
    ended
}

const SAMPLE_BYTES: usize = 2 * CHANNELS;

/// The frame that is being put together, however the pipe cuts it.
struct Part {
    bytes: [u8; STATION_FRAME_BYTES],
    filled: usize,
    /// Bytes since the beginning.
    total: u64,
}

impl Default for Part {
    fn default() -> Self {
        Self { bytes: [0; STATION_FRAME_BYTES], filled: 0, total: 0 }
    }
}

impl Part {
    fn is_whole(&self) -> bool {
        self.filled == self.bytes.len()
    }

    /// Reads more of the frame: how many bytes, `None` when there is nothing to read yet.
    fn read(&mut self, mut pipe: impl Read) -> io::Result<Option<usize>> {
        match pipe.read(&mut self.bytes[self.filled..]) {
            Ok(count) => {
                self.filled += count;
                self.total += count as u64;
                Ok(Some(count))
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    /// The child's next bytes.
    Pcm,
    /// Its end.
    Exit,
    /// Somebody who takes a frame. The child's bytes stay where they are.
    Room,
}

/// A child and what has come from it. Dropped, it is ended and reaped.
struct Process<'a> {
    job: &'a Job,
    child: Child,
    pidfd: PidFd,
    stdout: PipeReader,
    stderr: Option<StderrLines>,
    words: Words,
    reaped: bool,
}

impl<'a> Process<'a> {
    fn start(job: &'a Job) -> Result<Self, DecodeError> {
        Self::spawn(job).map_err(|source| DecodeError::NotStarted { program: job.ffmpeg.clone(), source })
    }

    fn spawn(job: &'a Job) -> io::Result<Self> {
        let (stdout, theirs) = io::pipe()?;
        // Before anything is in it, or it could not shrink.
        let bytes = i32::try_from(DECODER_PIPE_BYTES).unwrap_or(i32::MAX);
        fcntl(&stdout, FcntlArg::F_SETPIPE_SZ(bytes))?;
        set_nonblocking(&stdout)?;
        let mut command = job.command();
        command.stdout(theirs);
        let mut child = command.spawn()?;
        // Our copy of their end of the pipe would keep it open for ever.
        drop(command);
        let pidfd = PidFd::open(child.id());
        let stderr = child.stderr.take();
        match pidfd.and_then(|pidfd| stderr.as_ref().map_or(Ok(()), set_nonblocking).map(|()| pidfd)) {
            Ok(pidfd) => {
                let stderr = stderr.map(StderrLines::new);
                Ok(Self { job, child, pidfd, stdout, stderr, words: Words::default(), reaped: false })
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    fn run(mut self, part: &mut Part, wake: &EventFd, sink: &mut impl Sink) -> Result<(), DecodeError> {
        let ended =
            self.pcm(part, wake, sink).and_then(|()| self.exit(wake, sink)).and_then(|status| match status.success() {
                true if part.total < SAMPLE_BYTES as u64 => Err(DecodeError::Empty(self.job.file.clone())),
                true => Ok(()),
                false => {
                    let (file, words) = (self.job.file.clone(), self.words.one_line());
                    Err(DecodeError::Failed { file, status, words })
                }
            });
        // The others tell their words themselves.
        if !matches!(ended, Err(DecodeError::Failed { .. } | DecodeError::Hung { .. })) {
            self.words.log(&self.job.file);
        }
        ended
    }

    /// Moves PCM until the child has closed its output.
    fn pcm(&mut self, part: &mut Part, wake: &EventFd, sink: &mut impl Sink) -> Result<(), DecodeError> {
        let mut silent = Duration::ZERO;
        loop {
            if part.is_whole() && sink.put(&part.bytes)? {
                part.filled = 0;
            }
            let has_room = !part.is_whole();
            // Time in which nobody takes frames is not the child's.
            silent = if has_room { silent } else { Duration::ZERO };
            let start = Instant::now();
            let on = if has_room { On::Pcm } else { On::Room };
            if self.wait(wake, on, self.job.stall.saturating_sub(silent))? {
                match part.read(&self.stdout).map_err(|e| self.pipe(e))? {
                    Some(0) => return Ok(()),
                    Some(_) => silent = Duration::ZERO,
                    None => {}
                }
            } else if has_room {
                silent += start.elapsed().min(WAIT_MAX);
            }
            self.go_on(silent, self.job.stall, sink)?;
        }
    }

    /// The child has nothing more to do: how it ended.
    fn exit(&mut self, wake: &EventFd, sink: &mut impl Sink) -> Result<ExitStatus, DecodeError> {
        let patience = Duration::from_millis(DECODER_EXIT_MS);
        let mut waited = Duration::ZERO;
        loop {
            let start = Instant::now();
            if self.wait(wake, On::Exit, patience.saturating_sub(waited))? {
                break;
            }
            waited += start.elapsed().min(WAIT_MAX);
            self.go_on(waited, patience, sink)?;
        }
        let status = self.child.wait().map_err(|e| self.pipe(e))?;
        self.reaped = true;
        self.read_words();
        Ok(status)
    }

    fn go_on(&self, waited: Duration, patience: Duration, sink: &mut impl Sink) -> Result<(), DecodeError> {
        if !sink.is_wanted() {
            return Err(DecodeError::Cancelled);
        }
        if waited < patience {
            return Ok(());
        }
        let (file, words) = (self.job.file.clone(), self.words.one_line());
        Err(DecodeError::Hung { file, waited, words })
    }

    /// Waits, and keeps what is said meanwhile. True when what is waited for is there.
    fn wait(&mut self, wake: &EventFd, on: On, within: Duration) -> Result<bool, DecodeError> {
        let wake = wake.as_fd();
        let main = match on {
            On::Pcm => self.stdout.as_fd(),
            On::Exit => self.pidfd.as_fd(),
            On::Room => wake,
        };
        // Where there is nothing to look at, `wake` is looked at twice.
        let words = self.stderr.as_ref().map_or(wake, |lines| lines.pipe().as_fd());
        let [_, main_ready, words_ready] = wait([wake, main, words], within).map_err(|e| self.pipe(e))?;
        if words_ready {
            self.read_words();
        }
        Ok(main_ready && on != On::Room)
    }

    fn read_words(&mut self) {
        let words = &mut self.words;
        if self.stderr.as_mut().is_some_and(|lines| !lines.read(|line| words.add(line))) {
            self.stderr = None;
        }
    }

    fn pipe(&self, source: io::Error) -> DecodeError {
        DecodeError::Pipe { file: self.job.file.clone(), source }
    }
}

impl Drop for Process<'_> {
    fn drop(&mut self) {
        if !self.reaped {
            end_group(&mut self.child);
        }
    }
}

/// Which of the descriptors are readable or at their end.
fn wait<const N: usize>(fds: [BorrowedFd; N], within: Duration) -> io::Result<[bool; N]> {
    let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    // Rounded up: a wait of less than a millisecond would be none, again and again.
    let timeout = Duration::from_millis(1) + within.min(WAIT_MAX);
    match poll(&mut fds, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::ZERO)) {
        Ok(_) => Ok(fds.map(|fd| fd.any().unwrap_or(true))),
        Err(Errno::EINTR) => Ok([false; N]),
        Err(errno) => Err(errno.into()),
    }
}
