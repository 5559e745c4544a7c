//! Station events: what a station says about what it plays (K3).
//!
//! Checked, and not kept: the tower has no truth about the station. Only the last title
//! and artist are remembered, for people to read.

use serde_json::{Map, Value};

/// The event types there are.
const TYPES: [&str; 4] = ["station_startup", "station_shutdown", "song_playing", "segment_playing"];
/// Characters of a title or an artist; the rest is cut.
const TEXT_CHARS_MAX: usize = 256;

/// What the station last said it plays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NowPlaying {
    /// `metadata.title`
    pub title: Option<String>,
    /// `metadata.artist`
    pub artist: Option<String>,
}

impl NowPlaying {
    /// As players show it.
    pub fn line(&self) -> Option<String> {
        match (&self.artist, &self.title) {
            (Some(artist), Some(title)) => Some(format!("{artist} - {title}")),
            (artist, title) => title.as_ref().or(artist.as_ref()).cloned(),
        }
    }
}

/// A station event that passed the checks.
#[derive(Debug, Clone, PartialEq)]
pub struct StationEvent {
    /// One of the four.
    pub event_type: String,
    /// Station frames sent on this connection when it begins; none: it begins now.
    pub at_frame: Option<u64>,
    /// What is played now, if the event says so.
    pub playing: Option<NowPlaying>,
    /// The event as it came, to be passed on unaltered.
    pub event: Map<String, Value>,
}

/// Reads an event.
///
/// # Errors
/// A sentence that says what is wrong and what would be right.
pub fn parse(body: &[u8]) -> Result<StationEvent, String> {
    let value: Value = serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    let Value::Object(event) = value else {
        return Err("the body is not a JSON object; send {\"event_type\": …, \"metadata\": {…}}".into());
    };
    let event_type = event_type(&event)?;
    let metadata = match event.get("metadata") {
        None | Some(Value::Null) => None,
        Some(Value::Object(metadata)) => Some(metadata),
        Some(_) => return Err("metadata is not an object; send {\"title\": …, \"artist\": …}".into()),
    };
    let plays = event_type.ends_with("_playing");
    let playing = plays.then(|| NowPlaying { title: text(metadata, "title"), artist: text(metadata, "artist") });
    Ok(StationEvent { at_frame: at_frame(&event)?, event_type, playing, event })
}

fn event_type(event: &Map<String, Value>) -> Result<String, String> {
    let types = TYPES.join(", ");
    match event.get("event_type") {
        Some(Value::String(name)) if TYPES.contains(&name.as_str()) => Ok(name.clone()),
        Some(other) => Err(format!("event_type {other} is unknown; it is one of {types}")),
        None => Err(format!("event_type is missing; it is one of {types}")),
    }
}

fn at_frame(event: &Map<String, Value>) -> Result<Option<u64>, String> {
    match event.get("at_frame") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(frame) => Ok(Some(frame)),
            None => Err(format!("at_frame {value} is not a count of frames; leave it out for now")),
        },
    }
}

/// A line of text, free of what could break a header, a terminal or a log.
fn text(metadata: Option<&Map<String, Value>>, key: &str) -> Option<String> {
    let raw = metadata?.get(key)?.as_str()?;
    let clean: String = raw.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect();
    let trimmed = clean.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k3_titles_are_taken_from_playing_events_and_cleaned() {
        let body = r#"{"event_type":"song_playing","timestamp":1.5,"at_frame":9,"metadata":
            {"title":"A\u0000\r\nB\u001b[31m","artist":" C ","album":"D","year":1999}}"#;
        let event = parse(body.as_bytes()).expect("an event");
        let playing = event.playing.expect("it plays");
        assert_eq!((playing.title.as_deref(), playing.artist.as_deref()), (Some("AB[31m"), Some("C")));
        assert_eq!(event.at_frame, Some(9));
        assert_eq!(event.event["metadata"]["title"], "A\u{0}\r\nB\u{1b}[31m", "passed on unaltered");

        let event = parse(br#"{"event_type":"segment_playing","metadata":{}}"#).expect("an event");
        assert_eq!((event.playing, event.at_frame), (Some(NowPlaying::default()), None));
        let event = parse(br#"{"event_type":"station_startup"}"#).expect("an event");
        assert_eq!(event.playing, None);
    }

    #[test]
    fn k3_what_is_refused_is_told_what_would_be_right() {
        let table: [(&[u8], &str); 9] = [
            (b"", "not JSON"),
            (b"\xff", "not JSON"),
            (b"[]", "not a JSON object"),
            (b"{}", "event_type is missing; it is one of station_startup"),
            (br#"{"event_type":"song_ended"}"#, "\"song_ended\" is unknown; it is one of"),
            (br#"{"event_type":7}"#, "event_type 7 is unknown"),
            (br#"{"event_type":"song_playing","metadata":[]}"#, "metadata is not an object"),
            (br#"{"event_type":"song_playing","at_frame":-1}"#, "at_frame -1 is not a count"),
            (br#"{"event_type":"song_playing","at_frame":"9"}"#, "at_frame \"9\" is not a count"),
        ];
        for (body, part) in table {
            let error = parse(body).expect_err("refused");
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn k3_a_deeply_nested_body_is_refused_and_not_followed() {
        let body = "[".repeat(60_000);
        assert!(parse(body.as_bytes()).is_err());
    }
}
