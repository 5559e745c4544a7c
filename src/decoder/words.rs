//! What a decoder says on its stderr: the first of it and the last of it, and
//! never more than the bound, whatever it says.

use std::{collections::VecDeque, path::Path};

use crate::limits::DECODER_WORDS_BYTES_MAX;

/// The first and the last lines share the bound.
const HALF_BYTES: usize = DECODER_WORDS_BYTES_MAX / 2;
/// A single line leaves room for others.
const LINE_BYTES_MAX: usize = HALF_BYTES / 2;

/// Lines of each half: short ones do not fill the log either.
const LINES_MAX: usize = 8;

/// The words of one decoder.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// Where the trouble began.
    first: Vec<String>,
    first_bytes: usize,
    /// What it ended with.
    last: VecDeque<String>,
    last_bytes: usize,
    /// Lines between the two.
    dropped: u64,
}

impl Words {
    /// Keeps a line, and drops one from the middle when there are too many.
    pub fn add(&mut self, line: &str) {
        let line = cut(line.trim());
        if line.is_empty() {
            return;
        }
        let room = self.first.len() < LINES_MAX && self.first_bytes + line.len() <= HALF_BYTES;
        if room && self.last.is_empty() {
            self.first_bytes += line.len();
            self.first.push(line.to_owned());
            return;
        }
        self.last_bytes += line.len();
        self.last.push_back(line.to_owned());
        while self.last_bytes > HALF_BYTES || self.last.len() > LINES_MAX {
            let oldest = self.last.pop_front().map_or(0, |line| line.len());
            self.last_bytes -= oldest;
            self.dropped += 1;
        }
    }

    /// The words in one line, for an error.
    pub fn one_line(&self) -> String {
        let lines: Vec<String> = self.lines().collect();
        if lines.is_empty() { "it said nothing".to_owned() } else { lines.join("; ") }
    }

    /// Says what a decoder had to say that did not fail: the file plays, with a flaw.
    pub fn log(&self, file: &Path) {
        self.lines().for_each(|line| log::warn!("[FFMPEG] {}: {line}", file.display()));
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        let between = (self.dropped > 0).then(|| format!("({} more lines)", self.dropped));
        self.first.iter().cloned().chain(between).chain(self.last.iter().cloned())
    }
}

/// The line up to its bound, cut between two characters.
fn cut(line: &str) -> &str {
    let end = (0..=line.len().min(LINE_BYTES_MAX)).rev().find(|at| line.is_char_boundary(*at));
    &line[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fd1_4_the_first_and_the_last_words_are_kept_within_the_bound() {
        let mut words = Words::default();
        assert_eq!(words.one_line(), "it said nothing");
        words.add("Header missing");
        words.add("  ");
        words.add("Invalid data found");
        assert_eq!(words.one_line(), "Header missing; Invalid data found");
        (0..100_000).for_each(|number| words.add(&format!("line {number}")));
        let text = words.one_line();
        assert!(text.starts_with("Header missing; ") && text.ends_with("; line 99999"), "{text}");
        assert!(text.contains(" more lines); "), "{text}");
        assert!(text.len() < 2 * DECODER_WORDS_BYTES_MAX, "{} bytes", text.len());
    }

    #[test]
    fn fd1_4_a_long_line_is_cut_between_characters() {
        let mut words = Words::default();
        words.add(&"ä".repeat(10_000));
        assert_eq!(words.one_line(), "ä".repeat(LINE_BYTES_MAX / 2));
    }
}
