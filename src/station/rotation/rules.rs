//! The rules of rotation, and how they are written in `station.toml`. Text in,
//! rules or one plain sentence out: whoever wrote the text reads that sentence, so
//! it says what is wrong and what would be right.

use std::fmt;

/// The largest weight.
pub const WEIGHT_MAX: u32 = 100;
/// The top of a music folder, as it is written in a weight.
pub const TOP: &str = ".";

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES_OF_DAY: u16 = 24 * 60;

/// `Rock=3`: how often a folder's songs come, beside the others' 1. Each song of
/// Rock then comes three times as often as a song of a folder of weight 1.
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
    /// No title again within this time, as far as the history reaches back; an hour
    /// is some 20 plays, jingles and all.
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

impl Default for Rules {
    fn default() -> Self {
        Self {
            title_gap_min: 180,
            artist_gap_songs: 1,
            jingle_every_songs: 4,
            id_every_songs: 8,
            hour_id: true,
            hour_id_window_min: 5,
            weights: Vec::new(),
            day_parts: Vec::new(),
        }
    }
}

impl Rules {
    /// The weight of every folder of a catalogue at this time of the week.
    pub fn weights_at(&self, folders: &[String], weekday: u8, minute: u16) -> Vec<u32> {
        let part = self.day_parts.iter().find(|part| part.holds(weekday, minute));
        let part = part.map_or(&[][..], |part| &part.weights);
        let weight_of = |folder: &String| {
            let name = if folder.is_empty() { TOP } else { folder };
            part.iter().chain(&self.weights).find(|weight| weight.folder == name).map_or(1, |weight| weight.weight)
        };
        folders.iter().map(weight_of).collect()
    }
}

impl Weight {
    /// Reads `Rock=3`, `New Wave=0`, or `.=2` for the top of the music folders.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is no weight: {why}; write it like \"Rock=3\"");
        let (folder, weight) = text.rsplit_once('=').ok_or_else(|| wrong("there is no \"=\""))?;
        let (folder, weight) = (folder.trim(), weight.trim());
        if folder.is_empty() {
            return Err(wrong("the folder has no name (the top of the music folders is \".\")"));
        }
        if folder.chars().any(char::is_control) {
            return Err(wrong("the folder's name has a control character"));
        }
        if folder.contains('=') {
            return Err(wrong("there is more than one \"=\""));
        }
        if folder.contains('/') {
            return Err(wrong("only folders at the top of a music folder have weights, by their name alone"));
        }
        let number = weight.parse().ok().filter(|weight| *weight <= WEIGHT_MAX);
        let digits = weight.bytes().all(|byte| byte.is_ascii_digit());
        match number.filter(|_| digits) {
            Some(weight) => Ok(Self { folder: folder.to_owned(), weight }),
            None => Err(wrong(&format!("{weight:?} is not a whole number from 0 to {WEIGHT_MAX}"))),
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.folder, self.weight)
    }
}

impl DayPart {
    /// Reads `DAYS HH:MM-HH:MM: FOLDER=WEIGHT, …`. DAYS is `daily`, or days and
    /// runs of days with commas between: `mon`, `mon-fri`, `sat,sun`, `fri-mon`.
    /// A folder whose name holds a comma cannot be named here.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text).map_err(|why| {
            format!("{text:?} is no day part: {why}; write it like \"mon-fri 06:00-10:00: Rock=3, Jazz=0\"")
        })
    }

    fn read(text: &str) -> Result<Self, String> {
        let time_at = text.find(|c: char| c.is_ascii_digit()).ok_or("it names no time")?;
        let (days, rest) = text.split_at(time_at);
        let days = read_days(days.trim())?;
        // The colon after the times is the third.
        let colon = rest.match_indices(':').nth(2).ok_or("after the days it needs two times and a colon")?.0;
        let (from, to) = rest[..colon].split_once('-').ok_or("there is no \"-\" between the times")?;
        let (from_minute, to_minute) = (read_minute(from.trim())?, read_minute(to.trim())?);
        if from_minute == MINUTES_OF_DAY {
            return Err("a day begins at 00:00".to_owned());
        }
        Ok(Self { days, from_minute, to_minute, weights: read_weights(&rest[colon + 1..])? })
    }

    /// Whether this part of the week is now.
    pub fn holds(&self, weekday: u8, minute: u16) -> bool {
        let today = self.days[usize::from(weekday % 7)];
        let yesterday = self.days[usize::from((weekday + 6) % 7)];
        if self.from_minute < self.to_minute {
            return today && (self.from_minute..self.to_minute).contains(&minute);
        }
        (today && minute >= self.from_minute) || (yesterday && minute < self.to_minute)
    }
}

fn read_days(text: &str) -> Result<[bool; 7], String> {
    if text.eq_ignore_ascii_case("daily") {
        return Ok([true; 7]);
    }
    if text.is_empty() {
        return Err("it names no days".to_owned());
    }
    let mut days = [false; 7];
    for run in text.split(',') {
        let (first, last) = run.split_once('-').unwrap_or((run, run));
        let (mut day, last) = (read_day(first.trim())?, read_day(last.trim())?);
        days[day] = true;
        while day != last {
            day = (day + 1) % 7;
            days[day] = true;
        }
    }
    Ok(days)
}

