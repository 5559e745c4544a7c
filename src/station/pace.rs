//! `Pace`: when the next station frame is due.
//!
//! The station's clock is its own; the tower's is another crystal. So deadlines
//! are counted from frames (1024 samples, 64/3 ms, no rounding that adds up), and
//! a PI loop on the filling of the tower's queue makes them a little denser or
//! sparser, by 1 % at most. Samples are never touched: only the moments at which
//! they are handed over move. Pure: times and fillings in, deadlines out.

use crate::limits::{PACE_INTEGRAL_PPM_MAX, PACE_PPM_MAX, STATION_LATE_MS_MAX};

/// A third of a nanosecond, in millionths: in this unit every step is a whole number.
const UNITS_PER_NS: u128 = 3_000_000;
/// A station frame in thirds of a nanosecond.
const FRAME_THIRDS: u64 = 64_000_000;
/// A pump frame (the tower's queue counts those) is 9/8 of a station frame.
const STATION_FRAMES_PER_8_PUMP_FRAMES: u64 = 9;
/// One pump frame too few is made up in a minute: 24 ms in 60 s.
const PROPORTIONAL_PPM: f64 = 400.0;
/// Critically damped with it: T = 60 s, so Kp / 4T.
const INTEGRAL_PPM_PER_SEC: f64 = PROPORTIONAL_PPM / 240.0;
/// A gap between two observations counts as at most this long.
const OBSERVED_SEC_MAX: f64 = 5.0;

/// The tower's queue for the station, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filling {
    /// Pump frames that wait.
    pub count: u32,
    /// Pump frames that fit.
    pub capacity: u32,
}

impl Filling {
    fn target(self) -> u32 {
        self.capacity / 2
    }

    fn is_low(self) -> bool {
        self.count < self.capacity / 4
    }

    fn is_high(self) -> bool {
        self.count > self.capacity - self.capacity / 4
    }
}

/// The deadlines of the station's frames.
#[derive(Debug, Clone)]
pub struct Pace {
    origin_ns: u64,
    /// Since `origin_ns`, in the small unit.
    elapsed: u128,
    ppm: f64,
    integral_ppm: f64,
    observed_ns: Option<u64>,
    refilled: Option<Refill>,
    drained_ns: Option<u64>,
}

/// Frames that were made due ahead of time, and may not show in an observation yet.
#[derive(Debug, Clone, Copy)]
struct Refill {
    at_ns: u64,
    ahead_ns: u64,
}

impl Pace {
    /// The first frame is due at `now_ns`.
    pub fn new(now_ns: u64) -> Self {
        Self {
            origin_ns: now_ns,
            elapsed: 0,
            ppm: 0.0,
            integral_ppm: 0.0,
            observed_ns: None,
            refilled: None,
            drained_ns: None,
        }
    }

    /// When the next frame is due, on the monotonic clock.
    pub fn due_ns(&self) -> u64 {
        self.origin_ns + u64::try_from(self.elapsed / UNITS_PER_NS).unwrap_or(u64::MAX / 2)
    }

    /// A frame was handed over: the next one is due a frame later.
    pub fn advance(&mut self) {
        #[allow(clippy::cast_possible_truncation)] // within ± 10 000
        let ppm = self.ppm.round() as i64;
        // Denser by as many millionths as the pace is faster.
        self.elapsed += u128::from(FRAME_THIRDS) * u128::from(1_000_000u64.saturating_add_signed(-ppm));
    }

    /// Late beyond what the tower's queue makes up: what was due is past, and the
    /// next frame is due now. True if so.
    pub fn give_up_if_too_late(&mut self, now_ns: u64) -> bool {
        // What was refilled is due in the past, and takes its time to come.
        let refilled = self.refilled.filter(|refill| now_ns < refill.at_ns + REFILL_LATE_NS);
        let late_max_ns = STATION_LATE_MS_MAX * 1_000_000 + refilled.map_or(0, |refill| refill.ahead_ns);
        let late = now_ns > self.due_ns() + late_max_ns;
        if late {
            self.restart(now_ns);
        }
        late
    }

    /// The next frame is due now; what was learned of the tower's crystal is kept.
    pub fn restart(&mut self, now_ns: u64) {
        (self.origin_ns, self.elapsed) = (now_ns, 0);
        self.ppm = self.integral_ppm;
        (self.observed_ns, self.refilled) = (None, None);
    }

