//! The station as a whole: builds everything, starts it in order, and takes it
//! apart again.
//!
//! On SIGTERM the sign-off is played, within its bound; a second signal ends
//! everything at once. The tower plays on from its fallback either way.

use std::{
    io,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{SyncSender, channel, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
};

use super::{
    clock,
    control::{ControlSocket, Desk},
    deck::Deck,
    library::{Library, LibraryOptions, reader::ReaderCommand},
    measuring::Measurer,
    playout::{self, PlayoutDeps},
    rotation::Rotation,
    sink::TowerSink,
    sound::chain::SoundChain,
    state::Memory,
    stats::StationStats,
    think::{Message, Think, ThinkDeps},
    tower_link::TowerLink,
};
use crate::{
    config::StationConfig,
    decoder, fence,
    frame::SAMPLE_RATE_HZ,
    limits::THINK_INBOX_MAX,
    logging::LogHandle,
    signals::Signals,
    sys::thread,
    unix_socket::{self, BindError},
};

/// Who may give commands: owner and group.
const SOCKET_MODE: u32 = 0o660;
/// How often the main thread looks whether the playout is alive.
const LOOK_MS: u16 = 500;
/// Beyond its bound, a sign-off has this long to fade out.
const SIGN_OFF_SPARE: Duration = Duration::from_secs(3);
/// Then everything has this long to end.
const STOP_MAX: Duration = Duration::from_secs(4);

/// Why the station does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Its own socket.
    #[error("control socket {0}")]
    Socket(#[from] BindError),
    /// A descriptor or a thread.
    #[error("cannot start the station: {0}")]
    System(#[from] io::Error),
    /// Something did not end.
    #[error("the station stopped, but not all of it in time")]
    Unclean,
}

/// Runs the station until it is told to stop. `playing` is called once it runs.
///
/// # Errors
/// What keeps it from starting, or from stopping cleanly.
pub fn run(
    config: &StationConfig,
    signals: &Signals,
    log: &LogHandle,
    playing: impl FnOnce(),
) -> Result<(), ServiceError> {
    let station = StationService::start(config)?;
    playing();
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    station.wait(signals, log);
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    station.stop(signals)
}

/// A station that plays.
struct StationService {
    config: StationConfig,
    library: Arc<Library>,
    inbox: SyncSender<Message>,
    think: JoinHandle<()>,
    playout: JoinHandle<()>,
    link: TowerLink,
    control: ControlSocket,
    stats: Arc<StationStats>,
}

impl StationService {
    fn start(config: &StationConfig) -> Result<Self, ServiceError> {
        let socket = unix_socket::bind(&config.control_socket, SOCKET_MODE)?;
        let stats = Arc::<StationStats>::default();
        let memory = Memory::load(&config.state_dir);
        let library = Arc::new(Library::start(library(config))?);
        let link = TowerLink::start(&config.tower.url, stats.link.clone())?;
        let (inbox, heard) = sync_channel(THINK_INBOX_MAX);
        let (orders, obeyed) = channel();

        let reports = inbox.clone();
        let playout = playout::start(PlayoutDeps {
            deck: deck(config),
            sink: TowerSink::new(&config.tower.socket, stats.sink.clone()),
            orders: obeyed,
            // DO never waits; THINK's inbox has room for all that THINK has ordered.
            reports: Box::new(move |report| drop(reports.try_send(Message::Report(report)))),
            looker: link.looker(),
            stats: stats.clone(),
        })?;
        let think = Think::new(ThinkDeps {
            config: config.clone(),
            library: library.clone(),
            memory,
            rotation: Rotation::new(config.rotation.clone(), clock::unix_ms().unsigned_abs()),
            orders,
            announcer: link.announcer(),
            measurer: Measurer::new(&config.ffmpeg),
            inbox: inbox.clone(),
            stats: stats.clone(),
        });
        let think = thread::spawn("station:think", move || think.run(&heard))?;
        let control = ControlSocket::start(
            socket,
            Desk { think: inbox.clone(), library: library.clone(), reader: ReaderCommand::default() },
        )?;
        Ok(Self { config: config.clone(), library, inbox, think, playout, link, control, stats })
    }

    /// Sleeps until SIGTERM or SIGINT; SIGHUP reopens the log. The watchdog is fed
    /// only while DO goes round.
    fn wait(&self, signals: &Signals, log: &LogHandle) {
        let mut turns = 0;
        loop {
            let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            // A poll that fails only makes the loop go round.
            let _ = poll(&mut fds, PollTimeout::from(LOOK_MS));
            match signals.next() {
                Some(Signal::SIGHUP) => log.reopen(),
                Some(signal) => return log::info!("stopping on {signal}"),
                None => {}
            }
            let now = self.stats.playout.turns.get();
            if now != turns {
                turns = now;
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            }
        }
    }

    /// The sign-off, and then everything in reverse.
    fn stop(self, signals: &Signals) -> Result<(), ServiceError> {
        let stopped = Arc::new(AtomicBool::new(false));
        let sign_off = Duration::from_millis(self.config.playout.sign_off_max_ms) + SIGN_OFF_SPARE;
        fence::raise("station:fence", sign_off + 4 * STOP_MAX, stopped.clone());
        self.control.stop();
        // A full inbox means that THINK hangs: then the bound ends everything.
        let _ = self.inbox.try_send(Message::End);
        let impatient = || signals.next().is_some_and(|signal| signal != Signal::SIGHUP);
        if !within(sign_off, || self.playout.is_finished() || impatient()) {
            log::warn!("the sign-off did not end in time");
        }
        // THINK gives up its end of the orders, and that ends DO if it still plays.
        let _ = self.inbox.try_send(Message::Stop);
        let ended = within(STOP_MAX, || self.think.is_finished() && self.playout.is_finished());
        // The last of those who hold it.
        drop(self.library);
        // With THINK the last announcer has gone, so the link's threads end.
        let clean = ended && self.link.stop() && within(STOP_MAX, || decoder::open_count() == 0);
        stopped.store(true, SeqCst);
        if clean { Ok(()) } else { Err(ServiceError::Unclean) }
    }
}

/// Waits until something is so; false when it is not so in time.
fn within(bound: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + bound;
    while !is_so() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

fn library(config: &StationConfig) -> LibraryOptions {
    LibraryOptions {
        music: config.music.folders.clone(),
        rescan: Duration::from_secs(config.music.rescan_sec),
        state_dir: config.state_dir.clone(),
        reader: ReaderCommand::default(),
    }
}

fn deck(config: &StationConfig) -> Deck {
    let playout = &config.playout;
    let overlap_ms = if playout.crossfade { playout.crossfade_max_ms } else { 0 };
    let chain = SoundChain::new(playout.level, playout.peak_dbtp);
    Deck::new(chain, overlap_ms * u64::from(SAMPLE_RATE_HZ) / 1000)
}
