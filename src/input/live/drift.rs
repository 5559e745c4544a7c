//! Two crystals: how the card's sound is kept at its place in the queue (V2).
//!
//! The card has a clock of its own, so what waits between it and the pump would grow or
//! shrink for ever. `DriftLoop` looks at what waits and says by how much the resampler is to
//! stretch time: a PI loop, critically damped, whose integral comes to be the difference of the
//! crystals. Slow enough that nobody hears it (a change of 1 % would be a sixth of a semitone,
//! this moves by hundred-thousandths), and fast enough that a card which is 500 ppm off
//! never moves the queue by a millisecond.
//!
//! `RateMeter` says what the crystals really are to each other, for people: it does not steer.
//! Pure: moments, fillings and counts in, numbers out. Nothing is read, nothing allocated.

use crate::{
    frame::SAMPLE_RATE_HZ,
    limits::{LIVE_PPM_MAX, PPM_LAG_SEC, PPM_WINDOW_SEC},
};

const SAMPLES_PER_SEC: f64 = SAMPLE_RATE_HZ as f64;
/// The loop's own frequency, in radians a second, while it learns: a tenth of the way in
/// half a second, there in 15 s.
const LEARNING: f64 = 0.25;
/// The same once it knows: what a busy machine does to the times of observations is
/// averaged over longer, and a crystal that warms up is followed all the same.
const TRACKING: f64 = 0.1;
/// It learns for this long.
const LEARNING_SEC: f64 = 20.0;
/// What is observed is smoothed with a frequency so much higher than the loop's.
const SMOOTHING: f64 = 10.0;
/// Whoever looks at the clock and the card does so late, and never early, and what was counted then
/// seems too little for its time. So of so many nanoseconds the observation counts that was the
/// least late: the one with the most.
const ROUND_NS: u64 = 100_000_000;
/// An observation moves what is believed as if it were off by this at most: 2 ms. A machine
/// that was busy for all of a round must not be taken for a crystal.
const SURPRISE_SAMPLES: f64 = 96.0;
/// Rounds that are further apart count as so far apart.
const ROUND_SEC_MAX: f64 = 0.5;

/// Keeps what waits at its target.
#[derive(Debug, Clone)]
pub struct DriftLoop {
    target_samples: f64,
    /// How much waits beyond the target, smoothed.
    error: f64,
    /// The crystals' difference, as learned: the correction that holds without an error.
    learned: f64,
    correction: f64,
    known_sec: f64,
    /// Since when the round goes on, and the most that was seen waiting in it.
    round: Option<(u64, f64)>,
}

impl DriftLoop {
    /// Keeps `target_samples` (at 48 kHz) waiting.
    pub fn new(target_samples: f64) -> Self {
        Self { target_samples, error: 0.0, learned: 0.0, correction: 0.0, known_sec: 0.0, round: None }
    }

    /// At `now_ns`, so many samples wait. Returns by what fraction more samples are to be made
    /// of the card's (below 0: fewer).
    pub fn observe(&mut self, now_ns: u64, waiting_samples: f64) -> f64 {
        let (since_ns, most) = *self.round.get_or_insert((now_ns, waiting_samples));
        let most = most.max(waiting_samples);
        let elapsed_ns = now_ns.saturating_sub(since_ns);
        if elapsed_ns < ROUND_NS {
            self.round = Some((since_ns, most));
        } else {
            self.round = Some((now_ns, waiting_samples));
            self.steer(most - self.target_samples, seconds(elapsed_ns).min(ROUND_SEC_MAX));
        }
        self.correction
    }

    fn steer(&mut self, off: f64, sec: f64) {
        self.known_sec += sec;
        let frequency = if self.known_sec < LEARNING_SEC { LEARNING } else { TRACKING };
        let part = 1.0 - (-SMOOTHING * frequency * sec).exp();
        self.error += part * (off - self.error).clamp(-SURPRISE_SAMPLES, SURPRISE_SAMPLES);
        let bound = f64::from(LIVE_PPM_MAX) / 1e6;
        self.learned = (self.learned - frequency * frequency * self.error / SAMPLES_PER_SEC * sec).clamp(-bound, bound);
        let now = -2.0 * frequency * self.error / SAMPLES_PER_SEC;
        self.correction = (self.learned + now).clamp(-bound, bound);
    }

    /// The stream begins anew, at the target: what was learned of the crystals holds.
    pub fn restart(&mut self) {
        (self.error, self.round, self.correction) = (0.0, None, self.learned);
    }

    /// What waits, smoothed.
    pub fn waiting_samples(&self) -> f64 {
        self.target_samples + self.error
    }

    /// The correction in force.
    pub fn correction(&self) -> f64 {
        self.correction
    }
}

/// Points a second.
const POINTS_PER_SEC: usize = 4;
const POINT_NS: u64 = 1_000_000_000 / POINTS_PER_SEC as u64;
const WINDOW_POINTS: usize = PPM_WINDOW_SEC * POINTS_PER_SEC;
const LAG_POINTS: usize = PPM_LAG_SEC * POINTS_PER_SEC;
/// Twice what a figure of that age needs.
const POINTS_MAX: usize = 2 * (LAG_POINTS + WINDOW_POINTS);

