//! A sound card, or whatever else ALSA has under a name, open for capture.
//!
//! What the capture thread calls again and again (`start` and all below it) allocates
//! nothing, logs nothing and does not panic; what went wrong is an errno, and what that
//! means is the thread's decision.

use std::{
    cell::RefCell,
    ffi::CString,
    os::fd::{AsRawFd, BorrowedFd},
    rc::Rc,
};

use alsa::{
    Direction, Output,
    pcm::{PCM, State},
    poll::{Descriptors, Flags, poll, pollfd},
};
use nix::errno::Errno;

pub use super::negotiate::{Offer, Setup};
use super::negotiate::{negotiate, offer};
use crate::{
    config::LiveLatency,
    limits::{CARD_DESCRIPTORS_MAX, LIVE_CHANNELS_MAX, LIVE_RATE_HZ_MAX, LIVE_RATE_HZ_MIN},
};

/// Characters of what ALSA says that go into an error.
const WORDS_CHARS_MAX: usize = 200;

/// Why a card cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// ENOENT, ENODEV, ENXIO.
    #[error("{pcm}: there is no such sound device ({words}); `tower devices` lists those there are")]
    NotThere {
        /// The PCM's name.
        pcm: String,
        /// ALSA's words.
        words: String,
    },
    /// EBUSY.
    #[error("{pcm}: is in use by another program")]
    Busy {
        /// The PCM's name.
        pcm: String,
    },
    /// EACCES, EPERM.
    #[error("{pcm}: not permitted; add the user to the group audio")]
    NotPermitted {
        /// The PCM's name.
        pcm: String,
    },
    /// It does not let itself be read frame by frame.
    #[error("{pcm}: has no interleaved access; with plughw: instead of hw: ALSA converts it")]
    Access {
        /// The PCM's name.
        pcm: String,
    },
    /// None of our formats.
    #[error("{pcm}: has no sample format that the tower knows; with plughw: instead of hw: ALSA converts it")]
    Format {
        /// The PCM's name.
        pcm: String,
    },
    /// None of our numbers of channels.
    #[error("{pcm}: has no number of channels from 1 to {LIVE_CHANNELS_MAX}")]
    Channels {
        /// The PCM's name.
        pcm: String,
    },
    /// No rate that makes sense.
    #[error("{pcm}: runs at {rate_hz} Hz; allowed is {LIVE_RATE_HZ_MIN} to {LIVE_RATE_HZ_MAX} Hz")]
    Rate {
        /// The PCM's name.
        pcm: String,
        /// Of those it has, the nearest to ours.
        rate_hz: u32,
    },
    /// More descriptors than are kept.
    #[error("{pcm}: wants to be waited for by {count} descriptors; allowed is 1 to {CARD_DESCRIPTORS_MAX}")]
    Descriptors {
        /// The PCM's name.
        pcm: String,
        /// How many.
        count: usize,
    },
    /// Anything else.
    #[error("{pcm}: cannot {doing}: {} ({words})", .errno.desc())]
    Other {
        /// The PCM's name.
        pcm: String,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        errno: Errno,
        /// ALSA's words.
        words: String,
    },
}

impl CardError {
    pub(super) fn from_alsa(pcm: &str, doing: &'static str, error: alsa::Error) -> Self {
        let (pcm, errno) = (pcm.to_owned(), errno(error));
        match errno {
            Errno::ENOENT | Errno::ENODEV | Errno::ENXIO => Self::NotThere { pcm, words: errno.desc().into() },
            Errno::EBUSY => Self::Busy { pcm },
            Errno::EACCES | Errno::EPERM => Self::NotPermitted { pcm },
            _ => Self::Other { pcm, doing, errno, words: error.func().into() },
        }
    }

    /// The same, with what the library would have printed, if it said anything.
    fn in_words_of(mut self, library: &Words) -> Self {
        if let (Self::NotThere { words, .. } | Self::Other { words, .. }, Some(last)) = (&mut self, library.last()) {
            *words = last;
        }
        self
    }
}

/// What `AlsaCard::wait` was woken by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The card has a period, or it has stopped and reading says why.
    Card,
    /// Nothing: time has passed, or a signal came.
    Nothing,
    /// Somebody wrote to `wake`.
    Told,
}

/// A card that is set up. Closed when dropped.
#[derive(Debug)]
pub struct AlsaCard {
    pcm: PCM,
    setup: Setup,
    /// The card's descriptors, then room for `wake`.
    descriptors: [pollfd; CARD_DESCRIPTORS_MAX + 1],
    /// Of these, the card's.
    count: usize,
}

impl AlsaCard {
    /// Opens the PCM of this name for capture and sets it up; it does not run yet.
    ///
    /// Never waits for a card that is in use. What the library has to say it says in the
    /// error; nothing is printed by it in this thread from now on.
    ///
    /// # Errors
    /// When it is not there, in use or not permitted, or has nothing that the tower can use.
    pub fn open(pcm: &str, latency: LiveLatency) -> Result<Self, CardError> {
        let words = Words::listen();
        Self::open_quietly(pcm, latency).map_err(|error| error.in_words_of(&words))
    }

    fn open_quietly(name: &str, latency: LiveLatency) -> Result<Self, CardError> {
        let pcm = open_pcm(name)?;
        let setup = negotiate(&pcm, name, latency)?;
        let (descriptors, count) = descriptors(&pcm, name)?;
        Ok(Self { pcm, setup, descriptors, count })
    }

    /// What was agreed on.
    pub fn setup(&self) -> Setup {
        self.setup
    }

    /// Starts to capture.
    ///
    /// # Errors
    /// The card's errno; EBADFD: it runs already.
    pub fn start(&self) -> Result<(), Errno> {
        self.pcm.start().map_err(errno)
    }

