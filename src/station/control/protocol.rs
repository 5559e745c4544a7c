//! What is said on the station's control socket, for both sides.
//!
//! One line of JSON is asked and one is answered: `{"command":"skip"}`, then
//! `{"ok":true,"command":"skip"}` or `{"error":"…"}`. Both are bounded, since the
//! other side may be anybody who can open the socket.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    limits::{STATION_HISTORY_MAX, STATION_REPLY_BYTES_MAX},
    station::track::TrackKind,
};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// What is played, and how all is.
    Now,
    /// Go on to what comes next.
    Skip,
    /// Play this file after the one that plays.
    Next {
        /// Absolute.
        #[serde(flatten)]
        file: FileName,
    },
    /// What was played.
    History {
        /// Entries at most, the newest first.
        count: usize,
    },
    /// Look through the folders of music again.
    Scan,
}

/// A path, which need not be text: `"file":"/a"`, or else `"file_bytes":[47,255]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct FileName(pub PathBuf);

#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file_bytes: Option<Vec<u8>>,
}

impl From<FileName> for Written {
    fn from(name: FileName) -> Self {
        match name.0.into_os_string().into_string() {
            Ok(text) => Self { file: Some(text), file_bytes: None },
            Err(other) => Self { file: None, file_bytes: Some(other.into_vec()) },
        }
    }
}

impl TryFrom<Written> for FileName {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match (written.file, written.file_bytes) {
            (Some(text), None) => Ok(Self(text.into())),
            (None, Some(bytes)) => Ok(Self(OsString::from_vec(bytes).into())),
            _ => Err("either \"file\" or \"file_bytes\" is needed"),
        }
    }
}

/// What is answered when all is well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Answer {
    /// To `now`.
    Now(Box<Now>),
    /// To `skip`: it will be done at once.
    Skip,
    /// To `next`: it can be played, and comes next.
    Next,
    /// To `history`.
    History {
        /// The newest first.
        entries: Vec<HistoryEntry>,
    },
    /// To `scan`: it has begun; `now` shows how far it is.
    Scan,
}

/// What the station is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlayState {
    /// There is nothing that can be played.
    Waiting,
    /// A track is on.
    Playing,
    /// It was told to stop, and says goodbye.
    SigningOff,
}

/// What is played, and how all is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Now {
    /// What the station is doing.
    pub state: PlayState,
    /// Of the track that is on; absent: none is.
    pub title: Option<String>,
    /// From its tags or its name.
    pub artist: Option<String>,
    /// From its tags.
    pub album: Option<String>,
    /// What it is for.
    pub kind: Option<TrackKind>,
    /// Where it lies.
    #[serde(flatten)]
    pub file: Option<FileName>,
    /// Since it began.
    pub elapsed_ms: u64,
    /// How long it is, where that is known.
    pub duration_ms: Option<u64>,
    /// Why it was chosen, in a few words.
    pub reason: Option<String>,
    /// What comes after it, once that is decided.
    pub next: Option<NextUp>,
    /// What can be played.
    pub library: LibraryNow,
    /// The link to the tower.
    pub tower: TowerNow,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextUp {
    /// Its title.
    pub title: String,
    /// From its tags or its name.
    pub artist: Option<String>,
    /// Why it was chosen, in a few words.
    pub reason: String,
}

/// What can be played.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibraryNow {
    /// Of every kind.
    pub tracks: u64,
    /// Of these, songs.
    pub songs: u64,
    /// The folders are being looked through.
    pub scanning: bool,
    /// Files that this (or the last) look has come to.
    pub files_seen: u64,
}

/// The link to the tower.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TowerNow {
    /// Its PCM socket is open.
    pub connected: bool,
    /// Frames in its queue, as it last said; absent: it has not.
    pub fill: Option<u64>,
    /// Frames that fit.
    pub capacity: Option<u64>,
    /// How much faster than 48,000 samples a second of our clock we play.
    pub rate_ppm: i64,
    /// Station frames that the tower took.
    pub frames_sent: u64,
    /// Station frames that it did not: its socket was full or gone.
    pub frames_dropped: u64,
}

/// What was played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When it began, by the wall clock.
    pub at_unix_ms: i64,
    /// Its title.
    pub title: String,
    /// From its tags or its name.
    pub artist: Option<String>,
    /// What it is for.
    pub kind: TrackKind,
    /// Where it lay.
    #[serde(flatten)]
    pub file: FileName,
}

impl Request {
    /// As one line.
    pub fn to_line(&self) -> String {
        line(&json!(self))
    }

    /// From one line.
    ///
    /// # Errors
    /// A sentence for whoever asked.
    pub fn from_line(line: &str) -> Result<Self, String> {
        let commands = "allowed are now, skip, next, history and scan";
        let request: Self =
            serde_json::from_str(line).map_err(|error| format!("not understood: {}; {commands}", one_line(&error)))?;
        match &request {
            Self::Next { file: FileName(path) } if !path.is_absolute() => Err(not_absolute(path)),
            Self::History { count } if *count > STATION_HISTORY_MAX => {
                Err(format!("history: {count} entries; allowed are at most {STATION_HISTORY_MAX}"))
            }
            _ => Ok(request),
        }
    }
}

/// The parser quotes what was said, line breaks and all.
fn one_line(error: &serde_json::Error) -> String {
    error.to_string().replace(char::is_control, " ")
}

fn not_absolute(path: &Path) -> String {
    format!("next: {:?} is not an absolute path", path.to_string_lossy())
}