/// How much faster the card's crystal runs than the tower's clock: the slope of the card's
/// count of frames over time, around half a minute ago. (So a change shows half a minute
/// later, and exactly; a figure of this very moment would be mostly noise.)
///
/// Whoever looks at the clock and the card does so late, and never early. So of each
/// quarter of a second the observation counts that was the least late: the one with the most
/// frames for its time.
#[derive(Debug, Clone)]
pub struct RateMeter {
    rate_hz: f64,
    /// Time and count of the first observation.
    origin: Option<(u64, u64)>,
    /// Which quarter of a second is going on.
    quarter: u64,
    /// The least late one in it.
    best: Option<Point>,
    /// Of those before. The newest overwrites the oldest.
    points: [Point; POINTS_MAX],
    taken: usize,
    slope: f64,
    is_slope_known: bool,
}

/// At a time in seconds, so many frames more than the card should have given.
#[derive(Debug, Clone, Copy, Default)]
struct Point {
    at: f64,
    too_many: f64,
}

impl RateMeter {
    /// For a card that claims to run at `rate_hz`.
    pub fn new(rate_hz: u32) -> Self {
        Self {
            rate_hz: f64::from(rate_hz),
            origin: None,
            quarter: 0,
            best: None,
            points: [Point::default(); POINTS_MAX],
            taken: 0,
            slope: 0.0,
            is_slope_known: false,
        }
    }

    /// At `now_ns` the card had given `frames` since some beginning.
    pub fn observe(&mut self, now_ns: u64, frames: u64) {
        let (origin_ns, first) = *self.origin.get_or_insert((now_ns, frames));
        let since_ns = now_ns.saturating_sub(origin_ns);
        let at = seconds(since_ns);
        let quarter = since_ns / POINT_NS;
        if quarter != self.quarter {
            self.end_quarter();
            self.quarter = quarter;
        }
        #[allow(clippy::cast_precision_loss)] // 2^53 frames are thousands of years
        let too_many = frames.saturating_sub(first) as f64 - at * self.rate_hz;
        let later = |best: &Point| too_many - self.slope * at <= best.too_many - self.slope * best.at;
        if !self.best.as_ref().is_some_and(later) {
            self.best = Some(Point { at, too_many });
        }
    }

    fn end_quarter(&mut self) {
        if let Some(best) = self.best.take() {
            self.points[self.taken % POINTS_MAX] = best;
            self.taken += 1;
        }
        if self.taken > WINDOW_POINTS {
            self.slope = self.measure();
            // Which one is the least late is known only to who knows the slope, more or less.
            if !std::mem::replace(&mut self.is_slope_known, true) {
                self.taken = 0;
            }
        }
    }

    /// The slope around half a minute ago; of what is known less long, around its middle.
    ///
    /// A short window follows a crystal that changes, a long one is hardly moved by times that
    /// are off. So the longest counts in which the points lie about a line as closely as in
    /// the shortest.
    fn measure(&self) -> f64 {
        // (The newest is one old, more or less.)
        let lag = (LAG_POINTS - 1).min(self.taken.min(POINTS_MAX) / 2);
        let short = self.line(lag, WINDOW_POINTS / 2);
        let scatter_max = 1.5 * short.scatter + 0.25;
        let long = [LAG_POINTS - 2, LAG_POINTS / 2].into_iter().filter(|half| *half <= lag);
        long.map(|half| self.line(lag, half)).find(|line| line.scatter <= scatter_max).unwrap_or(short).slope
    }

    /// Of `half` points before and after the one that is `lag` old.
    fn line(&self, lag: usize, half: usize) -> Line {
        let middle = self.taken - 1 - lag;
        let window = middle.saturating_sub(half)..=middle + half;
        Line::through(window.map(|at| self.points[at % POINTS_MAX]))
    }

    /// The count has a gap: all before it is forgotten.
    pub fn restart(&mut self) {
        let Self { rate_hz, slope, is_slope_known, .. } = *self;
        *self = Self { rate_hz, slope, is_slope_known, ..Self::new(0) };
    }

    /// In parts per million; `None` for the first 20 s.
    pub fn ppm(&self) -> Option<f64> {
        (self.taken > WINDOW_POINTS).then_some(self.slope / self.rate_hz * 1e6)
    }
}

/// The line that fits best.
#[derive(Debug, Clone, Copy)]
struct Line {
    /// In frames a second.
    slope: f64,
    /// How far from it the points lie, in frames (RMS).
    scatter: f64,
}

impl Line {
    #[allow(clippy::cast_precision_loss)] // some hundred points
    fn through(points: impl Iterator<Item = Point> + Clone) -> Self {
        let count = points.clone().count() as f64;
        let (x, y) = points.clone().fold((0.0, 0.0), |sum, point| (sum.0 + point.at, sum.1 + point.too_many));
        let (mean_x, mean_y) = (x / count, y / count);
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for Point { at, too_many } in points {
            let (x, y) = (at - mean_x, too_many - mean_y);
            (xx, xy, yy) = (xx + x * x, xy + x * y, yy + y * y);
        }
        let slope = if xx > 0.0 { xy / xx } else { 0.0 };
        Self { slope, scatter: ((yy - slope * xy).max(0.0) / count).sqrt() }
    }
}

