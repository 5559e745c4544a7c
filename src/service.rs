//! `TowerService`: builds everything, starts it in order, and takes it apart again.
//!
//! Nothing starts before everything is bound and built, so what is wrong is said
//! while nothing is on air yet. The main thread then sleeps until a signal, a
//! report of a real-time thread or the watchdog wants it; it never touches audio.

use std::{
    fmt::Display,
    io,
    net::SocketAddr,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::SyncSender,
    },
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        eventfd::{EfdFlags, EventFd},
        signal::Signal,
    },
};

use crate::{
    announce::{self, AnnounceHandle, Announced},
    appliance::{BoxPlaces, report::Report},
    broadcast::title_desk::Announcement,
    config::{HttpConfig, TowerConfig},
    control::{self, ControlDeps, ControlHandle, status::StatusSources},
    door::{Door, DoorDeps, DoorHandle},
    encoder::{EncoderError, EncoderManager},
    fallback::{FallbackGenerator, FallbackLoader},
    fence,
    frame::TICK_MS,
    input::{
        live::{
            capture::{self, CaptureHandle},
            event::LiveEvent,
            feed::FeedDeps,
        },
        pull::{self, PullDeps, PullHandle},
        station_socket::{IngestError, IngestHandle, StationSocket},
    },
    journal::{Journal, journal},
    limits::{EVENTS_TO_DOOR_MAX, RELAY_PCM, TITLES_WAITING_MAX},
    logging::LogHandle,
    meter::{
        MeterStats,
        tap::MeterTap,
        thread::{Meter, MeterDeps, MeterHandle},
    },
    pump::{AudioPump, PumpDeps, PumpHandle, clock::OnAirClock, event::PumpEvent, position::PumpPosition},
    relay::{self, RelayDeps, RelayHandle, RelayStats},
    router::AudioInputRouter,
    signals::Signals,
    stats::{EncoderStats, EventStats, IngestStats, ListenerStats, LiveStats, PullStats, PumpStats},
    sys,
};

/// How often the main thread looks whether the tower is alive.
const LOOK_MS: u16 = 500;
/// Of the relay's queue where no stream is pulled: the least that a queue has.
const RELAY_FRAMES_NONE: usize = 2;

