//! From a decision to a segment in DO's hands: measured if it can be, opened,
//! levelled.

use super::{Message, Opened, Planned, Playable, Think};
use crate::{
    decoder::{DecodeError, FfmpegDecoder},
    frame::SAMPLE_RATE_HZ,
    limits::{MEASURE_IDLE_MS_MAX, OPEN_AHEAD_MS, SEGMENTS_OPENED_MAX},
    station::{
        clock,
        deck::{Cues, END_FADE_SAMPLES, Segment},
        measuring::Measuring,
        playout::Order,
        rotation::{Choice, length_ms},
        sound::gain::{self, Loudness},
        track::{Catalogue, Measured, Track},
    },
    sys::time::now_ms,
};
use std::sync::Arc;

/// Quarantines that have ended are looked for this often.
const QUARANTINE_LOOK_MS: u64 = 60_000;

impl Think {
    /// The sign-on, once there is a library to take it from.
    fn sign_on(&mut self) {
        if self.signed_on || self.deps.library.generation() == 0 {
            return;
        }
        self.signed_on = true;
        let catalogue = self.playable();
        let sign_on = self.deps.rotation.sign_on(&catalogue, self.deps.memory.history());
        self.plan.extend(sign_on.map(Planned::new));
    }

    /// Decides when all that was decided has begun, and opens what is next.
    pub(super) fn top_up(&mut self) {
        let now = now_ms();
        if self.brake.rests(now) || now < self.vanished_until_ms || !self.asked.is_empty() {
            return;
        }
        self.sign_on();
        while self.queued.len() < SEGMENTS_OPENED_MAX {
            if self.plan.is_empty() && self.queued.is_empty() {
                self.decide();
            }
            let Some(planned) = self.plan.front() else { return };
            let track = planned.choice.track.clone();
            let measured = self.deps.memory.measured(&track);
            if measured.is_none() && !planned.unmeasurable && !self.is_urgent(now) {
                if let Some(first) = self.plan.front_mut() {
                    first.waits_since_ms.get_or_insert(now);
                }
                return self.have_measured(&track);
            }
            let Some(planned) = self.plan.pop_front() else { return };
            if !self.open(planned.choice, measured) {
                return;
            }
        }
    }

    fn decide(&mut self) {
        let catalogue = self.playable();
        let moment = clock::moment_in(self.left_ms());
        let choices = self.deps.rotation.choose(&catalogue, self.deps.memory.history(), moment);
        self.plan.extend(choices.into_iter().map(Planned::new));
    }

    /// The catalogue without what is in quarantine. Made anew when one of the two
    /// changes, and now and then: a quarantine ends.
    pub(super) fn playable(&mut self) -> Arc<Catalogue> {
        let all = self.deps.library.catalogue();
        if let Some(playable) = &self.playable
            && Arc::ptr_eq(&playable.of, &all)
            && now_ms() < playable.until_ms
        {
            return playable.catalogue.clone();
        }
        let (memory, now) = (&self.deps.memory, clock::unix_ms());
        let is_good = |track: &&Arc<Track>| !memory.is_bad(&track.path, track.stamp, now);
        let playable = if memory.bad_files().next().is_none() {
            all.clone()
        } else {
            let tracks = all.tracks.iter().filter(is_good).cloned().collect();
            Arc::new(Catalogue { tracks, folders: all.folders.clone() })
        };
        let until_ms = now_ms() + QUARANTINE_LOOK_MS;
        self.playable = Some(Playable { of: all, catalogue: playable.clone(), until_ms });
        playable
    }

    /// What DO has, it has for so long.
    fn left_ms(&self) -> u64 {
        let played = now_ms().saturating_sub(self.began_ms);
        let on_air = self.on_air().map_or(0, |opened| length_on_air_ms(opened).saturating_sub(played));
        on_air + self.queued.iter().map(length_on_air_ms).sum::<u64>()
    }

    /// What is next must be opened now, measured or not.
    fn is_urgent(&self, now: u64) -> bool {
        if self.playing.is_empty() && self.queued.is_empty() {
            let since = self.plan.front().and_then(|planned| planned.waits_since_ms);
            let waited = since.is_some_and(|since| now >= since + MEASURE_IDLE_MS_MAX);
            // The tower's queue has a second of sound still: no time to measure anything.
            return waited || self.dried_up_ms.is_some_and(|since| now < since + MEASURE_IDLE_MS_MAX);
        }
        self.skip_wanted.is_some() || (self.queued.is_empty() && self.left_ms() <= self.open_ahead_ms())
    }

    /// A short segment leaves half of its time for what follows to be measured.
    fn open_ahead_ms(&self) -> u64 {
        self.on_air().map_or(0, length_on_air_ms).min(2 * OPEN_AHEAD_MS) / 2
    }

