//! What can be played: tracks and the catalogue of them. Data only; who finds
//! tracks is `library`, who chooses among them is `rotation`.

use std::{path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

/// What a track is for. Songs lie anywhere; the others in a folder of that name
/// at the top of a music folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackKind {
    /// Chosen by the rules of rotation.
    Song,
    /// `jingles`: between songs, by cadence.
    Jingle,
    /// `ids`: says which station this is, by cadence and at the top of the hour.
    StationId,
    /// `intros`: before the song that has the same name.
    Intro,
    /// `outros`: after the song that has the same name.
    Outro,
    /// `sign-on`: when the station starts.
    SignOn,
    /// `sign-off`: when it ends.
    SignOff,
}

/// How a file looked when it was read: another stamp is another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime_ns: i64,
}

/// One playable file.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// Where it is.
    pub path: PathBuf,
    /// How the file looked when its tags were read.
    pub stamp: Stamp,
    /// What it is for.
    pub kind: TrackKind,
    /// Place in [`Catalogue::folders`].
    pub folder: u16,
    /// From the tags, else from the file's name. Never empty.
    pub title: Box<str>,
    /// From the tags, else from a name like `Artist - Title`.
    pub artist: Option<Box<str>>,
    /// From the tags.
    pub album: Option<Box<str>>,
    /// From the tags.
    pub year: Option<u16>,
    /// From the file's properties; none: unknown.
    pub duration_ms: Option<u32>,
    /// Loudness in LUFS by the file's own tags (ReplayGain or R128).
    pub tag_lufs: Option<f32>,
    /// Equal for the same title by the same artist, however it is spelled in detail.
    pub title_key: u64,
    /// Equal for the same artist; 0: unknown, and then equal to nobody.
    pub artist_key: u64,
}

impl Track {
    /// For the log: `Artist - Title`.
    pub fn name(&self) -> String {
        match &self.artist {
            Some(artist) => format!("{artist} - {}", self.title),
            None => self.title.to_string(),
        }
    }
}

/// All that can be played now. Swapped as a whole when the library changes.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// In the order of the bytes of their paths (as `OsStr` compares, not as `Path`).
    pub tracks: Vec<Arc<Track>>,
    /// Names of the folders at the top of the music folders; "" is the top itself.
    pub folders: Vec<String>,
}

/// What a measurement of the whole file found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Integrated loudness (EBU R128); none: too short or too silent to say.
    pub lufs: Option<f32>,
    /// Samples per channel, decoded.
    pub samples: u64,
    /// Where the audio begins: before it, silence.
    pub cue_in: u64,
    /// Where the level has fallen for good, so that the next song may begin:
    /// samples from the start, at most `samples`.
    pub cue_out: u64,
    /// After this there is only silence: samples from the start, `cue_out` to `samples`.
    pub end: u64,
}
