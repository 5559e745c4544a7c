//! `tower:pull`: the thread that has FFmpeg pull, and takes what it gives.

use std::{
    io,
    os::fd::AsFd,
    path::PathBuf,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::SyncSender,
    },
    thread::JoinHandle,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

use super::{
    PullState,
    child::{PullChild, ending},
    cushion::Cushion,
    life::{Act, Happened, Life},
    source::Source,
    words::{self, Said},
};
use crate::{
    broadcast::title_desk::Announcement,
    limits::{PULL_STALL_MS, PULL_START_MS},
    router::{AudioInputRouter, InputId},
    stats::{PullStats, PullWords},
    sys::{thread, time::now_ns},
};

/// How often the cushion is looked at while it is heard.
const LOOK_MS: u64 = 100;
/// Taken from FFmpeg at once: 341 ms.
const READ_BYTES: usize = 64 << 10;

/// What the thread works with.
pub struct PullDeps {
    /// Where from.
    pub source: Source,
    /// The program.
    pub ffmpeg: PathBuf,
    /// Where frames go.
    pub router: Arc<AudioInputRouter>,
    /// Where titles go, to be told when they are heard.
    pub titles: SyncSender<Announcement>,
    /// Written here.
    pub stats: Arc<PullStats>,
}

/// A running thread.
pub struct PullHandle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    stop: AtomicBool,
    wake: EventFd,
}

/// Starts it.
///
/// # Errors
/// When the kernel has no thread or descriptor to give.
pub fn start(deps: PullDeps) -> io::Result<PullHandle> {
    let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
    let shared = Arc::new(Shared { stop: AtomicBool::new(false), wake });
    let cushion = Cushion::new(deps.router.clone(), deps.stats.clone()).map_err(io::Error::other)?;
    let pull = Pull {
        deps,
        cushion,
        shared: shared.clone(),
        life: Life::new(now_ns()),
        child: None,
        starts: 0,
        last_words: String::new(),
        complaint: String::new(),
        bytes: vec![0; READ_BYTES].into(),
    };
    let thread = thread::spawn("tower:pull", move || pull.run())?;
    Ok(PullHandle { shared, thread: Some(thread) })
}

impl PullHandle {
    /// Ends FFmpeg and the thread, within a fraction of a second. Called again, it does nothing.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        // A full counter wakes too.
        let _ = self.shared.wake.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for PullHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Pull {
    deps: PullDeps,
    cushion: Cushion,
    shared: Arc<Shared>,
    life: Life,
    child: Option<PullChild>,
    starts: u64,
    /// The last complaint of the FFmpeg that runs.
    last_words: String,
    /// Why there is no sound: said once, not every ten seconds.
    complaint: String,
    bytes: Box<[u8]>,
}

impl Pull {
    fn run(mut self) {
        while !self.shared.stop.load(Relaxed) {
            match self.life.step(Happened::Time, now_ns()) {
                Act::Start => self.start_child(),
                Act::End => self.give_up(),
                Act::Nothing => {}
            }
            self.cushion.look(now_ns());
            self.deps.stats.state.store(self.life.state() as u8, Relaxed);
            self.turn();
        }
        self.child = None;
        self.deps.stats.state.store(PullState::Off as u8, Relaxed);
    }

    fn start_child(&mut self) {
        self.last_words.clear();
        match PullChild::start(&self.deps.ffmpeg, &self.deps.source) {
            Ok(child) => {
                self.deps.stats.pid.store(child.pid(), Relaxed);
                self.deps.stats.restarts.add(u64::from(self.starts > 0));
                self.starts += 1;
                self.child = Some(child);
                self.life.step(Happened::Started, now_ns());
            }
            Err(error) => {
                self.life.step(Happened::NotStarted, now_ns());
                let why = format!("{} cannot be started: {error}", self.deps.ffmpeg.display());
                self.complain(why);
            }
        }
    }

    /// Waits for sound, words, a wish to stop or the time, and takes what there is.
    fn turn(&mut self) {
        let has_room = self.cushion.has_room();
        let (stdout, stderr) = match &self.child {
            Some(child) => (has_room.then(|| child.stdout()), child.stderr()),
            None => (None, None),
        };
        // Where there is nothing to look at, `wake` is looked at twice.
        let wake = self.shared.wake.as_fd();
        let fds = [wake, stdout.unwrap_or(wake), stderr.unwrap_or(wake)];
        let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        // A poll that fails (a signal, no memory) only makes the loop go round.
        let _ = poll(&mut fds, self.patience());
        let [_, has_sound, has_words] = fds.map(|fd| fd.any().unwrap_or(true));
        if has_words {
            self.hear_words();
        }
        match (self.child.is_some(), has_room) {
            (true, true) if has_sound => self.take(),
            (true, false) => _ = self.life.step(Happened::Full, now_ns()),
            _ => {}
        }
    }

