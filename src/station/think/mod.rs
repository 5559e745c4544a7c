//! THINK: what comes next, complete, while the present segment plays.
//!
//! One thread asks the rotation, has unknown files measured, opens decoders, and
//! hands finished segments to DO. None of it is on the audio path: when THINK is
//! late DO has the next segment already, and the tower has a second of sound.

mod commands;
mod opening;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender},
    },
    time::{Duration, Instant},
};

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
/// Where FFmpeg cannot be started, that is tried again after this.
const NO_DECODER_REST_MS: u64 = 5000;

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
}

impl Planned {
    fn new(choice: Choice) -> Self {
        Self { choice, waits_since_ms: None }
    }
}

/// With DO: waiting, or on air.
struct Opened {
    id: u64,
    choice: Choice,
    /// How long it will be, as far as anybody knows.
    length_ms: Option<u64>,
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
    /// A skip waits for a segment to skip to.
    skip_wanted: bool,
    /// Since when a file is being measured.
    measuring_since_ms: Option<u64>,
    /// The library's catalogue, and the same without what is in quarantine.
    playable: Option<(Arc<Catalogue>, Arc<Catalogue>)>,
    /// Where FFmpeg cannot be started nothing is opened before.
    no_decoder_until_ms: u64,
    /// FFmpeg could not be started when it was last tried: measuring tries first, so
    /// that nothing is announced and remembered that cannot be heard.
    no_decoder: bool,
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
            skip_wanted: false,
            measuring_since_ms: None,
            playable: None,
            no_decoder_until_ms: 0,
            no_decoder: false,
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
        let Some(opened) = self.queued.pop_front() else {
            return;
        };
        debug_assert_eq!(opened.id, id, "segments begin in the order in which they were queued");
        let Choice { track, reason } = &opened.choice;
        log::info!("segment started: {} ({reason})", track.name());
        self.deps.memory.played(Play::of(track, clock::unix_ms()));
        self.deps.announcer.announce(StationEvent::Playing { track: track.clone(), at_frame });
        self.began_ms = now_ms();
        self.playing.push(opened);
    }

    fn ended(&mut self, id: u64, outcome: &Outcome, samples: u64) {
        let sec = samples / u64::from(SAMPLE_RATE_HZ);
        let Some(at) = self.playing.iter().position(|opened| opened.id == id) else {
            return;
        };
        let track = self.playing.remove(at).choice.track;
        if self.playing.is_empty() && self.queued.is_empty() {
            self.dried_up_ms = Some(now_ms());
        }
        match outcome {
            Outcome::Finished => log::debug!("segment finished after {sec} s: {}", track.name()),
            Outcome::Skipped => log::info!("segment skipped after {sec} s: {}", track.name()),
            Outcome::Starved => {
                log::warn!("segment given up after {sec} s, its decoder gave nothing: {}", track.path.display());
            }
            Outcome::Failed(error) => {
                log::warn!("segment failed after {sec} s: {error}");
                self.blame(&track, error);
            }
        }
    }

    /// A file that cannot be played is not tried again; one whose decoder was
    /// killed, or could not be started, has done nothing wrong.
    fn blame(&mut self, track: &Track, error: &DecodeError) {
        if matches!(error, DecodeError::NotStarted { .. }) {
            self.no_decoder_until_ms = now_ms() + NO_DECODER_REST_MS;
            if !std::mem::replace(&mut self.no_decoder, true) {
                log::error!("{error}; nothing can be played without it, so it is tried again every 5 s");
            }
        } else if error.is_the_files_fault() {
            self.deps.memory.quarantine(track, &error.to_string(), clock::unix_ms());
            self.playable = None;
            self.plan.retain(|planned| planned.choice.track.path != track.path);
        }
    }

    /// A tower that has come (back) knows nothing of what plays.
    fn announce_again(&mut self) {
        if let Some(opened) = self.playing.last() {
            let track = opened.choice.track.clone();
            self.deps.announcer.announce(StationEvent::Playing { track, at_frame: 0 });
        }
    }

    fn on_air(&self) -> Option<&Opened> {
        self.playing.last()
    }
}
