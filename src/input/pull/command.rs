//! The command line that pulls a stream.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use super::source::Source;
use crate::{decoder::MONO_AT_FULL_LEVEL, sys::child};

/// What a stream may lead to (a playlist of HLS names files): the network, and never a file of this machine.
const PROTOCOLS: &str = "http,https,httpproxy,tcp,tls,crypto";
/// How much sound is looked at before FFmpeg believes to know it, in microseconds. By default it is 5 s, all of which
/// the cushion lacks; measured, with half a second MP3, AAC, Ogg and FLAC come within 0.3 s where the server has a burst.
const LOOK_US: &str = "500000";
/// Nearer to the encoder's than to a background task's: its cushion is seconds.
const NICE: i32 = 0;

/// FFmpeg, ready to be started: PCM on its stdout, words on its stderr. What is to be written to its stdin, if anything:
/// a URL with a secret goes there as a list of one file, since every user of the machine may read a command line.
pub fn command(ffmpeg: &Path, source: &Source) -> (Command, Option<String>) {
    let mut command = Command::new(ffmpeg);
    command.args(["-hide_banner", "-nostats", "-loglevel", "level+verbose", "-filter_threads", "1", "-threads", "1"]);
    let list = source.has_secret().then(|| list(source));
    if list.is_some() {
        command.args([
            "-protocol_whitelist",
            &format!("pipe,{PROTOCOLS}"),
            "-f",
            "concat",
            "-safe",
            "0",
            "-i",
            "pipe:0",
        ]);
        command.stdin(Stdio::piped());
    } else {
        command.args(["-nostdin", "-protocol_whitelist", PROTOCOLS, "-analyzeduration", LOOK_US, "-i", source.url()]);
        command.stdin(Stdio::null());
    }
    command
        .args([
            "-map",
            "0:a:0",
            "-threads",
            "1",
            "-af",
            MONO_AT_FULL_LEVEL,
            "-f",
            "s16le",
            "-ar",
            "48000",
            "-ac",
            "2",
            "pipe:1",
        ])
        // With it FFmpeg would write a report file, with the URL in it.
        .env_remove("FFREPORT")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    child::prepare(&mut command, NICE);
    (command, list)
}

/// A URL has no quotes: `Source` sees to that.
fn list(source: &Source) -> String {
    format!("ffconcat version 1.0\nfile '{}'\noption analyzeduration {LOOK_US}\n", source.url())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_no_secret_is_on_the_command_line() {
        for (url, is_shown) in [("http://h/x", true), ("http://a:secret@h/x", false), ("http://h/x?t=secret", false)] {
            let (command, list) = command(Path::new("ffmpeg"), &Source::parse(url).expect(url));
            let line: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
            assert_eq!(line.contains(&url.to_owned()), is_shown, "{line:?}");
            assert!(!line.iter().any(|arg| arg.contains("secret") || arg.contains("file")), "{line:?}");
            assert_eq!(list.is_some_and(|list| list.contains(&format!("file '{url}'\n"))), !is_shown);
        }
    }
}