/// The station's side: as one line, within its bound.
pub fn reply_to_line(reply: &Result<Answer, String>) -> String {
    let written = match reply {
        Ok(answer) => {
            let mut fields = json!({ "ok": true });
            if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), json!(answer)) {
                fields.extend(more);
            }
            line(&fields)
        }
        Err(error) => line(&json!({ "error": error })),
    };
    match reply {
        Ok(Answer::History { entries }) if written.len() > STATION_REPLY_BYTES_MAX => {
            let newest = entries[..entries.len() / 2].to_vec();
            reply_to_line(&Ok(Answer::History { entries: newest }))
        }
        _ => written,
    }
}

/// The client's side. `None`: this is no station.
pub fn reply_from_line(line: &str) -> Option<Result<Answer, String>> {
    let reply: Value = serde_json::from_str(line).ok()?;
    if let Some(error) = reply.get("error") {
        return Some(Err(error.as_str()?.to_owned()));
    }
    if reply.get("ok") != Some(&Value::Bool(true)) {
        return None;
    }
    serde_json::from_value(reply).ok().map(Ok)
}

/// JSON escapes line breaks, so this is one.
fn line(value: &Value) -> String {
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strange() -> FileName {
        FileName(OsString::from_vec(b"/music/\xff\n.mp3".to_vec()).into())
    }

    fn entry(at_unix_ms: i64) -> HistoryEntry {
        HistoryEntry { at_unix_ms, title: "A".into(), artist: None, kind: TrackKind::Song, file: strange() }
    }

    fn now() -> Now {
        Now {
            state: PlayState::Playing,
            title: Some("One\nTwo".into()),
            artist: None,
            album: None,
            kind: Some(TrackKind::StationId),
            file: Some(strange()),
            elapsed_ms: 1,
            duration_ms: None,
            reason: Some("top of the hour".into()),
            next: Some(NextUp { title: "B".into(), artist: Some("C".into()), reason: "rotation".into() }),
            library: LibraryNow { tracks: 3, songs: 2, scanning: true, files_seen: 9 },
            tower: TowerNow {
                connected: true,
                fill: Some(50),
                capacity: Some(100),
                rate_ppm: -300,
                ..TowerNow::default()
            },
        }
    }

    #[test]
    fn requests_are_lines_and_come_back() {
        let table = [
            (Request::Now, r#"{"command":"now"}"#),
            (Request::Skip, r#"{"command":"skip"}"#),
            (Request::Next { file: FileName("/a b.mp3".into()) }, r#"{"command":"next","file":"/a b.mp3"}"#),
            (
                Request::Next { file: FileName(OsString::from_vec(vec![47, 255]).into()) },
                r#"{"command":"next","file_bytes":[47,255]}"#,
            ),
            (Request::History { count: 5 }, r#"{"command":"history","count":5}"#),
            (Request::Scan, r#"{"command":"scan"}"#),
        ];
        for (request, line) in table {
            assert_eq!(request.to_line(), format!("{line}\n"));
            assert_eq!(Request::from_line(line), Ok(request));
        }
    }

    #[test]
    fn a_request_that_makes_no_sense_is_explained() {
        let table = [
            ("", "not understood"),
            ("skip", "not understood"),
            ("{\"command\":\"a\\nb\"}", "not understood"),
            (r#"{"command":"jump"}"#, "now, skip, next, history and scan"),
            (r#"{"command":"next"}"#, "\"file\" or \"file_bytes\" is needed"),
            (r#"{"command":"next","file":"/a","file_bytes":[1]}"#, "\"file\" or \"file_bytes\" is needed"),
            (r#"{"command":"next","file":"a.mp3"}"#, "\"a.mp3\" is not an absolute path"),
            (r#"{"command":"history","count":1001}"#, "at most 1000"),
            (r#"{"command":"history","count":-1}"#, "not understood"),
        ];
        for (line, said) in table {
            let error = Request::from_line(line).expect_err(line);
            assert!(error.contains(said) && !error.contains('\n'), "{line}: {error}");
        }
    }

    #[test]
    fn replies_are_lines_and_come_back() {
        let nothing = Now { file: None, title: None, kind: None, next: None, ..now() };
        let replies = [
            Ok(Answer::Now(Box::new(now()))),
            Ok(Answer::Now(Box::new(nothing))),
            Ok(Answer::Skip),
            Ok(Answer::Next),
            Ok(Answer::History { entries: vec![entry(1), entry(2)] }),
            Ok(Answer::Scan),
            Err("no\nmusic".to_owned()),
        ];
        for reply in replies {
            let line = reply_to_line(&reply);
            assert_eq!(line.find('\n'), Some(line.len() - 1), "{line}");
            assert_eq!(reply_from_line(&line), Some(reply));
        }
        assert_eq!(reply_to_line(&Ok(Answer::Skip)), "{\"command\":\"skip\",\"ok\":true}\n");
        for other in ["", "{}", "[]", "hello", r#"{"ok":true}"#, r#"{"ok":1,"command":"skip"}"#, r#"{"error":5}"#] {
            assert_eq!(reply_from_line(other), None, "{other}");
        }
    }

    #[test]
    fn a_long_history_loses_its_oldest() {
        let entries: Vec<_> = (0..4000).map(|at| HistoryEntry { title: "x".repeat(400), ..entry(at) }).collect();
        let line = reply_to_line(&Ok(Answer::History { entries }));
        assert!(line.len() <= STATION_REPLY_BYTES_MAX, "{}", line.len());
        let Some(Ok(Answer::History { entries })) = reply_from_line(&line) else { panic!("no history") };
        assert!(entries.len() >= 1000 && entries[0].at_unix_ms == 0, "{}", entries.len());
    }
}
