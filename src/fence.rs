//! The last resort of a stop: where something hangs (a disk, a network share),
//! the process ends all the same, in time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use crate::sys::thread;

/// The last line may take this long to the log.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Ends the process with exit code 1 when `timeout` passes and `stopped` is not set.
pub fn raise(name: &'static str, timeout: Duration, stopped: Arc<AtomicBool>) {
    let fence = thread::spawn(name, move || {
        std::thread::sleep(timeout);
        if !stopped.load(SeqCst) {
            log::error!("not stopped after {} s: ending by force", timeout.as_secs());
            std::thread::sleep(LAST_WORDS);
            std::process::exit(1);
        }
    });
    if let Err(error) = fence {
        log::warn!("stopping without a time limit: {error}");
    }
}
