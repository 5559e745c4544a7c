//! What is to be decoded, and the command line for it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::sys::child;

/// FFmpeg mixes one channel into two 3 dB down (×√½ each), as if it were the centre
/// of a surround mix; a mono file would play softer than its stereo sister. So one
/// channel is raised by as much before that, as float, so that nothing clips on the
/// way; all else passes untouched. Measured: 16-bit files come out bit by bit.
pub(crate) const MONO_AT_FULL_LEVEL: &str = r"volume=volume=if(eq(nb_channels\,1)\,sqrt(2)\,1):precision=float";

/// One file to decode, and how.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// The program.
    pub ffmpeg: PathBuf,
    /// The file.
    pub file: PathBuf,
    /// Where in the file to begin; 0 is the beginning, to the sample.
    pub start_ms: u64,
    /// The nice value of the child.
    pub nice: i32,
    /// How long the child may give nothing while there is room.
    pub stall: Duration,
}

impl Job {
    pub fn new(ffmpeg: &Path, file: &Path, nice: i32, stall: Duration) -> Self {
        Self { ffmpeg: ffmpeg.to_owned(), file: file.to_owned(), start_ms: 0, nice, stall }
    }

    /// The command, ready to be started, but for its stdout.
    pub fn command(&self) -> Command {
        // The prefix keeps a file name from being taken for an option or a protocol,
        // and the whitelist keeps what is in the file from opening a network.
        let mut input = OsString::from("file:");
        input.push(&self.file);
        let mut command = Command::new(&self.ffmpeg);
        command.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-filter_threads", "1"]).args([
            "-protocol_whitelist",
            "file",
            "-threads",
            "1",
            "-vn",
            "-sn",
            "-dn",
        ]);
        if self.start_ms > 0 {
            command.args(["-ss", &format!("{}ms", self.start_ms)]);
        }
        command
            .arg("-i")
            .arg(input)
            .args(["-map", "0:a:0", "-threads", "1", "-af", MONO_AT_FULL_LEVEL])
            .args(["-f", "s16le", "-ar", "48000", "-ac", "2", "pipe:1"])
            // With it FFmpeg would write a report file for every song.
            .env_remove("FFREPORT")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        child::prepare(&mut command, self.nice);
        command
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn fd1_1_no_name_is_an_option_or_a_protocol() {
        for (name, input) in [("-y", "file:-y"), ("http://a/b", "file:http://a/b"), ("a%03d", "file:a%03d")] {
            let command = Job::new(Path::new("ffmpeg"), Path::new(name), 0, Duration::ZERO).command();
            let after = command.get_args().skip_while(|arg| *arg != OsStr::new("-i")).nth(1);
            assert_eq!(after, Some(OsStr::new(input)));
        }
    }

    #[test]
    fn fd1_1_the_beginning_is_not_searched_for() {
        let mut job = Job::new(Path::new("ffmpeg"), Path::new("a"), 0, Duration::ZERO);
        let has_seek = |job: &Job| job.command().get_args().any(|arg| arg == OsStr::new("-ss"));
        assert!(!has_seek(&job));
        job.start_ms = 1;
        assert!(has_seek(&job));
    }
}
