//! `Broadcaster`: one frame on air per tick, and from there to every listener.
//!
//! It keeps no time of its own. Each tick of the pump puts exactly one frame on
//! air: that of the number which is due, or, before there is such a number, the
//! filler, so that a listener hears the stream begin at once. A tick that is seen late is
//! made up: frames are counted, never minutes.

pub mod batch;
pub mod connections;
pub mod icy;
pub mod listener;
pub mod on_air;
pub mod slab;
pub mod title_desk;

use std::sync::{Arc, atomic::Ordering::Relaxed, mpsc::Receiver};

use self::{
    connections::{Arrival, HttpConnectionManager},
    icy::Titles,
    on_air::OnAirRing,
    title_desk::{Announcement, TickSight, TitleDesk},
};
use crate::{
    config::StreamConfig,
    encoder::OnAirOutlet,
    pump::{clock::OnAirClock, selector::Source},
    router::{AudioInputRouter, InputId},
    stats::{ListenerStats, PumpStats},
};

/// Where titles come from, and what tells when they are heard.
pub struct TitleSources {
    /// From the control plane.
    pub announced: Receiver<Announcement>,
    /// The station's queue.
    pub router: Arc<AudioInputRouter>,
    /// What each tick had on air.
    pub pump: Arc<PumpStats>,
}

/// The on-air ring and who listens to it. `P` is the door's note on a listener.
pub struct Broadcaster<P> {
    clock: Arc<OnAirClock>,
    outlet: OnAirOutlet,
    ring: OnAirRing,
    titles: Titles,
    desk: TitleDesk,
    sources: TitleSources,
    connections: HttpConnectionManager<P>,
    /// Ticks that have put their frame on air.
    ticks_aired: u64,
    last_frame_ns: Option<u64>,
    stats: Arc<ListenerStats>,
}

impl<P> Broadcaster<P> {
    /// Nothing on air yet, nobody listening.
    pub fn new(
        config: &StreamConfig,
        clock: Arc<OnAirClock>,
        outlet: OnAirOutlet,
        sources: TitleSources,
        stats: Arc<ListenerStats>,
    ) -> Self {
        let frame_bytes = outlet.frame_bytes();
        Self {
            ticks_aired: clock.ticks(),
            clock,
            ring: OnAirRing::new(frame_bytes),
            titles: Titles::new(&config.name),
            desk: TitleDesk::new(&config.name),
            sources,
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
        self.take_announcements(from);
        (from..to).for_each(|tick| self.put_on_air(tick));
        self.titles.forget_before(self.ring.oldest());
        self.ticks_aired = to;
        self.clock.set_aired(to.saturating_sub(self.clock.lag_frames()));
        self.stats.frames_on_air.add(to - from);
        if let Some(last_ns) = self.last_frame_ns {
            self.stats.worst_gap_ms.raise(now_ns.saturating_sub(last_ns) / 1_000_000);
        }
        self.last_frame_ns = Some(now_ns);
        // After a long sleep each phase has one turn, not many.
        for tick in from.max(to.saturating_sub(self.connections.batch_frames()))..to {
            self.connections.serve_tick(tick, &self.ring, &self.titles, now_ns);
        }
    }

    /// A new listener. See `HttpConnectionManager::join`.
    pub fn join(&mut self, arrival: Arrival<P>) -> u64 {
        self.connections.join(arrival, &self.ring, &self.titles)
    }

    /// The listeners.
    pub fn connections(&mut self) -> &mut HttpConnectionManager<P> {
        &mut self.connections
    }

    fn take_announcements(&mut self, tick: u64) {
        while let Ok(announcement) = self.sources.announced.try_recv() {
            if !self.desk.take(announcement, tick) {
                self.stats.titles_dropped.add(1);
            }
        }
    }

    /// At tick n (the n + 1st) the frame n − lag is due; the first ticks have none.
    fn put_on_air(&mut self, tick: u64) {
        // Seen late, a tick has the source and the pops of a later one: a title is off by as much.
        self.desk.tick(TickSight {
            number: tick,
            source: Source::from_u8(self.sources.pump.on_air.load(Relaxed)),
            popped: self.sources.router.popped(InputId::Station),
            relay_popped: self.sources.router.popped(InputId::Relay),
        });
        let taken = match tick.checked_sub(self.clock.lag_frames()) {
            Some(number) => {
                if let Some(title) = self.desk.on_air(number) {
                    self.titles.push(self.ring.head(), icy::block(&title));
                }
                self.ring.push(self.outlet.get_frame(number).0)
            }
            None => false,
        };
        if !taken {
            self.ring.push(self.outlet.filler());
        }
    }
}
