//! A futex: how the pump waits for an input without a lock.
//!
//! The waiter compares, sleeps and times out in one system call; the waker holds
//! nothing that the waiter could need.

use std::{
    ptr,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};

/// A sequence number to wait on.
#[derive(Debug, Default)]
pub struct Futex {
    sequence: AtomicU32,
    waiting: AtomicU32,
}

impl Futex {
    /// The sequence now: read it, look for work, and only then wait with it.
    pub fn sequence(&self) -> u32 {
        self.sequence.load(SeqCst)
    }

    /// Says that something has changed. A system call only if somebody waits.
    pub fn wake(&self) {
        self.sequence.fetch_add(1, SeqCst);
        if self.waiting.load(SeqCst) == 0 {
            return;
        }
        // SAFETY: the address is that of a live, aligned u32; FUTEX_WAKE reads no other memory.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.sequence.as_ptr(),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                1,
                ptr::null::<libc::timespec>(),
                ptr::null::<u32>(),
                0,
            )
        };
    }

    /// Waits until the sequence is not `seen` any more, or CLOCK_MONOTONIC reads
    /// `deadline_ns`. May return early; the caller looks again. One waiter at a time.
    pub fn wait(&self, seen: u32, deadline_ns: u64) {
        let due = libc::timespec {
            tv_sec: libc::time_t::try_from(deadline_ns / 1_000_000_000).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::try_from(deadline_ns % 1_000_000_000).unwrap_or(0),
        };
        self.waiting.store(1, SeqCst);
        // SAFETY: the address is that of a live, aligned u32 and `due` outlives the
        // call. FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.sequence.as_ptr(),
                libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG,
                seen,
                &raw const due,
                ptr::null::<u32>(),
                libc::FUTEX_BITSET_MATCH_ANY,
            )
        };
        self.waiting.store(0, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sys::time::now_ns;

    #[test]
    fn a_wait_ends_at_its_deadline_or_at_a_wake() {
        let futex = Arc::new(Futex::default());
        let start = now_ns();
        futex.wait(futex.sequence(), start + 20_000_000);
        assert!(now_ns() - start >= 20_000_000);

        let seen = futex.sequence();
        let waker = futex.clone();
        let thread = std::thread::spawn(move || waker.wake());
        while futex.sequence() == seen {
            futex.wait(seen, now_ns() + 10_000_000_000);
        }
        thread.join().expect("waker");
        // A wake before the wait is not lost.
        let start = now_ns();
        futex.wait(seen, start + 10_000_000_000);
        assert!(now_ns() - start < 5_000_000_000);
    }
}
