//! The signals that stop a program and reopen its log, as a descriptor to wait on.
//!
//! No handler runs in the middle of anything: they are blocked in every thread and
//! read by the main thread when it comes round.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};

/// SIGTERM, SIGINT and SIGHUP, as something to wait on.
pub struct Signals(SignalFd);

impl Signals {
    /// Takes the signals over. Call it before the first thread starts, since
    /// threads inherit what is blocked.
    ///
    /// # Errors
    /// When there is no descriptor to be had.
    pub fn take() -> io::Result<Self> {
        let set: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
        set.thread_block()?;
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// The next one that has come, if any. Never waits.
    pub fn next(&self) -> Option<Signal> {
        let info = self.0.read_signal().ok()??;
        Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
