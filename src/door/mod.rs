//! The front door: whoever comes to the tower comes through here.
//!
//! One thread, `tower:http`, accepts on TCP and on the control socket, bounds and
//! parses what comes, serves the stream, and relays what concerns the control plane.
//! It must never wait for anyone, and no one who comes may make the tick wait.
//!
//! `head`, `routes`, `wishes`, `admission`, `reply` and `playlist` are pure; `serve` is the loop.

mod accept;
pub mod admission;
mod bind;
mod events;
pub mod head;
pub mod playlist;
pub mod relay_to_web;
pub mod reply;
pub mod routes;
mod serve;
mod visitor;
pub mod wishes;

use std::{
    net::SocketAddr,
    sync::{Arc, mpsc::Receiver},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nix::sys::eventfd::{EfdFlags, EventFd};

pub use self::bind::{Door, DoorError};
use self::{
    bind::refused,
    serve::{Doorkeeper, Inside},
};
use crate::{
    broadcast::{Broadcaster, TitleSources, title_desk::Announcement},
    config::TowerConfig,
    control::events::Said,
    encoder::OnAirOutlet,
    pump::clock::OnAirClock,
    router::AudioInputRouter,
    stats::{EventStats, ListenerStats, PumpStats},
    sys::thread,
};

/// Ahead of ordinary programs, behind everything that is real-time.
const NICE: i32 = -5;
/// How long the thread may take to stop; it never waits for anyone, so it takes milliseconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// What the door needs of the tower.
pub struct DoorDeps<'a> {
    /// All of it; the door reads `http`, `stream`, `control` and the bitrate.
    pub config: &'a TowerConfig,
    /// Ticks, and what is due on air.
    pub clock: Arc<OnAirClock>,
    /// The frames that go on air.
    pub outlet: OnAirOutlet,
    /// For `/tower/buffer`, and for when a title is heard.
    pub router: Arc<AudioInputRouter>,
    /// What each tick had on air.
    pub pump: Arc<PumpStats>,
    /// Titles, from the control plane.
    pub announced: Receiver<Announcement>,
    /// What happens, for `/events`, from the control plane.
    pub events: Receiver<Said>,
    /// Written here.
    pub event_stats: Arc<EventStats>,
    /// Written here.
    pub listeners: Arc<ListenerStats>,
}

/// An open door.
pub struct DoorHandle {
    stop: Arc<EventFd>,
    thread: JoinHandle<()>,
    local: SocketAddr,
}

/// Binds and opens in one step.
///
/// # Errors
/// As `Door::bind` and `Door::start`.
pub fn start(deps: DoorDeps<'_>) -> Result<DoorHandle, DoorError> {
    Door::bind(deps.config)?.start(deps)
}

impl Door {
    /// Opens: from now on every tick puts a frame on air.
    ///
    /// # Errors
    /// When the kernel has no thread or descriptor to give.
    pub fn start(self, deps: DoorDeps<'_>) -> Result<DoorHandle, DoorError> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let stop = Arc::new(EventFd::from_value_and_flags(0, flags).map_err(refused("make an eventfd"))?);
        let titles = TitleSources { announced: deps.announced, router: deps.router.clone(), pump: deps.pump };
        let (config, clock) = (&deps.config.stream, deps.clock.clone());
        let broadcaster = Broadcaster::new(config, clock, deps.outlet, titles, deps.listeners.clone());
        let inside = Inside {
            clock: deps.clock,
            broadcaster,
            router: deps.router,
            stats: deps.listeners,
            events: deps.events,
            event_stats: deps.event_stats,
            stop: stop.clone(),
        };
        let local = self.local_addr();
        let doorkeeper = Doorkeeper::new(self, deps.config, inside)?;
        let thread = thread::spawn("tower:http", move || {
            if let Err(error) = thread::set_nice(NICE) {
                log::warn!("tower:http runs at normal priority: nice {NICE} was refused ({error})");
            }
            doorkeeper.run();
        })
        .map_err(|source| DoorError::Refused { doing: "start the thread tower:http", source })?;
        Ok(DoorHandle { stop, thread, local })
    }
}

impl DoorHandle {
    /// Where listeners connect.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// True while the thread runs.
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Closes every connection and joins the thread. True if it stopped in time.
    pub fn stop(self) -> bool {
        // A full eventfd is readable too.
        let _ = self.stop.write(1);
        let give_up = Instant::now() + STOP_TIMEOUT;
        while !self.thread.is_finished() {
            if Instant::now() >= give_up {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.thread.join().is_ok()
    }
}
