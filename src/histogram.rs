//! A histogram of durations that a real-time thread can write and anyone read.
//!
//! Log-linear buckets, 16 to each power of two: a percentile is at most 6.25 %
//! above the truth, never below. Recording is two fetch-adds and one fetch-max.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const SUB_BITS: u32 = 4;
const SUB: usize = 1 << SUB_BITS;
/// Values up to 2^32 - 1 (71 minutes in microseconds); larger ones count as that.
const BUCKETS: usize = SUB * (32 - SUB_BITS as usize + 1);

/// Counts of values, by size. All zero at the start.
#[derive(Debug)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
    sum: AtomicU64,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0), max: AtomicU64::new(0) }
    }
}

/// How many values lie below some edges. `sum` is that of what was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cumulated {
    /// Values at most as large as each edge, to a sixteenth.
    pub counts: Vec<u64>,
    /// All values.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
}

impl Histogram {
    /// Counts one value. Wait-free.
    pub fn record(&self, value: u64) {
        self.counts[bucket(value)].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
        self.max.fetch_max(value, Relaxed);
    }

    /// The largest value recorded; 0 if none was.
    pub fn max(&self) -> u64 {
        self.max.load(Relaxed)
    }

    /// Values recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|c| c.load(Relaxed)).sum()
    }

    /// Values up to each edge, `edges` rising. Only grows from one call to the next.
    pub fn cumulated(&self, edges: &[u64]) -> Cumulated {
        let sum = self.sum.load(Relaxed);
        let mut all = Cumulated { counts: vec![0; edges.len()], count: 0, sum };
        for (index, count) in self.counts.iter().enumerate() {
            let count = count.load(Relaxed);
            all.count += count;
            let first = edges.partition_point(|edge| *edge < upper_edge(index));
            all.counts[first..].iter_mut().for_each(|below| *below += count);
        }
        all
    }

    /// The value that `per_mille` thousandths of all values do not exceed; 0 if
    /// there are none. 500 is the median.
    pub fn percentile(&self, per_mille: u64) -> u64 {
        let total = self.count();
        let wanted = (total * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count.load(Relaxed);
            if seen >= wanted {
                return upper_edge(index).min(self.max());
            }
        }
        self.max()
    }
}

fn bucket(value: u64) -> usize {
    let value = usize::try_from(value.min(u64::from(u32::MAX))).unwrap_or(u32::MAX as usize);
    if value < SUB {
        return value;
    }
    let shift = value.ilog2() - SUB_BITS;
    (shift as usize + 1) * SUB + (value >> shift) - SUB
}

fn upper_edge(index: usize) -> u64 {
    if index < SUB {
        return index as u64;
    }
    let shift = index / SUB - 1;
    (((index % SUB + SUB + 1) << shift) - 1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_within_a_sixteenth() {
        for value in (0..100_000).chain([1 << 20, 12_345_678, u64::from(u32::MAX)]) {
            let edge = upper_edge(bucket(value));
            assert!(edge >= value && edge - value <= value / 16, "{value} → {edge}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn k5_cumulated_counts_are_of_values_up_to_each_edge() {
        let histogram = Histogram::default();
        [0, 5, 15, 16, 1000, 70_000].into_iter().for_each(|value| histogram.record(value));
        let all = histogram.cumulated(&[0, 15, 16, 2000]);
        assert_eq!((all.counts, all.count, all.sum), (vec![1, 3, 4, 5], 6, 71_036));
    }

    #[test]
    fn a5_percentiles_of_a_known_spread() {
        let histogram = Histogram::default();
        assert_eq!(histogram.percentile(500), 0);
        (1..=1000).for_each(|v| histogram.record(v));
        assert_eq!(histogram.max(), 1000);
        assert!((500..=531).contains(&histogram.percentile(500)));
        assert!((999..=1000).contains(&histogram.percentile(999)));
        assert_eq!(histogram.percentile(1000), 1000);
    }
}