    /// The tower's queue was looked at. Low after a gap or at the start, it is
    /// filled to half at once; high after a tower that stood still, and then took all
    /// that had waited in its socket, it is let run down to half; else the pace is
    /// changed a little.
    pub fn observe(&mut self, now_ns: u64, filling: Filling) {
        // What was refilled after this filling was asked for is not in it.
        let settled = self.refilled.is_none_or(|refill| now_ns > refill.at_ns + REFILL_SETTLES_NS);
        if filling.is_low() && settled {
            self.refill(now_ns, filling.target() - filling.count);
            self.observed_ns = Some(now_ns);
            return;
        }
        if !settled {
            return;
        }
        // A tower that says so for ever must not slow us down for ever.
        if filling.is_high() && self.drained_ns.is_none_or(|at| now_ns > at + DRAIN_REST_NS) {
            self.drain(now_ns, filling.count - filling.target());
            self.observed_ns = Some(now_ns);
            return;
        }
        let missing = f64::from(filling.target()) - f64::from(filling.count);
        let proportional_ppm = PROPORTIONAL_PPM * missing;
        let ppm_max = f64::from(PACE_PPM_MAX);
        // At the bound nothing more is learned, or the loop would overshoot (wind-up).
        if proportional_ppm.abs() < ppm_max {
            let sec = self.observed_ns.map_or(0.0, |at| seconds(now_ns.saturating_sub(at)));
            let step_ppm = INTEGRAL_PPM_PER_SEC * missing * sec.min(OBSERVED_SEC_MAX);
            let bound_ppm = f64::from(PACE_INTEGRAL_PPM_MAX);
            self.integral_ppm = (self.integral_ppm + step_ppm).clamp(-bound_ppm, bound_ppm);
        }
        self.observed_ns = Some(now_ns);
        self.ppm = (proportional_ppm + self.integral_ppm).clamp(-ppm_max, ppm_max);
    }

    /// Nobody has told the filling for a while: on with what was learned.
    pub fn unobserved(&mut self) {
        self.ppm = self.integral_ppm;
        self.observed_ns = None;
    }

    /// Parts per million by which the station runs faster than its own clock.
    pub fn ppm(&self) -> f64 {
        self.ppm
    }

    /// So many pump frames are due at once.
    fn refill(&mut self, now_ns: u64, pump_frames: u32) {
        let ahead_ns = duration_ns(pump_frames);
        self.origin_ns = self.origin_ns.saturating_sub(ahead_ns);
        self.refilled = Some(Refill { at_ns: now_ns, ahead_ns });
    }

    /// So many pump frames are played from the queue before the next frame is due.
    fn drain(&mut self, now_ns: u64, pump_frames: u32) {
        self.origin_ns += duration_ns(pump_frames).min(STATION_LATE_MS_MAX * 1_000_000);
        self.refilled = Some(Refill { at_ns: now_ns, ahead_ns: 0 });
        self.drained_ns = Some(now_ns);
    }
}

/// How long so many pump frames are.
fn duration_ns(pump_frames: u32) -> u64 {
    u64::from(pump_frames) * STATION_FRAMES_PER_8_PUMP_FRAMES * FRAME_THIRDS / 8 / 3
}

/// After a refill the queue is looked at again only when it has arrived.
const REFILL_SETTLES_NS: u64 = 2_500_000_000;
/// Between two times that a queue is let run down.
const DRAIN_REST_NS: u64 = 60_000_000_000;
/// A refill that has not come after this is late like everything else.
const REFILL_LATE_NS: u64 = 10_000_000_000;

