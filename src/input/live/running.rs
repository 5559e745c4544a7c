//! A card while it runs: what is done each time that it has a period.
//!
//! This is the real-time half of the capture thread. It waits for the card and for nothing
//! else, allocates nothing, takes no lock, logs nothing, and a turn is as long as a
//! buffer of the card's: whatever a driver or a plug-in does, it cannot keep it here.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::{
    card::{AlsaCard, Setup, Woken},
    event::LiveEvent,
    feed::LiveFeed,
};
use crate::{
    journal::Reporter,
    limits::{CARD_EMPTY_TURNS_MAX, CARD_LOOK_US_MAX, CARD_PROBATION_MS, CARD_WAIT_MS},
    sys::time::now_ns,
};

/// A card that was opened and started.
pub struct Running {
    card: AlsaCard,
    feed: LiveFeed,
    /// A whole buffer of the card's.
    bytes: Box<[u8]>,
    since_ns: u64,
    /// Frames that it has given.
    given: u64,
    /// Turns in a row in which it was ready and had nothing, or had overrun.
    empty_turns: u32,
    /// It has kept time for a while.
    is_proven: bool,
}

/// What came of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// So many of the card's frames.
    Sound(usize),
    /// Nothing, which is normal, or nothing yet of a card that has only begun.
    Nothing,
    /// Somebody wrote to `wake`.
    Told,
}

/// Why a card is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Useless {
    /// The card says so: ENODEV when it was pulled out.
    #[error("it is gone ({})", .0.desc())]
    Gone(Errno),
    /// It was ready again and again and had nothing.
    #[error("it says that it has sound and has none")]
    Empty,
    /// It gave more than its rate says.
    #[error("it gives sound much faster than its rate says, as no sound card does")]
    Flood,
    /// It has been open for a while and gives none.
    #[error("it gives no sound")]
    Quiet,
}

impl Running {
    /// A card that was started at `now_ns`.
    pub fn new(card: AlsaCard, feed: LiveFeed, now_ns: u64) -> Self {
        let setup = card.setup();
        let bytes = vec![0; setup.buffer_frames * setup.frame_bytes()].into();
        Self { card, feed, bytes, since_ns: now_ns, given: 0, empty_turns: 0, is_proven: false }
    }

    /// What was agreed on with the card.
    pub fn setup(&self) -> Setup {
        self.card.setup()
    }

    /// Waits for the card, for some time, and takes what it has.
    ///
    /// # Errors
    /// When the card is of no use any more.
    pub fn turn(&mut self, wake: BorrowedFd, reporter: &mut Reporter<LiveEvent>) -> Result<Turn, Useless> {
        let taken = match self.card.wait(wake, CARD_WAIT_MS) {
            Ok(Woken::Card) => self.take(reporter),
            Ok(Woken::Nothing) => return Ok(Turn::Nothing),
            Ok(Woken::Told) => return Ok(Turn::Told),
            Err(errno) => Err(errno),
        };
        if !matches!(taken, Ok(1..)) {
            self.empty_turns += 1;
            if self.empty_turns > CARD_EMPTY_TURNS_MAX {
                return Err(Useless::Empty);
            }
        }
        match taken {
            Ok(0) => Ok(Turn::Nothing),
            Ok(frames) => {
                self.empty_turns = 0;
                self.given += frames as u64;
                match self.is_flood(now_ns()) {
                    true => Err(Useless::Flood),
                    false => Ok(if self.is_proven { Turn::Sound(frames) } else { Turn::Nothing }),
                }
            }
            Err(Errno::EPIPE | Errno::ESTRPIPE) => self.recover(reporter),
            Err(errno) => Err(Useless::Gone(errno)),
        }
    }

    /// Looks at what waits, then reads it.
    fn take(&mut self, reporter: &mut Reporter<LiveEvent>) -> Result<usize, Errno> {
        let before_ns = now_ns();
        let held_frames = self.card.avail()?;
        let after_ns = now_ns();
        // What is on probation is not heard: a flood is noticed before that is over.
        self.is_proven |= after_ns >= self.since_ns + CARD_PROBATION_MS * 1_000_000;
        // A thread that was put aside between the two knows the count, and not of when.
        if self.is_proven && after_ns - before_ns <= CARD_LOOK_US_MAX * 1000 && self.feed.look(after_ns, held_frames) {
            reporter.report(LiveEvent::Restarted);
        }
        let frames = self.card.read(&mut self.bytes)?;
        let bytes = frames * self.card.setup().frame_bytes();
        self.feed.take(&self.bytes[..bytes.min(self.bytes.len())]);
        Ok(frames)
    }

    /// In place: the card is the same, and so is what was learned of its crystal.
    fn recover(&mut self, reporter: &mut Reporter<LiveEvent>) -> Result<Turn, Useless> {
        reporter.report(LiveEvent::Xrun(self.feed.count_xrun()));
        self.feed.broken();
        self.card.recover().map_err(Useless::Gone)?;
        Ok(Turn::Nothing)
    }

    /// A second and a buffer more than there can be.
    fn is_flood(&self, now_ns: u64) -> bool {
        let setup = self.card.setup();
        let elapsed_ms = now_ns.saturating_sub(self.since_ns) / 1_000_000;
        let possible = u64::from(setup.rate_hz) * (1000 + elapsed_ms * 5 / 4) / 1000;
        self.given > possible + setup.buffer_frames as u64
    }

    /// Ends its sound; how many frames it and those before it have pushed.
    pub fn end(mut self) -> u64 {
        self.feed.end();
        self.feed.pushed()
    }
}
