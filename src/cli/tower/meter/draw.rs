//! From figures to text. Nothing here knows a clock or a terminal.
//!
//! Plain ASCII: a box is looked at over a serial line, too.

use std::fmt::Write;

/// The left end of a bar.
const FLOOR_DBFS: f64 = -60.0;
/// From here on a sample was at full scale: the largest of 16 bits is at -0.0003 dBFS.
const CLIP_DBFS: f64 = -0.001;
/// What stands beside a bar: the name, the brackets, the figures, the clip mark.
const BESIDE: usize = 39;
/// A shorter bar says nothing, a longer one no more.
const BAR: std::ops::RangeInclusive<usize> = 10..=96;

/// All that is shown at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Figures {
    /// Of what.
    pub title: String,
    /// A bar each.
    pub channels: Vec<Channel>,
    /// Whatever else there is to say, a line each.
    pub notes: Vec<String>,
}

/// The level of a channel over the last moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Channel {
    /// Such as "live L".
    pub name: String,
    /// The highest sample; none: nobody knows.
    pub peak_dbfs: Option<f64>,
    /// Of a square wave at full scale: 0.
    pub rms_dbfs: Option<f64>,
    /// There was clipping, now or a moment ago.
    pub clipped: bool,
}

impl Channel {
    /// A sample is at full scale now.
    pub fn clips(&self) -> bool {
        self.peak_dbfs.is_some_and(|peak| peak >= CLIP_DBFS)
    }
}

/// The picture: lines of less than `width` characters, so that no terminal folds them.
pub(super) fn picture(figures: &Figures, width: usize) -> Vec<String> {
    let bars = figures.channels.iter().map(|channel| channel_line(channel, width));
    let lines = std::iter::once(figures.title.clone()).chain(bars).chain(figures.notes.iter().cloned());
    lines.map(|line| line.chars().take(width.saturating_sub(1)).collect()).collect()
}

/// The same in one plain line.
pub(super) fn plain_line(figures: &Figures) -> String {
    let mut parts = Vec::new();
    for channel in &figures.channels {
        let clip = if channel.clipped { " CLIP" } else { "" };
        let (peak, rms) = (level(channel.peak_dbfs), level(channel.rms_dbfs));
        parts.push(format!("{} peak {} RMS {} dBFS{clip}", channel.name, peak.trim(), rms.trim()));
    }
    parts.extend(figures.notes.iter().cloned());
    if parts.is_empty() { "no levels".into() } else { parts.join("; ") }
}

fn channel_line(channel: &Channel, width: usize) -> String {
    let mut line = format!("{:<6} ", channel.name);
    let cells = width.saturating_sub(BESIDE).min(*BAR.end());
    // Writing to a String cannot fail.
    if BAR.contains(&cells) {
        let _ = write!(line, "[{}] ", bar(channel, cells));
    }
    let clip = if channel.clipped { " CLIP" } else { "" };
    let _ = write!(line, "{} peak {} RMS{clip}", level(channel.peak_dbfs), level(channel.rms_dbfs));
    line
}

/// `=` up to the RMS, `-` from there to the peak.
fn bar(channel: &Channel, cells: usize) -> String {
    let (rms, peak) = (filled(channel.rms_dbfs, cells), filled(channel.peak_dbfs, cells));
    (0..cells)
        .map(|cell| {
            if cell < rms {
                '='
            } else if cell < peak {
                '-'
            } else {
                ' '
            }
        })
        .collect()
}

/// Of so many cells, those up to this level; the last one is full at full scale only.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // within 0..=cells
fn filled(dbfs: Option<f64>, cells: usize) -> usize {
    let above_floor = dbfs.unwrap_or(FLOOR_DBFS).clamp(FLOOR_DBFS, CLIP_DBFS) - FLOOR_DBFS;
    (above_floor / (CLIP_DBFS - FLOOR_DBFS) * cells as f64) as usize
}

/// Six characters.
fn level(dbfs: Option<f64>) -> String {
    match dbfs {
        None => "    --".into(),
        Some(dbfs) if dbfs < -199.0 => "  -inf".into(),
        Some(dbfs) => format!("{dbfs:6.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str, peak_dbfs: f64, rms_dbfs: f64) -> Channel {
        Channel { name: name.into(), peak_dbfs: Some(peak_dbfs), rms_dbfs: Some(rms_dbfs), clipped: false }
    }

    #[test]
    fn a_bar_is_filled_to_the_rms_and_thinner_to_the_peak() {
        let table = [
            (-30.0, -45.0, "=====-----          "),
            (0.0, 0.0, "===================="),
            (-0.01, -60.0, "------------------- "),
            (-90.0, f64::NEG_INFINITY, "                    "),
            (3.0, -12.0, "================----"),
        ];
        for (peak, rms, drawn) in table {
            assert_eq!(bar(&channel("L", peak, rms), 20), drawn, "{peak} {rms}");
        }
        assert_eq!(bar(&Channel::default(), 5), "     ");
    }

    #[test]
    fn a_picture_fits_its_terminal() {
        let mut figures =
            Figures { title: "T".repeat(300), channels: vec![channel("L", -12.34, -20.0)], notes: vec!["note".into()] };
        figures.channels[0].clipped = true;
        for width in [0, 1, 20, 48, 80, 200, 1000] {
            let lines = picture(&figures, width);
            assert_eq!(lines.len(), 3);
            assert!(lines.iter().all(|line| line.len() < width.max(1)), "{width}: {lines:?}");
        }
        let line = &picture(&figures, 80)[1];
        assert!(line.starts_with("L      [====") && line.ends_with("]  -12.3 peak  -20.0 RMS CLIP"), "{line}");
        assert!(!picture(&figures, 48)[1].contains('['), "too narrow for a bar");
    }

    #[test]
    fn a_line_has_all_of_it_without_a_picture() {
        let mut figures = Figures {
            title: "of what".into(),
            channels: vec![channel("L", -12.34, f64::NEG_INFINITY), Channel { name: "R".into(), ..Channel::default() }],
            notes: vec!["overruns: 0".into()],
        };
        figures.channels[0].clipped = true;
        assert_eq!(plain_line(&figures), "L peak -12.3 RMS -inf dBFS CLIP; R peak -- RMS -- dBFS; overruns: 0");
        assert_eq!(plain_line(&Figures::default()), "no levels");
    }

    #[test]
    fn full_scale_of_any_format_clips() {
        for (peak, clips) in [(0.0, true), (-0.0003, true), (1.5, true), (-0.01, false), (-60.0, false)] {
            assert_eq!(channel("L", peak, -9.0).clips(), clips, "{peak}");
        }
        assert!(!Channel::default().clips());
    }
}