    /// Waits until the card has a period, somebody writes to `wake`, or time has passed.
    /// Whoever owns `wake` reads it.
    ///
    /// # Errors
    /// Why the card cannot be waited for: EPIPE after an overrun, ESTRPIPE when it is
    /// suspended, ENODEV when it was pulled out, EIO when it does not say.
    pub fn wait(&mut self, wake: BorrowedFd, timeout_ms: u16) -> Result<Woken, Errno> {
        let count = self.count;
        self.descriptors[count] = pollfd { fd: wake.as_raw_fd(), events: Flags::IN.bits(), revents: 0 };
        match poll(&mut self.descriptors[..=count], i32::from(timeout_ms)).map_err(errno) {
            Ok(0) | Err(Errno::EINTR) => return Ok(Woken::Nothing),
            Ok(_) => {}
            Err(errno) => return Err(errno),
        }
        if self.descriptors[count].revents != 0 {
            return Ok(Woken::Told);
        }
        let flags = self.pcm.revents(&self.descriptors[..count]).map_err(errno)?;
        // What the kernel says of a card that is being pulled out, before the card's state does.
        if flags.contains(Flags::NVAL) {
            return Err(Errno::ENODEV);
        }
        if flags.intersects(Flags::ERR | Flags::HUP) {
            // Otherwise a card that is gone would be ready for ever, and we at 100 % in real time.
            return Err(self.trouble());
        }
        Ok(if flags.contains(Flags::IN) { Woken::Card } else { Woken::Nothing })
    }

    /// Why a card in error does not capture.
    fn trouble(&self) -> Errno {
        // `PCM::state` panics at a state it does not know.
        match self.pcm.state_raw() {
            state if state == State::XRun as i32 => Errno::EPIPE,
            state if state == State::Suspended as i32 => Errno::ESTRPIPE,
            state if state == State::Disconnected as i32 => Errno::ENODEV,
            _ => Errno::EIO,
        }
    }

    /// Frames that wait now in the card's buffer.
    ///
    /// # Errors
    /// The card's errno; EPIPE: it has overrun.
    pub fn avail(&self) -> Result<usize, Errno> {
        self.pcm.avail().map(|frames| usize::try_from(frames).unwrap_or(0)).map_err(errno)
    }

    /// Reads whole frames, as many as there are and fit; gives their number.
    ///
    /// # Errors
    /// The card's errno; EPIPE: it has overrun.
    pub fn read(&self, bytes: &mut [u8]) -> Result<usize, Errno> {
        match self.pcm.io_bytes().readi(bytes).map_err(errno) {
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
            read => read,
        }
    }

    /// After EPIPE or ESTRPIPE: starts afresh, without what waited.
    ///
    /// `snd_pcm_recover` would wait for a suspended card for as long as that takes.
    ///
    /// # Errors
    /// The card's errno: it has to be closed and opened again.
    pub fn recover(&self) -> Result<(), Errno> {
        // It may have stopped already.
        let _ = self.pcm.drop();
        self.pcm.prepare().and_then(|()| self.pcm.start()).map_err(errno)
    }
}

/// What the PCM offers, and what would be agreed on: opens it for a moment, and starts nothing.
///
/// # Errors
/// As for [`AlsaCard::open`].
pub fn look(name: &str, latency: LiveLatency) -> Result<(Offer, Setup), CardError> {
    let words = Words::listen();
    let look = || {
        let pcm = open_pcm(name)?;
        let offer = offer(&pcm).map_err(|error| CardError::from_alsa(name, "ask what it can do", error))?;
        Ok((offer, negotiate(&pcm, name, latency)?))
    };
    look().map_err(|error: CardError| error.in_words_of(&words))
}

fn open_pcm(name: &str) -> Result<PCM, CardError> {
    let Ok(c_name) = CString::new(name) else {
        return Err(CardError::NotThere { pcm: name.replace('\0', "?"), words: "a zero byte in its name".into() });
    };
    PCM::open(&c_name, Direction::Capture, true).map_err(|error| CardError::from_alsa(name, "open it", error))
}

fn descriptors(pcm: &PCM, name: &str) -> Result<([pollfd; CARD_DESCRIPTORS_MAX + 1], usize), CardError> {
    let mut descriptors = [pollfd { fd: -1, events: 0, revents: 0 }; CARD_DESCRIPTORS_MAX + 1];
    let count = pcm.count();
    if !(1..=CARD_DESCRIPTORS_MAX).contains(&count) {
        return Err(CardError::Descriptors { pcm: name.to_owned(), count });
    }
    let filled = pcm.fill(&mut descriptors[..count]);
    filled.map_err(|error| CardError::from_alsa(name, "get its descriptors", error))?;
    Ok((descriptors, count))
}

/// What the library says in this thread instead of printing it on stderr.
///
/// A thread keeps the last such listener, so that what it says later is not printed either;
/// each open has a new one, and the old one's words go with it.
struct Words(Option<Rc<RefCell<Output>>>);

impl Words {
    fn listen() -> Self {
        // Without memory for it the library prints, and all else is as it was.
        Self(Output::local_error_handler().ok())
    }

    /// Its last line, without the name of a C function.
    fn last(&self) -> Option<String> {
        let text = self.0.as_ref()?.borrow().to_string();
        let line = text.lines().rfind(|line| !line.trim().is_empty())?;
        let words = line.split_once(": ").map_or(line, |(_function, words)| words);
        Some(words.chars().filter(|c| !c.is_control()).take(WORDS_CHARS_MAX).collect())
    }
}

/// Most of the crate's errors are positive; those about descriptors are not.
fn errno(error: alsa::Error) -> Errno {
    Errno::from_raw(error.errno().saturating_abs())
}
