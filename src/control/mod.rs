//! The control plane: short requests that end, answered by tiny_http behind the door.
//!
//! Nothing here can reach the tick: figures are read from atomics. tiny_http has no
//! bounds of its own, so it listens on a private socket to which only the door
//! connects, and gets only what the door has read to the end, bounded and rebuilt.
//!
//! Changes are taken from the control socket and from loopback only. The page and
//! `/events` will have their routes beside these.

pub mod health;
pub mod hosts;
pub mod ingest_events;
pub mod metrics;
pub mod status;
mod web;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{SyncSender, TrySendError},
    },
    thread::JoinHandle,
};

use thiserror::Error;

use self::{
    health::{Health, HealthBoard, Monitor},
    hosts::HostRules,
    ingest_events::NowPlaying,
    status::{Status, StatusSources},
    web::Web,
};
use crate::{
    broadcast::title_desk::Announcement, config::TowerConfig, door::relay_to_web::Origin, frame::PUMP_FRAME_SAMPLES,
    meter::judge::AlarmName, router::InputId, sys::thread, unix_socket::BindError,
};

/// Threads that answer. Each request takes microseconds; the second one is for the unlucky moment.
const WEB_THREADS: usize = 2;

/// Why the control plane cannot start.
#[derive(Debug, Error)]
pub enum ControlError {
    /// Its private socket.
    #[error(transparent)]
    Socket(#[from] BindError),
    /// tiny_http.
    #[error("cannot serve the control plane: {0}")]
    Server(String),
    /// A thread.
    #[error("cannot start the thread {name}: {source}")]
    Thread {
        /// Which.
        name: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What the routes work with.
pub(crate) struct ControlPlane {
    sources: StatusSources,
    hosts: HostRules,
    loopback_may_change: bool,
    playing: Mutex<NowPlaying>,
    titles: SyncSender<Announcement>,
    /// Samples of a frame that the station counts.
    frame_samples: u64,
    health: HealthBoard,
}

/// A request as the routes see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) from: Origin,
    pub(crate) host: Option<&'a str>,
    pub(crate) origin: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

/// What they answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Empty: no body.
    pub(crate) body: String,
    /// Of the body.
    pub(crate) content_type: &'static str,
    /// For 405.
    pub(crate) allow: Option<&'static str>,
}

impl Answer {
    fn json(status: u16, value: &impl serde::Serialize) -> Self {
        match serde_json::to_string(value) {
            Ok(body) => Self { body: body + "\n", ..Self::empty(status) },
            Err(error) => Self::error(500, &error.to_string()),
        }
    }

    fn error(status: u16, why: &str) -> Self {
        Self { body: format!("{}\n", serde_json::json!({ "error": why })), ..Self::empty(status) }
    }

    fn empty(status: u16) -> Self {
        Self { status, body: String::new(), content_type: "application/json", allow: None }
    }
}

impl ControlPlane {
    /// Answers a request.
    pub(crate) fn answer(&self, asked: Asked<'_>) -> Answer {
        // No browser reaches the control socket, so no name can be made to point there.
        let browser = asked.from != Origin::ControlSocket;
        if browser && !asked.host.is_none_or(|host| self.hosts.allows_host(host)) {
            return Answer::error(
                403,
                "the control plane does not answer under this host name; add it to control.hosts",
            );
        }
        match (asked.path, asked.method) {
            ("/status", "GET" | "HEAD") => self.status(),
            ("/healthz", "GET" | "HEAD") => self.healthz(),
            ("/metrics", "GET" | "HEAD") => self.metrics(),
            ("/tower/events/ingest", "POST") => self.ingest(asked),
            ("/status" | "/healthz" | "/metrics", _) => not_allowed("GET, HEAD"),
            ("/tower/events/ingest", _) => not_allowed("POST"),
            _ => Answer::error(404, "there is nothing here"),
        }
    }

    fn status(&self) -> Answer {
        Answer::json(200, &self.status_now())
    }

    fn status_now(&self) -> Status {
        let playing = self.playing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.sources.status(playing, self.health.health().healthy)
    }

    fn metrics(&self) -> Answer {
        match serde_json::to_value(self.status_now()) {
            Ok(status) => Answer {
                body: metrics::text(&status, &AlarmName::NAMES, &self.sources.pump.lateness_us),
                content_type: metrics::CONTENT_TYPE,
                ..Answer::empty(200)
            },
            Err(error) => Answer::error(500, &error.to_string()),
        }
    }

    fn healthz(&self) -> Answer {
        let health: Health = self.health.health();
        Answer::json(if health.healthy { 200 } else { 503 }, &health)
    }

    fn ingest(&self, asked: Asked<'_>) -> Answer {
        let permitted = match asked.from {
            Origin::ControlSocket => true,
            Origin::Loopback => self.loopback_may_change,
            Origin::Remote => false,
        };
        if !permitted {
            return Answer::error(403, "events are taken from the control socket and from this machine only");
        }
        if !asked.origin.is_none_or(|origin| self.hosts.allows_origin(origin)) {
            return Answer::error(403, "a page from elsewhere may not change anything here");
        }
        match ingest_events::parse(asked.body) {
            Err(why) => Answer::error(400, &why),
            Ok(event) => {
                if let Some(playing) = event.playing {
                    let announcement = self.announcement(&playing, event.at_frame);
                    if let Err(TrySendError::Full(_)) = self.titles.try_send(announcement) {
                        return Answer::error(503, "too many titles wait to be heard; send this one later");
                    }
                    *self.playing.lock().unwrap_or_else(PoisonError::into_inner) = playing;
                }
                Answer::empty(204)
            }
        }
    }

    fn announcement(&self, playing: &NowPlaying, at_frame: Option<u64>) -> Announcement {
        let in_queue = |frame: u64| {
            let frames = frame.saturating_mul(self.frame_samples) / PUMP_FRAME_SAMPLES as u64;
            self.sources.router.position_of(InputId::Station, frames)
        };
        Announcement { from: at_frame.map(in_queue), text: playing.line() }
    }
}

fn not_allowed(allow: &'static str) -> Answer {
    Answer { allow: Some(allow), ..Answer::error(405, &format!("only {allow} is allowed here")) }
}

/// What the control plane needs of the tower.
pub struct ControlDeps<'a> {
    /// It reads `control`.
    pub config: &'a TowerConfig,
    /// Where the figures are.
    pub sources: StatusSources,
    /// Where titles go that the station tells of.
    pub titles: SyncSender<Announcement>,
    /// Bytes of every frame on air (`OnAirOutlet::frame_bytes`).
    pub frame_bytes: usize,
}

/// A running control plane.
pub struct ControlHandle {
    web: Web,
    monitor: JoinHandle<()>,
    stop_monitor: Arc<AtomicBool>,
    health: HealthBoard,
}

/// Starts the web threads and the monitor, which hears the stream once the door is open.
///
/// # Errors
/// When the private socket or a thread cannot be had; then nothing is left running.
pub fn start(deps: ControlDeps<'_>) -> Result<ControlHandle, ControlError> {
    let (config, frame_samples) = (&deps.config.control, deps.config.ingest.frame_samples as u64);
    let monitor = Monitor::new(PathBuf::from(&config.socket), deps.sources.clone(), deps.frame_bytes);
    let (health, stop_monitor) = (monitor.board(), monitor.stop_flag());
    let plane = ControlPlane {
        sources: deps.sources,
        hosts: HostRules::of_this_machine(&config.hosts),
        loopback_may_change: config.loopback,
        playing: Mutex::default(),
        titles: deps.titles,
        frame_samples,
        health: health.clone(),
    };
    let web = Web::start(config.web_socket.clone(), plane, WEB_THREADS)?;
    match thread::spawn("tower:monitor", move || monitor.run()) {
        Ok(monitor) => Ok(ControlHandle { web, monitor, stop_monitor, health }),
        Err(source) => {
            web.stop();
            Err(ControlError::Thread { name: "tower:monitor", source })
        }
    }
}

impl ControlHandle {
    /// The verdict, for those inside.
    pub fn health(&self) -> Health {
        self.health.health()
    }

    /// Ends the threads and removes the socket's file; takes at most a fraction of
    /// a second. (tiny_http's four idle threads, which hold nothing, end by themselves within 5 s.)
    pub fn stop(self) {
        self.stop_monitor.store(true, SeqCst);
        self.web.stop();
        if self.monitor.join().is_err() {
            log::error!("tower:monitor ended in a panic");
        }
    }
}

#[cfg(test)]
mod tests;
