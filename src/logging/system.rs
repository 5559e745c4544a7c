//! The system's log, by the `syslog` crate.
//!
//! That crate sends blockingly and never reconnects, so it lives on the log's
//! thread alone, with a bound on each send and a new connection after an error.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use syslog::{Facility, Formatter3164, Logger, LoggerBackend};

/// Between two attempts to connect.
const RETRY: Duration = Duration::from_secs(5);
/// For a syslogd that does not read.
const SEND_TIMEOUT: Duration = Duration::from_millis(50);

/// A connection to the system's log, or the wish for one.
pub struct SystemLog {
    /// Whose lines they are.
    program: &'static str,
    /// For tests; none: where syslogd listens.
    path: Option<PathBuf>,
    logger: Option<Logger<LoggerBackend, Formatter3164>>,
    retry_at: Option<Instant>,
}

impl SystemLog {
    /// Where syslogd listens.
    pub fn of(program: &'static str) -> Self {
        Self { program, path: None, logger: None, retry_at: None }
    }

    /// At another place than usual.
    #[cfg(test)]
    pub fn at(program: &'static str, path: PathBuf) -> Self {
        Self { path: Some(path), ..Self::of(program) }
    }

    /// Sends a line; false if there is nobody to take it.
    pub fn send(&mut self, level: log::Level, text: &str, now: Instant) -> bool {
        // Twice: a syslogd that was restarted shows at the first send.
        for _ in 0..2 {
            if self.logger.is_none() && !self.connect(now) {
                return false;
            }
            if self.logger.as_mut().is_some_and(|logger| sent(logger, level, text)) {
                return true;
            }
            self.logger = None;
        }
        false
    }

    fn connect(&mut self, now: Instant) -> bool {
        if self.retry_at.is_some_and(|retry_at| now < retry_at) {
            return false;
        }
        self.retry_at = Some(now + RETRY);
        // busybox's syslogd does not understand RFC 5424.
        let formatter = Formatter3164 {
            facility: Facility::LOG_DAEMON,
            hostname: None,
            process: self.program.into(),
            pid: std::process::id(),
        };
        let logger = match &self.path {
            Some(path) => syslog::unix_custom(formatter, path),
            None => syslog::unix(formatter),
        };
        self.logger = logger.ok().filter(bounded);
        self.logger.is_some()
    }
}

fn bounded(logger: &Logger<LoggerBackend, Formatter3164>) -> bool {
    let timeout = Some(SEND_TIMEOUT);
    match &logger.backend {
        LoggerBackend::Unix(socket) => socket.set_write_timeout(timeout).is_ok(),
        LoggerBackend::UnixStream(socket) => socket.get_ref().set_write_timeout(timeout).is_ok(),
        LoggerBackend::Udp(..) | LoggerBackend::Tcp(_) => false,
    }
}

fn sent(logger: &mut Logger<LoggerBackend, Formatter3164>, level: log::Level, text: &str) -> bool {
    let result = match level {
        log::Level::Error => logger.err(text),
        log::Level::Warn => logger.warning(text),
        log::Level::Info => logger.info(text),
        log::Level::Debug | log::Level::Trace => logger.debug(text),
    };
    result.is_ok()
}
