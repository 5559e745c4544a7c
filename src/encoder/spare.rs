//! When a spare FFmpeg is wanted. Pure: the driver starts and primes it.

/// An encoder that has run for this long is left alone no more: starting a spare
/// beside one that is catching up would slow both.
const SETTLE_MS: u64 = 500;
/// A spare that stood ready for this long was a good one. Its first frames alone
/// say little: one that always fails after them would be started each second.
const STEADY_MS: u64 = 60_000;

/// Frames of silence that prime a spare: enough to have its first frame out.
pub const PRIMING_FRAMES: usize = 8;

/// Decides when to start one.
#[derive(Debug, Clone)]
pub struct SpareKeeper {
    wanted: bool,
    backoff_ms: Vec<u64>,
    failures: usize,
    /// Not before this.
    retry_at_ms: u64,
    /// Since when a spare stands ready; none: there is none, or it is not.
    ready_since_ms: Option<u64>,
    /// When the encoder began to run; none: it does not.
    running_since_ms: Option<u64>,
}

impl SpareKeeper {
    /// A keeper with the waits of the encoder's own restarts.
    pub fn new(wanted: bool, backoff_ms: Vec<u64>) -> Self {
        Self { wanted, backoff_ms, failures: 0, retry_at_ms: 0, ready_since_ms: None, running_since_ms: None }
    }

    /// The encoder runs, or does not.
    pub fn note_running(&mut self, running: bool, now_ms: u64) {
        self.running_since_ms = running.then(|| self.running_since_ms.unwrap_or(now_ms));
    }

    /// When a spare is to be started; none: not in this state.
    pub fn due_ms(&self) -> Option<u64> {
        let since = self.running_since_ms.filter(|_| self.wanted)?;
        Some(self.retry_at_ms.max(since + SETTLE_MS))
    }

    /// A spare has failed before it was needed.
    pub fn note_failure(&mut self, now_ms: u64) {
        self.note_gone(now_ms);
        let wait = self.backoff_ms.get(self.failures).or(self.backoff_ms.last());
        self.retry_at_ms = now_ms + wait.copied().unwrap_or(0);
        self.failures += 1;
    }

    /// A spare stands ready.
    pub fn note_ready(&mut self, now_ms: u64) {
        self.ready_since_ms = Some(now_ms);
    }

    /// The spare is a spare no more.
    pub fn note_gone(&mut self, now_ms: u64) {
        if self.ready_since_ms.take().is_some_and(|since| now_ms - since >= STEADY_MS) {
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s9_a_spare_is_started_beside_a_settled_encoder_only() {
        let mut keeper = SpareKeeper::new(true, vec![1000, 2000]);
        assert_eq!(keeper.due_ms(), None);
        keeper.note_running(true, 100);
        keeper.note_running(true, 300);
        assert_eq!(keeper.due_ms(), Some(600));
        keeper.note_running(false, 700);
        assert_eq!(keeper.due_ms(), None);
        assert_eq!(SpareKeeper { wanted: false, ..keeper }.due_ms(), None);
    }

    #[test]
    fn s9_a_failing_spare_is_retried_ever_more_slowly() {
        let mut keeper = SpareKeeper::new(true, vec![1000, 2000]);
        keeper.note_running(true, 0);
        let due: Vec<_> = (0..3)
            .map(|_| {
                keeper.note_failure(10_000);
                keeper.due_ms()
            })
            .collect();
        assert_eq!(due, [Some(11_000), Some(12_000), Some(12_000)]);
        // A few frames are no proof of health; a minute is.
        keeper.note_ready(12_000);
        keeper.note_failure(20_000);
        assert_eq!(keeper.due_ms(), Some(22_000));
        keeper.note_ready(22_000);
        keeper.note_failure(82_000);
        assert_eq!(keeper.due_ms(), Some(83_000));
    }
}
