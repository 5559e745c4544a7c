//! The highest of the last so many values, in constant time on average.
//!
//! A queue of falling values: one that is followed by a higher one can never be the
//! highest again and goes. Its room is fixed, so nothing is ever allocated.

/// Values that still may become the highest.
const ROOM: usize = 256;

/// The highest of the last `WINDOW` values.
#[derive(Debug, Clone)]
pub struct SlidingMax<const WINDOW: usize> {
    /// When it came, and what it is. A ring, highest first.
    ring: [(u64, u32); ROOM],
    first: usize,
    len: usize,
    now: u64,
}

impl<const WINDOW: usize> SlidingMax<WINDOW> {
    const FITS: () = assert!(WINDOW < ROOM && ROOM.is_power_of_two());

    /// As after `WINDOW` zeros.
    pub fn new() -> Self {
        const { Self::FITS };
        Self { ring: [(0, 0); ROOM], first: 0, len: 0, now: 0 }
    }

    /// Takes one more value and gives the highest of the last `WINDOW`.
    pub fn push(&mut self, value: u32) -> u32 {
        self.now += 1;
        while self.len > 0 && self.ring[place(self.first + self.len - 1)].1 <= value {
            self.len -= 1;
        }
        self.ring[place(self.first + self.len)] = (self.now, value);
        self.len += 1;
        if self.ring[self.first].0 + WINDOW as u64 <= self.now {
            self.first = place(self.first + 1);
            self.len -= 1;
        }
        self.ring[self.first].1
    }
}

fn place(at: usize) -> usize {
    at % ROOM
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_highest_of_the_window(values in prop::collection::vec(0u32..50, 1..600)) {
            let mut sliding = SlidingMax::<9>::new();
            for at in 0..values.len() {
                let highest = *values[at.saturating_sub(8)..=at].iter().max().expect("one at least");
                prop_assert_eq!(sliding.push(values[at]), highest);
            }
        }
    }

    #[test]
    fn falling_values_fill_the_window_and_no_more() {
        let mut sliding = SlidingMax::<241>::new();
        for value in (0..10_000u32).rev() {
            assert_eq!(sliding.push(value), (value + 240).min(9999));
        }
    }
}
