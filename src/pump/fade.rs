//! Joins: how one source becomes another without a click (Q6).
//!
//! Every join lies inside one frame. A source that still has a frame is heard
//! into it; one that has none is continued by its last frame reversed in time,
//! which begins on the very sample where that one ended. Gains are equal-power
//! and saturating, and the table is made by the compiler: nothing is set up at
//! run time, nothing is allocated.

use crate::{
    frame::{CHANNELS, PUMP_FRAME_SAMPLES, PumpFrame},
    router::InputId,
};

const UNITY_BITS: u32 = 15;
const UNITY: f64 = (1 << UNITY_BITS) as f64;
/// A frame that ends in as many zeros has come to rest by itself. (What is left
/// of a sender that went leaves at least 128 samples of the last frame empty.)
const REST_SAMPLES: usize = 64;

/// Rising gains: the sine of a quarter turn, without its ends 0 and 1. Read
/// backwards it is the cosine, so the two always sum to unity in power.
static RISING: [i64; PUMP_FRAME_SAMPLES] = quarter_sine();

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // 0 to 32768, and the indices are small
const fn quarter_sine() -> [i64; PUMP_FRAME_SAMPLES] {
    let mut gains = [0; PUMP_FRAME_SAMPLES];
    let mut i = 0;
    while i < PUMP_FRAME_SAMPLES {
        let turn = (i + 1) as f64 / (PUMP_FRAME_SAMPLES + 1) as f64;
        gains[i] = (sine(turn * std::f64::consts::FRAC_PI_2) * UNITY + 0.5) as i64;
        i += 1;
    }
    gains
}

/// The sine of 0 to π/2, to 12 digits.
const fn sine(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while n < 21.0 {
        term *= -x * x / ((n + 1.0) * (n + 2.0));
        sum += term;
        n += 2.0;
    }
    sum
}

/// `incoming` as it is heard after silence.
pub fn fade_in(incoming: &PumpFrame) -> PumpFrame {
    crossfade(&PumpFrame::SILENCE, incoming)
}

/// `outgoing` as it is heard before silence.
pub fn fade_out(outgoing: &PumpFrame) -> PumpFrame {
    crossfade(outgoing, &PumpFrame::SILENCE)
}

/// From one to the other within this frame.
pub fn crossfade(outgoing: &PumpFrame, incoming: &PumpFrame) -> PumpFrame {
    let mut joined = PumpFrame::SILENCE;
    for (i, value) in joined.values.iter_mut().enumerate() {
        let sample = i / CHANNELS;
        let rising = RISING[sample];
        let falling = RISING[PUMP_FRAME_SAMPLES - 1 - sample];
        let sum = i64::from(outgoing.values[i]) * falling + i64::from(incoming.values[i]) * rising;
        let rounded = (sum + (1 << (UNITY_BITS - 1))) >> UNITY_BITS;
        let bounded = rounded.clamp(i64::from(i16::MIN), i64::from(i16::MAX));
        *value = i16::try_from(bounded).unwrap_or(0);
    }
    joined
}

/// The frame backwards in time; left stays left.
pub fn reversed(frame: &PumpFrame) -> PumpFrame {
    let mut mirror = PumpFrame::SILENCE;
    let samples = frame.values.chunks_exact(CHANNELS).rev();
    for (to, from) in mirror.values.chunks_exact_mut(CHANNELS).zip(samples) {
        to.copy_from_slice(from);
    }
    mirror
}

/// Where frames on air come from. Two frames of one lane follow each other as
/// they are; any other pair is joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Nothing: grace, an underrun.
    Silence,
    /// One stream of an input.
    Input(InputId, u64),
    /// The fallback, which joins what it plays by itself.
    Fallback,
}

/// Remembers what was on air, and joins what comes next to it.
#[derive(Debug)]
pub struct Joiner {
    lane: Lane,
    /// The lane's last frame as it came, before any join.
    last: PumpFrame,
}

impl Default for Joiner {
    /// After silence.
    fn default() -> Self {
        Self { lane: Lane::Silence, last: PumpFrame::SILENCE }
    }
}

impl Joiner {
    /// The lane of the last frame.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// The frame to put on air: `frame` of `lane`, joined to what was. `outgoing` is
    /// the next frame of the lane that is left, if it has one.
    pub fn join(&mut self, lane: Lane, frame: &PumpFrame, outgoing: Option<&PumpFrame>) -> PumpFrame {
        let joined = match (self.lane, lane) {
            (from, to) if from == to => *frame,
            (Lane::Silence, _) => fade_in(frame),
            _ => match outgoing {
                Some(next) => crossfade(next, frame),
                None => crossfade(&self.continuation(), frame),
            },
        };
        self.lane = lane;
        self.last = *frame;
        joined
    }