/// Why the tower does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The socket for PCM.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The ports and sockets of the front door.
    #[error(transparent)]
    Door(#[from] crate::door::DoorError),
    /// The control plane behind it.
    #[error(transparent)]
    Control(#[from] control::ControlError),
    /// The encoder.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// A descriptor or a thread.
    #[error("cannot start the tower: {0}")]
    System(#[from] io::Error),
    /// The threads of the relay.
    #[error("cannot start the relay: {0}")]
    Relay(io::Error),
    /// The thread that pulls a stream.
    #[error("cannot start to pull the stream: {0}")]
    Pull(io::Error),
    /// The thread that tells the network.
    #[error("cannot start to announce the stream: {0}")]
    Announce(io::Error),
    /// A thread did not end.
    #[error("the tower stopped, but not all of it in time")]
    Unclean,
}

impl From<nix::errno::Errno> for ServiceError {
    fn from(errno: nix::errno::Errno) -> Self {
        Self::System(errno.into())
    }
}

/// Runs the tower until it is told to stop. `on_air` is called once `/stream` is live.
///
/// # Errors
/// What keeps it from starting, or from stopping cleanly.
pub fn run(
    config: &TowerConfig,
    signals: &Signals,
    log: &LogHandle,
    on_air: impl FnOnce(&TowerService),
) -> Result<(), ServiceError> {
    lock_memory();
    let mut tower = TowerService::start(config)?;
    on_air(&tower);
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tower.wait(signals, log);
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    tower.stop(Duration::from_secs(config.shutdown_timeout_sec))
}

/// Locked pages never wait for a disk. Where the limit is finite, locking would
/// make later allocations fail, which is worse.
fn lock_memory() {
    use nix::sys::resource::{Resource, getrlimit};
    let unlimited = getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft == nix::libc::RLIM_INFINITY);
    if !unlimited && !nix::unistd::geteuid().is_root() {
        log::info!("memory is not locked: RLIMIT_MEMLOCK is not unlimited");
    } else if let Err(error) = sys::thread::lock_memory() {
        log::info!("memory is not locked: {error}");
    }
}

/// A tower on air.
pub struct TowerService {
    ingest: IngestHandle,
    encoder: EncoderManager,
    pump: PumpHandle,
    capture: Option<CaptureHandle>,
    meter: MeterHandle,
    fallback: FallbackLoader,
    door: DoorHandle,
    control: ControlHandle,
    relay: Option<RelayHandle>,
    pull: Option<PullHandle>,
    announce: Option<AnnounceHandle>,
    pump_journal: Journal<PumpEvent>,
    live_journal: Journal<LiveEvent>,
    journal_wake: Arc<EventFd>,
    pump_stats: Arc<PumpStats>,
    listeners: Arc<ListenerStats>,
    /// How far it was at the last look.
    seen_alive: (u64, u64),
    config: TowerConfig,
}

impl TowerService {
    /// Builds everything, then starts: ingest, encoder, pump, meter, stream, control.
    ///
    /// # Errors
    /// The first thing that cannot be had. What was bound before it is let go.
    pub fn start(config: &TowerConfig) -> Result<Self, ServiceError> {
        let journal_wake = Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let (pump_stats, encoder_stats) = (Arc::<PumpStats>::default(), Arc::<EncoderStats>::default());
        let (listeners, ingest_stats) = (Arc::<ListenerStats>::default(), Arc::<IngestStats>::default());
        let (live_stats, live_tap) = (Arc::<LiveStats>::default(), Arc::<MeterTap>::default());
        let (on_air_tap, meter_stats) = (Arc::<MeterTap>::default(), MeterStats::default());
        let (relay_stats, pull_stats) = (Arc::<RelayStats>::default(), Arc::<PullStats>::default());
        let event_stats = Arc::<EventStats>::default();
        // A queue that nobody fills takes next to no room.
        let relay_frames = if config.pull.is_some() { RELAY_PCM.frames_max } else { RELAY_FRAMES_NONE };
        let router = Arc::new(AudioInputRouter::with_relay(config.input.buffer_frames, relay_frames));
        let clock = Arc::new(OnAirClock::new(config.encoder.cushion_frames())?);

        let station = StationSocket::bind(&config.ingest, router.clone(), ingest_stats.clone())?;
        let door = Door::bind(config)?;
        let (mut encoder, ends) =
            EncoderManager::new(config, clock.clone(), encoder_stats.clone(), journal_wake.clone())?;
        let (fallback, loader) = FallbackGenerator::new(&config.fallback, &config.encoder.ffmpeg)?;
        let (reporter, pump_journal) = journal(journal_wake.clone());
        let live_position = Arc::<PumpPosition>::default();
        let feed = FeedDeps {
            router: router.clone(),
            position: live_position.clone(),
            tap: live_tap.clone(),
            stats: live_stats.clone(),
            on_air_lag_ms: clock.lag_frames() * TICK_MS,
        };
        let (live_reporter, live_journal) = journal(journal_wake.clone());
        let deps = PumpDeps {
            router: router.clone(),
            clock: clock.clone(),
            fallback,
            sink: ends.inlet,
            reporter,
            stats: pump_stats.clone(),
            forced: Arc::default(),
            live_position,
            tap: on_air_tap.clone(),
        };
        let pump = AudioPump::new(&config.input, &config.live, deps);
        let meter = Meter::new(MeterDeps {
            pump: pump_stats.clone(),
            live: live_stats.clone(),
            live_configured: config.live.device.is_some(),
            on_air_tap,
            live_tap,
            stats: meter_stats.clone(),
        });
        let sources = StatusSources {
            started_ns: sys::time::now_ns(),
            box_report: Report::read(&BoxPlaces::default().run).map(Arc::new),
            pump: pump_stats.clone(),
            encoder: encoder_stats,
            listeners: listeners.clone(),
            events: event_stats.clone(),
            relay: config.relay.as_ref().map(|target| (target.clone(), relay_stats.clone())),
            pull: config.pull.as_ref().map(|source| (source.clone(), pull_stats.clone())),
            ingest: ingest_stats,
            router: router.clone(),
            mp3: ends.mp3,
            live: live_stats,
            live_device: config.live.device.clone(),
            meter: meter_stats,
        };

        let frame_bytes = ends.outlet.frame_bytes();
        let (events, said) = std::sync::mpsc::sync_channel(EVENTS_TO_DOOR_MAX);
        let (titles, announced) = std::sync::mpsc::sync_channel(TITLES_WAITING_MAX);
        let ingest = station.start()?;
        encoder.start()?;
        let pump = pump.start()?;
        let capture = capture::start(&config.live, feed, live_reporter)?;
        let pull = pull_of(config, router.clone(), titles.clone(), pull_stats)?;
        let meter = meter.start()?;
        let door = door.start(DoorDeps {
            config,
            clock,
            outlet: ends.outlet,
            router,
            listeners: listeners.clone(),
            pump: pump_stats.clone(),
            announced,
            events: said,
            event_stats: event_stats.clone(),
        })?;
        let control = control::start(ControlDeps { config, sources, titles, events, event_stats, frame_bytes })?;
        let relay = relay_of(config, relay_stats)?;
        let announce = announce_of(config, door.local_addr())?;
        Ok(Self {
            relay,
            pull,
            announce,
            ingest,
            encoder,
            pump,
            capture,
            meter,
            fallback: loader,
            door,
            control,
            pump_journal,
            live_journal,
            journal_wake,
            pump_stats,
            listeners,
            seen_alive: (0, 0),
            config: config.clone(),
        })
    }

    /// Where a listener on this machine connects.
    pub fn stream_url(&self) -> String {
        let address = self.door.local_addr();
        let host = if address.ip().is_unspecified() { "localhost".to_owned() } else { host_in_url(&self.config.http) };
        format!("http://{host}:{}/stream", address.port())
    }

    /// Sleeps until SIGTERM or SIGINT; SIGHUP reopens the log.
    fn wait(&mut self, signals: &Signals, log: &LogHandle) {
        loop {
            let mut fds = [signals.as_fd(), self.journal_wake.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            // A poll that fails (a signal, no memory) only makes the loop go round.
            let _ = poll(&mut fds, PollTimeout::from(LOOK_MS));
            let _ = self.journal_wake.read();
            self.log_reports();
            self.feed_watchdog();
            match signals.next() {
                Some(Signal::SIGHUP) => log.reopen(),
                Some(signal) => return log::info!("stopping on {signal}"),
                None => {}
            }
        }
    }

    fn log_reports(&mut self) {
        log_all(&mut self.pump_journal, PumpEvent::level);
        log_all(&mut self.live_journal, LiveEvent::level);
        self.encoder.log_events();
    }

    /// Fed only while ticks advance and frames go on air. Fillers count: a tower
    /// in DEGRADED does its duty.
    fn feed_watchdog(&mut self) {
        let now = (self.pump_stats.ticks.get(), self.listeners.frames_on_air.get());
        if now.0 > self.seen_alive.0 && now.1 > self.seen_alive.1 {
            self.seen_alive = now;
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }

    /// Stops in reverse. No thread, child or socket file is left.
    ///
    /// # Errors
    /// When a thread did not end in time. After `timeout` the process ends by force.
    pub fn stop(mut self, timeout: Duration) -> Result<(), ServiceError> {
        let stopped = Arc::new(AtomicBool::new(false));
        fence::raise("tower:fence", timeout, stopped.clone());
        if let Some(announce) = &self.announce {
            announce.wish_to_stop();
        }
        self.control.stop();
        if let Some(relay) = self.relay.take() {
            relay.stop();
        }
        let door = self.door.stop();
        // First: a card that is let go at a stop is no alarm.
        self.meter.stop();
        if let Some(capture) = &mut self.capture {
            capture.stop();
        }
        if let Some(pull) = &mut self.pull {
            pull.stop();
        }
        self.pump.stop();
        self.fallback.stop();
        self.encoder.stop();
        self.ingest.stop();
        if let Some(announce) = &mut self.announce {
            announce.stop();
        }
        log_all(&mut self.pump_journal, PumpEvent::level);
        log_all(&mut self.live_journal, LiveEvent::level);
        stopped.store(true, SeqCst);
        if door { Ok(()) } else { Err(ServiceError::Unclean) }
    }
}

fn log_all<E: Display>(journal: &mut Journal<E>, level: fn(&E) -> log::Level) {
    while let Some(event) = journal.take() {
        log::log!(level(&event), "{event}");
    }
}

fn relay_of(config: &TowerConfig, stats: Arc<RelayStats>) -> Result<Option<RelayHandle>, ServiceError> {
    let Some(target) = config.relay.clone() else {
        return Ok(None);
    };
    let (stream, bitrate_kbps) = (&config.stream, config.encoder.bitrate_kbps);
    let control_socket = &config.control.socket;
    let started = relay::start(RelayDeps { target, stream, bitrate_kbps, control_socket, stats });
    started.map(Some).map_err(ServiceError::Relay)
}

fn announce_of(config: &TowerConfig, door: SocketAddr) -> Result<Option<AnnounceHandle>, ServiceError> {
    let announced = Announced::of(&config.stream.name, door.ip(), door.port()).filter(|_| config.announce);
    announced.map(announce::start).transpose().map_err(ServiceError::Announce)
}

fn pull_of(
    config: &TowerConfig,
    router: Arc<AudioInputRouter>,
    titles: SyncSender<Announcement>,
    stats: Arc<PullStats>,
) -> Result<Option<PullHandle>, ServiceError> {
    let Some(source) = config.pull.clone() else {
        return Ok(None);
    };
    let ffmpeg = config.encoder.ffmpeg.clone();
    pull::start(PullDeps { source, ffmpeg, router, titles, stats }).map(Some).map_err(ServiceError::Pull)
}

fn host_in_url(http: &HttpConfig) -> String {
    if http.host.contains(':') { format!("[{}]", http.host) } else { http.host.clone() }
}
