//! Levels of a running tower, which measures them itself: `live` and `levels` in its status.

use std::{
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use serde_json::Value;
use ureq::Agent;

use super::{
    Levels, MeterError,
    draw::{Channel, Figures},
};
use crate::cli::{
    plain,
    tower::status::{StatusError, agent, get},
};

/// A picture waits for an answer no longer than this, and Ctrl-C with it.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A tower that is asked again and again.
pub(super) struct TowerLevels {
    agent: Agent,
    url: String,
    /// It has answered before.
    known: bool,
}

impl TowerLevels {
    pub fn new(url: &str) -> Self {
        Self { agent: agent(TIMEOUT), url: url.trim_end_matches('/').to_owned(), known: false }
    }

    fn ask(&self) -> Result<Figures, StatusError> {
        let (code, status) = get(&self.agent, &format!("{}/status", self.url))?;
        match status {
            Some(status) if status.get("mode").is_some() => Ok(figures(&self.url, &status)),
            _ => Err(StatusError::NotATower { url: self.url.clone(), status: code }),
        }
    }
}

impl Levels for TowerLevels {
    fn next(&mut self, wake: BorrowedFd, until: Instant) -> Result<Option<Figures>, MeterError> {
        // The first answer comes at once.
        if self.known && !waited(wake, until) {
            return Ok(None);
        }
        match self.ask() {
            Ok(figures) => {
                self.known = true;
                Ok(Some(figures))
            }
            // It may be starting again.
            Err(error) if self.known => Ok(Some(Figures {
                title: self.url.clone(),
                notes: vec![plain(&error.to_string())],
                ..Figures::default()
            })),
            Err(error) => Err(error.into()),
        }
    }
}

/// Waits; false: somebody wrote to `wake`.
fn waited(wake: BorrowedFd, until: Instant) -> bool {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(wake, PollFlags::POLLIN)], timeout) {
            Ok(0) if left.is_zero() => return true,
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) | Err(_) => return false,
        }
    }
}

/// What a status has of levels. A tower without a card has no `live`, an older one neither.
fn figures(url: &str, status: &Value) -> Figures {
    let at = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).map_or_else(|| "?".to_owned(), plain);
    let title = format!("{}  {}, {}", plain(url), at("/mode"), at("/source"));
    let channels = [channels("live", &status["live"]), channels("air", &status["levels"])].concat();
    let mut notes = Vec::new();
    notes.extend(live_note(&status["live"]));
    notes.extend(air_note(&status["levels"]));
    notes.extend(status["alarms"].as_array().into_iter().flatten().map(alarm_note));
    Figures { title, channels, notes }
}

/// Two bars, if there is anything to them.
fn channels(name: &str, levels: &Value) -> Vec<Channel> {
    if levels["peak_dbfs"].is_null() && levels["rms_dbfs"].is_null() {
        return Vec::new();
    }
    let channel = |(at, side)| Channel {
        name: format!("{name} {side}"),
        peak_dbfs: levels["peak_dbfs"][at].as_f64(),
        rms_dbfs: levels["rms_dbfs"][at].as_f64(),
        clipped: false,
    };
    ["L", "R"].iter().enumerate().map(channel).collect()
}

fn live_note(live: &Value) -> Option<String> {
    let state = live["state"].as_str()?;
    let mut parts = vec![plain(state)];
    parts.extend(["device", "standing"].iter().filter_map(|key| live[key].as_str()).map(plain));
    parts.extend(number(live, "lufs_short", "LUFS short"));
    parts.extend(number(live, "ppm", "ppm"));
    parts.extend(number(live, "queue_ms", "ms wait"));
    Some(format!("live: {}", parts.join(", ")))
}

fn air_note(levels: &Value) -> Option<String> {
    let keys = [("lufs_momentary", "momentary"), ("lufs_short", "short"), ("lufs_integrated", "integrated, in LUFS")];
    let parts: Vec<String> = keys.iter().filter_map(|(key, unit)| number(levels, key, unit)).collect();
    (!parts.is_empty()).then(|| format!("air: {}", parts.join(", ")))
}

fn number(values: &Value, key: &str, unit: &str) -> Option<String> {
    values[key].as_f64().map(|value| format!("{value:.1} {unit}"))
}

fn alarm_note(alarm: &Value) -> String {
    let text = alarm["text"].as_str().or(alarm["alarm"].as_str()).unwrap_or("?");
    let since = alarm["since_sec"].as_f64().map(|sec| format!(" (for {sec:.0} s)")).unwrap_or_default();
    format!("ALARM: {}{since}", plain(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_becomes_bars_and_notes() {
        let status = json!({
            "mode": "PROGRAM", "source": "live",
            "live": {"state": "running", "device": "CODEC", "standing": "present", "peak_dbfs": [-3.0, -4.0],
                     "rms_dbfs": [-15.0, null], "lufs_short": -17.25, "ppm": -12.34, "queue_ms": 96},
            "levels": {"peak_dbfs": [0, -1.5], "rms_dbfs": [-14, -15], "lufs_momentary": -13.0, "lufs_short": null,
                       "lufs_integrated": -14.1},
            "alarms": [{"alarm": "clip", "text": "the card clips\u{1b}[31m", "since_sec": 12.4}, {"alarm": "silence"}],
        });
        let figures = figures("http://radio", &status);
        assert_eq!(figures.title, "http://radio  PROGRAM, live");
        let names: Vec<&str> = figures.channels.iter().map(|channel| channel.name.as_str()).collect();
        assert_eq!(names, ["live L", "live R", "air L", "air R"]);
        assert_eq!((figures.channels[1].peak_dbfs, figures.channels[1].rms_dbfs), (Some(-4.0), None));
        assert!(figures.channels[2].clips() && !figures.channels[3].clips());
        let notes = [
            "live: running, CODEC, present, -17.2 LUFS short, -12.3 ppm, 96.0 ms wait",
            "air: -13.0 momentary, -14.1 integrated, in LUFS",
            "ALARM: the card clips?[31m (for 12 s)",
            "ALARM: silence",
        ];
        assert_eq!(figures.notes, notes);
    }

    #[test]
    fn a_tower_without_levels_has_no_bars() {
        for status in [
            json!({"mode": "FALLBACK", "source": "tone"}),
            json!({"mode": "FALLBACK", "source": "tone", "live": null, "levels": null, "alarms": null}),
            json!({"mode": "FALLBACK", "source": "tone", "live": 3, "levels": [], "alarms": {}}),
        ] {
            let figures = figures("u", &status);
            assert_eq!((figures.title.as_str(), figures.channels.len()), ("u  FALLBACK, tone", 0));
            assert_eq!(figures.notes, Vec::<String>::new());
        }
        let waiting = json!({"mode": "GRACE", "live": {"state": "waiting", "device": "CODEC", "peak_dbfs": null}});
        assert_eq!(figures("u", &waiting).notes, ["live: waiting, CODEC"]);
    }
}
