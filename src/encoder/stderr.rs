//! What FFmpeg says on its stderr: lines, the last of them, and how many are logged.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read},
    process::ChildStderr,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    limits::{STDERR_LINE_BYTES_MAX, STDERR_LINES_PER_SEC},
    sys::time::now_ms,
};

/// Lines of a child that its failure quotes.
const TAIL_LINES: usize = 6;
/// Children whose last lines are remembered.
const TAILS: usize = 8;

/// A child's stderr, and the line that is not yet complete.
pub struct StderrLines {
    pipe: ChildStderr,
    line: Vec<u8>,
}

impl StderrLines {
    /// Reads lines from a non-blocking pipe.
    pub fn new(pipe: ChildStderr) -> Self {
        Self { pipe, line: Vec::new() }
    }

    /// The pipe, to wait on.
    pub fn pipe(&self) -> &ChildStderr {
        &self.pipe
    }

    /// Gives out the lines there are, in at most 64 KiB. False at the end.
    pub fn read(&mut self, mut on_line: impl FnMut(&str)) -> bool {
        let mut bytes = [0; 4096];
        for _ in 0..16 {
            match self.pipe.read(&mut bytes) {
                Ok(0) => {
                    self.end_line(&mut on_line);
                    return false;
                }
                Ok(n) => bytes[..n].iter().for_each(|byte| self.take(*byte, &mut on_line)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return e.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }

    fn take(&mut self, byte: u8, on_line: &mut impl FnMut(&str)) {
        match byte {
            b'\n' | b'\r' => self.end_line(on_line),
            _ if self.line.len() < STDERR_LINE_BYTES_MAX => self.line.push(byte),
            _ => {}
        }
    }

    fn end_line(&mut self, on_line: &mut impl FnMut(&str)) {
        if !self.line.is_empty() {
            on_line(&String::from_utf8_lossy(&self.line));
            self.line.clear();
        }
    }
}

/// Logs at most so many lines a second; the rest is counted, and that is said.
#[derive(Default)]
pub struct LineRate {
    second: u64,
    lines: u32,
    dropped: u64,
}

impl LineRate {
    /// Logs a line with the prefix `[FFMPEG]`, or counts it.
    pub fn log(&mut self, line: &str) {
        self.tick();
        if self.lines < STDERR_LINES_PER_SEC {
            self.lines += 1;
            log::warn!("[FFMPEG] {line}");
        } else {
            self.dropped += 1;
        }
    }

    /// Begins a new second when it is time, and says what the old one had dropped.
    pub fn tick(&mut self) {
        let second = now_ms() / 1000;
        if second != self.second {
            self.say_dropped();
            *self = Self { second, ..Self::default() };
        }
    }

    /// Something is still to be said: `tick` is due soon, line or no line.
    pub fn owes_a_word(&self) -> bool {
        self.dropped > 0
    }

    /// Says how many lines were not logged.
    pub fn say_dropped(&mut self) {
        if self.dropped > 0 {
            log::warn!("[FFMPEG] {} more lines in that second were not logged", self.dropped);
            self.dropped = 0;
        }
    }
}

/// The last lines of each child, for whoever logs its failure. Shared between
/// threads of normal priority only.
#[derive(Default)]
pub struct StderrTails {
    tails: Mutex<VecDeque<Tail>>,
    closed: Condvar,
}

struct Tail {
    generation: u64,
    lines: VecDeque<String>,
    open: bool,
}

impl StderrTails {
    /// The last lines of a child, once its stderr has ended or `wait` is over.
    pub fn wait_for(&self, generation: u64, wait: Duration) -> Vec<String> {
        let still_open = |tails: &mut VecDeque<Tail>| tails.iter().any(|t| t.generation == generation && t.open);
        let (tails, _) =
            self.closed.wait_timeout_while(self.lock(), wait, still_open).unwrap_or_else(PoisonError::into_inner);
        let tail = tails.iter().find(|t| t.generation == generation);
        tail.map(|t| t.lines.iter().cloned().collect()).unwrap_or_default()
    }

    /// A child begins to speak.
    pub fn open(&self, generation: u64) {
        let mut tails = self.lock();
        if tails.len() == TAILS {
            tails.pop_front();
        }
        tails.push_back(Tail { generation, lines: VecDeque::new(), open: true });
    }

    /// A child said something.
    pub fn add(&self, generation: u64, line: &str) {
        if let Some(tail) = self.lock().iter_mut().find(|t| t.generation == generation) {
            if tail.lines.len() == TAIL_LINES {
                tail.lines.pop_front();
            }
            tail.lines.push_back(line.to_owned());
        }
    }

    /// A child says no more.
    pub fn close(&self, generation: u64) {
        if let Some(tail) = self.lock().iter_mut().find(|t| t.generation == generation) {
            tail.open = false;
        }
        self.closed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Tail>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_lines_that_were_not_logged_are_told_though_none_follows() {
        let mut rate = LineRate::default();
        (0..STDERR_LINES_PER_SEC * 3).for_each(|_| rate.log("again"));
        assert!(rate.owes_a_word());
        while rate.owes_a_word() {
            std::thread::sleep(Duration::from_millis(50));
            rate.tick();
        }
        assert_eq!((rate.lines, rate.dropped), (0, 0));
    }

    #[test]
    fn s3_a_failure_quotes_the_last_lines_of_its_own_child() {
        let tails = StderrTails::default();
        tails.open(1);
        tails.open(2);
        (0..10).for_each(|i| tails.add(1, &format!("line {i}")));
        tails.add(2, "other");
        tails.close(1);
        assert_eq!(tails.wait_for(1, Duration::from_secs(9))[0], "line 4");
        assert_eq!(tails.wait_for(2, Duration::from_millis(1)), ["other"]);
        assert!(tails.wait_for(3, Duration::from_secs(9)).is_empty());
        (10..30).for_each(|generation| tails.open(generation));
        assert_eq!(tails.lock().len(), TAILS);
    }
}
