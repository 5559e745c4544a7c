//! What sockets can say that no kept crate asks them.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

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
