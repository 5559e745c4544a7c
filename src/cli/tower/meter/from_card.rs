//! Levels of a card that is opened for it.

use std::{
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use nix::errno::Errno;

use super::{
    Levels, MeterError,
    draw::{Channel, Figures},
};
use crate::{
    cli::plain,
    config::{ChannelPick, LiveLatency},
    frame::CHANNELS,
    input::live::{
        card::{AlsaCard, CardError, Woken},
        convert::to_stereo,
        device::{self, DeviceError, Roots},
    },
};

/// A card that gives nothing for this long is said to.
const QUIET: Duration = Duration::from_secs(2);

/// An open card, and what it has given since the last look.
pub(super) struct CardLevels {
    card: AlsaCard,
    device: String,
    /// As it comes: one buffer of the card's.
    bytes: Vec<u8>,
    /// The same as stereo.
    values: Vec<f32>,
    levels: [Level; CHANNELS],
    overruns: u64,
    heard: Instant,
}

impl CardLevels {
    /// Opens what was written and starts it.
    ///
    /// # Errors
    /// When it cannot be opened or started.
    pub fn open(written: &str, roots: &Roots, latency: LiveLatency) -> Result<Self, MeterError> {
        let card = device::open(written, roots, latency).map_err(refused)?;
        let setup = card.setup();
        let levels = Self {
            device: written.to_owned(),
            bytes: vec![0; setup.buffer_frames * setup.frame_bytes()],
            values: vec![0.0; setup.buffer_frames * CHANNELS],
            levels: Default::default(),
            overruns: 0,
            heard: Instant::now(),
            card,
        };
        levels.card.start().map_err(|errno| levels.lost(errno))?;
        Ok(levels)
    }

    /// Waits for the card, and takes what it has; true: somebody wrote to `wake`.
    fn take(&mut self, wake: BorrowedFd, timeout: Duration) -> Result<bool, Errno> {
        let timeout_ms = u16::try_from(timeout.as_millis()).unwrap_or(u16::MAX);
        match self.card.wait(wake, timeout_ms)? {
            Woken::Told => return Ok(true),
            Woken::Nothing => return Ok(false),
            Woken::Card => {}
        }
        let frames = self.card.read(&mut self.bytes)?;
        let setup = self.card.setup();
        let bytes = &self.bytes[..frames * setup.frame_bytes()];
        let frames = to_stereo(setup.format, setup.channels, ChannelPick::Stereo, bytes, &mut self.values);
        for frame in self.values[..frames * CHANNELS].chunks_exact(CHANNELS) {
            self.levels.iter_mut().zip(frame).for_each(|(level, value)| level.feed(*value));
        }
        if frames > 0 {
            self.heard = Instant::now();
        }
        Ok(false)
    }

    /// Goes on after an overrun or a sleep of the machine.
    fn go_on(&mut self, errno: Errno) -> Result<(), MeterError> {
        match errno {
            Errno::EPIPE => self.overruns += 1,
            Errno::ESTRPIPE => {}
            other => return Err(self.lost(other)),
        }
        self.card.recover().map_err(|errno| self.lost(errno))
    }

    fn lost(&self, errno: Errno) -> MeterError {
        MeterError::Lost { device: plain(&self.device), errno }
    }

    fn figures(&mut self) -> Figures {
        let levels = std::mem::take(&mut self.levels);
        let channels = ["L", "R"].iter().zip(&levels).map(|(name, level)| level.channel(name)).collect();
        let mut notes = vec![format!("overruns: {}", self.overruns)];
        let quiet = self.heard.elapsed();
        if quiet >= QUIET {
            notes.push(format!("NOTHING COMES from the card, for {} s", quiet.as_secs()));
        }
        Figures { title: format!("{}: {}", plain(&self.device), self.card.setup()), channels, notes }
    }
}

impl Levels for CardLevels {
    fn next(&mut self, wake: BorrowedFd, until: Instant) -> Result<Option<Figures>, MeterError> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.take(wake, left) {
                Ok(true) => return Ok(None),
                Ok(false) => {}
                Err(errno) => self.go_on(errno)?,
            }
            if Instant::now() >= until {
                return Ok(Some(self.figures()));
            }
        }
    }
}

/// Whoever has the card is most likely the tower, which can be asked.
fn refused(error: DeviceError) -> MeterError {
    match error {
        DeviceError::Card(CardError::Busy { pcm }) => MeterError::InUse { pcm },
        other => other.into(),
    }
}

/// Of one channel, over a moment.
#[derive(Debug, Default)]
struct Level {
    peak: f32,
    squares: f64,
    samples: u32,
}

impl Level {
    fn feed(&mut self, value: f32) {
        self.peak = self.peak.max(value.abs());
        self.squares += f64::from(value).powi(2);
        self.samples = self.samples.saturating_add(1);
    }

    fn channel(&self, name: &str) -> Channel {
        // Without a sample there is no level, which is not the same as silence.
        let some = |dbfs| (self.samples > 0).then_some(dbfs);
        Channel {
            name: name.into(),
            peak_dbfs: some(20.0 * f64::from(self.peak).log10()),
            rms_dbfs: some(10.0 * (self.squares / f64::from(self.samples)).log10()),
            clipped: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_that_is_in_use_is_most_likely_the_towers() {
        let error = refused(CardError::Busy { pcm: "hw:CARD=CODEC".into() }.into()).to_string();
        assert!(error.contains("in use") && error.contains("`tower meter` without --device"), "{error}");
    }

    #[test]
    fn peak_and_rms_are_in_decibels_of_full_scale() {
        let mut level = Level::default();
        assert_eq!(level.channel("L").peak_dbfs, None);
        [0.5, -0.5, 0.5, -0.5].into_iter().for_each(|value| level.feed(value));
        let channel = level.channel("L");
        let near = |dbfs: Option<f64>| dbfs.is_some_and(|dbfs| (dbfs + 6.02).abs() < 0.01);
        assert!(near(channel.peak_dbfs) && near(channel.rms_dbfs), "{channel:?}");
        let mut silence = Level::default();
        silence.feed(0.0);
        assert_eq!(silence.channel("L").rms_dbfs, Some(f64::NEG_INFINITY));
    }
}