fn read_day(text: &str) -> Result<usize, String> {
    DAYS.iter()
        .position(|day| text.eq_ignore_ascii_case(day))
        .ok_or_else(|| format!("{text:?} is no day (mon, tue, wed, thu, fri, sat, sun, or daily)"))
}

fn read_minute(text: &str) -> Result<u16, String> {
    let wrong = || format!("{text:?} is no time from 00:00 to 24:00");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hour) || !digits(minute) || minute.len() != 2 {
        return Err(wrong());
    }
    let (hour, minute): (u16, u16) = (hour.parse().map_err(|_| wrong())?, minute.parse().map_err(|_| wrong())?);
    if hour > 24 || minute > 59 || (hour == 24 && minute > 0) {
        return Err(wrong());
    }
    Ok(hour * 60 + minute)
}

fn read_weights(text: &str) -> Result<Vec<Weight>, String> {
    if text.trim().is_empty() {
        return Err("it names no weights".to_owned());
    }
    let mut weights: Vec<Weight> = Vec::new();
    for piece in text.split(',') {
        let weight = Weight::parse(piece.trim())?;
        if weights.iter().any(|earlier| earlier.folder == weight.folder) {
            return Err(format!("{:?} is named twice", weight.folder));
        }
        weights.push(weight);
    }
    Ok(weights)
}

