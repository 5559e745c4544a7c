//! What a listener asks for in its request: where to begin, and titles. Pure.
//!
//! Nothing here is refused: a player that asks for nonsense is served as one that asks for nothing.

use super::head::Request;
use crate::{broadcast::icy::METAINT, limits::BURST_SEC_MAX};

/// Closer together, titles would cost more than they tell; farther apart, they come too late.
const METAINT_MIN: u32 = 1024;
const METAINT_MAX: u32 = 65_536;

/// What a listener gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// Of what was just on air, this much at once.
    pub burst_ms: u64,
    /// Titles, so many audio bytes apart.
    pub metaint: Option<u32>,
}

impl Wishes {
    /// `usual_burst_ms`: for those who do not say.
    pub fn of(request: &Request, usual_burst_ms: u64) -> Self {
        let query = request.query.as_deref().unwrap_or("");
        let burst_ms = if request.path == "/live" { 0 } else { burst_ms(query).unwrap_or(usual_burst_ms) };
        let wanted = value(query, "metaint").and_then(|text| text.parse().ok());
        let metaint = wanted.map_or(METAINT, |bytes: u32| bytes.clamp(METAINT_MIN, METAINT_MAX));
        Self { burst_ms, metaint: request.wants_titles.then_some(metaint) }
    }
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
        Wishes::of(&request, 2000)
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