    fn have_measured(&mut self, track: &Arc<Track>) {
        if self.measuring.is_some() {
            return;
        }
        let inbox = self.deps.inbox.clone();
        let done = move |measuring| {
            // THINK may have ended meanwhile.
            let _ = inbox.send(Message::Measured(measuring));
        };
        match self.deps.measurer.start(track.clone(), done) {
            Ok(()) => self.measuring = Some(track.path.clone()),
            Err(error) => {
                log::warn!("{}: cannot be measured: {error}", track.path.display());
                self.brake.pull(now_ms());
            }
        }
    }

    pub(super) fn measured(&mut self, measuring: Measuring) {
        self.measuring = None;
        match measuring.found {
            Some(Ok(measured)) => {
                self.decoder_started();
                log::debug!("measured: {}: {measured:?}", measuring.track.path.display());
                self.deps.memory.remember(&measuring.track, measured);
            }
            Some(Err(error)) => {
                // Of a bad file the quarantine tells, and of no FFmpeg `blame`.
                if matches!(*error, DecodeError::Failed { .. }) && !error.is_the_files_fault() {
                    log::warn!("not measured: {error}");
                }
                self.blame(&measuring.track, &error);
                let others = self.plan.iter_mut().filter(|planned| planned.choice.track.path == measuring.track.path);
                others.for_each(|planned| planned.unmeasurable = !matches!(*error, DecodeError::NotStarted { .. }));
            }
            None => {}
        }
    }

    /// Opens a decoder and hands the segment over. False: there is nothing to open
    /// it with, now.
    fn open(&mut self, choice: Choice, measured: Option<Measured>) -> bool {
        let Some(segment) = self.segment(&choice, measured) else {
            self.plan.push_front(Planned::new(choice));
            self.brake.pull(now_ms());
            return false;
        };
        let ms = |samples: u64| samples * 1000 / u64::from(SAMPLE_RATE_HZ);
        let length_ms = measured.map(|measured| ms(measured.samples)).or(choice.track.duration_ms.map(u64::from));
        let plays_ms = segment.cues.map(|cues| ms(cues.fallen.saturating_sub(cues.begin)));
        self.queued.push_back(Opened { id: segment.id, choice, length_ms, plays_ms });
        self.order(Order::Queue(Box::new(segment)));
        if let Some(id) = self.skip_wanted.take() {
            self.order(Order::Skip { id });
        }
        true
    }

    fn segment(&mut self, choice: &Choice, measured: Option<Measured>) -> Option<Segment> {
        let track = &choice.track;
        let decoder = match FfmpegDecoder::open(&self.deps.config.ffmpeg, &track.path, 0) {
            Ok(decoder) => decoder,
            Err(error) => {
                log::error!("{}: cannot be opened: {error}", track.path.display());
                return None;
            }
        };
        self.next_id += 1;
        let playout = &self.deps.config.playout;
        let loudness = match (measured, track.tag_lufs) {
            (Some(measured), _) => Loudness::Measured(measured.lufs),
            (None, Some(lufs)) => Loudness::Tagged(lufs),
            (None, None) => Loudness::Unknown,
        };
        Some(Segment {
            id: self.next_id,
            kind: track.kind,
            source: Box::new(decoder),
            gain: if playout.level { gain::gain(loudness, playout.target_lufs) } else { 1.0 },
            cues: measured.filter(|_| playout.crossfade).and_then(cues),
        })
    }

    /// DO has gone when the station ends by force: then nobody wants anything.
    pub(super) fn order(&self, order: Order) {
        let _ = self.deps.orders.send(order);
    }

    /// The sign-off, and the end.
    pub(super) fn end(&mut self) {
        self.ending = true;
        self.plan.clear();
        let catalogue = self.playable();
        let choice = self.deps.rotation.sign_off(&catalogue, self.deps.memory.history());
        let within_ms = self.deps.config.playout.sign_off_max_ms;
        let segment = choice.as_ref().filter(|_| within_ms > 0).and_then(|choice| {
            let measured = self.deps.memory.measured(&choice.track);
            self.segment(choice, measured)
        });
        // DO takes back what it has not begun; something may have begun just now.
        if let (Some(choice), Some(segment)) = (choice, &segment) {
            self.queued.push_back(Opened { id: segment.id, choice, length_ms: None, plays_ms: None });
        }
        let fade_ms = END_FADE_SAMPLES * 1000 / u64::from(SAMPLE_RATE_HZ);
        let segment = segment.map(Box::new);
        self.order(Order::End { segment, within_ms: within_ms.max(fade_ms) });
    }
}

/// As far as anybody knows.
fn length_on_air_ms(opened: &Opened) -> u64 {
    let known = opened.plays_ms.or(opened.length_ms);
    known.unwrap_or_else(|| u64::try_from(length_ms(&opened.choice.track)).unwrap_or(0))
}

/// None where there is nothing but silence: that takes its time like any other sound.
fn cues(measured: Measured) -> Option<Cues> {
    let cues = Cues { begin: measured.cue_in, fallen: measured.cue_out, end: measured.end };
    (cues.begin < cues.end).then_some(cues)
}
