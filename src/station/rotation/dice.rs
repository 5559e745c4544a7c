//! Chance, from a seed: the same seed gives the same programme. Nothing secret
//! hangs on it, so it is splitmix64 and not a crate.

use super::keys::ABSENT;

#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The upper half of the product is below `bound`, so it fits.
        #[allow(clippy::cast_possible_truncation)]
        let number = ((u128::from(self.roll()) * u128::from(bound)) >> 64) as u64;
        number
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// One of the half that rested longest: `rank` 0 was played last, [`ABSENT`] is
    /// not remembered. So everything comes round, in no order that one could
    /// foretell, and the last one never comes again while there is another.
    pub fn among_rested<T: Copy>(&mut self, tracks: &[(u32, T)]) -> Option<T> {
        let half = tracks.len().div_ceil(2);
        let fresh: Vec<T> = tracks.iter().filter(|(rank, _)| *rank == ABSENT).map(|(_, track)| *track).collect();
        if fresh.len() >= half {
            return fresh.get(self.index(fresh.len())).copied();
        }
        let at = self.index(half);
        if let Some(track) = fresh.get(at) {
            return Some(*track);
        }
        let mut played: Vec<(u32, T)> = tracks.iter().filter(|(rank, _)| *rank != ABSENT).copied().collect();
        let nth = at - fresh.len();
        Some(played.select_nth_unstable_by_key(nth, |(rank, _)| std::cmp::Reverse(*rank)).1.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st3_chance_is_even_and_repeats_by_its_seed() {
        let (mut dice, mut again) = (Dice::new(5), Dice::new(5));
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            let number = dice.below(7);
            assert_eq!(number, again.below(7));
            counts[usize::try_from(number).expect("small")] += 1;
        }
        // Five standard deviations of 10 000.
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 470), "{counts:?}");
        assert_eq!(dice.below(0), 0);
    }

    #[test]
    fn st3_the_rested_half_comes() {
        let mut dice = Dice::new(1);
        assert_eq!(dice.among_rested::<u8>(&[]), None);
        for (tracks, come) in [
            (vec![(0, 'a')], "a"),
            (vec![(0, 'a'), (1, 'b')], "b"),
            (vec![(0, 'a'), (1, 'b'), (2, 'c')], "bc"),
            (vec![(0, 'a'), (ABSENT, 'b'), (2, 'c'), (1, 'd')], "bc"),
            (vec![(0, 'a'), (ABSENT, 'b'), (ABSENT, 'c'), (ABSENT, 'd')], "bcd"),
        ] {
            let mut came: Vec<char> = (0..200).filter_map(|_| dice.among_rested(&tracks)).collect();
            came.sort_unstable();
            came.dedup();
            assert_eq!(came, come.chars().collect::<Vec<_>>(), "{tracks:?}");
        }
    }
}
