//! Binding a Unix socket so that it is ours, and only ours.
//!
//! A socket file outlives its program, so one that is in the way is tried first:
//! if somebody answers, another one of us runs and nothing is touched; if nobody
//! does, it is a leftover and goes. A file that is no socket is never removed.
//! At the end the file is removed only if it still is the one that was made here.

use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::{
            fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind as bind_fd, connect, listen, socket},
};
use thiserror::Error;

/// Mode of a folder that had to be made for the socket.
const FOLDER_MODE: u32 = 0o755;
/// Connections that the kernel queues between two accepts.
const PENDING_MAX: i32 = 128;

/// Why a Unix socket could not be had.
#[derive(Debug, Error)]
pub enum BindError {
    /// Somebody answers on it.
    #[error("{}: somebody else runs and listens on this socket; stop that one, or choose another path", .0.display())]
    InUse(PathBuf),
    /// Something that is not ours to remove is in the way.
    #[error("{}: this is not a socket; remove it, or choose another path", .0.display())]
    NotASocket(PathBuf),
    /// The kernel's limit for socket paths.
    #[error("{}: the path of a socket has at most 107 bytes, and this has {}", .0.display(), .0.as_os_str().len())]
    TooLong(PathBuf),
    /// The folder is missing and could not be made.
    #[error("{}: cannot make the folder of the socket: {source}", folder.display())]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Any other refusal.
    #[error("{}: cannot {doing}: {source}", path.display())]
    Refused {
        /// Which socket.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A listening socket, non-blocking and closed on exec. Dropped, it removes its file.
#[derive(Debug)]
pub struct BoundSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file that was made.
    identity: (u64, u64),
}

/// Binds `path` with file mode `mode`, as the module says.
///
/// # Errors
/// When the path is in use, is no socket, or cannot be made.
pub fn bind(path: &Path, mode: u32) -> Result<BoundSocket, BindError> {
    let address = UnixAddr::new(path).map_err(|_| BindError::TooLong(path.to_owned()))?;
    make_folder(path)?;
    remove_leftover(path, &address)?;
    let fd = new_socket().map_err(|e| refused(path, "make a socket", e.into()))?;
    bind_fd(fd.as_raw_fd(), &address).map_err(|errno| match errno {
        Errno::EADDRINUSE => BindError::InUse(path.to_owned()),
        errno => refused(path, "bind the socket", errno.into()),
    })?;
    let identity = fs::symlink_metadata(path).map(|m| (m.dev(), m.ino()));
    let bound = BoundSocket {
        listener: UnixListener::from(fd),
        path: path.to_owned(),
        identity: identity.map_err(|e| refused(path, "look at the socket", e))?,
    };
    // Nobody can connect before `listen`, so the mode is right from the start.
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|e| refused(path, "set the mode", e))?;
    listen(&bound.listener, Backlog::new(PENDING_MAX).unwrap_or(Backlog::MAXCONN))
        .map_err(|e| refused(path, "listen", e.into()))?;
    Ok(bound)
}

impl BoundSocket {
    /// What to accept from.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for BoundSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        let now = fs::symlink_metadata(&self.path).map(|m| (m.dev(), m.ino()));
        if now.is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn new_socket() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

fn refused(path: &Path, doing: &'static str, source: io::Error) -> BindError {
    let path = path.to_owned();
    BindError::Refused { path, doing, source }
}

fn make_folder(path: &Path) -> Result<(), BindError> {
    let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) else {
        return Ok(());
    };
    let made = fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
    made.map_err(|source| BindError::Folder { folder: folder.to_owned(), source })
}

fn remove_leftover(path: &Path, address: &UnixAddr) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(refused(path, "look at the socket", e)),
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    let probe = new_socket().map_err(|e| refused(path, "make a socket", e.into()))?;
    match connect(probe.as_raw_fd(), address) {
        Err(Errno::ECONNREFUSED) => match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(refused(path, "remove the leftover socket", e)),
            _ => Ok(()),
        },
        Err(Errno::ENOENT) => Ok(()),
        // EAGAIN: its queue is full; EPROTOTYPE: of another kind. Somebody is there.
        Ok(()) | Err(Errno::EAGAIN | Errno::EPROTOTYPE) => Err(BindError::InUse(path.to_owned())),
        Err(errno) => Err(refused(path, "find out whether the socket is in use", errno.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_missing_folder_is_made_and_the_mode_is_set() {
        let scratch = Scratch::new();
        let path = scratch.join("a/b/pcm.sock");
        let bound = bind(&path, 0o660).expect("bound");
        let mode = fs::symlink_metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        UnixStream::connect(&path).expect("somebody listens");
        bound.listener().accept().expect("accepted");
        assert_eq!(bound.listener().accept().expect_err("non-blocking").kind(), io::ErrorKind::WouldBlock);
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn a_leftover_is_replaced_and_one_in_use_is_not() {
        let scratch = Scratch::new();
        let path = scratch.join("pcm.sock");
        drop(UnixListener::bind(&path).expect("first"));
        assert!(path.exists(), "std leaves the file behind");
        let bound = bind(&path, 0o660).expect("leftover replaced");
        let error = bind(&path, 0o660).expect_err("in use");
        assert!(matches!(error, BindError::InUse(_)));
        assert!(error.to_string().contains("somebody else runs and listens"), "{error}");
        assert!(path.exists(), "the one that runs keeps its socket");
        drop(bound);
    }

    #[test]
    fn what_is_no_socket_is_never_removed() {
        let scratch = Scratch::new();
        let path = scratch.join("pcm.sock");
        fs::write(&path, "precious").expect("file");
        assert!(matches!(bind(&path, 0o660), Err(BindError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
        let below = path.join("x.sock");
        assert!(matches!(bind(&below, 0o660), Err(BindError::Folder { .. })));
        let long = scratch.join(&"x".repeat(120));
        assert!(matches!(bind(&long, 0o660), Err(BindError::TooLong(_))));
    }

    #[test]
    fn the_file_of_a_successor_is_left_alone() {
        let scratch = Scratch::new();
        let path = scratch.join("pcm.sock");
        let bound = bind(&path, 0o660).expect("bound");
        // Renamed, not removed, so that the successor cannot get the same inode.
        fs::rename(&path, scratch.join("moved")).expect("moved");
        let successor = UnixListener::bind(&path).expect("successor");
        drop(bound);
        assert!(path.exists());
        drop(successor);
    }
}
