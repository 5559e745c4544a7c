//! The log: to a file, to the system's log, and where both fail to stderr.
//!
//! A log call never waits (LOG2): it hands a bounded line to a bounded queue, and
//! counts what does not fit. Only the `…:log` thread touches disk and sockets,
//! so a full disk, a stuck syslogd or a blocked terminal costs log lines and
//! nothing else (LOG4). Real-time threads do not even log: they report to a
//! [`crate::journal`].

mod file;
mod line;
mod queue;
mod stderr;
mod system;
mod writer;

use std::{
    io,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{Receiver, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use nix::sys::signal::{SigSet, SigmaskHow};

use self::{
    queue::{Message, Queue, queue},
    writer::{Sinks, Writer},
};
use crate::{config::LogConfig, stats::LogStats, sys::thread};

/// How long `stop` waits for the last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// The log gives way to everything else.
const NICE: i32 = 10;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No thread to write it.
    #[error("cannot start the log's thread: {0}")]
    Thread(#[from] io::Error),
    /// The process logs elsewhere already.
    #[error("this process has another logger already")]
    AnotherLogger,
}

/// What callers and writer share besides the queue.
#[derive(Debug, Default)]
struct Shared {
    stats: Arc<LogStats>,
    stop: AtomicBool,
    reopen: AtomicBool,
}

/// A running log.
#[derive(Debug)]
pub struct LogHandle {
    queue: Queue,
    done: Receiver<()>,
    thread: JoinHandle<()>,
}

/// What the `log` crate calls. The lock is taken for writing by `start` and
/// `stop` alone; a line that meets one of them is not worth a wait.
struct Front {
    queue: RwLock<Option<Queue>>,
}

/// These libraries tell each step they take: not what somebody looks for who asks
/// for debug. What goes wrong in them is.
const TALKATIVE: [&str; 5] = ["ureq", "ureq_proto", "tiny_http", "lofty", "ogg_pager"];

fn is_talk(metadata: &log::Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    metadata.level() > log::Level::Warn && TALKATIVE.contains(&library)
}

static FRONT: Front = Front { queue: RwLock::new(None) };
static INSTALLED: AtomicBool = AtomicBool::new(false);

impl log::Log for Front {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level() && !is_talk(metadata)
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if let Ok(queue) = self.queue.try_read()
            && let Some(queue) = queue.as_ref()
        {
            queue.push(record);
        }
    }

    fn flush(&self) {}
}

/// Starts the log of this process, which runs `program`. A file that cannot be written is no error:
/// that is said in the system's log or on stderr, and tried again at each line.
///
/// # Errors
/// Without a thread, or when somebody else has installed a logger.
pub fn start(program: &'static str, config: &LogConfig) -> Result<LogHandle, LogError> {
    let syslog = config.syslog.then(|| system::SystemLog::of(program));
    let handle = start_with(program, Sinks::new(&config.file, syslog, stderr::Stderr::of_process()))?;
    if !INSTALLED.swap(true, SeqCst) && log::set_logger(&FRONT).is_err() {
        return Err(LogError::AnotherLogger);
    }
    *FRONT.queue.write().unwrap_or_else(PoisonError::into_inner) = Some(handle.queue.clone());
    log::set_max_level(config.level);
    Ok(handle)
}

fn start_with(program: &str, sinks: Sinks) -> io::Result<LogHandle> {
    let (queue, lines) = queue(Arc::new(Shared::default()));
    let (ended, done) = channel();
    let name = format!("{program}:log");
    let writer = Writer::new(&name, sinks, queue.shared().clone());
    // Signals are for the main thread: this one inherits a mask that lets none through.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let thread = thread::spawn(&name, move || {
        // Refused or not, the log works.
        let _ = thread::set_nice(NICE);
        writer.run(&lines);
        let _ = ended.send(());
    });
    mask.thread_set_mask()?;
    Ok(LogHandle { queue, done, thread: thread? })
}

impl LogHandle {
    /// Opens the file again at the next line (SIGHUP).
    pub fn reopen(&self) {
        self.queue.shared().reopen.store(true, SeqCst);
        self.queue.send(Message::Wake);
    }

    /// The counters.
    pub fn stats(&self) -> Arc<LogStats> {
        self.queue.shared().stats.clone()
    }

    /// Writes what is queued and ends the thread. False: it did not end in time
    /// (a disk that hangs); then it is left to the process's end.
    pub fn stop(self) -> bool {
        let mut front = FRONT.queue.write().unwrap_or_else(PoisonError::into_inner);
        if front.as_ref().is_some_and(|queue| queue.is(&self.queue)) {
            *front = None;
        }
        drop(front);
        self.queue.shared().stop.store(true, SeqCst);
        self.queue.send(Message::Wake);
        self.done.recv_timeout(FLUSH_TIMEOUT).is_ok() && self.thread.join().is_ok()
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_station;
