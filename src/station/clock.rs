//! The wall clock and the local time, for labels and for the rules of rotation.
//! No audio is timed by them (C5).

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::rotation::Moment;

/// Milliseconds since 1970.
pub fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Local time, `ms` from now.
pub fn moment_in(ms: u64) -> Moment {
    moment_at(unix_ms().saturating_add(i64::try_from(ms).unwrap_or(0)), TimeZone::system())
}

/// Local time at `unix_ms` in `zone`.
fn moment_at(unix_ms: i64, zone: TimeZone) -> Moment {
    let at = Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let local = Zoned::new(at, zone);
    let part = |value: i8| u32::try_from(value).unwrap_or(0);
    Moment {
        unix_ms,
        weekday: u8::try_from(local.weekday().to_monday_zero_offset()).unwrap_or(0),
        second_of_day: part(local.hour()) * 3600 + part(local.minute()) * 60 + part(local.second()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st3_local_time_knows_zones_and_summer_time() {
        let zone = || TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        // 2026-11-22 00:30:15 UTC, a Sunday; 2026-07-06 22:30:00 UTC, there Tuesday.
        let winter = Moment { unix_ms: 1_795_307_415_000, weekday: 6, second_of_day: 5415 };
        let summer = Moment { unix_ms: 1_783_377_000_000, weekday: 1, second_of_day: 1800 };
        for expected in [winter, summer] {
            assert_eq!(moment_at(expected.unix_ms, zone()), expected);
        }
    }
}
