//! Where figures are shown: a terminal that is drawn over, or a plain stream.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use super::draw::{Figures, picture, plain_line};
use crate::sys::terminal;

/// A clip lasts a sample; its mark lasts long enough to be seen.
const CLIP_SEEN: Duration = Duration::from_secs(2);
/// Of a terminal that does not say.
const COLUMNS: usize = 80;

/// Stdout, and what stands on it. Dropped, it gives the cursor back.
pub(super) struct Screen {
    terminal: bool,
    /// Lines of the picture that stands there.
    drawn: usize,
    /// When each channel last clipped.
    clipped: Vec<Option<Instant>>,
}

impl Screen {
    pub fn new() -> Self {
        Self { terminal: io::stdout().is_terminal(), drawn: 0, clipped: Vec::new() }
    }

    /// Pictures can be drawn, not only lines written.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Shows this instead of what stands there.
    ///
    /// # Errors
    /// When nobody looks any more.
    pub fn show(&mut self, mut figures: Figures) -> io::Result<()> {
        self.hold_clips(&mut figures, Instant::now());
        let text = if self.terminal { self.over_the_last(&figures) } else { plain_line(&figures) + "\n" };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    fn hold_clips(&mut self, figures: &mut Figures, now: Instant) {
        self.clipped.resize(figures.channels.len(), None);
        for (channel, last) in figures.channels.iter_mut().zip(&mut self.clipped) {
            if channel.clips() {
                *last = Some(now);
            }
            channel.clipped = last.is_some_and(|last| now.duration_since(last) < CLIP_SEEN);
        }
    }

    /// The picture, with the way back to the first line of the last one, no cursor, and
    /// nothing left of longer lines or of more lines.
    fn over_the_last(&mut self, figures: &Figures) -> String {
        let lines = picture(figures, terminal::columns(io::stdout()).unwrap_or(COLUMNS));
        let mut text = "\x1b[?25l".to_owned();
        if self.drawn > 0 {
            text += &format!("\x1b[{}A\r", self.drawn);
        }
        for line in &lines {
            text += &format!("{line}\x1b[K\n");
        }
        text += "\x1b[J";
        self.drawn = lines.len();
        text
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.drawn > 0 {
            let mut out = io::stdout().lock();
            let _ = out.write_all(b"\x1b[?25h").and_then(|()| out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::draw::Channel, *};

    #[test]
    fn a_clip_is_seen_for_a_while() {
        let mut screen = Screen { terminal: false, drawn: 0, clipped: Vec::new() };
        let now = Instant::now();
        let mut seen = |peak_dbfs: f64, at_ms: u64| {
            let channel = Channel { peak_dbfs: Some(peak_dbfs), ..Channel::default() };
            let mut figures = Figures { channels: vec![channel], ..Figures::default() };
            screen.hold_clips(&mut figures, now + Duration::from_millis(at_ms));
            figures.channels[0].clipped
        };
        assert_eq!([seen(-3.0, 0), seen(0.0, 100), seen(-3.0, 2000), seen(-3.0, 2100)], [false, true, true, false]);
    }
}