impl fmt::Display for DayPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_days(f, self.days)?;
        let (from, to) = (self.from_minute, self.to_minute);
        write!(f, " {:02}:{:02}-{:02}:{:02}:", from / 60, from % 60, to / 60, to % 60)?;
        for (at, weight) in self.weights.iter().enumerate() {
            write!(f, "{} {weight}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Runs of three and more days as `mon-wed`, over the end of the week too.
fn write_days(f: &mut fmt::Formatter<'_>, days: [bool; 7]) -> fmt::Result {
    if days == [true; 7] {
        return write!(f, "daily");
    }
    let mut between = "";
    for first in (0..7).filter(|day| days[*day] && !days[(day + 6) % 7]) {
        let length = (1..7).find(|length| !days[(first + length) % 7]).unwrap_or(7);
        let name = |offset: usize| DAYS[(first + offset) % 7];
        match length {
            1 => write!(f, "{between}{}", name(0))?,
            2 => write!(f, "{between}{},{}", name(0), name(1))?,
            _ => write!(f, "{between}{}-{}", name(0), name(length - 1))?,
        }
        between = ",";
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weight(folder: &str, weight: u32) -> Weight {
        Weight { folder: folder.to_owned(), weight }
    }

    #[test]
    fn st3_weights_are_read() {
        for (text, folder, number) in
            [("Rock=3", "Rock", 3), (" New Wave = 0 ", "New Wave", 0), (".=100", ".", 100), ("A, B: C=7", "A, B: C", 7)]
        {
            assert_eq!(Weight::parse(text), Ok(weight(folder, number)));
        }
    }

    #[test]
    fn st3_a_bad_weight_says_what_is_wrong() {
        for (text, why) in [
            ("Rock", "there is no \"=\""),
            ("", "there is no \"=\""),
            ("=3", "no name"),
            ("Rock=3, Jazz=0", "more than one \"=\""),
            ("Rock=101", "from 0 to 100"),
            ("Rock=-1", "from 0 to 100"),
            ("Rock=+1", "from 0 to 100"),
            ("Rock=", "from 0 to 100"),
            ("Rock=99999999999999999999", "from 0 to 100"),
            ("Ro\u{b}ck=2", "control character"),
            ("Rock/Punk=2", "at the top of a music folder"),
        ] {
            let error = Weight::parse(text).expect_err(text);
            assert!(error.contains(why) && error.contains("\"Rock=3\""), "{text}: {error}");
        }
    }

    #[test]
    fn st3_day_parts_are_read() {
        let (t, f) = (true, false);
        for (text, days, from_minute, to_minute, again) in [
            ("daily 00:00-24:00: A=1", [t; 7], 0, 1440, "daily 00:00-24:00: A=1"),
            ("mon 6:00-10:00:A=1", [t, f, f, f, f, f, f], 360, 600, "mon 06:00-10:00: A=1"),
            ("Mon-Fri 06:00 - 10:00 : A=1", [t, t, t, t, t, f, f], 360, 600, "mon-fri 06:00-10:00: A=1"),
            ("sat, sun 22:00-02:30: A=1", [f, f, f, f, f, t, t], 1320, 150, "sat,sun 22:00-02:30: A=1"),
            ("fri-mon 12:00-12:00: A=1", [t, f, f, f, t, t, t], 720, 720, "fri-mon 12:00-12:00: A=1"),
            ("mon-sun 01:00-02:00: A=1", [t; 7], 60, 120, "daily 01:00-02:00: A=1"),
            ("sun,tue,wed,thu 01:00-02:00: A=1", [f, t, t, t, f, f, t], 60, 120, "tue-thu,sun 01:00-02:00: A=1"),
        ] {
            let part = DayPart::parse(text).expect(text);
            assert_eq!(part, DayPart { days, from_minute, to_minute, weights: vec![weight("A", 1)] }, "{text}");
            assert_eq!(part.to_string(), again);
        }
        let part = DayPart::parse("mon-fri 06:00-10:00: Rock=3, Jazz=0").expect("the example");
        assert_eq!(part.weights, [weight("Rock", 3), weight("Jazz", 0)]);
    }

    #[test]
    fn st3_a_bad_day_part_says_what_is_wrong() {
        for (text, why) in [
            ("", "no time"),
            ("mon: A=1", "\"mon: A=\" is no day"),
            ("06:00-10:00: A=1", "names no days"),
            ("moon 06:00-10:00: A=1", "\"moon\" is no day"),
            ("mon,, 06:00-10:00: A=1", "\"\" is no day"),
            ("mon 06:00-10:00", "two times and a colon"),
            ("mon 06:00 10:00: A=1", "no \"-\""),
            ("mon 25:00-10:00: A=1", "\"25:00\" is no time"),
            ("mon 24:00-10:00: A=1", "begins at 00:00"),
            ("mon 06:60-10:00: A=1", "\"06:60\" is no time"),
            ("mon 06:0-10:00: A=1", "\"06:0\" is no time"),
            ("mon 06:00-99999:00: A=1", "\"99999:00\" is no time"),
            ("mon 06:00-10:00:", "names no weights"),
            ("mon 06:00-10:00: Rock, Jazz=0", "\"Rock\" is no weight"),
            ("mon 06:00-10:00: A=1, A=2", "\"A\" is named twice"),
        ] {
            let error = DayPart::parse(text).expect_err(text);
            assert!(error.contains(why) && error.contains("mon-fri 06:00-10:00"), "{text}: {error}");
            assert!(!error.contains('\n'));
        }
    }

    #[test]
    fn st3_day_parts_hold_over_midnight() {
        for (text, weekday, minute, holds) in [
            ("mon 22:00-02:00: A=1", 0, 22 * 60, true),
            ("mon 22:00-02:00: A=1", 0, 60, false),
            ("mon 22:00-02:00: A=1", 1, 119, true),
            ("mon 22:00-02:00: A=1", 1, 120, false),
            ("sun 22:00-02:00: A=1", 0, 60, true),
            ("mon 06:00-10:00: A=1", 0, 600, false),
            ("mon 06:00-10:00: A=1", 0, 360, true),
            ("mon 06:00-06:00: A=1", 1, 359, true),
            ("mon 06:00-06:00: A=1", 1, 360, false),
            ("mon 00:00-24:00: A=1", 0, 1439, true),
        ] {
            let part = DayPart::parse(text).expect(text);
            assert_eq!(part.holds(weekday, minute), holds, "{text} on {weekday} at {minute}");
        }
    }

    #[test]
    fn st3_the_first_day_part_that_holds_counts() {
        let part = |text| DayPart::parse(text).expect(text);
        let rules = Rules {
            weights: vec![weight("Rock", 2), weight(".", 5)],
            day_parts: vec![part("mon 06:00-10:00: Rock=9"), part("daily 06:00-12:00: Rock=7, Jazz=0")],
            ..Rules::default()
        };
        let folders = ["", "Jazz", "Rock"].map(str::to_owned);
        assert_eq!(rules.weights_at(&folders, 0, 7 * 60), [5, 1, 9]);
        assert_eq!(rules.weights_at(&folders, 1, 7 * 60), [5, 0, 7]);
        assert_eq!(rules.weights_at(&folders, 1, 13 * 60), [5, 1, 2]);
    }

    fn folder_name() -> impl Strategy<Value = String> {
        "[^=/,\\s\\p{Cc}]([^=/,\\p{Cc}]{0,10}[^=/,\\s\\p{Cc}])?"
    }

    proptest! {
        #[test]
        fn st3_what_is_written_is_read_back(
            days in any::<[bool; 7]>(), from_minute in 0u16..1440, to_minute in 0u16..=1440,
            names in proptest::collection::btree_set(folder_name(), 1..5), number in 0u32..=WEIGHT_MAX,
        ) {
            prop_assume!(days != [false; 7]);
            let weights: Vec<Weight> = names.iter().map(|name| weight(name, number)).collect();
            for weight in &weights {
                prop_assert_eq!(&Weight::parse(&weight.to_string()), &Ok(weight.clone()));
            }
            let part = DayPart { days, from_minute, to_minute, weights };
            prop_assert_eq!(DayPart::parse(&part.to_string()), Ok(part));
        }

        #[test]
        fn st3_no_text_makes_the_parsers_panic(text in "\\PC{0,40}", near in "[a-z0-9:=, -]{0,40}") {
            for text in [text, near] {
                if let Ok(part) = DayPart::parse(&text) {
                    prop_assert_eq!(DayPart::parse(&part.to_string()), Ok(part));
                }
                if let Ok(weight) = Weight::parse(&text) {
                    prop_assert_eq!(Weight::parse(&weight.to_string()), Ok(weight));
                }
            }
        }
    }
}
