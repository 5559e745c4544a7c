//! Processes as `/proc` shows them: whose child, how nice, with which words.

use std::path::Path;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A process that was there a moment ago.
#[derive(Debug, Clone)]
pub struct Process {
    pub pid: Pid,
    pub nice: i64,
    pub words: Vec<String>,
}

/// Children of `parent` that have not ended.
pub fn children_of(parent: Pid) -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| look(pid, parent)).collect()
}

/// It runs, or is stopped; one that only waits to be reaped does not count.
pub fn lives(pid: Pid) -> bool {
    stat(pid.as_raw()).is_some_and(|fields| fields[0] != "Z")
}

impl Process {
    /// FFmpeg, at work on this file.
    pub fn decodes(&self, file: &Path) -> bool {
        self.words.iter().any(|word| *word == format!("file:{}", file.display()))
    }

    /// A decoder that has no haste.
    pub fn measures(&self) -> bool {
        self.nice == 19 && self.is_decoder()
    }

    pub fn is_decoder(&self) -> bool {
        self.words.iter().any(|word| word.starts_with("file:"))
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap_or_else(|error| panic!("{self:?}: {error}"));
    }
}

/// The fields after the name: state, parent, …
fn stat(pid: i32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn look(pid: i32, parent: Pid) -> Option<Process> {
    let fields = stat(pid)?;
    if fields[0] == "Z" || fields[1] != parent.to_string() {
        return None;
    }
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = words.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    Some(Process { pid: Pid::from_raw(pid), nice: fields[16].parse().ok()?, words: words.collect() })
}
