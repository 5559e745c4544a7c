//! Trying the encoder's command line: `tower probe`, and the tone loop.
//!
//! The same command, the same child, the same checks as on air, but on the
//! calling thread and with an end.

use std::{
    os::fd::AsFd,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{
    child::{Child, Desync, LOOK_AHEAD_FRAMES, Owed, Read, Write},
    command::EncoderCommand,
    drive::end_processes,
    header::Header,
    launch::launch,
    stderr::StderrLines,
};
use crate::{
    frame::{PumpFrame, TICK_MS},
    sys::time::now_ms,
};

/// Lines of stderr that a probe shows.
const STDERR_LINES_MAX: usize = 20;
/// What piled up while the process started is out after so many frames.
const SETTLED_FRAMES: usize = 20;
/// How often a wait looks at the clock.
const POLL_MS: u8 = 5;
/// How long a process that closed its stdout may take to end.
const END_MS: u64 = 200;

/// How a trial is run.
pub struct Trial<'a> {
    /// What goes in.
    pub frames: &'a [PumpFrame],
    /// One frame per tick, as on air; otherwise as fast as it goes.
    pub paced: bool,
    /// From the start to the first MP3 frame.
    pub timeout_ms: u64,
    /// Becomes true when the result is not wanted any more.
    pub cancel: &'a AtomicBool,
}

/// What a trial gave.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Whole MP3 frames, in order.
    pub frames: Vec<Vec<u8>>,
    /// From the start of the process to the first frame.
    pub first_frame_ms: Option<u64>,
    /// The most PCM frames that were in but not out, once the start was over. One,
    /// the look-ahead, is what a good FFmpeg shows.
    pub backlog_frames: usize,
    /// What FFmpeg said.
    pub stderr: Vec<String>,
}

/// Why a trial has no outcome.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No such program, or it may not be run.
    #[error("cannot start the encoder: {0}; encoder.ffmpeg (TOWER_FFMPEG) must name an FFmpeg with libmp3lame")]
    Start(#[source] std::io::Error),
    /// It runs and does not deliver.
    #[error("no MP3 frame in {timeout_ms} ms; ffmpeg says: {stderr}")]
    Timeout {
        /// The limit.
        timeout_ms: u64,
        /// What FFmpeg said.
        stderr: String,
    },
    /// It ended before it had delivered all.
    #[error("the encoder ended ({how}) after {frames} MP3 frames; ffmpeg says: {stderr}")]
    Ended {
        /// Exit code or signal, or that it only closed its stdout.
        how: String,
        /// Frames until then.
        frames: usize,
        /// What FFmpeg said.
        stderr: String,
    },
    /// It began, and did not go on.
    #[error("the encoder stopped delivering: {frames} of {wanted} MP3 frames came in time; ffmpeg says: {stderr}")]
    Stalled {
        /// Frames that came.
        frames: usize,
        /// Frames that were owed.
        wanted: usize,
        /// What FFmpeg said.
        stderr: String,
    },
    /// It delivers something else.
    #[error("not the frames that were ordered: {what}; ffmpeg says: {stderr}")]
    Desync {
        /// What was wrong.
        what: Desync,
        /// What FFmpeg said.
        stderr: String,
    },
    /// Nobody wants it any more.
    #[error("cancelled")]
    Cancelled,
}

/// Runs a trial. Waits; the process is gone when it returns.
///
/// # Errors
/// When there is no process, no frame in time, or a wrong one.
pub fn run(command: &EncoderCommand, header: Header, trial: &Trial<'_>) -> Result<Outcome, ProbeError> {
    let (process, stderr) = launch(command, 0).map_err(ProbeError::Start)?;
    let mut session = Session {
        child: Some(Child::new(process, header, now_ms())),
        stderr: Some(StderrLines::new(stderr)),
        started_ms: now_ms(),
        outcome: Outcome::default(),
    };
    let result = session.feed_and_read(trial);
    session.read_stderr();
    let how = if matches!(result, Err(Stop::Ended)) { session.how_it_ended() } else { String::new() };
    end_processes(&mut session.child.take().map(|child| child.process).into_iter().collect());
    session.read_stderr();
    let frames = session.outcome.frames.len();
    let stderr = match session.outcome.stderr.as_slice() {
        [] => "nothing".to_owned(),
        lines => lines.join(" / "),
    };
    match result {
        Ok(()) => Ok(session.outcome),
        Err(Stop::Late) if frames == 0 => Err(ProbeError::Timeout { timeout_ms: trial.timeout_ms, stderr }),
        Err(Stop::Late) => Err(ProbeError::Stalled { frames, wanted: trial.wanted(), stderr }),
        Err(Stop::Ended) => Err(ProbeError::Ended { how, frames, stderr }),
        Err(Stop::Desync(what)) => Err(ProbeError::Desync { what, stderr }),
        Err(Stop::Cancelled) => Err(ProbeError::Cancelled),
    }
}

