//! `tower:announce`: has the responder run, and logs what it says.

use std::{
    io::{self, BufRead, BufReader},
    os::fd::{AsFd, BorrowedFd},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

use super::{Announced, responder};
use crate::{
    limits::{ANNOUNCE_GOODBYE_MS, ANNOUNCE_RETRY_MS},
    sys::{child, thread},
};

/// Nothing on this machine waits for an announcement.
const NICE: i32 = 10;

/// A running thread.
pub struct AnnounceHandle {
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
pub fn start(announced: Announced) -> io::Result<AnnounceHandle> {
    let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
    let shared = Arc::new(Shared { stop: AtomicBool::new(false), wake });
    let announcer = Announcer { announced, shared: shared.clone(), said: String::new() };
    let thread = thread::spawn("tower:announce", move || announcer.run())?;
    Ok(AnnounceHandle { shared, thread: Some(thread) })
}

impl AnnounceHandle {
    /// Has the goodbye said; waits for nothing.
    pub fn wish_to_stop(&self) {
        self.shared.stop.store(true, Relaxed);
        // A full counter wakes too.
        let _ = self.shared.wake.write(1);
    }

    /// Ends the thread and its process, within `ANNOUNCE_GOODBYE_MS` of the wish. Called again, it does nothing.
    pub fn stop(&mut self) {
        self.wish_to_stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for AnnounceHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Announcer {
    announced: Announced,
    shared: Arc<Shared>,
    /// What was logged last: the same is not said every minute.
    said: String,
}

impl Announcer {
    fn run(mut self) {
        let _ = thread::set_nice(NICE);
        while !self.is_stopped() {
            match self.start_responder() {
                Ok(mut child) => {
                    self.listen(&mut child);
                    end(&mut child);
                }
                Err(error) => self.say(log::Level::Warn, format!("the responder cannot be started: {error}")),
            }
            wait(&self.shared.wake, None, Duration::from_millis(ANNOUNCE_RETRY_MS), &self.shared);
        }
    }

    fn is_stopped(&self) -> bool {
        self.shared.stop.load(Relaxed)
    }

    fn start_responder(&self) -> io::Result<Child> {
        // This program, also when an update has replaced its file.
        let mut command = Command::new("/proc/self/exe");
        command
            .args(responder::arguments(&self.announced))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        child::prepare(&mut command, NICE);
        command.spawn()
    }

    /// What it says, until it ends or is not wanted any more.
    fn listen(&mut self, child: &mut Child) {
        let Some(stdout) = child.stdout.take() else {
            return;
        };
        let mut lines = BufReader::new(stdout);
        let mut line = String::new();
        loop {
            if lines.buffer().is_empty() {
                wait(&self.shared.wake, Some(lines.get_ref().as_fd()), Duration::MAX, &self.shared);
            }
            line.clear();
            // It says whole lines: once there is something the rest of the line is there.
            if self.is_stopped() || !matches!(lines.read_line(&mut line), Ok(1..)) {
                return;
            }
            self.hear(line.trim_end());
        }
    }

    fn hear(&mut self, line: &str) {
        let (what, text) = line.split_once(' ').unwrap_or((line, ""));
        match what {
            "announced" => self.say(log::Level::Info, format!("{text} at port {}", self.announced.port)),
            "renamed" => self.say(log::Level::Warn, text.to_owned()),
            "taken" => self.say(
                log::Level::Info,
                format!("left to avahi-daemon, systemd-resolved or whoever else has UDP port {text} on this machine"),
            ),
            _ => self.say(log::Level::Warn, text.to_owned()),
        }
    }

    fn say(&mut self, level: log::Level, text: String) {
        if text != self.said {
            log::log!(level, "found on the LAN: {text}");
            self.said = text;
        }
    }
}

/// Until there is something to read, the time is over, or the thread is to stop.
fn wait(wake: &EventFd, readable: Option<BorrowedFd>, within: Duration, shared: &Shared) {
    let start = Instant::now();
    let wake = wake.as_fd();
    while !shared.stop.load(Relaxed) {
        let left = within.saturating_sub(start.elapsed()).min(Duration::from_secs(60));
        let mut fds = [wake, readable.unwrap_or(wake)].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        // A poll that fails (a signal, no memory) only makes the loop go round.
        let _ = poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
        let has_something = readable.is_some() && fds[1].any().unwrap_or(true);
        if has_something || start.elapsed() >= within {
            return;
        }
    }
}

/// Its stdin ends: it says goodbye. One that does not end is ended.
fn end(child: &mut Child) {
    drop(child.stdin.take());
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(ANNOUNCE_GOODBYE_MS) {
        if let Ok(Some(_)) = child.try_wait() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
}
