//! `Broadcaster`: one frame on air per tick, and from there to every listener.
//!
//! It keeps no time of its own. Each tick of the pump puts exactly one frame on
//! air: that of the number which is due, or, before there is such a number, the
//! filler, so that a listener hears the stream begin at once. A tick that is seen late is
//! made up: frames are counted, never minutes.

pub mod connections;
pub mod listener;
pub mod on_air;
pub mod slab;

use std::sync::Arc;

use self::{
    connections::{Arrival, HttpConnectionManager},
    on_air::OnAirRing,
};
use crate::{
    config::HttpConfig, encoder::OnAirOutlet, limits::BATCH_FRAMES, pump::clock::OnAirClock, stats::ListenerStats,
};

/// The on-air ring and who listens to it. `P` is the door's note on a listener.
pub struct Broadcaster<P> {
    clock: Arc<OnAirClock>,
    outlet: OnAirOutlet,
    ring: OnAirRing,
    connections: HttpConnectionManager<P>,
    /// Ticks that have put their frame on air.
    ticks_aired: u64,
    last_frame_ns: Option<u64>,
    stats: Arc<ListenerStats>,
}

impl<P> Broadcaster<P> {
    /// Nothing on air yet, nobody listening.
    pub fn new(config: &HttpConfig, clock: Arc<OnAirClock>, outlet: OnAirOutlet, stats: Arc<ListenerStats>) -> Self {
        let frame_bytes = outlet.frame_bytes();
        Self {
            ticks_aired: clock.ticks(),
            clock,
            ring: OnAirRing::new(frame_bytes),
            connections: HttpConnectionManager::new(config, frame_bytes, stats.clone()),
            outlet,
            last_frame_ns: None,
            stats,
        }
    }

    /// Puts on air what the clock says is due, and serves the listeners whose turn
    /// it is. One atomic load when nothing is due.
    pub fn keep_up(&mut self, now_ns: u64) {
        let (from, to) = (self.ticks_aired, self.clock.ticks());
        if from == to {
            return;
        }
        (from..to).for_each(|tick| self.put_on_air(tick));
        self.ticks_aired = to;
        self.clock.set_aired(to.saturating_sub(self.clock.lag_frames()));
        self.stats.frames_on_air.add(to - from);
        if let Some(last_ns) = self.last_frame_ns {
            self.stats.worst_gap_ms.raise(now_ns.saturating_sub(last_ns) / 1_000_000);
        }
        self.last_frame_ns = Some(now_ns);
        // After a long sleep each phase has one turn, not many.
        for tick in from.max(to.saturating_sub(BATCH_FRAMES))..to {
            self.connections.serve_phase(tick, &self.ring, now_ns);
        }
    }

    /// A new listener. See `HttpConnectionManager::join`.
    pub fn join(&mut self, arrival: Arrival<P>) -> u64 {
        self.connections.join(arrival, &self.ring)
    }

    /// The listeners.
    pub fn connections(&mut self) -> &mut HttpConnectionManager<P> {
        &mut self.connections
    }

    /// At tick n (the n + 1st) the frame n − lag is due; the first ticks have none.
    fn put_on_air(&mut self, tick: u64) {
        let taken = match tick.checked_sub(self.clock.lag_frames()) {
            Some(number) => self.ring.push(self.outlet.get_frame(number).0),
            None => false,
        };
        if !taken {
            self.ring.push(self.outlet.filler());
        }
    }
}
