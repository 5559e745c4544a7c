//! The station's keys.

use super::{
    super::kind::Kind::{self, Bool, DayParts, Decimal, File, Folder, Folders, Http, Place, Seconds, Weights},
    Key, LEVEL, Schema, integer, key,
};

/// What the station can be told.
pub static STATION: Schema = Schema {
    program: "station",
    system_file: "/etc/retrowaves/station.toml",
    prefix: "STATION_",
    elsewhere: &[],
    example: "playout.crossfade=false",
    sockets: "control.socket and tower.socket",
    keys: KEYS,
};

/// Two days: 2000 plays are remembered, some of them jingles.
const TITLE_GAP_MIN: Kind = integer(0, 2880);

#[rustfmt::skip] // a table reads as a table
const KEYS: &[Key] = &[
    key("music.folders", "STATION_MUSIC", Folders, "[]", "Folders of music, with all that is below them; one that is not there may come later"),
    key("music.rescan_sec", "", integer(1, 3600), "10", "Seconds between two looks for new and removed files"),
    key("rotation.title_gap_min", "", TITLE_GAP_MIN, "180", "Minutes before a title may come again"),
    key("rotation.artist_gap_songs", "", integer(0, 100), "1", "Songs before an artist may come again; 1: not twice in a row"),
    key("rotation.jingle_every_songs", "", integer(0, 1000), "4", "A jingle after so many songs; 0: none"),
    key("rotation.id_every_songs", "", integer(0, 1000), "8", "A station ID after so many songs; 0: none"),
    key("rotation.hour_id", "", Bool, "true", "A station ID at the top of the hour"),
    key("rotation.hour_id_window_min", "", integer(1, 30), "5", "Minutes after the hour in which it may come"),
    key("rotation.weights", "", Weights, "[]", "How often the songs of a folder come, beside the others' 1; 0: never"),
    key("rotation.day_parts", "", DayParts, "[]", "Other weights at times of the week, local time; the first that holds counts"),
    key("playout.level", "", Bool, "true", "Bring every track to the same loudness"),
    key("playout.target_lufs", "", Decimal { min: -30, max: -10 }, "-16", "That loudness, in LUFS"),
    key("playout.peak_dbtp", "", Decimal { min: -9, max: 0 }, "-1", "The true peak stays below this, in dBTP"),
    key("playout.crossfade", "", Bool, "true", "Songs overlap where the first has fallen in level"),
    key("playout.crossfade_max_sec", "", Seconds { max: 30 }, "8", "They overlap at most this long"),
    key("playout.sign_off_max_sec", "", Seconds { max: 120 }, "15", "The sign-off may last this long; 0: none"),
    key("tower.socket", "TOWER_SOCKET_PATH", Place, "\"{runtime}/pcm.sock\"", "The tower's Unix socket that takes PCM"),
    key("tower.url", "TOWER_URL", Http, "\"http://127.0.0.1:8000\"", "Where the tower answers: events go there, and its buffer is asked for"),
    key("state.dir", "STATION_STATE_DIR", Folder, "\"{state}\"", "What the station remembers lies here: history, loudness, bad files"),
    key("control.socket", "STATION_SOCKET_PATH", Place, "\"{runtime}/station.sock\"", "Unix socket that takes `station now`, `skip`, `next`, `history` and `scan`"),
    key("decoder.ffmpeg", "STATION_FFMPEG", File { none: false }, "\"ffmpeg\"", "The FFmpeg program: a name in PATH, or a path"),
    key("log.file", "STATION_LOG_FILE", Place, "\"{log}/station.log\"", "The log file"),
    key("log.level", "STATION_LOG_LEVEL", LEVEL, "\"info\"", "The least important level that is logged"),
    key("log.syslog", "", Bool, "true", "Send lines to the system's log as well"),
];
