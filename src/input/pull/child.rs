//! One FFmpeg that pulls: its PCM, its words, its end. Dropped, it is ended and reaped.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::process::ExitStatusExt,
    },
    path::Path,
    process::{Child, ChildStdout, ExitStatus},
    time::Duration,
};

use nix::sys::signal::Signal;

use super::{command::command, source::Source};
use crate::{
    encoder::stderr::StderrLines,
    sys::child::{end_group, set_nonblocking},
};

/// One that has closed its output has this long to end by itself, in hundredths of a second.
const EXIT_TURNS: u32 = 50;

/// A running FFmpeg.
pub(super) struct PullChild {
    child: Child,
    stdout: ChildStdout,
    stderr: Option<StderrLines>,
}

impl PullChild {
    /// Starts it.
    pub fn start(ffmpeg: &Path, source: &Source) -> io::Result<Self> {
        let (mut command, list) = command(ffmpeg, source);
        let mut child = command.spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let prepared = match (stdout, stderr) {
            (Some(stdout), Some(stderr)) => set_nonblocking(&stdout)
                .and_then(|()| set_nonblocking(&stderr))
                .map(|()| (stdout, StderrLines::new(stderr))),
            _ => Err(io::Error::other("no pipe to it")),
        };
        let told = prepared.and_then(|pipes| match (list, child.stdin.take()) {
            // A pipe takes so little at once, whoever reads it; the end of it is the end of the list.
            (Some(list), Some(mut stdin)) => stdin.write_all(list.as_bytes()).map(|()| pipes),
            _ => Ok(pipes),
        });
        match told {
            Ok((stdout, stderr)) => Ok(Self { child, stdout, stderr: Some(stderr) }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its sound comes from.
    pub fn stdout(&self) -> BorrowedFd<'_> {
        self.stdout.as_fd()
    }

    /// Where its words come from, until there are no more.
    pub fn stderr(&self) -> Option<BorrowedFd<'_>> {
        self.stderr.as_ref().map(|lines| lines.pipe().as_fd())
    }

    /// Reads sound: how many bytes; 0 is the end; `None`: there is none just now.
    pub fn read(&mut self, bytes: &mut [u8]) -> io::Result<Option<usize>> {
        match self.stdout.read(bytes) {
            Ok(count) => Ok(Some(count)),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Reads the words that there are.
    pub fn words(&mut self, on_line: impl FnMut(&str)) {
        if self.stderr.as_mut().is_some_and(|lines| !lines.read(on_line)) {
            self.stderr = None;
        }
    }

    /// It has closed its output: how it ended. One that does not end is ended.
    pub fn finish(&mut self) -> Option<ExitStatus> {
        for _ in 0..EXIT_TURNS {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for PullChild {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// In words: how it ended.
pub(super) fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "the stream has ended".to_owned(),
        (Some(code), _) => format!("FFmpeg ended with exit code {code}"),
        (None, Some(signal)) => match Signal::try_from(signal) {
            Ok(name) => format!("FFmpeg was ended by {name}"),
            Err(_) => format!("FFmpeg was ended by signal {signal}"),
        },
        (None, None) => "FFmpeg ended".to_owned(),
    }
}

fn end(child: &mut Child) {
    if let Ok(None) = child.try_wait() {
        end_group(child);
    }
}
