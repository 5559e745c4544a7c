//! Threads: names, priorities, locked memory.
//!
//! Every right is asked for and may be refused; the caller is told and goes on.

use std::{io, thread};

/// Enough for every thread of ours, and little when memory is locked.
const STACK_BYTES: usize = 512 << 10;

/// Starts a thread named `name` (at most 15 bytes, as Linux has it).
///
/// # Errors
/// When the kernel has no thread to give.
pub fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    debug_assert!(name.len() <= 15, "{name}: Linux cuts thread names at 15 bytes");
    thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(body)
}

/// Makes the calling thread SCHED_FIFO with `priority`; children do not inherit it.
///
/// # Errors
/// EPERM without the right to it.
pub fn set_fifo(priority: i32) -> io::Result<()> {
    let param = libc::sched_param { sched_priority: priority };
    // SAFETY: `param` is initialised and outlives the call; 0 is the calling thread.
    let rc = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const param) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the calling thread an ordinary one again.
///
/// # Errors
/// EPERM where not even that is permitted.
pub fn set_normal() -> io::Result<()> {
    let param = libc::sched_param { sched_priority: 0 };
    // The flag has to stay: only a privileged thread may take it away.
    // SAFETY: `param` is initialised and outlives the call; 0 is the calling thread.
    let rc = unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER | libc::SCHED_RESET_ON_FORK, &raw const param) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets the calling thread's nice value.
///
/// # Errors
/// EPERM or EACCES when a lower value is not permitted.
pub fn set_nice(nice: i32) -> io::Result<()> {
    // SAFETY: no pointers; on Linux, 0 with PRIO_PROCESS is the calling thread.
    let rc = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The nice value of a process's main thread; `None` if it is gone.
pub fn nice_of(pid: u32) -> Option<i32> {
    // SAFETY: no pointers. -1 is a valid answer, so errno is cleared first.
    unsafe {
        *libc::__errno_location() = 0;
        let nice = libc::getpriority(libc::PRIO_PROCESS, pid);
        (*libc::__errno_location() == 0).then_some(nice)
    }
}

/// Keeps every page that is touched from now on in memory. Pages are locked as
/// they are touched, so the process stays as small as it is.
///
/// # Errors
/// EPERM or ENOMEM without the right to it.
pub fn lock_memory() -> io::Result<()> {
    // SAFETY: no pointers.
    let rc = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Wakes the calling thread's sleeps as exactly as the kernel can, for a thread
/// that could not become real-time.
pub fn tighten_timer_slack() {
    // SAFETY: no pointers; an old kernel answers EINVAL and nothing changes.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_000, 0, 0, 0) };
}

/// Touches `BYTES` of the calling thread's stack, so that the pages are there
/// before the first tick needs them.
pub fn prefault_stack() {
    const BYTES: usize = 128 << 10;
    let mut pages = [0u8; BYTES];
    for page in pages.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(&pages);
}
