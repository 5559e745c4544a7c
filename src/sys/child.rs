//! Starting and watching a child process.
//!
//! A child inherits 0, 1 and 2 and nothing else, dies with the thread that
//! started it (so that thread must live as long as the program), runs at normal
//! scheduling with a nice value of its own, and takes signals as if it had been
//! started from a shell.

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// Prepares `command` as the module says. A nice value that is refused leaves
/// the child at the one it inherits: compare with `sys::thread::nice_of`.
pub fn prepare(command: &mut Command, nice: i32) {
    let parent = std::process::id();
    // A group of its own: Ctrl-C is for the tower, which then ends its children in order.
    command.process_group(0);
    // SAFETY: between fork and exec only async-signal-safe calls are made; nothing
    // is allocated, locked or freed.
    unsafe { command.pre_exec(move || in_child(parent, nice)) };
}

fn in_child(parent: u32, nice: i32) -> io::Result<()> {
    // SAFETY: all calls are async-signal-safe and take no pointers but to locals.
    unsafe {
        // The child's signals must not follow the parent's mask, or SIGTERM could not end it.
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        // The parent may have died before the line above.
        if u32::try_from(libc::getppid()) != Ok(parent) {
            libc::_exit(127);
        }
        libc::setpriority(libc::PRIO_PROCESS, 0, nice);
        // Every descriptor of ours is close-on-exec; this covers those of libraries.
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
    Ok(())
}

/// Ends a child and its group, for a script around a program has started that one, and reaps it. Not for one that was
/// reaped already: its id, which names the group, may be another's by then.
pub fn end_group(child: &mut Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Reads and writes of `fd` wait for nothing from now on.
///
/// # Errors
/// As `fcntl` has them.
pub fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(fd.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By `exit`, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Signalled(signal) => match nix::sys::signal::Signal::try_from(*signal) {
                Ok(name) => write!(f, "{name}"),
                Err(_) => write!(f, "signal {signal}"),
            },
        }
    }
}

/// A handle on a process that cannot be confused with a later one of the same id.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens a child that has not been waited for.
    ///
    /// # Errors
    /// ESRCH if there is no such process; ENOSYS before Linux 5.3.
    pub fn open(pid: u32) -> io::Result<Self> {
        // SAFETY: no pointers; the kernel returns a new descriptor, close-on-exec.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        match i32::try_from(fd) {
            // SAFETY: the descriptor is new and nobody else's.
            Ok(fd) if fd >= 0 => Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) })),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Sends a signal. A child that is gone is not an error.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the descriptor is ours; a null siginfo means "as kill would".
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), signal, std::ptr::null::<u8>(), 0) };
    }

    /// Reaps the child if it has ended. `None` while it runs; never blocks.
    pub fn try_wait(&self) -> Option<Ended> {
        // SAFETY: siginfo_t is plain data, and all zeros is a valid value of it.
        let mut info = unsafe { std::mem::zeroed::<libc::siginfo_t>() };
        let id = libc::id_t::try_from(self.0.as_raw_fd()).ok()?;
        // SAFETY: `info` outlives the call; P_PIDFD takes the descriptor as id.
        let rc = unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, libc::WEXITED | libc::WNOHANG) };
        // SAFETY: waitid filled `info`, or left the zeros, in which `si_pid` is 0.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        match (rc, pid) {
            (0, 0) | (-1, _) => None,
            _ if info.si_code == libc::CLD_EXITED => Some(Ended::Exited(status)),
            _ => Some(Ended::Signalled(status)),
        }
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::zombie_processes)] // `try_wait` is what is tested
    fn a_child_is_prepared_watched_and_reaped() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 7"]);
        prepare(&mut command, 0);
        let child = command.spawn().expect("sh");
        let handle = PidFd::open(child.id()).expect("pidfd");
        let ended = std::iter::repeat_with(|| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            handle.try_wait()
        })
        .flatten()
        .next();
        assert_eq!(ended, Some(Ended::Exited(7)));

        let mut command = Command::new("sleep");
        command.arg("60");
        prepare(&mut command, 0);
        let handle = PidFd::open(command.spawn().expect("sleep").id()).expect("pidfd");
        assert_eq!(handle.try_wait(), None);
        handle.signal(libc::SIGKILL);
        let ended = std::iter::repeat_with(|| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            handle.try_wait()
        })
        .flatten()
        .next();
        assert_eq!(ended, Some(Ended::Signalled(libc::SIGKILL)));
        assert_eq!(Ended::Signalled(9).to_string(), "SIGKILL");
    }
}
