//! `tower meter`: levels while you look, of a running tower or of a card.
//!
//! On a terminal the picture is drawn over itself ten times a second; into a file or a
//! pipe goes a plain line a second. Ctrl-C, `--seconds` or a reader that has gone end it.

mod draw;
mod from_card;
mod from_tower;
mod screen;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use nix::errno::Errno;

use self::{draw::Figures, from_card::CardLevels, from_tower::TowerLevels, screen::Screen};
use super::status::StatusError;
use crate::{
    config::LiveLatency,
    input::live::device::{DeviceError, Roots},
    signals::Signals,
};

/// Between two pictures.
const PICTURE_MS: u64 = 100;
/// Between two plain lines.
const LINE_MS: u64 = 1000;

/// Why levels cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum MeterError {
    /// The card cannot be opened.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Another program has it.
    #[error("{pcm}: is in use by another program; if that is the tower, `tower meter` without --device has its levels")]
    InUse {
        /// The PCM's name.
        pcm: String,
    },
    /// It was opened, and captures no more.
    #[error("{device}: captures no more: {}", .errno.desc())]
    Lost {
        /// As it was written.
        device: String,
        /// Why.
        errno: Errno,
    },
    /// The tower cannot be asked.
    #[error(transparent)]
    Tower(#[from] StatusError),
    /// No descriptor for Ctrl-C.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
}

/// Where levels come from.
trait Levels {
    /// The levels up to the moment `until`; none: somebody wrote to `wake`.
    fn next(&mut self, wake: BorrowedFd, until: Instant) -> Result<Option<Figures>, MeterError>;
}

/// Shows a card's levels, as it captures them; `device` is written as in `live.device`.
///
/// # Errors
/// When it cannot be opened, or captures no more.
pub fn of_device(device: &str, latency: LiveLatency, seconds: Option<u64>) -> Result<(), MeterError> {
    let signals = Signals::take().map_err(MeterError::Signals)?;
    show(CardLevels::open(device, &Roots::default(), latency)?, &signals, seconds)
}

/// Shows the levels of the tower at `url`. Once it has answered, it may be away for a while.
///
/// # Errors
/// When it does not answer, or is no tower.
pub fn of_tower(url: &str, seconds: Option<u64>) -> Result<(), MeterError> {
    let signals = Signals::take().map_err(MeterError::Signals)?;
    show(TowerLevels::new(url), &signals, seconds)
}

fn show(mut levels: impl Levels, signals: &Signals, seconds: Option<u64>) -> Result<(), MeterError> {
    let mut screen = Screen::new();
    let every = Duration::from_millis(if screen.is_terminal() { PICTURE_MS } else { LINE_MS });
    let begun = Instant::now();
    let end = seconds.map(|seconds| begun + Duration::from_secs(seconds));
    let mut due = begun;
    loop {
        // A machine that was asleep does not make up for its pictures.
        due = (due + every).max(Instant::now());
        let until = end.map_or(due, |end| due.min(end));
        let Some(figures) = levels.next(signals.as_fd(), until)? else {
            return Ok(());
        };
        let over = end.is_some_and(|end| Instant::now() >= end);
        if screen.show(figures).is_err() || over {
            return Ok(());
        }
    }
}
