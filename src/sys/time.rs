//! The monotonic clock. No other clock times audio (C5).

use std::io;

use nix::{
    errno::Errno,
    sys::time::TimeSpec,
    time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep},
};

/// CLOCK_MONOTONIC in nanoseconds: 584 years until it wraps.
pub fn now_ns() -> u64 {
    // The call cannot fail for this clock on Linux; 0 would show at once as a huge gap.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap_or(TimeSpec::new(0, 0));
    u64::try_from(now.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec()).unwrap_or(0)
}

/// CLOCK_MONOTONIC in milliseconds.
pub fn now_ms() -> u64 {
    now_ns() / 1_000_000
}

/// Sleeps until CLOCK_MONOTONIC reads `deadline_ns`. A deadline in the past
/// returns at once; a signal does not cut the sleep short.
///
/// # Errors
/// What `clock_nanosleep` says, other than EINTR.
pub fn sleep_until(deadline_ns: u64) -> io::Result<()> {
    let due = TimeSpec::new(
        i64::try_from(deadline_ns / 1_000_000_000).unwrap_or(i64::MAX),
        i64::try_from(deadline_ns % 1_000_000_000).unwrap_or(0),
    );
    loop {
        match clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &due) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