    fn patience(&self) -> PollTimeout {
        let until_due_ms = self.life.due_ns().saturating_sub(now_ns()).div_ceil(1_000_000);
        // The moment in which nothing is left is met within a tick.
        let until_look_ms = match (self.cushion.empty_in_ms(), &self.child) {
            (Some(empty_in_ms), _) => LOOK_MS.min(empty_in_ms + 1),
            (None, Some(_)) => LOOK_MS,
            (None, None) => u64::MAX,
        };
        PollTimeout::from(u16::try_from(until_due_ms.min(until_look_ms)).unwrap_or(u16::MAX))
    }

    fn take(&mut self) {
        let Some(child) = &mut self.child else {
            return;
        };
        match child.read(&mut self.bytes) {
            Ok(None) => {}
            Ok(Some(count @ 1..)) => {
                if self.life.state() == PullState::Connecting {
                    self.cushion.part();
                    self.complaint.clear();
                    self.say_error(String::new());
                    log::info!("pulled stream {}: its sound comes", self.deps.source);
                }
                self.life.step(Happened::Sound, now_ns());
                self.cushion.take(&self.bytes[..count]);
            }
            Ok(Some(0)) | Err(_) => self.has_ended(),
        }
    }

    fn hear_words(&mut self) {
        let Some(child) = &mut self.child else {
            return;
        };
        let (source, last_words) = (&self.deps.source, &mut self.last_words);
        // Of several only the newest is true.
        let mut newest = None;
        child.words(|line| match words::read(line, source) {
            Some(Said::Title(title)) => newest = Some(title),
            Some(Said::Complaint(complaint)) => *last_words = complaint,
            None => {}
        });
        if let Some(title) = newest {
            self.tell_title(title);
        }
    }

    /// What comes from now on is of this title; empty: it has none.
    fn tell_title(&self, title: String) {
        let text = Some(title.clone()).filter(|title| !title.is_empty());
        let from = Some(self.cushion.next_position());
        // One that finds no room is missing on air; the next one comes with the next song.
        let _ = self.deps.titles.try_send(Announcement { of: InputId::Relay, from, text });
        words_of(&self.deps.stats).title = title;
    }

    /// FFmpeg has closed its output.
    fn has_ended(&mut self) {
        let status = self.child.as_mut().and_then(PullChild::finish);
        self.hear_words();
        let words = std::mem::take(&mut self.last_words);
        // Its words are the reason where it gave up by itself; else they are of a frame that was damaged some time ago.
        let why = match status {
            Some(status) if matches!(status.code(), None | Some(0)) || words.is_empty() => ending(status),
            Some(_) => words,
            None => "FFmpeg closed its output".to_owned(),
        };
        self.life.step(Happened::Ended, now_ns());
        self.let_go(why);
    }

    /// It gives nothing.
    fn give_up(&mut self) {
        let stats = &self.deps.stats;
        // Not yet published anew: as it was until now.
        let had_sound = PullState::from_u8(stats.state.load(Relaxed)) == PullState::Running;
        self.let_go(if had_sound {
            format!("no sound for {} s", PULL_STALL_MS / 1000)
        } else {
            format!("no sound within {} s", PULL_START_MS / 1000)
        });
    }

    fn let_go(&mut self, why: String) {
        self.child = None;
        self.cushion.end();
        self.deps.stats.pid.store(0, Relaxed);
        if !words_of(&self.deps.stats).title.is_empty() {
            self.tell_title(String::new());
        }
        self.complain(why);
    }

    fn complain(&mut self, why: String) {
        if why != self.complaint {
            log::warn!("pulled stream {}: {why}; it is tried again", self.deps.source);
            self.complaint.clone_from(&why);
        }
        self.say_error(why);
    }

    fn say_error(&self, why: String) {
        words_of(&self.deps.stats).error = why;
    }
}

fn words_of(stats: &PullStats) -> std::sync::MutexGuard<'_, PullWords> {
    stats.words.lock().unwrap_or_else(PoisonError::into_inner)
}
