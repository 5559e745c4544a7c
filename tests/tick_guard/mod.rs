//! The two tools of `tick_takes_no_lock` and `live_takes_no_lock`, which no safe library offers: a fence around
//! the system calls of one thread, and threads that can be made to stand still anywhere.

use std::{fs, io, mem, ptr, thread::sleep, time::Duration};

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, FUTEX_PRIVATE_FLAG, FUTEX_WAIT_BITSET, SECCOMP_RET_ALLOW,
    SECCOMP_RET_KILL_PROCESS, sock_filter,
};

/// How long a thread stands still.
const STANDSTILL_NS: i64 = 2_000_000;

// Offsets in `seccomp_data`, little-endian: the number, the second and the fourth argument.
const NUMBER: u32 = 0;
const OPERATION: u32 = 24;
const TIMEOUT_LOW: u32 = 40;
const TIMEOUT_HIGH: u32 = 44;

/// From now on the calling thread may write (to wake others), read the clock, sleep, and wait on
/// a futex with a time limit. Any other system call ends the process with SIGSYS: also the wait
/// for a lock, which has no time limit, and the call that wakes the next in line for one.
/// `also`: what else it may call.
pub fn fence_in_this_thread(also: &[libc::c_long]) -> io::Result<()> {
    let load = |offset| step(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset);
    let equal = |value, then, otherwise| step(BPF_JMP | BPF_JEQ | BPF_K, then, otherwise, value);
    let number = |call: libc::c_long| u32::try_from(call).expect("a system call's number");
    let wait = u32::try_from(FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG).expect("flags");
    let allowed = [&[libc::SYS_write, libc::SYS_clock_gettime, libc::SYS_clock_nanosleep], also].concat();
    // The calls that are allowed lead to the last step, over the eight about futexes.
    let to_allow = (0..allowed.len()).rev().map(|left| u8::try_from(left + 8).expect("a few calls"));
    let mut program = vec![load(NUMBER)];
    program.extend(allowed.iter().zip(to_allow).map(|(call, steps)| equal(number(*call), steps, 0)));
    program.extend([
        equal(number(libc::SYS_futex), 0, 6),
        load(OPERATION),
        equal(wait, 0, 4),
        load(TIMEOUT_LOW),
        equal(0, 0, 3),
        load(TIMEOUT_HIGH),
        equal(0, 0, 1),
        step(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS),
        step(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW),
    ]);
    let filter =
        libc::sock_fprog { len: u16::try_from(program.len()).expect("short"), filter: program.as_ptr().cast_mut() };
    // SAFETY: numbers only.
    let granted = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: the kernel copies `filter` and the program it points to; both live until the call returns.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    if granted == 0 && set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn step(code: u32, then: u8, otherwise: u8, value: u32) -> sock_filter {
    sock_filter { code: u16::try_from(code).expect("a code"), jt: then, jf: otherwise, k: value }
}

/// Makes SIGUSR1 a standstill of the thread that gets it.
pub fn let_threads_stand_still() {
    extern "C" fn stand_still(_: libc::c_int) {
        let time = libc::timespec { tv_sec: 0, tv_nsec: STANDSTILL_NS };
        // SAFETY: nanosleep may be called in a signal handler; errno, which it may change,
        // is put back for whoever was interrupted.
        unsafe {
            let errno = *libc::__errno_location();
            libc::nanosleep(&raw const time, ptr::null_mut());
            *libc::__errno_location() = errno;
        }
    }
    // SAFETY: all zeros is a valid sigaction; the handler calls only what a handler may.
    let rc = unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = stand_still as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut())
    };
    assert_eq!(rc, 0, "sigaction");
}

/// Stops one thread of this process after the other, wherever it happens to be, but for
/// those in `spared`. Returns how often it has, when `done` says so.
pub fn stop_threads_until(spared: &[i32], done: impl Fn() -> bool) -> u64 {
    let mut stopped = 0;
    while !done() {
        let tasks = fs::read_dir("/proc/self/task").expect("threads");
        let threads = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse::<i32>().ok());
        for thread in threads.filter(|thread| !spared.contains(thread)) {
            // SAFETY: numbers only. A thread that has ended meanwhile is ESRCH.
            let rc = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGUSR1) };
            stopped += u64::from(rc == 0);
            sleep(Duration::from_micros(150));
        }
    }
    stopped
}
