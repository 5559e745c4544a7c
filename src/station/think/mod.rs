//! THINK: what comes next, complete, while the present segment plays.
//!
//! One thread asks the rotation, has unknown files measured, opens decoders, and
//! hands finished segments to DO. None of it is on the audio path: when THINK is
//! late DO has the next segment already, and the tower has a second of sound.

mod brake;
mod commands;
mod opening;

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender},
    },
    time::{Duration, Instant},
};

use brake::Brake;
pub use commands::Command;

use super::{
    clock,
    control::protocol::Answer,
    deck::{DeckEvent, Outcome},
    history::Play,
    library::Library,
    measuring::{Measurer, Measuring},
    playout::{Order, Report},
    rotation::{Choice, Rotation},
    state::Memory,
    stats::StationStats,
    tower_link::{Announcer, StationEvent},
    track::{Catalogue, Track},
};
use crate::{config::StationConfig, decoder::DecodeError, frame::SAMPLE_RATE_HZ, sys::time::now_ms};

/// THINK looks up this often without being told anything.
const LOOK_UP_MS: u64 = 250;
/// After a file that was not there any more, the library has this long to notice.
const VANISHED_REST_MS: u64 = 1000;
/// A segment shorter than this is not what anybody listens for: 100 ms.
const FRUITLESS_SAMPLES: u64 = SAMPLE_RATE_HZ as u64 / 10;

/// What THINK is told.
pub enum Message {
    /// By DO.
    Report(Report),
    /// By the measurer.
    Measured(Measuring),
    /// By hand.
    Command(Command, SyncSender<Result<Answer, String>>),
    /// The station is to end: the sign-off, then nothing.
    End,
    /// THINK is to end.
    Stop,
}

/// What THINK works with.
pub struct ThinkDeps {
    /// Of the station.
    pub config: StationConfig,
    /// What there is.
    pub library: Arc<Library>,
    /// What is remembered.
    pub memory: Memory,
    /// Who chooses.
    pub rotation: Rotation,
    /// To DO.
    pub orders: Sender<Order>,
    /// To the tower.
    pub announcer: Announcer,
    /// Measures unknown files.
    pub measurer: Measurer,
    /// For its own messages.
    pub inbox: SyncSender<Message>,
    /// What the other threads publish.
    pub stats: Arc<StationStats>,
}

/// Decided, not yet with DO.
struct Planned {
    choice: Choice,
    /// Since when it could be with DO, but for its measurement.
    waits_since_ms: Option<u64>,
    /// It was tried, and that failed for no fault of the file's.
    unmeasurable: bool,
}

impl Planned {
    fn new(choice: Choice) -> Self {
        Self { choice, waits_since_ms: None, unmeasurable: false }
    }
}

/// All there is, and what of it can be played.
struct Playable {
    of: Arc<Catalogue>,
    catalogue: Arc<Catalogue>,
    until_ms: u64,
}

/// With DO: waiting, or on air.
struct Opened {
    id: u64,
    choice: Choice,
    /// How long it is, as far as anybody knows.
    length_ms: Option<u64>,
    /// How long it is on air before the next one can begin, where that was measured.
    plays_ms: Option<u64>,
}

/// The thinking thread's state.
pub struct Think {
    deps: ThinkDeps,
    plan: VecDeque<Planned>,
    /// In DO's hands and not begun, in order.
    queued: VecDeque<Opened>,
    /// Begun and not ended: the last one is on air, others fade out.
    playing: Vec<Opened>,
    /// When the last segment on air ended, and nothing followed.
    dried_up_ms: Option<u64>,
    /// When the segment on air began.
    began_ms: u64,
    next_id: u64,
    /// What was asked for waits for DO's answer to `Clear`, each for its own.
    asked: Vec<Vec<Choice>>,
    /// This one is to be skipped as soon as there is something to skip to.
    skip_wanted: Option<u64>,
    measuring: Option<PathBuf>,
    /// The library's catalogue, and the same without what is in quarantine.
    playable: Option<Playable>,
    /// What brings no sound is tried less often.
    brake: Brake,
    /// A file has just vanished: nothing is opened before.
    vanished_until_ms: u64,
    /// That FFmpeg cannot be started was said.
    said_no_decoder: bool,
    signed_on: bool,
    ending: bool,
}

impl Think {
    /// Before its first thought.
    pub fn new(deps: ThinkDeps) -> Self {
        deps.announcer.announce(StationEvent::Startup);
        Self {
            deps,
            plan: VecDeque::new(),
            queued: VecDeque::new(),
            playing: Vec::new(),
            dried_up_ms: None,
            began_ms: now_ms(),
            next_id: 1,
            asked: Vec::new(),
            skip_wanted: None,
            measuring: None,
            playable: None,
            brake: Brake::default(),
            vanished_until_ms: 0,
            said_no_decoder: false,
            signed_on: false,
            ending: false,
        }
    }

