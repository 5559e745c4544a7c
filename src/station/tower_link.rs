//! The tower's HTTP surface, as the station uses it: the filling of the queue,
//! asked each second, and the events of the station, told one by one.
//!
//! Each has a thread of its own. A tower that is slow, gone or not a tower costs
//! the threads here their time and the audio nothing: the filling is published in
//! an atomic, and an event that finds its queue full is dropped and counted.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use ureq::Agent;

use super::{pace::Filling, stats::LinkStats, track::Track};
use crate::{
    limits::{STATION_EVENTS_MAX, TOWER_ANSWER_MS_MAX, TOWER_LOOK_MS, WEB_REPLY_BYTES_MAX},
    sys::thread,
};

/// What a station says about itself (K3).
#[derive(Debug, Clone)]
pub enum StationEvent {
    /// It has begun.
    Startup,
    /// It has ended.
    Shutdown,
    /// A track begins.
    Playing {
        /// Which.
        track: Arc<Track>,
        /// Station frames sent on this connection when it begins; none: it plays.
        at_frame: Option<u64>,
    },
}

impl StationEvent {
    /// As the tower takes it.
    pub fn to_json(&self, at: SystemTime) -> Value {
        let timestamp = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        match self {
            Self::Startup => json!({"event_type": "station_startup", "timestamp": timestamp, "metadata": {}}),
            Self::Shutdown => json!({"event_type": "station_shutdown", "timestamp": timestamp, "metadata": {}}),
            Self::Playing { track, at_frame } => {
                let mut event = json!({
                    "event_type": if track.kind == super::track::TrackKind::Song { "song_playing" } else { "segment_playing" },
                    "timestamp": timestamp,
                    "metadata": {
                        "title": track.title,
                        "artist": track.artist,
                        "album": track.album,
                        "year": track.year,
                        "duration_sec": track.duration_ms.map(|ms| f64::from(ms) / 1000.0),
                        "kind": track.kind,
                    },
                });
                if let Some(at_frame) = at_frame {
                    event["at_frame"] = json!(at_frame);
                }
                event
            }
        }
    }
}

/// A wait that only an event ends.
const FOREVER: Duration = Duration::from_secs(3600);
/// What plays, and could not be told, is told again after this.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// The running threads of the link.
#[derive(Debug)]
pub struct TowerLink {
    events: SyncSender<(SystemTime, StationEvent)>,
    look: SyncSender<()>,
    stop: Arc<AtomicBool>,
    stats: Arc<LinkStats>,
    threads: Vec<JoinHandle<()>>,
}

/// For those who announce.
#[derive(Debug, Clone)]
pub struct Announcer {
    events: SyncSender<(SystemTime, StationEvent)>,
    stats: Arc<LinkStats>,
}

impl Announcer {
    /// Queues an event; never waits.
    pub fn announce(&self, event: StationEvent) {
        if self.events.try_send((SystemTime::now(), event)).is_err() {
            self.stats.events_dropped.add(1);
        }
    }
}

/// For DO, which wants to know how its tower is doing right after it has found it.
#[derive(Debug, Clone)]
pub struct Looker(SyncSender<()>);

impl Looker {
    /// Asks for a look at the tower's queue now; never waits.
    pub fn look_now(&self) {
        // One wish that waits is enough.
        let _ = self.0.try_send(());
    }
}

impl TowerLink {
    /// Starts both threads, for the tower at `url`.
    ///
    /// # Errors
    /// Without a thread.
    pub fn start(url: &str, stats: Arc<LinkStats>) -> io::Result<Self> {
        let (events, told) = sync_channel(STATION_EVENTS_MAX);
        let (look, wishes) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let teller =
            Teller { agent: agent(), url: format!("{url}/tower/events/ingest"), failed: false, stats: stats.clone() };
        let watcher =
            Watcher { agent: agent(), url: format!("{url}/tower/buffer"), failed: false, stats: stats.clone() };
        let (ends, stopped) = (stop.clone(), stop.clone());
        let threads = vec![
            thread::spawn("station:notify", move || teller.run(&told, &ends))?,
            thread::spawn("station:look", move || watcher.run(&wishes, &stopped))?,
        ];
        Ok(Self { events, look, stop, stats, threads })
    }

    /// A handle for events.
    pub fn announcer(&self) -> Announcer {
        Announcer { events: self.events.clone(), stats: self.stats.clone() }
    }

    /// A handle for looks.
    pub fn looker(&self) -> Looker {
        Looker(self.look.clone())
    }

