//! What FFmpeg says while it pulls: the titles of the stream, and what is wrong.
//!
//! Its log level is `verbose`, since that is where titles are told; all that is neither is passed over.

use super::source::Source;
use crate::{door::reply::one_line, limits::PULL_TITLE_CHARS_MAX};

/// A line of FFmpeg's that matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The stream says that this is what it plays; empty: nothing.
    Title(String),
    /// Something is wrong.
    Complaint(String),
}

/// What a line says, without the secrets of `source`. `None`: nothing that matters.
pub fn read(line: &str, source: &Source) -> Option<Said> {
    if let Some((_, title)) = line.split_once("[verbose] Metadata update for StreamTitle: ") {
        return Some(Said::Title(one_line(title).trim().chars().take(PULL_TITLE_CHARS_MAX).collect()));
    }
    let complaint = ["[error] ", "[fatal] ", "[panic] "].iter().find_map(|level| line.split_once(level))?.1;
    let complaint = source.redact(complaint);
    // Whose complaint it is stands before it already.
    let complaint = complaint.strip_prefix(&format!("{source}: ")).unwrap_or(&complaint);
    Some(Said::Complaint(one_line(complaint).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_titles_and_complaints_are_found_among_ffmpegs_lines() {
        let source = Source::parse("http://a:b@h/x").expect("a source");
        let complaint = |text: &str| Some(Said::Complaint(text.to_owned()));
        let title = |text: &str| Some(Said::Title(text.to_owned()));
        let long = "x".repeat(5000);
        let table = [
            ("[http @ 0x55f9] [verbose] Metadata update for StreamTitle: Hello \"W\" 🎷", title("Hello \"W\" 🎷")),
            ("[http @ 0x55f9] [verbose] Metadata update for StreamTitle: ", title("")),
            ("[http @ 0x1] [verbose] Metadata update for StreamTitle: a\u{1b}[31m\tb ", title("a[31mb")),
            ("[http @ 0x1] [verbose] Metadata update for StreamUrl: http://x", None),
            (
                "[tcp @ 0x1] [error] Connection to tcp://h:80 failed: Connection refused",
                complaint("Connection to tcp://h:80 failed: Connection refused"),
            ),
            ("[error] http://a:b@h/x: Server returned 404 Not Found", complaint("Server returned 404 Not Found")),
            (
                "[concat @ 0x1] [error] Impossible to open 'http://a:b@h/x'",
                complaint("Impossible to open 'http://h/x'"),
            ),
            ("[info] Input #0, mp3, from 'http://h/x':", None),
            ("", None),
        ];
        for (line, said) in table {
            assert_eq!(read(line, &source), said, "{line}");
        }
        let line = format!("[http @ 0x1] [verbose] Metadata update for StreamTitle: {long}");
        assert_eq!(read(&line, &source), title(&long[..PULL_TITLE_CHARS_MAX]));
    }
}
