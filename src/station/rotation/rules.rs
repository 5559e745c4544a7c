//! The rules of rotation, and how they are written in `station.toml`.

/// `Rock=3`: how often a folder's songs come, beside the others' 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// A folder at the top of a music folder; "." is the top itself.
    pub folder: String,
    /// 0: never.
    pub weight: u32,
}

/// `mon-fri 06:00-10:00: Rock=3, Jazz=0`: other weights at a time of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayPart {
    /// Monday first.
    pub days: [bool; 7],
    /// Minute of the day, local time.
    pub from_minute: u16,
    /// Minute of the day; at or before `from_minute`: on the next day.
    pub to_minute: u16,
    /// Instead of the weights that hold otherwise; folders not named keep theirs.
    pub weights: Vec<Weight>,
}

/// `[rotation]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// No title again within this time.
    pub title_gap_min: u64,
    /// No artist again within this many songs; 1: not twice in a row.
    pub artist_gap_songs: usize,
    /// A jingle after this many songs; 0: none.
    pub jingle_every_songs: u64,
    /// A station ID after this many songs; 0: none.
    pub id_every_songs: u64,
    /// A station ID at the top of the hour.
    pub hour_id: bool,
    /// It comes at most this long after the hour.
    pub hour_id_window_min: u64,
    /// By folder.
    pub weights: Vec<Weight>,
    /// The first that holds now counts.
    pub day_parts: Vec<DayPart>,
}
