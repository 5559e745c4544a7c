//! What the station's threads publish, for `station now` and for tests.

use std::sync::{
    Arc,
    atomic::{AtomicI32, AtomicU64, Ordering::Relaxed},
};

use super::pace::Filling;
use crate::stats::{Counter, Gauge};

/// Written by the tower's link.
#[derive(Debug, Default)]
pub struct SinkStats {
    /// Connections to the tower that were made.
    pub connections: Counter,
    /// 1 while there is one.
    pub connected: Gauge,
    /// Frames that the socket has taken.
    pub frames: Counter,
    /// Frames that found no tower or a full socket.
    pub dropped: Counter,
}

/// The tower's queue as it was last seen, and which look that was.
#[derive(Debug, Default)]
pub struct TowerQueue {
    /// Looks in the upper half (so that the same filling twice shows as two), the
    /// filling in the lower: count and capacity, 16 bits each.
    packed: AtomicU64,
}

impl TowerQueue {
    /// Written by one thread.
    pub fn publish(&self, filling: Filling) {
        let looks = (self.packed.load(Relaxed) >> 32) + 1;
        let small = |n: u32| u64::from(n.min(u32::from(u16::MAX)));
        self.packed.store(looks << 32 | small(filling.count) << 16 | small(filling.capacity), Relaxed);
    }

    /// Looks so far, and what the last one saw.
    pub fn last(&self) -> (u32, Filling) {
        let packed = self.packed.load(Relaxed);
        let part = |shift: u32| u32::try_from(packed >> shift & 0xffff).unwrap_or(0);
        let looks = u32::try_from(packed >> 32).unwrap_or(u32::MAX);
        (looks, Filling { count: part(16), capacity: part(0) })
    }
}

/// Written by the threads that speak HTTP to the tower.
#[derive(Debug, Default)]
pub struct LinkStats {
    /// Read by DO.
    pub tower_queue: TowerQueue,
    /// 1 when the last look at the queue was answered.
    pub tower_answers: Gauge,
    /// Events that the tower has taken.
    pub events_told: Counter,
    /// Events that the tower refused or did not answer.
    pub events_failed: Counter,
    /// Events that found the queue full.
    pub events_dropped: Counter,
}

/// Written by DO.
#[derive(Debug, Default)]
pub struct PlayoutStats {
    /// Times that DO went round: it is alive.
    pub turns: Counter,
    /// Samples of the current segment that were played.
    pub position: Gauge,
    /// Blocks that waited 100 ms for a decoder, beyond their deadline.
    pub underruns: Counter,
    /// Times that the playout was too late to make it up (a stopped process).
    pub gaps: Counter,
    /// By how much the pace leaves the station's own clock, in parts per million.
    pub pace_ppm: AtomicI32,
}

/// All of it.
#[derive(Debug, Default)]
pub struct StationStats {
    /// By the sink.
    pub sink: Arc<SinkStats>,
    /// By the link.
    pub link: Arc<LinkStats>,
    /// By DO.
    pub playout: PlayoutStats,
}
