//! The writer: takes lines from the queue and finds somebody who takes them.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::Ordering::SeqCst,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use super::{Shared, file::LogFile, line::Entry, queue::Message, stderr::Stderr, system::SystemLog};
use crate::limits::LOG_LINES_MAX;

/// A line that goes on repeating is mentioned this often.
const REPEATS_SAID_EVERY: Duration = Duration::from_secs(10);
/// Lines between two looks at `Shared`.
const BATCH_LINES: usize = 256;

/// Everywhere a line can go.
pub struct Sinks {
    file: LogFile,
    syslog: Option<SystemLog>,
    stderr: Stderr,
}

impl Sinks {
    /// The file is opened at the first line.
    pub fn new(file: &Path, syslog: Option<SystemLog>, stderr: Stderr) -> Self {
        Self { file: LogFile::new(file), syslog, stderr }
    }
}

/// The log thread's state.
pub struct Writer {
    /// Its name.
    thread: String,
    sinks: Sinks,
    shared: Arc<Shared>,
    repeats: Repeats,
    /// Of `dropped`, how many have been said.
    dropped_said: u64,
    /// Lines that the file did not take since it last took one, and why.
    missing: Option<(u64, String)>,
}

/// Folds a line that comes again and again into "repeated N times".
#[derive(Debug, Default)]
struct Repeats {
    last: Option<Entry>,
    count: u64,
    say_at: Option<Instant>,
}

impl Repeats {
    /// True: the line is the last one again, and was counted instead.
    fn swallow(&mut self, entry: &Entry, now: Instant) -> bool {
        let again = self.last.as_ref().is_some_and(|last| last.repeats(entry));
        if again {
            self.count += 1;
            self.say_at.get_or_insert(now + REPEATS_SAID_EVERY);
        }
        again
    }

    /// What was counted, and how important it was; it counts anew.
    fn take(&mut self) -> Option<(u64, log::Level)> {
        self.say_at = None;
        let count = std::mem::take(&mut self.count);
        let level = self.last.as_ref()?.level;
        (count > 0).then_some((count, level))
    }
}

impl Writer {
    /// Ready to run.
    pub fn new(thread: &str, sinks: Sinks, shared: Arc<Shared>) -> Self {
        Self { thread: thread.to_owned(), sinks, shared, repeats: Repeats::default(), dropped_said: 0, missing: None }
    }

    /// Until `stop` is set and the queue is empty, or there are no callers left.
    pub fn run(mut self, queue: &Receiver<Message>) {
        while let Some(first) = self.wait(queue) {
            self.batch(first, queue);
            // Looked at after the batch, which may have taken the wake-up that came with it.
            if self.shared.stop.load(SeqCst) {
                self.last_lines(queue);
                break;
            }
        }
        self.say_repeats();
    }

    /// `first` and what has come since. True: there may be more.
    fn batch(&mut self, first: Option<Message>, queue: &Receiver<Message>) -> bool {
        if self.shared.reopen.swap(false, SeqCst) {
            self.sinks.file.reopen();
        }
        let mut taken = 0;
        for message in first.into_iter().chain(queue.try_iter().take(BATCH_LINES)) {
            taken += 1;
            if let Message::Line(entry) = message {
                self.take(entry);
            }
        }
        self.say_dropped();
        self.say_repeats_if_due(Instant::now());
        taken >= BATCH_LINES
    }

    /// What was queued before the wish to stop; a caller who goes on cannot hold us.
    fn last_lines(&mut self, queue: &Receiver<Message>) {
        for _ in 0..=LOG_LINES_MAX / BATCH_LINES {
            if !self.batch(None, queue) {
                break;
            }
        }
    }

    /// The next message; `Some(None)` when repeats are due; `None` at the end.
    fn wait(&self, queue: &Receiver<Message>) -> Option<Option<Message>> {
        let Some(say_at) = self.repeats.say_at else {
            return queue.recv().ok().map(Some);
        };
        match queue.recv_timeout(say_at.saturating_duration_since(Instant::now())) {
            Ok(message) => Some(Some(message)),
            Err(RecvTimeoutError::Timeout) => Some(None),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    fn take(&mut self, entry: Entry) {
        if self.repeats.swallow(&entry, Instant::now()) {
            return;
        }
        self.say_repeats();
        self.deliver(&entry);
        self.repeats.last = Some(entry);
    }

    fn say_repeats_if_due(&mut self, now: Instant) {
        if self.repeats.say_at.is_some_and(|say_at| say_at <= now) {
            self.say_repeats();
        }
    }

    fn say_repeats(&mut self) {
        if let Some((count, level)) = self.repeats.take() {
            let entry = self.own(level, format!("last line repeated {count} times"));
            self.deliver(&entry);
        }
    }

    fn say_dropped(&mut self) {
        let dropped = self.shared.stats.dropped.get();
        let new = dropped - self.dropped_said;
        if new > 0 {
            self.dropped_said = dropped;
            self.say_repeats();
            let entry = self.own(log::Level::Warn, format!("{new} log lines were dropped: the queue was full"));
            self.deliver(&entry);
        }
    }

    fn own(&self, level: log::Level, text: String) -> Entry {
        Entry::own(&self.thread, level, text)
    }

    /// To the file and the system's log; to stderr if a person is looking, or nobody else takes it.
    fn deliver(&mut self, entry: &Entry) {
        let line = entry.render();
        let in_file = self.in_file(&line);
        let in_syslog = self.in_syslog(entry);
        let stderr = &mut self.sinks.stderr;
        let on_stderr = (stderr.is_terminal() || !(in_file || in_syslog)) && stderr.write(&line);
        let stats = &self.shared.stats;
        let counter = if in_file || in_syslog || on_stderr { &stats.lines } else { &stats.lost };
        counter.add(1);
    }

    fn in_file(&mut self, line: &str) -> bool {
        let result = match &self.missing {
            None => self.sinks.file.write(line),
            Some((count, why)) => {
                let text = format!("{count} log lines are missing here: {why}");
                let note = self.own(log::Level::Warn, text).render();
                self.sinks.file.write(&note).and_then(|()| {
                    self.missing = None;
                    self.sinks.file.write(line)
                })
            }
        };
        match (result, &mut self.missing) {
            (Ok(()), _) => return true,
            (Err(_), Some((count, _))) => *count += 1,
            (Err(error), missing) => {
                *missing = Some((1, error.to_string()));
                self.say_failure(&error);
            }
        }
        false
    }

    /// Once per failure, where the lines go from now on.
    fn say_failure(&mut self, error: &std::io::Error) {
        let text = format!("{}: the log file cannot be written: {error}", self.sinks.file.path().display());
        let entry = self.own(log::Level::Warn, text);
        if !self.in_syslog(&entry) || self.sinks.stderr.is_terminal() {
            self.sinks.stderr.write(&entry.render());
        }
    }

    fn in_syslog(&mut self, entry: &Entry) -> bool {
        let text = format!("{}: {}", entry.origin, entry.text);
        self.sinks.syslog.as_mut().is_some_and(|syslog| syslog.send(entry.level, &text, Instant::now()))
    }
}
