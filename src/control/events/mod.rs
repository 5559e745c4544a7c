//! `/events`: levels ten times a second, what changes at once, and what has happened in words.
//!
//! The thread `tower:feed` looks at the same counters as `/status`, makes messages of them, and hands them to the door,
//! which has the subscribers. It may never wait for the door: what does not fit is left out and counted. With nobody
//! there it only keeps the book of what happened.

pub mod watch;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
        },
        mpsc::{SyncSender, TrySendError},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use serde_json::{Value, json};

use self::watch::{Look, Watch, Weight};
use super::{ControlPlane, status::StatusSources};
use crate::{
    limits::TOLD_KEPT,
    pump::selector::{Reason, Source},
    stats::{EventStats, Figure},
};

/// Levels have this distance.
const LOOK: Duration = Duration::from_millis(100);
/// With nobody there, the status for who comes next is made once in so many looks.
const IDLE_LOOKS: u64 = 10;
/// The whole status goes out at least once in so many looks.
const STATUS_LOOKS: u64 = 50;

/// What the door is given.
#[derive(Debug, Clone)]
pub enum Said {
    /// For everybody who is there: one message, whole.
    Message(Arc<[u8]>),
    /// For who comes from now on: what has happened, and how it is.
    Welcome(Arc<[u8]>),
}

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
struct Told {
    /// Counts them, from 1.
    number: u64,
    /// Milliseconds since 1970, by the machine's clock.
    at_ms: u64,
    weight: Weight,
    text: String,
}

/// The thread's own.
pub(super) struct Feed {
    plane: Arc<ControlPlane>,
    sources: StatusSources,
    stats: Arc<EventStats>,
    to_door: SyncSender<Said>,
    watch: Watch,
    book: VecDeque<Told>,
    told: u64,
    /// What of the status makes a change.
    last: Value,
    looks: u64,
}

impl Feed {
    pub(super) fn new(plane: Arc<ControlPlane>, stats: Arc<EventStats>, to_door: SyncSender<Said>) -> Self {
        let sources = plane.sources.clone();
        let (watch, book) = (Watch::default(), VecDeque::with_capacity(TOLD_KEPT));
        Self { plane, sources, stats, to_door, watch, book, told: 0, last: Value::Null, looks: 0 }
    }

    pub(super) fn run(mut self, stop: &AtomicBool) {
        while !stop.load(SeqCst) {
            self.look();
            std::thread::sleep(LOOK);
        }
    }

    fn look(&mut self) {
        let fresh = self.what_happened();
        for told in &fresh {
            self.say(&message("told", told));
        }
        self.looks += 1;
        let nobody = self.stats.subscribers.get() == 0;
        if nobody && fresh.is_empty() && !self.looks.is_multiple_of(IDLE_LOOKS) {
            return;
        }
        let status = serde_json::to_value(self.plane.status_now()).unwrap_or_default();
        let changing = changing(&status);
        if changing != self.last || !fresh.is_empty() || self.looks.is_multiple_of(STATUS_LOOKS) {
            self.last = changing;
            let status = message("status", &status);
            self.say(&status);
            let book = message("history", &self.book);
            self.hand_over(Said::Welcome([&book[..], &status[..]].concat().into()));
        }
        if self.stats.subscribers.get() > 0 {
            self.say(&message("levels", &self.levels()));
        }
    }

    fn what_happened(&mut self) -> Vec<Told> {
        let sentences = self.watch.step(look(&self.sources));
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        let fresh: Vec<Told> = (self.told + 1..)
            .zip(sentences)
            .map(|(number, (weight, text))| Told { number, at_ms, weight, text })
            .collect();
        self.told += fresh.len() as u64;
        self.book.extend(fresh.iter().cloned());
        let over = self.book.len().saturating_sub(TOLD_KEPT);
        self.book.drain(..over);
        fresh
    }

    fn levels(&self) -> Value {
        let sound = &self.sources.meter.on_air;
        json!({
            "peak_dbfs": sound.peak_dbfs.each_ref().map(Figure::get),
            "rms_dbfs": sound.rms_dbfs.each_ref().map(Figure::get),
            "lufs_momentary": sound.lufs_momentary.get(),
            "lufs_short": sound.lufs_short.get(),
        })
    }

    fn say(&self, message: &[u8]) {
        if self.stats.subscribers.get() > 0 {
            self.hand_over(Said::Message(message.into()));
        }
    }

    fn hand_over(&self, said: Said) {
        if let Err(TrySendError::Full(_)) = self.to_door.try_send(said) {
            self.stats.dropped.add(1);
        }
    }
}

/// One message as an `EventSource` reads it. JSON has no line ends of its own.
fn message(name: &str, data: &impl Serialize) -> Vec<u8> {
    let data = serde_json::to_string(data).unwrap_or_else(|_| "null".into());
    format!("event: {name}\ndata: {data}\n\n").into_bytes()
}

/// Levels and counters move always; these are what somebody waits for.
fn changing(status: &Value) -> Value {
    let fields = ["mode", "source", "reason", "title", "artist", "healthy"].map(|key| status[key].clone());
    let alarms: Vec<Value> =
        status["alarms"].as_array().into_iter().flatten().map(|alarm| alarm["alarm"].clone()).collect();
    json!([fields, alarms, status["encoder"]["state"], status["listeners"]["now"], status["relay"]["connected"]])
}

fn look(sources: &StatusSources) -> Look {
    let (pump, encoder) = (&sources.pump, &sources.encoder);
    let on_air = (Source::from_u8(pump.on_air.load(Relaxed)), Reason::from_u8(pump.reason.load(Relaxed)));
    Look {
        on_air: Some(on_air),
        encoder: Some(sources.encoder_state()),
        failures: encoder.failures.get(),
        last_failure: encoder.last_failure(),
        fillers: encoder.fillers.get(),
        recoveries: encoder.recovery_ms.count(),
        skipped: pump.skipped.get(),
        xruns: sources.live.xruns.get(),
        senders: sources.ingest.senders.get(),
        relay: sources.relay.as_ref().map(|(_, stats)| stats.connected.get() == 1),
        dropped_slow: sources.listeners.dropped_slow.get(),
        alarms: sources.meter.alarms.get().into_iter().map(|alarm| (alarm.name.name(), alarm.text)).collect(),
    }
}