#[allow(clippy::cast_precision_loss)] // far below 2^53
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::TICK_NS;

    const SEC: u64 = 1_000_000_000;

    #[test]
    fn fd2_2_deadlines_are_counted_from_frames_and_never_drift() {
        let mut pace = Pace::new(5);
        let mut due = Vec::new();
        for _ in 0..4 {
            due.push(pace.due_ns());
            pace.advance();
        }
        assert_eq!(due, [5, 21_333_338, 42_666_671, 64_000_005]);
        // A day: 4 050 000 frames.
        for _ in 4..4_050_000 {
            pace.advance();
        }
        assert_eq!(pace.due_ns(), 5 + 86_400 * SEC);
    }

    /// A station at `Pace` and a tower whose clock is off, over simulated time.
    /// Samples arrive in station frames, leave in pump frames; the filling is
    /// looked at each second and comes `late_ns` later.
    struct Simulation {
        pace: Pace,
        tower_ppm: f64,
        samples: u64,
        low: u64,
        high: u64,
        ran_dry: u64,
        overflowed: u64,
    }

    const CAPACITY: u32 = 100;

    impl Simulation {
        fn new(tower_ppm: f64) -> Self {
            Self { pace: Pace::new(100 * SEC), tower_ppm, samples: 0, low: 100, high: 0, ran_dry: 0, overflowed: 0 }
        }

        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        fn run(&mut self, from_sec: u64, to_sec: u64, judge: bool, observed: impl Fn(u64) -> bool) {
            let tick_ns = TICK_NS as f64 / (1.0 + self.tower_ppm / 1e6);
            let (mut tick, mut look) = ((from_sec * SEC) as f64 / tick_ns, from_sec * SEC);
            tick = tick.ceil();
            loop {
                let (tick_at, due) = ((tick * tick_ns) as u64, self.pace.due_ns());
                let now = tick_at.min(due).min(look);
                if now >= to_sec * SEC {
                    return;
                }
                if now == due {
                    self.samples += 1024;
                    self.pace.advance();
                    let full = self.samples > u64::from(CAPACITY) * 1152;
                    self.overflowed += u64::from(full && judge);
                } else if now == tick_at {
                    tick += 1.0;
                    self.ran_dry += u64::from(self.samples < 1152 && judge);
                    self.samples = self.samples.saturating_sub(1152);
                } else {
                    look += SEC;
                    let count = (self.samples / 1152) as u32;
                    if observed(now / SEC) {
                        self.pace.observe(now, Filling { count, capacity: CAPACITY });
                    } else {
                        self.pace.unobserved();
                    }
                    if judge {
                        self.low = self.low.min(u64::from(count));
                        self.high = self.high.max(u64::from(count));
                    }
                }
            }
        }
    }

    #[test]
    fn st2_an_hour_beside_a_clock_that_is_300_ppm_off() {
        for tower_ppm in [-300.0, 300.0, -1500.0, 1500.0, 0.0] {
            let mut simulation = Simulation::new(tower_ppm);
            simulation.run(100, 104, false, |_| true);
            simulation.run(104, 3700, true, |_| true);
            let (low, high) = (simulation.low, simulation.high);
            println!("{tower_ppm} ppm: {low} to {high} of {CAPACITY}, at the end {:.0} ppm", simulation.pace.ppm());
            assert!(low >= 25 && high <= 75, "{tower_ppm} ppm: {low} to {high}");
            assert_eq!((simulation.ran_dry, simulation.overflowed), (0, 0));
            assert!((simulation.pace.ppm() - tower_ppm).abs() < 450.0, "{}", simulation.pace.ppm());
        }
    }

    #[test]
    fn st2_without_a_look_at_the_queue_what_was_learned_holds() {
        let mut simulation = Simulation::new(300.0);
        simulation.run(100, 1300, false, |_| true);
        let learned = simulation.pace.integral_ppm;
        assert!((learned - 300.0).abs() < 60.0, "{learned}");
        // Ten minutes in which the tower does not answer, and then answers now and then.
        simulation.run(1300, 1900, true, |_| false);
        simulation.run(1900, 3700, true, |sec| sec % 7 == 0);
        assert!(simulation.low >= 25 && simulation.high <= 75, "{} to {}", simulation.low, simulation.high);
    }

    #[test]
    fn st2_an_empty_queue_is_filled_at_once_and_only_once() {
        let mut pace = Pace::new(10 * SEC);
        let before = pace.due_ns();
        pace.observe(10 * SEC, Filling { count: 0, capacity: 100 });
        // 50 pump frames: 1.2 s.
        assert_eq!(before - pace.due_ns(), 1_200_000_000);
        pace.observe(11 * SEC, Filling { count: 10, capacity: 100 });
        assert_eq!(before - pace.due_ns(), 1_200_000_000, "the first has not settled");
        assert!(pace.ppm().abs() < 1.0);
        pace.observe(15 * SEC, Filling { count: 24, capacity: 100 });
        assert_eq!(before - pace.due_ns(), 1_200_000_000 + 26 * TICK_NS);
    }

    #[test]
    fn st2_a_queue_that_is_nearly_full_is_let_run_down_at_once_and_not_again_and_again() {
        let mut pace = Pace::new(10 * SEC);
        let before = pace.due_ns();
        pace.observe(10 * SEC, Filling { count: 75, capacity: 100 });
        assert_eq!(pace.due_ns(), before, "steered, and no more");
        pace.observe(11 * SEC, Filling { count: 87, capacity: 100 });
        assert_eq!(pace.due_ns() - before, 37 * TICK_NS);
        assert!(!pace.give_up_if_too_late(11 * SEC));
        for second in [12, 20, 60] {
            pace.observe(second * SEC, Filling { count: 100, capacity: 100 });
            assert_eq!(pace.due_ns() - before, 37 * TICK_NS);
        }
        pace.observe(80 * SEC, Filling { count: 100, capacity: 100 });
        assert_eq!(pace.due_ns() - before, (37 + 50) * TICK_NS);
    }

    #[test]
    fn st2_the_pace_stays_within_one_percent_and_a_pause_is_no_burst() {
        let mut pace = Pace::new(0);
        for second in 1..1000 {
            pace.observe(second * SEC, Filling { count: 100, capacity: 100 });
        }
        assert!((pace.ppm() + 10_000.0).abs() < 1.0, "{}", pace.ppm());
        pace.restart(0);
        assert!(!pace.give_up_if_too_late(STATION_LATE_MS_MAX * 1_000_000));
        assert!(pace.give_up_if_too_late(60 * SEC));
        assert_eq!(pace.due_ns(), 60 * SEC);
        // A queue of no capacity is nobody's queue, and harms nothing.
        pace.observe(61 * SEC, Filling { count: 0, capacity: 0 });
    }
}
