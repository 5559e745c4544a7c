//! When a slot that is on trial is good: the box has been healthy (K2) for a minute without a break.
//!
//! Pure: the time and what was seen come in, a verdict goes out.

use crate::limits::CONFIRM_GAP_MS_MAX;

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Look again.
    Wait,
    /// Healthy for long enough.
    Good,
    /// Time is up.
    Failed,
}

/// The trial of a slot.
#[derive(Debug, Clone, Copy)]
pub struct Trial {
    healthy_for_ms: u64,
    give_up_at_ms: u64,
    /// Since when, and when it was last seen.
    healthy: Option<(u64, u64)>,
}

impl Trial {
    /// Begins: `healthy_for_ms` without a break within `at_most_ms`.
    pub fn new(now_ms: u64, healthy_for_ms: u64, at_most_ms: u64) -> Self {
        Self { healthy_for_ms, give_up_at_ms: now_ms.saturating_add(at_most_ms), healthy: None }
    }

    /// Somebody has asked `/healthz`. Each answer speaks for the ten seconds before it, so that
    /// looks which are further apart leave a time of which nothing is known: that is a break.
    pub fn look(&mut self, now_ms: u64, healthy: bool) -> Verdict {
        self.healthy = match self.healthy {
            _ if !healthy => None,
            Some((since, last)) if now_ms.saturating_sub(last) <= CONFIRM_GAP_MS_MAX => Some((since, now_ms)),
            _ => Some((now_ms, now_ms)),
        };
        match self.healthy {
            Some((since, now)) if now - since >= self.healthy_for_ms => Verdict::Good,
            _ if now_ms >= self.give_up_at_ms => Verdict::Failed,
            _ => Verdict::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Failed, Good, Wait};

    #[test]
    fn w5_a_slot_is_good_after_a_minute_of_health_without_a_break() {
        // Seconds, healthy or not, verdict; each row goes on from the one before.
        let tables: [&[(u64, bool, Verdict)]; 5] = [
            &[
                (0, true, Wait),
                (10, true, Wait),
                (20, true, Wait),
                (30, true, Wait),
                (40, true, Wait),
                (50, true, Wait),
            ],
            &[
                (0, false, Wait),
                (9, true, Wait),
                (19, true, Wait),
                (28, false, Wait),
                (30, true, Wait),
                (38, true, Wait),
            ],
            // Once not healthy: from the beginning.
            &[(50, true, Wait), (55, false, Wait), (60, true, Wait), (65, true, Wait)],
            // Nobody has looked for 11 s: from the beginning.
            &[(0, true, Wait), (10, true, Wait), (21, true, Wait), (30, true, Wait)],
            // Time is up, unless it is good at that very look.
            &[(590, true, Wait), (599, true, Wait), (600, true, Failed), (601, false, Failed)],
        ];
        for table in tables {
            let mut trial = Trial::new(0, 60_000, 600_000);
            for (second, healthy, verdict) in table {
                assert_eq!(trial.look(second * 1000, *healthy), *verdict, "{table:?} at {second}");
            }
        }
        let mut trial = Trial::new(0, 60_000, 600_000);
        let verdicts: Vec<Verdict> =
            (0..=600).step_by(2).map(|second| trial.look(second * 1000, second >= 540)).collect();
        assert_eq!(verdicts.last(), Some(&Good));
        assert!(verdicts[..300].iter().all(|verdict| *verdict == Wait));
        let mut trial = Trial::new(0, 60_000, 600_000);
        let late = (0..=600).step_by(2).map(|second| trial.look(second * 1000, second >= 542)).last();
        assert_eq!(late, Some(Failed));
    }
}