    /// Tells the last event and ends; all announcers must be gone. False when the
    /// threads did not end within an answer of the tower's.
    pub fn stop(self) -> bool {
        let Self { events, look, stop, threads, .. } = self;
        stop.store(true, SeqCst);
        drop(events);
        let _ = look.try_send(());
        let deadline = Instant::now() + Duration::from_millis(2 * TOWER_ANSWER_MS_MAX);
        while threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        threads.iter().all(JoinHandle::is_finished)
    }
}

fn agent() -> Agent {
    let timeout = Duration::from_millis(TOWER_ANSWER_MS_MAX);
    Agent::config_builder()
        .timeout_global(Some(timeout))
        .timeout_connect(Some(timeout / 2))
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent(concat!("retrowaves-station/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

struct Teller {
    agent: Agent,
    url: String,
    failed: bool,
    stats: Arc<LinkStats>,
}

impl Teller {
    fn run(mut self, events: &Receiver<(SystemTime, StationEvent)>, stop: &AtomicBool) {
        // What plays, where the tower does not know it yet.
        let mut owed = None;
        loop {
            let wait = if owed.is_some() { TELL_AGAIN } else { FOREVER };
            let (at, event) = match (events.recv_timeout(wait), owed.take()) {
                (Ok(told), _) => told,
                (Err(RecvTimeoutError::Timeout), Some(owed)) => owed,
                (Err(RecvTimeoutError::Timeout), None) => continue,
                (Err(RecvTimeoutError::Disconnected), _) => return,
            };
            // A station that ends tells that it does, and nothing that is past.
            if stop.load(SeqCst) && !matches!(event, StationEvent::Shutdown) {
                continue;
            }
            let outcome = self.tell(&event.to_json(at));
            match &outcome {
                Ok(()) => self.stats.events_told.add(1),
                Err(_) => self.stats.events_failed.add(1),
            }
            if let (Err(_), StationEvent::Playing { track, .. }) = (&outcome, event) {
                owed = Some((at, StationEvent::Playing { track, at_frame: None }));
            }
            say_once(&mut self.failed, &self.url, outcome.err());
        }
    }

    fn tell(&self, event: &Value) -> Result<(), String> {
        let reply = self.agent.post(&self.url).content_type("application/json").send(event.to_string());
        match reply {
            Ok(reply) if reply.status().is_success() => Ok(()),
            Ok(reply) => Err(format!("answers {}", reply.status())),
            Err(error) => Err(error.to_string()),
        }
    }
}

struct Watcher {
    agent: Agent,
    url: String,
    failed: bool,
    stats: Arc<LinkStats>,
}

impl Watcher {
    fn run(mut self, wishes: &Receiver<()>, stop: &AtomicBool) {
        loop {
            match wishes.recv_timeout(Duration::from_millis(TOWER_LOOK_MS)) {
                Err(RecvTimeoutError::Disconnected) => return,
                _ if stop.load(SeqCst) => return,
                _ => {}
            }
            let outcome = self.look();
            self.stats.tower_answers.set(u64::from(outcome.is_ok()));
            if let Ok(filling) = outcome {
                self.stats.tower_queue.publish(filling);
            }
            say_once(&mut self.failed, &self.url, outcome.err());
        }
    }

    fn look(&self) -> Result<Filling, String> {
        let mut reply = self.agent.get(&self.url).call().map_err(|error| error.to_string())?;
        if !reply.status().is_success() {
            return Err(format!("answers {}", reply.status()));
        }
        let limit = u64::try_from(WEB_REPLY_BYTES_MAX).unwrap_or(u64::MAX);
        let text = reply.body_mut().with_config().limit(limit).read_to_string().map_err(|error| error.to_string())?;
        let value: Value = serde_json::from_str(&text).map_err(|error| format!("answers no JSON: {error}"))?;
        let number = |key: &str| value.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        match (number("count"), number("capacity")) {
            (Some(count), Some(capacity)) if count <= capacity && capacity > 0 => Ok(Filling { count, capacity }),
            _ => Err("answers without a count of at most a capacity; is that a tower?".into()),
        }
    }
}

/// A line when it begins to fail and one when it is over.
fn say_once(failed: &mut bool, url: &str, error: Option<String>) {
    match &error {
        Some(error) if !*failed => log::warn!("{url}: {error}; playing on"),
        None if *failed => log::info!("{url}: answers again"),
        _ => {}
    }
    *failed = error.is_some();
}