    fn continuation(&self) -> PumpFrame {
        let tail = &self.last.values[(PUMP_FRAME_SAMPLES - REST_SAMPLES) * CHANNELS..];
        if tail.iter().all(|value| *value == 0) { PumpFrame::SILENCE } else { reversed(&self.last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PUMP_FRAME_VALUES;

    const A: Lane = Lane::Input(InputId::Live, 1);
    const B: Lane = Lane::Input(InputId::Station, 1);

    /// A sine of `hz`, from sample `from` on; right is left upside down.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn sine_frame(hz: f64, peak: f64, from: usize) -> PumpFrame {
        let mut frame = PumpFrame::SILENCE;
        for (i, sample) in frame.values.chunks_exact_mut(2).enumerate() {
            let turns = hz * (from + i) as f64 / 48_000.0;
            let value = (peak * (std::f64::consts::TAU * turns).sin()).round() as i16;
            sample.copy_from_slice(&[value, -value]);
        }
        frame
    }

    fn a(n: usize) -> PumpFrame {
        sine_frame(997.0, 30_000.0, n * PUMP_FRAME_SAMPLES)
    }

    fn b(n: usize) -> PumpFrame {
        sine_frame(401.0, 12_000.0, n * PUMP_FRAME_SAMPLES + 300)
    }

    fn steepest(frames: &[PumpFrame]) -> i32 {
        let values: Vec<i16> = frames.iter().flat_map(|f| f.values).collect();
        let steps = values.windows(3).map(|w| (i32::from(w[2]) - i32::from(w[0])).abs());
        steps.max().unwrap_or(0)
    }

    /// Steps of both at once, plus what the gain itself moves in one sample.
    fn allowed() -> i32 {
        steepest(&[a(0), a(1)]) + 60
    }

    #[test]
    fn q6_gains_are_equal_power_and_reach_both_ends() {
        for (rising, falling) in RISING.iter().zip(RISING.iter().rev()) {
            let power = rising * rising + falling * falling;
            assert!((power - (1 << 30)).abs() < 1 << 16, "{rising} {falling}");
        }
        assert_eq!(RISING[0], 45);
        assert_eq!(RISING[PUMP_FRAME_SAMPLES - 1], 1 << 15);
    }

    #[test]
    fn q6_no_step_is_larger_than_those_of_the_sources() {
        let silence = PumpFrame::SILENCE;
        // Two frames before, the join to a lane, one frame after; the outgoing's next frame or none.
        let table = [
            ("program to silence", A, [a(0), a(1)], Lane::Silence, None, [silence, silence]),
            ("program cut off to silence", A, [a(0), a(1)], Lane::Silence, Some(a(2)), [silence, silence]),
            ("silence to program", Lane::Silence, [silence, silence], A, None, [a(0), a(1)]),
            ("program to program", A, [a(0), a(1)], B, Some(a(2)), [b(0), b(1)]),
            ("program that ended to program", A, [a(0), a(1)], B, None, [b(0), b(1)]),
            ("tone to program", Lane::Fallback, [b(0), b(1)], A, Some(b(2)), [a(0), a(1)]),
            ("silence to fallback", Lane::Silence, [silence, silence], Lane::Fallback, None, [b(0), b(1)]),
            ("program to fallback", A, [a(0), a(1)], Lane::Fallback, None, [b(0), b(1)]),
        ];
        for (name, from, before, to, next, after) in table {
            let mut joiner = Joiner { lane: from, last: before[1] };
            let joined = joiner.join(to, &after[0], next.as_ref());
            let then = joiner.join(to, &after[1], None);
            assert_eq!(then, after[1], "{name}: the join takes one frame");
            let step = steepest(&[before[0], before[1], joined, then]);
            assert!(step <= allowed(), "{name}: {step} > {}", allowed());
            assert_ne!(joined, after[0], "{name}: joined");
        }
    }

    #[test]
    fn q6_two_streams_of_one_input_are_joined() {
        let mut joiner = Joiner { lane: Lane::Input(InputId::Station, 1), last: a(0) };
        let joined = joiner.join(Lane::Input(InputId::Station, 2), &b(0), None);
        assert_eq!(joined, crossfade(&reversed(&a(0)), &b(0)));
    }

    #[test]
    fn q6_a_source_that_came_to_rest_is_not_heard_again() {
        let mut ended = a(0);
        ended.values[2 * 1024..].fill(0);
        let mut joiner = Joiner { lane: A, last: ended };
        assert_eq!(joiner.join(Lane::Silence, &PumpFrame::SILENCE, None), PumpFrame::SILENCE);
    }

    #[test]
    fn q6_the_crossfade_saturates() {
        let loud = |value| PumpFrame { values: [value; PUMP_FRAME_VALUES] };
        let middle = PUMP_FRAME_VALUES / 2;
        assert_eq!(crossfade(&loud(i16::MAX), &loud(i16::MAX)).values[middle], i16::MAX);
        assert_eq!(crossfade(&loud(i16::MIN), &loud(i16::MIN)).values[middle], i16::MIN);
        assert_eq!(crossfade(&loud(i16::MAX), &loud(i16::MIN)).values[middle].signum(), -1);
    }

    #[test]
    fn q6_reversed_keeps_left_and_right() {
        let frame = a(3);
        let mirror = reversed(&frame);
        assert_eq!(mirror.values[..2], frame.values[PUMP_FRAME_VALUES - 2..]);
        assert_eq!(reversed(&mirror), frame);
    }
}
