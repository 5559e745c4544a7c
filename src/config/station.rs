//! The station's configuration, checked and complete.

use std::path::PathBuf;

use super::LogConfig;
use crate::station::rotation::rules::Rules;

/// Everything the station can be told.
#[derive(Debug, Clone, PartialEq)]
pub struct StationConfig {
    /// Where the music is.
    pub music: MusicConfig,
    /// What comes next.
    pub rotation: Rules,
    /// How it is played.
    pub playout: PlayoutConfig,
    /// Where the tower is.
    pub tower: TowerLinkConfig,
    /// What the station remembers lies here.
    pub state_dir: PathBuf,
    /// The socket that takes commands.
    pub control_socket: PathBuf,
    /// The FFmpeg program.
    pub ffmpeg: PathBuf,
    /// Where log lines go.
    pub log: LogConfig,
    /// Where sockets lie when nobody says otherwise; `prepare` makes it.
    pub runtime_dir: PathBuf,
}

/// `[music]`
#[derive(Debug, Clone, PartialEq)]
pub struct MusicConfig {
    /// Folders of music; may be none.
    pub folders: Vec<PathBuf>,
    /// How often they are looked at for new and removed files.
    pub rescan_sec: u64,
}

/// `[playout]`
#[derive(Debug, Clone, PartialEq)]
pub struct PlayoutConfig {
    /// Bring every track to `target_lufs`.
    pub level: bool,
    /// Loudness of every track.
    pub target_lufs: f64,
    /// True peak stays below.
    pub peak_dbtp: f64,
    /// Songs overlap where the first has fallen in level.
    pub crossfade: bool,
    /// They overlap at most this long.
    pub crossfade_max_ms: u64,
    /// The sign-off may last this long.
    pub sign_off_max_ms: u64,
}

/// `[tower]`
#[derive(Debug, Clone, PartialEq)]
pub struct TowerLinkConfig {
    /// The socket that takes PCM.
    pub socket: PathBuf,
    /// Of its HTTP surface, without a slash at the end.
    pub url: String,
}