    /// Thinks until it is stopped.
    pub fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            match inbox.recv_timeout(Duration::from_millis(LOOK_UP_MS)) {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(message) => self.hear(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if !self.ending {
                self.top_up();
                self.deps.memory.save_if_due(Instant::now());
            }
        }
        self.deps.measurer.stop();
        self.deps.announcer.announce(StationEvent::Shutdown);
        self.deps.memory.save();
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Report(Report::Deck { event: DeckEvent::Started { id }, at_frame }) => self.started(id, at_frame),
            Message::Report(Report::Deck { event: DeckEvent::Ended { id, outcome, samples }, .. }) => {
                self.ended(id, &outcome, samples);
            }
            Message::Report(Report::Cleared(ids)) => self.cleared(&ids),
            Message::Report(Report::Connected) => self.announce_again(),
            Message::Measured(measuring) => self.measured(measuring),
            Message::Command(command, answer) => {
                // A client that has left does not want to know.
                let _ = answer.try_send(self.obey(command));
            }
            Message::End => self.end(),
            Message::Stop => {}
        }
    }

    /// ST1: on start the station announces, and thinks of what is next.
    fn started(&mut self, id: u64, at_frame: u64) {
        let Some(at) = self.queued.iter().position(|opened| opened.id == id) else {
            return;
        };
        // In the order in which they were queued: those before it were taken from DO.
        let Some(opened) = self.queued.drain(..=at).next_back() else {
            return;
        };
        let Choice { track, reason } = &opened.choice;
        log::info!("segment started: {} ({reason})", track.name());
        self.deps.memory.played(Play::of(track, clock::unix_ms()));
        self.deps.announcer.announce(StationEvent::Playing { track: track.clone(), at_frame: Some(at_frame) });
        self.began_ms = now_ms();
        self.playing.push(opened);
    }

    fn decoder_started(&mut self) {
        if std::mem::take(&mut self.said_no_decoder) {
            self.brake.release();
            log::info!("the decoder can be started again");
        }
    }

    fn ended(&mut self, id: u64, outcome: &Outcome, samples: u64) {
        let sec = samples / u64::from(SAMPLE_RATE_HZ);
        let Some(track) = self.take_ended(id) else {
            return;
        };
        if self.playing.is_empty() && self.queued.is_empty() {
            self.dried_up_ms = Some(now_ms());
        }
        if samples >= FRUITLESS_SAMPLES {
            self.brake.release();
            self.decoder_started();
        } else if !matches!(outcome, Outcome::Skipped) {
            self.brake.press(now_ms());
        }
        match outcome {
            Outcome::Finished => log::debug!("segment finished after {sec} s: {}", track.name()),
            Outcome::Skipped => log::info!("segment skipped after {sec} s: {}", track.name()),
            Outcome::Starved => {
                log::warn!("segment given up after {sec} s, its decoder gave nothing: {}", track.path.display());
            }
            Outcome::Failed(error) => {
                if !matches!(**error, DecodeError::NotStarted { .. }) {
                    log::warn!("segment failed after {sec} s: {error}");
                }
                self.blame(&track, error);
            }
        }
    }

    /// On air, or waiting: what fails before its first sample never began.
    fn take_ended(&mut self, id: u64) -> Option<Arc<Track>> {
        let ended = match self.playing.iter().position(|opened| opened.id == id) {
            Some(at) => self.playing.remove(at),
            None => self.queued.remove(self.queued.iter().position(|opened| opened.id == id)?)?,
        };
        Some(ended.choice.track)
    }

    /// A file that cannot be played is not tried again; one whose decoder was
    /// killed, or could not be started, has done nothing wrong.
    fn blame(&mut self, track: &Track, error: &DecodeError) {
        if matches!(error, DecodeError::NotStarted { .. }) {
            self.brake.wait(now_ms());
            if !std::mem::replace(&mut self.said_no_decoder, true) {
                log::error!("nothing can be played: {error}; trying again every 5 s");
            }
        } else if error.is_the_files_fault() && std::fs::metadata(&track.path).is_err() {
            // Removed, or on a stick that was pulled: that is for the library to see, or
            // everything on the stick would be in quarantine before it does.
            self.vanished_until_ms = now_ms() + VANISHED_REST_MS;
            self.plan.retain(|planned| planned.choice.track.path != track.path);
            self.deps.library.rescan_now();
        } else if error.is_the_files_fault() {
            let why = error.to_string();
            // The file is named by whoever says this.
            let name = format!("{}: ", track.path.display());
            self.deps.memory.quarantine(track, why.strip_prefix(&name).unwrap_or(&why), clock::unix_ms());
            self.playable = None;
            self.plan.retain(|planned| planned.choice.track.path != track.path);
        }
    }

    /// A tower that has come (back) knows nothing of what plays.
    fn announce_again(&mut self) {
        if let Some(opened) = self.playing.last() {
            let track = opened.choice.track.clone();
            self.deps.announcer.announce(StationEvent::Playing { track, at_frame: Some(0) });
        }
    }

    fn on_air(&self) -> Option<&Opened> {
        self.playing.last()
    }
}
