//! How long to wait before the next connection. Pure.

use std::time::Duration;

const FIRST_SEC: u64 = 1;
const MOST_SEC: u64 = 60;
/// A connection that has held for this long was a good one.
const HELD_MS: u64 = 60_000;

/// Waits that double.
#[derive(Debug, Clone)]
pub struct Backoff {
    failures: u32,
    most_sec: u64,
}

impl Default for Backoff {
    /// Up to a minute.
    fn default() -> Self {
        Self::up_to(MOST_SEC)
    }
}

impl Backoff {
    /// Waits that double up to `most_sec`.
    pub fn up_to(most_sec: u64) -> Self {
        Self { failures: 0, most_sec }
    }

    /// The wait after a connection that held for `held_ms`; 0: there was none.
    pub fn after(&mut self, held_ms: u64) -> Duration {
        if held_ms >= HELD_MS {
            self.failures = 0;
        }
        let wait = FIRST_SEC << self.failures.min(6);
        self.failures += 1;
        Duration::from_secs(wait.min(self.most_sec))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relay_waits_double_up_to_a_minute_and_a_good_connection_begins_anew() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..9).map(|_| backoff.after(0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff.after(59_999).as_secs(), 60, "too short to count");
        assert_eq!([backoff.after(60_000).as_secs(), backoff.after(0).as_secs()], [1, 2]);
    }
}
