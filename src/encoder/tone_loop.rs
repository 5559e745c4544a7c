//! The tone that stands in while the encoder is DEGRADED.
//!
//! A piece of fallback tone, encoded while the encoder worked, whose end meets
//! its beginning: a whole number of frames that holds a whole number of periods.
//! Each frame decodes alone, so the piece can be repeated for ever.

use std::sync::atomic::AtomicBool;

use super::{
    command::EncoderCommand,
    header::Header,
    probe::{ProbeError, Trial, run},
};
use crate::{
    fallback::tone::Tone,
    frame::{PUMP_FRAME_SAMPLES, PumpFrame, SAMPLE_RATE_HZ},
    limits::LEAD_IN_FRAMES,
};

/// How long an encoder may take to start for this; nobody waits for it.
const TIMEOUT_MS: u64 = 10_000;

/// Encodes the loop: its frames one after another.
///
/// # Errors
/// When the encoder does not deliver; the filler serves then.
pub fn encode(
    command: &EncoderCommand,
    header: Header,
    tone_hz: u32,
    cancel: &AtomicBool,
) -> Result<Box<[u8]>, ProbeError> {
    let length = loop_frames(tone_hz);
    let mut tone = Tone::new(tone_hz);
    let frames: Vec<PumpFrame> = (0..LEAD_IN_FRAMES + length + 1).map(|_| tone.next_frame()).collect();
    let trial = Trial { frames: &frames, paced: false, timeout_ms: TIMEOUT_MS, cancel };
    let outcome = run(command, header, &trial)?;
    Ok(outcome.frames[LEAD_IN_FRAMES..LEAD_IN_FRAMES + length].concat().into_boxed_slice())
}

/// The fewest frames that hold a whole number of periods: at most 125 (3 s).
fn loop_frames(tone_hz: u32) -> usize {
    let periods_per_frame = (PUMP_FRAME_SAMPLES as u64 * u64::from(tone_hz), u64::from(SAMPLE_RATE_HZ));
    let common = gcd(periods_per_frame.0, periods_per_frame.1);
    usize::try_from(periods_per_frame.1 / common).unwrap_or(1)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s7_the_loop_closes_at_any_pitch() {
        assert_eq!(loop_frames(440), 25);
        for tone_hz in 1..=20_000u32 {
            let frames = loop_frames(tone_hz);
            assert!(frames <= 125, "{tone_hz} Hz: {frames} frames");
            let samples = frames as u64 * 1152;
            assert_eq!(samples * u64::from(tone_hz) % 48_000, 0, "{tone_hz} Hz");
        }
    }
}
