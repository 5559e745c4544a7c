//! Decoding a file to 48 kHz stereo PCM, by FFmpeg as a child.
//!
//! Default probing, on purpose: a shortened one loses the beginning of some
//! files. The child is watched on both of its outputs at once, so it can neither
//! block on its own words nor hang us, and it never outlives the call.

use std::{
    ffi::OsString,
    io::{self, Read},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::EventFd,
};
use thiserror::Error;

use crate::{
    frame::{CHANNELS, SAMPLE_RATE_HZ},
    limits::{DECODER_SILENT_SEC_MAX, DECODER_WORDS_BYTES_MAX},
    sys::child,
};

/// Bytes taken from the child at a time.
const READ_BYTES: usize = 64 << 10;
/// A decoder gives way to everything that is on air.
const NICE: i32 = 10;
/// After its last sample a decoder is looked at every 10 ms for a second.
const EXIT_LOOKS: u32 = 100;
const EXIT_LOOK_MS: u8 = 10;

/// Why a file could not be decoded.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// No file there, or not one that may be read.
    #[error("{}: cannot read the file: {source}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The decoder itself could not be started.
    #[error("{}: cannot start the decoder: {source}", program.display())]
    NotStarted {
        /// Which program.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The decoder gave up.
    #[error("{}: cannot decode the file ({status}): {words}", file.display())]
    Failed {
        /// Which file.
        file: PathBuf,
        /// How the decoder ended.
        status: ExitStatus,
        /// What it said.
        words: String,
    },
    /// The decoder ended well and gave nothing.
    #[error("{}: there is no audio in the file", .0.display())]
    Empty(PathBuf),
    /// Longer than may be kept in memory.
    #[error("{}: the file is longer than {seconds_max} s; use a shorter one", file.display())]
    TooLong {
        /// Which file.
        file: PathBuf,
        /// The limit.
        seconds_max: usize,
    },
    /// The decoder neither gave samples nor ended.
    #[error("{}: the decoder hung and was ended", .0.display())]
    Hung(PathBuf),
    /// Reading from the decoder failed.
    #[error("{}: cannot read from the decoder: {source}", file.display())]
    Pipe {
        /// Which file.
        file: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The caller does not want it any more.
    #[error("stopped")]
    Cancelled,
}

/// Decodes a whole file of at most `seconds_max` into interleaved values. Ends
/// early, with the child, once `cancel` is readable.
///
/// # Errors
/// When the file or the decoder is not there, says no, hangs, or gives too much.
pub fn decode_whole(
    ffmpeg: &Path,
    file: &Path,
    seconds_max: usize,
    cancel: &EventFd,
) -> Result<Box<[i16]>, DecodeError> {
    // FFmpeg's own words for this are longer and less clear.
    let readable = std::fs::File::open(file).and_then(|f| f.metadata());
    match readable {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(unreadable(file, io::Error::other("it is not a regular file"))),
        Err(source) => return Err(unreadable(file, source)),
    }
    let mut decoder = Decoder::start(ffmpeg, file)?;
    let values_max = seconds_max * CHANNELS * SAMPLE_RATE_HZ as usize;
    while decoder.read_some(cancel)? {
        if decoder.pcm.len() > values_max {
            let file = file.to_owned();
            return Err(DecodeError::TooLong { file, seconds_max });
        }
    }
    decoder.end(cancel)
}

fn unreadable(file: &Path, source: io::Error) -> DecodeError {
    let file = file.to_owned();
    DecodeError::Unreadable { file, source }
}

/// A child and what has come from it. Dropped, it is ended and reaped.
struct Decoder {
    child: Child,
    file: PathBuf,
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    pcm: Vec<i16>,
    /// The first byte of a value whose second one has not come.
    odd: Option<u8>,
    words: Vec<u8>,
    buffer: Vec<u8>,
}

impl Decoder {
    fn start(ffmpeg: &Path, file: &Path) -> Result<Self, DecodeError> {
        let mut command = command(ffmpeg, file);
        child::prepare(&mut command, NICE);
        let not_started = |source| DecodeError::NotStarted { program: ffmpeg.to_owned(), source };
        let mut child = command.spawn().map_err(not_started)?;
        let (Some(stdout), stderr) = (child.stdout.take(), child.stderr.take()) else {
            return Err(not_started(io::Error::other("it has no output")));
        };
        Ok(Self {
            child,
            file: file.to_owned(),
            stdout,
            stderr,
            pcm: Vec::new(),
            odd: None,
            words: Vec::new(),
            buffer: vec![0; READ_BYTES],
        })
    }

    /// Waits for the child's next bytes. False at the end of its PCM.
    fn read_some(&mut self, cancel: &EventFd) -> Result<bool, DecodeError> {
        let (cancelled, pcm, words) = self.wait(cancel)?;
        if cancelled {
            return Err(DecodeError::Cancelled);
        }
        if words {
            self.read_words();
        }
        if !pcm {
            return Ok(true);
        }
        let count = self.stdout.read(&mut self.buffer).map_err(|e| self.pipe(e))?;
        self.take(count);
        Ok(count > 0)
    }

    /// Which of cancel, stdout and stderr are readable.
    fn wait(&self, cancel: &EventFd) -> Result<(bool, bool, bool), DecodeError> {
        let read = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let words = self.stderr.as_ref().map_or(cancel.as_fd(), AsFd::as_fd);
        let mut fds = [read(cancel.as_fd()), read(self.stdout.as_fd()), read(words)];
        let timeout_ms = u16::try_from(DECODER_SILENT_SEC_MAX * 1000).unwrap_or(u16::MAX);
        match poll(&mut fds, PollTimeout::from(timeout_ms)) {
            Ok(0) => Err(DecodeError::Hung(self.file.clone())),
            Err(Errno::EINTR) => Ok((false, false, false)),
            Err(errno) => Err(self.pipe(errno.into())),
            Ok(_) => {
                let [cancelled, pcm, words] = fds.map(|fd| fd.any().unwrap_or(true));
                Ok((cancelled, pcm, words && self.stderr.is_some()))
            }
        }
    }

    /// Keeps the first of the child's words, and drops the rest.
    fn read_words(&mut self) {
        let Some(stderr) = &mut self.stderr else {
            return;
        };
        match stderr.read(&mut self.buffer) {
            Ok(count) if count > 0 => {
                let room = DECODER_WORDS_BYTES_MAX - self.words.len();
                self.words.extend_from_slice(&self.buffer[..count.min(room)]);
            }
            _ => self.stderr = None,
        }
    }

    fn take(&mut self, count: usize) {
        let mut bytes = &self.buffer[..count];
        if let (Some(low), Some(high)) = (self.odd, bytes.first()) {
            self.pcm.push(i16::from_le_bytes([low, *high]));
            self.odd = None;
            bytes = &bytes[1..];
        }
        let pairs = bytes.chunks_exact(2);
        if let [low] = pairs.remainder() {
            self.odd = Some(*low);
        }
        self.pcm.extend(pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
    }

    /// The child has closed its output: how it ended decides.
    fn end(mut self, cancel: &EventFd) -> Result<Box<[i16]>, DecodeError> {
        let status = self.exit_status(cancel)?;
        while self.stderr.as_ref().is_some_and(|stderr| is_readable(stderr, 0)) {
            self.read_words();
        }
        if !status.success() {
            return Err(DecodeError::Failed { file: self.file.clone(), status, words: one_line(&self.words) });
        }
        let mut pcm = std::mem::take(&mut self.pcm);
        pcm.truncate(pcm.len() / CHANNELS * CHANNELS);
        if pcm.is_empty() {
            return Err(DecodeError::Empty(self.file.clone()));
        }
        Ok(pcm.into_boxed_slice())
    }

    /// The child has nothing more to do, so it is given a second to end.
    fn exit_status(&mut self, cancel: &EventFd) -> Result<ExitStatus, DecodeError> {
        for _ in 0..EXIT_LOOKS {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Err(error) => return Err(self.pipe(error)),
                Ok(None) if is_readable(cancel, EXIT_LOOK_MS) => return Err(DecodeError::Cancelled),
                Ok(None) => {}
            }
        }
        Err(DecodeError::Hung(self.file.clone()))
    }

    fn pipe(&self, source: io::Error) -> DecodeError {
        let file = self.file.clone();
        DecodeError::Pipe { file, source }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // One that has been waited for is not signalled again.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_readable(fd: &impl AsFd, within_ms: u8) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(within_ms)).is_ok_and(|ready| ready > 0)
}

fn command(ffmpeg: &Path, file: &Path) -> Command {
    // The prefix keeps a file name from being taken for an option or a protocol.
    let mut input = OsString::from("file:");
    input.push(file);
    let mut command = Command::new(ffmpeg);
    command
        .args(["-nostdin", "-hide_banner", "-loglevel", "error", "-threads", "1"])
        .args(["-vn", "-sn", "-dn", "-i"])
        .arg(input)
        .args(["-map", "0:a:0", "-threads", "1"])
        .args(["-f", "s16le", "-ar", "48000", "-ac", "2", "pipe:1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Words as they go into a log line.
fn one_line(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, time::Instant};

    use super::*;
    use crate::scratch::Scratch;

    /// A stand-in decoder.
    fn script(scratch: &Scratch, body: &str) -> PathBuf {
        let path = scratch.join("decoder");
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        path
    }

    fn decode(scratch: &Scratch, body: &str) -> Result<Box<[i16]>, DecodeError> {
        let file = scratch.join("any");
        fs::write(&file, "x").expect("file");
        decode_whole(&script(scratch, body), &file, 1, &EventFd::new().expect("eventfd"))
    }

    #[test]
    fn fd1_bytes_become_values_however_they_are_cut() {
        let scratch = Scratch::new();
        let pcm = decode(&scratch, r"printf '\001'; sleep 0.05; printf '\002\003\004\005\006'");
        assert_eq!(*pcm.expect("decoded"), [0x0201, 0x0403], "the last sample is not whole");
    }

    #[test]
    fn f2_refusals_say_what_and_why() {
        let scratch = Scratch::new();
        let error = decode(&scratch, "echo 'Invalid data found' >&2; exit 3").expect_err("failed");
        assert!(error.to_string().ends_with("(exit status: 3): Invalid data found"), "{error}");
        assert!(matches!(decode(&scratch, "exit 0"), Err(DecodeError::Empty(_))));
        let error = decode(&scratch, "head -c 10000000 /dev/zero").expect_err("too long");
        assert!(error.to_string().contains("longer than 1 s"), "{error}");
        assert!(matches!(decode(&scratch, "exec >&-; exec sleep 60"), Err(DecodeError::Hung(_))));
        // 10 MB of words neither block nor fill anything.
        let error = decode(&scratch, "head -c 10000000 /dev/zero >&2; exit 1").expect_err("wordy");
        assert!(error.to_string().len() < 2 * DECODER_WORDS_BYTES_MAX);
        let cancel = EventFd::new().expect("eventfd");
        let missing = decode_whole(Path::new("ffmpeg"), &scratch.join("none"), 1, &cancel);
        assert!(matches!(missing, Err(DecodeError::Unreadable { .. })));
        let not_started = decode_whole(&scratch.join("none"), &scratch.join("any"), 1, &cancel);
        assert!(matches!(not_started, Err(DecodeError::NotStarted { .. })));
    }

    #[test]
    fn f2_a_hung_decoder_is_ended_on_stop() {
        let scratch = Scratch::new();
        let file = scratch.join("any");
        fs::write(&file, "x").expect("file");
        let program = script(&scratch, "exec sleep 60");
        let cancel = EventFd::new().expect("eventfd");
        let start = Instant::now();
        std::thread::scope(|scope| {
            let call = scope.spawn(|| decode_whole(&program, &file, 1, &cancel));
            std::thread::sleep(std::time::Duration::from_millis(50));
            cancel.write(1).expect("cancel");
            assert!(matches!(call.join().expect("thread"), Err(DecodeError::Cancelled)));
        });
        assert!(start.elapsed().as_secs() < 5);
    }
}