impl Trial<'_> {
    /// All but the look-ahead.
    fn wanted(&self) -> usize {
        self.frames.len().saturating_sub(LOOK_AHEAD_FRAMES)
    }
}

enum Stop {
    Late,
    Ended,
    Desync(Desync),
    Cancelled,
}

struct Session {
    child: Option<Child>,
    stderr: Option<StderrLines>,
    started_ms: u64,
    outcome: Outcome,
}

impl Session {
    /// Feeds every frame and reads until all but the look-ahead are out.
    fn feed_and_read(&mut self, trial: &Trial<'_>) -> Result<(), Stop> {
        let mut next = 0;
        while self.outcome.frames.len() < trial.wanted() {
            if trial.cancel.load(SeqCst) {
                return Err(Stop::Cancelled);
            }
            next = self.write_what_is_due(trial, next);
            let ended = self.read_some()?;
            let waited_ms = now_ms() - self.started_ms;
            let pace_ms = if trial.paced { trial.frames.len() as u64 * TICK_MS } else { 0 };
            let first_is_late = self.outcome.first_frame_ms.is_none() && waited_ms > trial.timeout_ms;
            if ended && self.outcome.frames.len() < trial.wanted() {
                return Err(Stop::Ended);
            }
            if first_is_late || waited_ms > 2 * trial.timeout_ms + pace_ms {
                return Err(Stop::Late);
            }
        }
        Ok(())
    }

    fn write_what_is_due(&mut self, trial: &Trial<'_>, mut next: usize) -> usize {
        let Some(child) = &mut self.child else { return next };
        let now = now_ms();
        let due =
            if trial.paced { usize::try_from((now - self.started_ms) / TICK_MS + 1).unwrap_or(0) } else { usize::MAX };
        while next < due.min(trial.frames.len()) && child.write(&trial.frames[next], Owed::Nobody, now) == Write::Taken
        {
            next += 1;
        }
        next
    }

    /// Waits for output, a little, and takes it. True when there will be no more.
    fn read_some(&mut self) -> Result<bool, Stop> {
        let Self { child: Some(child), outcome, started_ms, .. } = self else {
            return Ok(true);
        };
        let mut fds = [PollFd::new(child.process.stdout.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::from(POLL_MS));
        let now = now_ms();
        let read = child.read(now, |_, frame| {
            outcome.first_frame_ms.get_or_insert(now - *started_ms);
            outcome.frames.push(frame.to_vec());
        });
        if outcome.frames.len() > SETTLED_FRAMES {
            outcome.backlog_frames = outcome.backlog_frames.max(child.owed_frames());
        }
        self.read_stderr();
        match read {
            Read::Desync(what) => Err(Stop::Desync(what)),
            Read::Eof => Ok(true),
            Read::Drained | Read::More => Ok(false),
        }
    }

    /// A process that closed its stdout is usually about to end.
    fn how_it_ended(&mut self) -> String {
        let until_ms = now_ms() + END_MS;
        while let Some(child) = self.child.as_ref().filter(|_| now_ms() < until_ms) {
            if let Some(ended) = child.process.pidfd.try_wait() {
                // Reaped: there is nothing left to end.
                self.child = None;
                return ended.to_string();
            }
            std::thread::sleep(Duration::from_millis(POLL_MS.into()));
        }
        "it closed its stdout and lives on".to_owned()
    }

    fn read_stderr(&mut self) {
        let lines = &mut self.outcome.stderr;
        let open = self.stderr.as_mut().is_some_and(|stderr| {
            stderr.read(|line| {
                if lines.len() < STDERR_LINES_MAX {
                    lines.push(line.to_owned());
                }
            })
        });
        if !open {
            self.stderr = None;
        }
    }
}