#[allow(clippy::cast_precision_loss)] // far below 2^53
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const TARGET: f64 = 4608.0;

    /// A queue whose card is `ppm` off, looked at every 10 ms for `sec`. Returns, second by
    /// second, the largest distance from the target in samples, and the correction in ppm.
    fn run(ppm: impl Fn(u64) -> f64, sec: u64, noise: impl Fn(u64) -> f64) -> Vec<(f64, f64)> {
        let mut drift = DriftLoop::new(TARGET);
        let (mut waiting, mut correction) = (TARGET, 0.0);
        let mut seconds = Vec::new();
        for second in 0..sec {
            let mut farthest = 0f64;
            for step in 0..100 {
                let tick = second * 100 + step;
                waiting += 480.0 * (ppm(second) / 1e6 + correction);
                correction = drift.observe(tick * 10 * MS, waiting + noise(tick));
                farthest = farthest.max((waiting - TARGET).abs());
            }
            seconds.push((farthest, correction * 1e6));
        }
        seconds
    }

    #[test]
    fn v2_a_card_that_is_500_ppm_off_never_moves_the_queue_by_a_millisecond() {
        for ppm in [-500.0, 37.0, 500.0] {
            let seconds = run(|_| ppm, 400, |_| 0.0);
            let farthest = seconds.iter().map(|second| second.0).fold(0.0, f64::max);
            assert!(farthest < 48.0, "{ppm}: {farthest} samples");
            assert!(seconds[15..].iter().all(|second| second.0 < 24.0), "{ppm}: {:?}", &seconds[15..20]);
            let last = seconds[300].1;
            assert!((last + ppm).abs() < 0.5, "{ppm}: corrected by {last}");
        }
    }

    #[test]
    fn v2_times_that_are_off_by_a_millisecond_now_and_then_are_not_taken_for_a_crystal() {
        // A millisecond often, and every 3 s an observation that is 10 ms late.
        let noise = |tick: u64| {
            let late = f64::from(u32::try_from(tick * 7919 % 49).expect("small"));
            if tick.is_multiple_of(300) { -480.0 } else { -late }
        };
        let seconds = run(|_| 100.0, 300, noise);
        for (farthest, correction) in &seconds[60..] {
            assert!(*farthest < 24.0 && (correction + 100.0).abs() < 10.0, "{farthest} {correction}");
        }
    }

    #[test]
    fn v2_a_queue_that_is_a_frame_too_long_is_back_in_half_a_minute_and_does_not_swing() {
        let mut drift = DriftLoop::new(TARGET);
        let (mut waiting, mut correction) = (TARGET + 1152.0, 0.0);
        let mut lowest = f64::MAX;
        for tick in 0..6000u64 {
            waiting += 480.0 * correction;
            correction = drift.observe(tick * 10 * MS, waiting);
            lowest = lowest.min(waiting);
        }
        assert!((waiting - TARGET).abs() < 96.0 && lowest > TARGET - 400.0, "{waiting} {lowest}");
    }

    #[test]
    fn v2_the_correction_is_bounded_and_what_was_learned_is_kept_over_a_restart() {
        let mut drift = DriftLoop::new(TARGET);
        (0..100_000u64).for_each(|tick| _ = drift.observe(tick * 10 * MS, 1e9));
        assert!((drift.correction() * 1e6 + f64::from(LIVE_PPM_MAX)).abs() < 1e-6);
        let mut drift = DriftLoop::new(TARGET);
        let mut waiting = TARGET;
        for tick in 0..6000u64 {
            waiting += 480.0 * (200e-6 + drift.correction());
            drift.observe(tick * 10 * MS, waiting);
        }
        drift.restart();
        assert!((drift.correction() * 1e6 + 200.0).abs() < 2.0, "{}", drift.correction());
    }

    #[test]
    fn v2_the_published_ppm_is_that_of_half_a_minute_ago() {
        let mut meter = RateMeter::new(44_100);
        let truth = |sec: f64| if sec < 100.0 { 250.0 } else { 250.0 - (sec - 100.0) };
        let (mut frames, mut dice) = (0.0, 1u32);
        for tick in 0..20_000u64 {
            let sec = f64::from(u32::try_from(tick).expect("small")) / 100.0;
            frames += 441.0 * (1.0 + truth(sec) / 1e6);
            // Whoever looks comes up to 131 µs after the card has counted.
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let late_ns = u64::from(dice >> 15);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            meter.observe(5_000 * MS + tick * 10 * MS + late_ns, frames as u64);
            if tick < 2000 {
                continue;
            }
            let ppm = meter.ppm().expect("known after 20 s");
            let lag = if sec > 100.0 { 30.0 } else { 0.0 };
            assert!((ppm - truth(sec - lag)).abs() < 3.0, "at {sec}: {ppm} for {}", truth(sec - lag));
        }
        meter.restart();
        assert_eq!(meter.ppm(), None);
    }
}
