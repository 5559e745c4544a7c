//! Why something was chosen, in words that whoever runs the station reads.

use std::fmt;

/// Rules that could not be kept, because they left nothing. They are given up in
/// this order, each only when no song is left that obeys it and all below it: a
/// song that ends too late for the ID is better than a title heard today, that is
/// better than the same artist again, and that than a song that never shall come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GivenUp(pub(super) u8);

impl GivenUp {
    /// The song lasts beyond the window of the next hour's ID.
    pub const HOUR: Self = Self(1);
    /// The title, or the file, was played within the gap.
    pub const TITLE: Self = Self(2);
    /// The artist was played within the gap.
    pub const ARTIST: Self = Self(4);
    /// The folder's weight is 0 now.
    pub const WEIGHT: Self = Self(8);

    /// Whether this rule is among them.
    pub fn has(self, rule: Self) -> bool {
        self.0 & rule.0 != 0
    }
}

/// Why a track comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A song, by all the rules.
    Rotation,
    /// A song, though not by all the rules: they left nothing.
    BestThereIs(GivenUp),
    /// A station ID at the first join at or after the hour.
    TopOfHour,
    /// A station ID after so many songs.
    IdAfter(u64),
    /// A jingle after so many songs.
    JingleAfter(u64),
    /// It belongs before the song.
    Intro,
    /// It belongs after the song.
    Outro,
    /// Somebody named it.
    AskedFor,
    /// The station begins.
    SignOn,
    /// The station ends.
    SignOff,
    /// A jingle or ID, for lack of any song.
    NoSong,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rotation => write!(f, "rotation"),
            Self::BestThereIs(given_up) => write_given_up(f, *given_up),
            Self::TopOfHour => write!(f, "station ID at the top of the hour"),
            Self::IdAfter(songs) => write!(f, "station ID after {songs} {}", plural(*songs)),
            Self::JingleAfter(songs) => write!(f, "jingle after {songs} {}", plural(*songs)),
            Self::Intro => write!(f, "intro of the song"),
            Self::Outro => write!(f, "outro of the song"),
            Self::AskedFor => write!(f, "asked for"),
            Self::SignOn => write!(f, "sign-on"),
            Self::SignOff => write!(f, "sign-off"),
            Self::NoSong => write!(f, "there is no song"),
        }
    }
}

fn plural(songs: u64) -> &'static str {
    if songs == 1 { "song" } else { "songs" }
}

fn write_given_up(f: &mut fmt::Formatter<'_>, given_up: GivenUp) -> fmt::Result {
    let all = [
        (GivenUp::WEIGHT, "every other folder is empty"),
        (GivenUp::ARTIST, "no other artist is left"),
        (GivenUp::TITLE, "no title has rested long enough"),
        (GivenUp::HOUR, "no song ends in time for the hour"),
    ];
    write!(f, "rotation")?;
    let held = all.iter().filter(|(rule, _)| given_up.has(*rule));
    for (at, (_, words)) in held.enumerate() {
        write!(f, "{}{words}", if at == 0 { "; " } else { ", " })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st3_reasons_are_plain_words() {
        for (reason, words) in [
            (Reason::TopOfHour, "station ID at the top of the hour"),
            (Reason::JingleAfter(4), "jingle after 4 songs"),
            (Reason::IdAfter(1), "station ID after 1 song"),
            (Reason::BestThereIs(GivenUp::HOUR), "rotation; no song ends in time for the hour"),
            (Reason::BestThereIs(GivenUp(6)), "rotation; no other artist is left, no title has rested long enough"),
        ] {
            assert_eq!(reason.to_string(), words);
        }
    }
}
