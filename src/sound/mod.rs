//! Arithmetic on sound, for both programs: joins, gain, levels, peaks.
//!
//! On blocks that the caller owns: no file, no clock, no thread, and no allocation once
//! made, since it all runs where a frame is due. Sound that needs no change keeps every bit.

pub mod limiter;
pub mod mix;
#[cfg(test)]
pub(crate) mod signals;
mod sliding_max;
mod true_peak;

/// A level in dB as a factor of amplitude.
pub fn linear_from_db(db: f64) -> f64 {
    10f64.powf(db / 20.0)
}
