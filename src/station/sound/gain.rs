//! How much louder or quieter a track is played: songs, jingles, IDs, all alike.
//!
//! What was measured counts; else what the file's own tags say; else a guess. The
//! gain is bounded: a field recording of silence must not be blown up to music.

use crate::limits::{TRACK_BOOST_DB_MAX, TRACK_CUT_DB_MAX};

use crate::sound::linear_from_db;

/// Loudness of a track that nobody has measured. Records of the last decades lie
/// between −8 and −16 LUFS; of the two errors, a song too quiet by some dB is the kinder.
pub const ASSUMED_LUFS: f64 = -12.0;
/// Less than this is not heard, and lies within the tolerance of the meter (EBU Tech
/// 3341: ±0.1 LU). The track keeps every bit.
pub const NEGLIGIBLE_DB: f64 = 0.1;

/// A tag outside of this is a mistake: the gate of R128, and more than full scale can hold.
const PLAUSIBLE_LUFS: std::ops::RangeInclusive<f64> = -70.0..=5.0;

/// What is known of the loudness of a track.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loudness {
    /// By us, of the whole file. None: it was too short or too silent to say.
    Measured(Option<f32>),
    /// By the file's own tags.
    Tagged(f32),
    /// Not yet.
    Unknown,
}

/// The gain that brings a track to `target_lufs`, in dB, within bounds; 0 where a
/// measurement found nothing to go by.
pub fn gain_db(loudness: Loudness, target_lufs: f64) -> f64 {
    let lufs = match loudness {
        Loudness::Measured(None) => return 0.0,
        Loudness::Measured(Some(lufs)) | Loudness::Tagged(lufs) if PLAUSIBLE_LUFS.contains(&f64::from(lufs)) => {
            f64::from(lufs)
        }
        Loudness::Measured(Some(_)) | Loudness::Tagged(_) | Loudness::Unknown => ASSUMED_LUFS,
    };
    let gain_db = (target_lufs - lufs).clamp(-TRACK_CUT_DB_MAX, TRACK_BOOST_DB_MAX);
    if gain_db.abs() < NEGLIGIBLE_DB { 0.0 } else { gain_db }
}

/// The same as a factor of amplitude, exactly 1 for 0 dB.
#[allow(clippy::cast_possible_truncation)] // f32 is what the sound is
pub fn gain(loudness: Loudness, target_lufs: f64) -> f32 {
    linear_from_db(gain_db(loudness, target_lufs)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_is_brought_to_the_target_within_bounds() {
        use Loudness::{Measured, Tagged, Unknown};
        let table = [
            (Measured(Some(-9.0)), -7.0),
            (Measured(Some(-23.0)), 7.0),
            (Measured(Some(-16.0)), 0.0),
            (Measured(Some(-16.05)), 0.0),
            (Measured(Some(-16.25)), 0.25),
            (Measured(Some(-40.0)), 12.0),
            (Measured(Some(3.0)), -19.0),
            (Measured(None), 0.0),
            (Tagged(-10.5), -5.5),
            (Tagged(-69.0), 12.0),
            (Tagged(-400.0), -4.0),
            (Tagged(64.0), -4.0),
            (Tagged(f32::NAN), -4.0),
            (Tagged(f32::NEG_INFINITY), -4.0),
            (Unknown, -4.0),
        ];
        for (loudness, expected) in table {
            assert!((gain_db(loudness, -16.0) - expected).abs() < 1e-6, "{loudness:?}: {}", gain_db(loudness, -16.0));
            assert!((f64::from(gain(loudness, -16.0)).log10() * 20.0 - expected).abs() < 1e-4, "{loudness:?}");
        }
        assert!((gain_db(Measured(Some(5.0)), -30.0) + TRACK_CUT_DB_MAX).abs() < 1e-6, "the cut is bounded");
    }

    #[test]
    fn no_gain_is_exactly_one() {
        assert_eq!(gain(Loudness::Measured(None), -16.0), 1.0);
        assert_eq!(gain(Loudness::Measured(Some(-16.02)), -16.0), 1.0);
    }
}
