//! What sockets can say that no kept crate asks them.

use std::{
    io,
    net::TcpListener,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd},
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use nix::sys::socket::{AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt};

const INET: [AddressFamily; 2] = [AddressFamily::Inet, AddressFamily::Inet6];

/// Bytes that the kernel holds for the peer: sent but not acknowledged, or not
/// yet sent (SIOCOUTQ). For a Unix socket: not yet read.
///
/// # Errors
/// When the descriptor is not a socket.
pub fn unacknowledged_bytes(socket: impl AsFd) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is borrowed for the call; TIOCOUTQ (= SIOCOUTQ) writes one int.
    let rc = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if rc == 0 { Ok(u64::try_from(bytes).unwrap_or(0)) } else { Err(io::Error::last_os_error()) }
}

/// Makes the next close a reset, so that a peer which does not read learns of it.
///
/// # Errors
/// When the descriptor is not a socket.
pub fn reset_on_close(socket: impl AsFd) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the descriptor is borrowed for the call; `linger` is initialised and
    // its size is passed along.
    let rc = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            libc::socklen_t::try_from(size_of::<libc::linger>()).unwrap_or(0),
        )
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The TCP ports that systemd has bound and handed over (`LISTEN_FDS`), closed on exec. The first call
/// takes them; later ones find none. What else it handed over is left alone.
///
/// # Errors
/// When the variables name descriptors that are not there.
pub fn handed_over() -> io::Result<Vec<TcpListener>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, SeqCst) {
        return Ok(Vec::new());
    }
    let listening = sd_notify::listen_fds()?.filter(|fd| {
        // SAFETY: `listen_fds` has found the descriptor open; it is borrowed for the look at it.
        is_tcp_listener(unsafe { BorrowedFd::borrow_raw(*fd) })
    });
    // SAFETY: handed over for this process to own, and taken once. A variable that lies cannot make this
    // somebody else's: the program has no listening TCP socket of its own yet.
    Ok(listening.map(|fd| unsafe { TcpListener::from_raw_fd(fd) }).collect())
}

fn is_tcp_listener(fd: BorrowedFd<'_>) -> bool {
    let is_inet = getsockname::<SockaddrStorage>(fd.as_raw_fd())
        .is_ok_and(|name| matches!(name.family(), Some(family) if INET.contains(&family)));
    is_inet
        && getsockopt(&fd, sockopt::SockType) == Ok(SockType::Stream)
        && getsockopt(&fd, sockopt::AcceptConn) == Ok(true)
}
