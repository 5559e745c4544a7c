//! What fails again and again is tried less often: a folder of files that cannot be
//! played, an FFmpeg that is missing or crashes, must cost neither the machine nor
//! the log without bound. Pure: the time comes in.

use crate::limits::{FRUITLESS_MAX, FRUITLESS_REST_MS, FRUITLESS_REST_MS_MAX};

/// Counts attempts in a row that brought no sound.
#[derive(Debug, Default)]
pub(super) struct Brake {
    fruitless: u32,
    until_ms: u64,
}

impl Brake {
    /// There was sound: all is well.
    pub fn release(&mut self) {
        *self = Self::default();
    }

    /// One more attempt in vain; the first few cost nothing.
    pub fn press(&mut self, now_ms: u64) {
        self.fruitless = self.fruitless.saturating_add(1);
        if let Some(beyond) = self.fruitless.checked_sub(FRUITLESS_MAX) {
            let rest_ms = FRUITLESS_REST_MS << beyond.min(8);
            self.until_ms = now_ms + rest_ms.min(FRUITLESS_REST_MS_MAX);
        }
    }

    /// No use in a few more attempts: the next one after a rest.
    pub fn pull(&mut self, now_ms: u64) {
        self.fruitless = self.fruitless.max(FRUITLESS_MAX - 1);
        self.press(now_ms);
    }

    /// What is missing may come at any moment: tried again at a steady rate.
    pub fn wait(&mut self, now_ms: u64) {
        self.until_ms = now_ms + FRUITLESS_REST_MS;
    }

    /// Nothing is to be tried now.
    pub fn rests(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fd1_4_what_fails_again_and_again_is_tried_less_often() {
        let mut brake = Brake::default();
        let (mut now_ms, mut attempts) = (1000, 0);
        while now_ms < 1000 + 24 * 3_600_000 {
            if brake.rests(now_ms) {
                now_ms += 250;
            } else {
                attempts += 1;
                brake.press(now_ms);
            }
        }
        assert!((1440..1500).contains(&attempts), "{attempts} attempts in a day");
        brake.release();
        assert!(!brake.rests(now_ms));
        for _ in 1..FRUITLESS_MAX {
            brake.press(now_ms);
            assert!(!brake.rests(now_ms), "a few files may be bad");
        }
        brake.release();
        brake.pull(now_ms);
        assert!(brake.rests(now_ms + FRUITLESS_REST_MS - 1) && !brake.rests(now_ms + FRUITLESS_REST_MS));
    }
}
