//! One log line: its bound, its look, and nothing in it that could forge another.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::limits::LOG_LINE_BYTES_MAX;

/// A line before it is rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Wall-clock time: a label, it times nothing (C5).
    pub at: SystemTime,
    /// Its importance.
    pub level: log::Level,
    /// The thread's name, or the module where a thread has none.
    pub origin: String,
    /// Escaped and bounded.
    pub text: String,
}

impl Entry {
    /// A line of the log about itself; `origin` is its thread.
    pub fn own(origin: &str, level: log::Level, text: String) -> Self {
        Self { at: SystemTime::now(), level, origin: origin.to_owned(), text }
    }

    /// As it stands in the file: time (UTC), level, origin, text.
    pub fn render(&self) -> String {
        format!("{} {:<5} {} {}\n", timestamp(self.at), self.level, self.origin, self.text)
    }

    /// The same line at another time.
    pub fn repeats(&self, other: &Self) -> bool {
        (self.level, &self.origin, &self.text) == (other.level, &other.origin, &other.text)
    }
}

/// Takes text up to the bound. Control characters become visible: a title or an
/// FFmpeg message with a line break in it must not look like a line of ours.
#[derive(Debug, Default)]
pub struct BoundedText {
    text: String,
    cut: bool,
}

const CUT: &str = "…";

impl BoundedText {
    /// The text, marked if it was cut.
    pub fn finish(mut self) -> String {
        if self.cut {
            self.text.push_str(CUT);
        }
        self.text
    }

    fn put(&mut self, piece: &str) {
        self.cut |= self.text.len() + piece.len() > LOG_LINE_BYTES_MAX - CUT.len();
        if !self.cut {
            self.text.push_str(piece);
        }
    }
}

impl fmt::Write for BoundedText {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        for c in piece.chars() {
            if self.cut {
                break;
            }
            if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
                self.put(&c.escape_default().to_string());
            } else {
                self.put(c.encode_utf8(&mut [0; 4]));
            }
        }
        Ok(())
    }
}

/// RFC 3339 with milliseconds. A clock before 1970 shows as 1970.
fn timestamp(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs(), since.subsec_millis());
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Days since 1970 as year, month, day. Years begin in March here, so that the
/// leap day is the last of its year (Howard Hinnant's `civil_from_days`).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::{fmt::Write, time::Duration};

    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_001, "2100-03-01T00:00:00.001Z"),
        ];
        for (ms, text) in table {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn a_line_cannot_forge_another_nor_grow() {
        let mut text = BoundedText::default();
        write!(text, "title\n2026 ERROR \u{1b}[31m é\u{2028}").expect("never fails");
        assert_eq!(text.finish(), "title\\n2026 ERROR \\u{1b}[31m é\\u{2028}");

        for piece in ["x", "é", "\u{1b}"] {
            let mut text = BoundedText::default();
            write!(text, "{}", piece.repeat(10_000)).expect("never fails");
            let text = text.finish();
            assert!(text.len() <= LOG_LINE_BYTES_MAX && text.ends_with(CUT), "{}", text.len());
        }
    }
}
