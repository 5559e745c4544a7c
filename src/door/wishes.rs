//! What a listener asks for in its request: where to begin, and titles. Pure.
//!
//! Nothing here is refused: a player that asks for nonsense is served as one that asks for nothing.

use super::head::Request;
use crate::{broadcast::icy::METAINT, limits::BURST_SEC_MAX};

/// Closer together, titles would cost more than they tell; farther apart, they come too late.
const METAINT_MIN: u32 = 1024;
const METAINT_MAX: u32 = 65_536;

/// Chromium's player takes its bytes in blocks of 32 KiB and begins with the first. If that is all there is at once, the
/// second comes too late: with 2 s of 128 kbit/s it stumbled after 4 s. So it gets two, as from Icecast: one
/// to begin with, and one in hand.
const BROWSER_BURST_BYTES: u64 = 64 << 10;

/// What a listener gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// Of what was just on air, this much at once.
    pub burst_ms: u64,
    /// Titles, so many audio bytes apart.
    pub metaint: Option<u32>,
}

impl Wishes {
    /// `usual_burst_ms`: for those who do not say; a browser's player gets what it needs.
    pub fn of(request: &Request, usual_burst_ms: u64, bitrate_kbps: u32) -> Self {
        let query = request.query.as_deref().unwrap_or("");
        let usual_burst_ms = match is_browsers_player(request) {
            true => usual_burst_ms.max(browser_burst_ms(bitrate_kbps)),
            false => usual_burst_ms,
        };
        let burst_ms = if request.path == "/live" { 0 } else { burst_ms(query).unwrap_or(usual_burst_ms) };
        let wanted = value(query, "metaint").and_then(|text| text.parse().ok());
        let metaint = wanted.map_or(METAINT, |bytes: u32| bytes.clamp(METAINT_MIN, METAINT_MAX));
        Self { burst_ms, metaint: request.wants_titles.then_some(metaint) }
    }
}

/// All of them ask for a range, and for no titles; FFmpeg and its like ask for both.
fn is_browsers_player(request: &Request) -> bool {
    request.range_to_end && !request.wants_titles
}

fn browser_burst_ms(bitrate_kbps: u32) -> u64 {
    (BROWSER_BURST_BYTES * 8 / u64::from(bitrate_kbps.max(1))).min(BURST_SEC_MAX * 1000)
}

/// Seconds, with or without a fraction.
fn burst_ms(query: &str) -> Option<u64> {
    let sec: f64 = value(query, "burst")?.parse().ok()?;
    let most = BURST_SEC_MAX * 1000;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // clamped
    sec.is_finite().then(|| (sec * 1000.0).clamp(0.0, most as f64) as u64)
}

fn value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(path: &str, query: &str, wants_titles: bool) -> Wishes {
        let request = Request { path: path.into(), query: Some(query.into()), wants_titles, ..Request::default() };
        Wishes::of(&request, 2000, 128)
    }

    #[test]
    fn h5_a_burst_as_a_table() {
        let table = [
            ("/stream", "", 2000),
            ("/stream", "burst=0", 0),
            ("/stream", "t=17&burst=1.5", 1500),
            ("/stream.mp3", "burst=6", 6000),
            ("/stream", "burst=24", 6000),
            ("/stream", "burst=-3", 0),
            ("/stream", "burst=NaN", 2000),
            ("/stream", "burst=inf", 2000),
            ("/stream", "burst=", 2000),
            ("/stream", "outburst=1", 2000),
            ("/live", "", 0),
            ("/live", "burst=6", 0),
        ];
        for (path, query, expected) in table {
            assert_eq!(wishes(path, query, false), Wishes { burst_ms: expected, metaint: None }, "{path}?{query}");
        }
    }

    #[test]
    fn h5_a_browsers_player_gets_two_of_its_blocks_at_once() {
        let table = [
            // kbit/s, what is usual, titles, path: what it gets.
            (128, 2000, false, "/stream", 4096),
            (128, 0, false, "/stream", 4096),
            (128, 5000, false, "/stream", 5000),
            (320, 2000, false, "/stream", 2000),
            (64, 2000, false, "/stream", 6000),
            (128, 2000, true, "/stream", 2000),
            (128, 2000, false, "/live", 0),
            (128, 2000, false, "/stream?burst=1", 1000),
        ];
        for (kbps, usual_ms, wants_titles, target, expected) in table {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let (path, query) = (path.into(), Some(query.into()));
            let request = Request { path, query, wants_titles, range_to_end: true, ..Request::default() };
            assert_eq!(Wishes::of(&request, usual_ms, kbps).burst_ms, expected, "{kbps} {usual_ms} {target}");
        }
    }

    #[test]
    fn h6_titles_go_to_those_who_ask_at_the_distance_they_ask_for() {
        let table = [
            ("", 16_000),
            ("metaint=8192", 8192),
            ("metaint=1", 1024),
            ("metaint=9999999", 65_536),
            ("metaint=x", 16_000),
        ];
        for (query, expected) in table {
            assert_eq!(wishes("/stream", query, true).metaint, Some(expected), "{query}");
            assert_eq!(wishes("/stream", query, false).metaint, None, "{query}");
        }
    }
}
