//! `Capture`: the thread that has the sound card (V3, V4).
//!
//! It opens the card, and looks for it again when it goes, at normal priority: that may load
//! plug-ins, read files and take its time. While the card runs the thread is real-time, below the
//! pump, and does what `running` says. The tower starts and runs without a card.

use std::{
    io,
    os::fd::AsFd,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

use super::{
    LiveState,
    card::Setup,
    device::{self, Roots},
    event::LiveEvent,
    feed::{FeedDeps, LiveFeed},
    life::{self, Act, Happened, Life},
    running::{Running, Turn, Useless},
};
use crate::{
    config::LiveConfig,
    journal::Reporter,
    limits::{CAPTURE_PRIORITY, CARD_LET_GO_MS},
    stats::LiveWords,
    sys::{thread, time::now_ns},
};

/// What the thread works with.
struct Capture {
    config: LiveConfig,
    /// As a person wrote it.
    device: String,
    deps: FeedDeps,
    reporter: Reporter<LiveEvent>,
    shared: Arc<Shared>,
    /// Frames pushed into the router since the start.
    pushed: u64,
    /// The last complaint: said once, not every two seconds.
    complaint: String,
    /// That real-time priority was refused has been said.
    refusal_said: bool,
}

struct Shared {
    stop: AtomicBool,
    wake: EventFd,
}

/// Starts the thread; `None` without a device.
///
/// # Errors
/// When the kernel has no thread or descriptor to give.
pub fn start(config: &LiveConfig, deps: FeedDeps, reporter: Reporter<LiveEvent>) -> io::Result<Option<CaptureHandle>> {
    let Some(device) = config.device.clone() else {
        return Ok(None);
    };
    let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
    let shared = Arc::new(Shared { stop: AtomicBool::new(false), wake });
    let capture = Capture {
        config: config.clone(),
        device,
        deps,
        reporter,
        shared: shared.clone(),
        pushed: 0,
        complaint: String::new(),
        refusal_said: false,
    };
    let thread = thread::spawn("tower:capture", move || capture.run())?;
    Ok(Some(CaptureHandle { shared, thread: Some(thread) }))
}

/// The thread, running.
pub struct CaptureHandle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl CaptureHandle {
    /// Lets go of the card and ends the thread; one that a driver keeps ends with the program.
    /// Called again, it does nothing.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        // A full counter wakes too.
        let _ = self.shared.wake.write(1);
        let Some(thread) = self.thread.take() else {
            return;
        };
        let give_up_ns = now_ns() + CARD_LET_GO_MS * 1_000_000;
        while !thread.is_finished() {
            if now_ns() > give_up_ns {
                log::warn!("sound card: its driver does not let go of it; the stop does not wait for that");
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = thread.join();
    }
}

impl Drop for CaptureHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Capture {
    fn run(mut self) {
        let mut life = Life::new(now_ns());
        while !self.is_stopped() {
            self.publish(life);
            self.sleep_until(life.due_ns());
            if life::step(life, Happened::Time, now_ns()).1 != Act::Open {
                continue;
            }
            life = match self.open() {
                Ok(running) => {
                    let opened = life::step(life, Happened::Opened, now_ns()).0;
                    self.have(running, opened)
                }
                Err(why) => {
                    self.complain(why);
                    life::step(life, Happened::NotOpened, now_ns()).0
                }
            };
        }
        self.deps.stats.state.store(LiveState::Off as u8, Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.shared.stop.load(Relaxed)
    }

    fn sleep_until(&self, due_ns: u64) {
        let ms = due_ns.saturating_sub(now_ns()).div_ceil(1_000_000);
        let timeout = PollTimeout::from(u16::try_from(ms).unwrap_or(u16::MAX));
        // A poll that fails (a signal, no memory) only makes the loop go round.
        let _ = poll(&mut [PollFd::new(self.shared.wake.as_fd(), PollFlags::POLLIN)], timeout);
    }

    fn open(&mut self) -> Result<Running, String> {
        let roots = Roots::default();
        let card = device::open(&self.device, &roots, self.config.latency).map_err(|error| error.to_string())?;
        let setup = card.setup();
        let feed = LiveFeed::new(setup, &self.config, self.deps.clone(), self.pushed)
            .map_err(|error| format!("{}: {setup}: {error}", self.device))?;
        card.start().map_err(|errno| format!("{}: does not start: {}", self.device, errno.desc()))?;
        let running = Running::new(card, feed, now_ns());
        self.welcome(setup, &roots);
        Ok(running)
    }

    fn welcome(&mut self, setup: Setup, roots: &Roots) {
        let pcm = device::resolve(&self.device, roots).unwrap_or_else(|_| self.device.clone());
        let name = device::name_of(&pcm, roots).unwrap_or_default();
        let stats = &self.deps.stats;
        stats.opens.add(1);
        stats.rate_hz.store(setup.rate_hz, Relaxed);
        for (figure, to) in [
            (setup.channels, &stats.channels),
            (setup.period_frames, &stats.period_frames),
            (setup.buffer_frames, &stats.buffer_frames),
        ] {
            to.store(u32::try_from(figure).unwrap_or(u32::MAX), Relaxed);
        }
        stats.format.store(setup.format as u8, Relaxed);
        self.say(LiveWords { pcm, name, error: self.complaint.clone() });
    }

    /// Has a card until it is of no use, or the thread is to end. Returns what became of its life.
    fn have(&mut self, mut running: Running, mut life: Life) -> Life {
        self.publish(life);
        self.be_real_time();
        let why = loop {
            let happened = match running.turn(self.shared.wake.as_fd(), &mut self.reporter) {
                Ok(Turn::Sound(_)) => Happened::Sound,
                Ok(Turn::Nothing) => Happened::Time,
                Ok(Turn::Told) => break None,
                Err(why) => break Some(why),
            };
            let before = life.state();
            let (next, act) = life::step(life, happened, now_ns());
            if act == Act::Close {
                break Some(Useless::Quiet);
            }
            life = next;
            if life.state() != before {
                self.publish(life);
                // It runs: what was wrong before would be worth saying again.
                self.complaint.clear();
                self.reporter.report(LiveEvent::Runs(running.setup()));
            }
        };
        // What it gave is ended while that is still in time; all else is not.
        self.pushed = running.end();
        let _ = thread::set_normal();
        self.forget();
        if let Some(why) = why {
            self.deps.stats.losses.add(1);
            self.complain(format!("{}: {why}", self.device));
        }
        life::step(life, Happened::Gone, now_ns()).0
    }

    fn be_real_time(&mut self) {
        let asked = thread::set_fifo(CAPTURE_PRIORITY);
        self.deps.stats.real_time.store(asked.is_ok(), Relaxed);
        if let Err(error) = asked {
            thread::tighten_timer_slack();
            if !std::mem::replace(&mut self.refusal_said, true) {
                self.reporter.report(LiveEvent::RealTimeRefused(error.raw_os_error().unwrap_or(0)));
            }
        }
        thread::prefault_stack();
    }

    fn publish(&self, life: Life) {
        self.deps.stats.state.store(life.state() as u8, Relaxed);
    }

    /// The figures of a card that is not there any more.
    fn forget(&self) {
        let stats = &self.deps.stats;
        for figure in [&stats.rate_hz, &stats.channels, &stats.period_frames, &stats.buffer_frames] {
            figure.store(0, Relaxed);
        }
        stats.real_time.store(false, Relaxed);
        for figure in [&stats.ppm, &stats.queue_ms, &stats.latency_ms] {
            figure.set(None);
        }
    }

    fn complain(&mut self, why: String) {
        if why != self.complaint {
            log::warn!("sound card {why}; it is tried again");
            self.complaint.clone_from(&why);
        }
        self.say(LiveWords { error: why, ..LiveWords::default() });
    }

    fn say(&self, words: LiveWords) {
        *self.deps.stats.words.lock().unwrap_or_else(PoisonError::into_inner) = words;
    }
}
