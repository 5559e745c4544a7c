//! Local time as the caller tells it, and the lengths of tracks in it. Arithmetic
//! only. Hours are local: a zone with half an hour has its full hours there.

use crate::station::track::{Track, TrackKind};

/// A song of unknown length counts as this long.
pub const UNKNOWN_SONG_MS: i64 = 240_000;
/// A jingle, ID, intro or outro of unknown length counts as this long.
pub const UNKNOWN_OTHER_MS: i64 = 30_000;
/// An ID that begins this little before the hour is the ID of that hour: a join
/// foreseen just after the hour may come a little earlier, by a crossfade.
pub const HOUR_ID_EARLY_MS: i64 = 10_000;

const HOUR_SEC: u32 = 3600;
const HOUR_MS: i64 = 3_600_000;
const DAY_SEC: i64 = 86_400;

/// A moment in local time: when what is chosen will begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970.
    pub unix_ms: i64,
    /// Monday 0.
    pub weekday: u8,
    /// Since local midnight.
    pub second_of_day: u32,
}

impl Moment {
    /// So much later; a change to summer time in between is not foreseen.
    pub fn later(self, ms: i64) -> Self {
        let unix_ms = self.unix_ms.saturating_add(ms);
        let seconds = unix_ms.div_euclid(1000) - self.unix_ms.div_euclid(1000) + i64::from(self.second_of_day);
        let weekday = (i64::from(self.weekday) + seconds.div_euclid(DAY_SEC)).rem_euclid(7);
        let second_of_day = seconds.rem_euclid(DAY_SEC);
        Self {
            unix_ms,
            weekday: u8::try_from(weekday).unwrap_or(0),
            second_of_day: u32::try_from(second_of_day).unwrap_or(0),
        }
    }

    /// The last full hour, this very moment included.
    pub fn hour_unix_ms(self) -> i64 {
        self.unix_ms - i64::from(self.second_of_day % HOUR_SEC) * 1000 - self.unix_ms.rem_euclid(1000)
    }

    /// The next full hour.
    pub fn next_hour_unix_ms(self) -> i64 {
        self.hour_unix_ms() + HOUR_MS
    }

    /// Of the day, local time.
    pub fn minute(self) -> u16 {
        u16::try_from(self.second_of_day / 60).unwrap_or(0)
    }
}

/// How long a track lasts, or what its kind counts for when nobody knows.
pub fn length_ms(track: &Track) -> i64 {
    match track.duration_ms {
        Some(ms) => i64::from(ms),
        None if matches!(track.kind, TrackKind::Song) => UNKNOWN_SONG_MS,
        None => UNKNOWN_OTHER_MS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st3_hours_are_local_and_full() {
        // 1970-01-01 00:30:05.250 UTC in a zone half an hour ahead: 01:00:05.
        let at = Moment { unix_ms: 1_805_250, weekday: 3, second_of_day: 3605 };
        assert_eq!((at.hour_unix_ms(), at.next_hour_unix_ms()), (1_800_000, 5_400_000));
        let full = Moment { unix_ms: 1_800_000, weekday: 3, second_of_day: 3600 };
        assert_eq!(full.hour_unix_ms(), 1_800_000);
    }

    #[test]
    fn st3_later_goes_over_midnight_and_the_week() {
        let sunday = Moment { unix_ms: 999, weekday: 6, second_of_day: 86_399 };
        assert_eq!(sunday.later(1), Moment { unix_ms: 1000, weekday: 0, second_of_day: 0 });
        assert_eq!(sunday.later(0), sunday);
        assert_eq!(sunday.later(86_400_000), Moment { unix_ms: 86_400_999, weekday: 0, second_of_day: 86_399 });
    }
}
