//! What a person may want of the station, and what it answers.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{Opened, Planned, Think};
use crate::{
    frame::SAMPLE_RATE_HZ,
    limits::PLANNED_MAX,
    station::{
        control::protocol::{Answer, FileName, HistoryEntry, LibraryNow, NextUp, Now, PlayState, TowerNow},
        history::Play,
        playout::Order,
        rotation::{self, Choice},
        track::{Track, TrackKind},
    },
    sys::time::now_ms,
};

/// What a person may want.
#[derive(Debug)]
pub enum Command {
    /// What plays?
    Now,
    /// On to the next segment.
    Skip,
    /// This track is next.
    Next(Arc<Track>),
    /// What was played? At most so many plays.
    History(usize),
    /// The folders are to be looked at now.
    Scan,
}

impl Think {
    pub(super) fn obey(&mut self, command: Command) -> Result<Answer, String> {
        match command {
            Command::Now => Ok(Answer::Now(Box::new(self.now()))),
            Command::Skip => self.skip(),
            Command::Next(track) => self.ask_for(&track),
            Command::History(count) => {
                let plays = self.deps.memory.history().newest_first().take(count);
                Ok(Answer::History { entries: plays.map(entry).collect() })
            }
            Command::Scan => {
                self.deps.library.rescan_now();
                Ok(Answer::Scan)
            }
        }
    }

    fn skip(&mut self) -> Result<Answer, String> {
        if self.ending {
            return Err("the station is signing off".into());
        }
        let Some(id) = self.on_air().map(|opened| opened.id) else {
            return Err("nothing plays that could be skipped".into());
        };
        log::info!("skipped by hand");
        if self.queued.is_empty() || !self.asked.is_empty() {
            // What is queued is being taken back: as soon as there is something to skip to.
            self.skip_wanted = Some(id);
        } else {
            self.order(Order::Skip { id });
        }
        Ok(Answer::Skip)
    }

    /// Before all that is decided: DO gives back what it has not begun.
    fn ask_for(&mut self, track: &Arc<Track>) -> Result<Answer, String> {
        if self.ending {
            return Err("the station is signing off".into());
        }
        if self.plan.len() + self.asked.len() >= PLANNED_MAX {
            return Err(format!("{PLANNED_MAX} tracks wait already; let some of them play first"));
        }
        log::info!("asked for by hand: {}", track.path.display());
        let catalogue = self.playable();
        let choices = rotation::asked_for(&catalogue, self.deps.memory.history(), track);
        self.asked.push(choices);
        self.order(Order::Clear);
        Ok(Answer::Next)
    }

    /// DO's answer to `Clear`: what comes back is decided still, and comes after
    /// what was asked for.
    pub(super) fn cleared(&mut self, ids: &[u64]) {
        let returned = self.queued.iter().filter(|opened| ids.contains(&opened.id)).map(|opened| opened.choice.clone());
        let returned: Vec<Choice> = returned.collect();
        self.queued.retain(|opened| !ids.contains(&opened.id));
        let asked = if self.asked.is_empty() { Vec::new() } else { self.asked.remove(0) };
        // The outro of the song on air is among what was asked for, or its time is over.
        let is_outro = |choice: &Choice| choice.track.kind == TrackKind::Outro;
        self.plan.retain(|planned| !is_outro(&planned.choice));
        let returned = returned.into_iter().filter(|choice| !is_outro(choice));
        for choice in asked.into_iter().chain(returned).collect::<Vec<_>>().into_iter().rev() {
            self.plan.push_front(Planned::new(choice));
        }
    }

    fn now(&mut self) -> Now {
        let catalogue = self.deps.library.catalogue();
        let progress = self.deps.library.progress();
        let on_air = self.playing.last();
        let track = on_air.map(|opened| &opened.choice.track);
        let text = |text: Option<&str>| text.map(str::to_owned);
        Now {
            state: match on_air {
                _ if self.ending => PlayState::SigningOff,
                None => PlayState::Waiting,
                Some(_) => PlayState::Playing,
            },
            title: text(track.map(|track| &*track.title)),
            artist: text(track.and_then(|track| track.artist.as_deref())),
            album: text(track.and_then(|track| track.album.as_deref())),
            kind: track.map(|track| track.kind),
            file: track.map(|track| FileName(track.path.clone())),
            elapsed_ms: on_air.map_or(0, |_| self.elapsed_ms()),
            duration_ms: on_air.and_then(|opened| opened.length_ms),
            reason: on_air.map(|opened| opened.choice.reason.to_string()),
            next: self.next_up(),
            library: LibraryNow {
                tracks: catalogue.tracks.len() as u64,
                songs: catalogue.tracks.iter().filter(|track| track.kind == TrackKind::Song).count() as u64,
                scanning: progress.looking.load(Relaxed),
                files_seen: progress.files.load(Relaxed),
            },
            tower: self.tower_now(),
        }
    }

    /// By DO's own count, where it plays what we think.
    fn elapsed_ms(&self) -> u64 {
        let played = self.deps.stats.playout.position.get() * 1000 / u64::from(SAMPLE_RATE_HZ);
        played.min(now_ms().saturating_sub(self.began_ms) + self.deps.config.playout.crossfade_max_ms)
    }

    fn next_up(&self) -> Option<NextUp> {
        if self.ending {
            return None;
        }
        let queued = self.queued.front().map(|Opened { choice, .. }| choice);
        let choice = queued.or_else(|| self.plan.front().map(|planned| &planned.choice))?;
        Some(NextUp {
            title: choice.track.title.to_string(),
            artist: choice.track.artist.as_deref().map(str::to_owned),
            reason: choice.reason.to_string(),
        })
    }

    fn tower_now(&self) -> TowerNow {
        let stats = &self.deps.stats;
        let (_, filling) = stats.link.tower_queue.last();
        let connected = stats.sink.connected.get() == 1;
        let is_known = connected && stats.link.tower_answers.get() == 1;
        let seen = |value: u32| is_known.then_some(u64::from(value));
        TowerNow {
            connected,
            fill: seen(filling.count),
            capacity: seen(filling.capacity),
            rate_ppm: i64::from(stats.playout.pace_ppm.load(Relaxed)),
            frames_sent: stats.sink.frames.get(),
            frames_dropped: stats.sink.dropped.get(),
        }
    }
}

fn entry(play: &Play) -> HistoryEntry {
    HistoryEntry {
        at_unix_ms: play.at_unix_ms,
        title: play.title.to_string(),
        artist: play.artist.as_deref().map(str::to_owned),
        kind: play.kind,
        file: FileName(play.path.clone()),
    }
}
