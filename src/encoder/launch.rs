//! Starting one FFmpeg with the descriptors it needs. Waits for the disk, so it
//! is called by `tower:child`, by the probe, and by no real-time thread.

use std::{
    io,
    os::fd::OwnedFd,
    process::{ChildStderr, Stdio},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::{child::Spawned, command::EncoderCommand};
use crate::sys::{
    child::{PidFd, prepare, set_nonblocking},
    thread::nice_of,
};

/// The nice value that a child takes, where that is permitted.
pub const CHILD_NICE: i32 = -5;

/// Starts a child. Its stdin is a Unix stream socket with the default buffer, so
/// that a frame is taken whole or not at all and a dead child shows at once.
///
/// # Errors
/// Whatever `exec` says: `NotFound` when there is no such program.
pub fn launch(command: &EncoderCommand, generation: u64) -> io::Result<(Spawned, ChildStderr)> {
    let (stdin, childs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
    set_nonblocking(&stdin)?;
    let mut process = command.build();
    process.stdin(Stdio::from(childs)).stdout(Stdio::piped()).stderr(Stdio::piped());
    prepare(&mut process, CHILD_NICE);
    let mut child = process.spawn()?;
    let pid = child.id();
    let pidfd = PidFd::open(pid)?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("a child without pipes"));
    };
    let stdout = OwnedFd::from(stdout);
    set_nonblocking(&stdout)?;
    set_nonblocking(&stderr)?;
    Ok((Spawned { generation, pid, nice: nice_of(pid), pidfd, stdin, stdout }, stderr))
}
