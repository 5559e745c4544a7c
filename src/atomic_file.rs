//! Writing a file so that a power cut leaves the old one or the new one, never
//! half of one.
//!
//! The new content goes to a temporary file beside it, is brought to the disk,
//! takes the name by `rename`, and then the folder is brought to the disk. There
//! is one temporary name for each file: one that a power cut left behind is
//! overwritten, or removed by `clean`; they never pile up.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Puts `content` into the file at `path`.
///
/// # Errors
/// When it cannot be written; the file at `path` is then what it was.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    write_for(path, content, 0o644)
}

/// [`write`], and nobody but its owner may read it.
///
/// # Errors
/// As [`write`].
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    write_for(path, content, 0o600)
}

/// True if the file holds this already: then a write would only wear out the disk.
pub fn holds(path: &Path, content: &[u8]) -> bool {
    read(path, content.len()).is_ok_and(|old| old == content)
}

fn write_for(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let fresh = beside(path, ".new");
    let done = bring_to_disk(&fresh, content, mode).and_then(|()| fs::rename(&fresh, path));
    if done.is_err() {
        // A half-written file would keep a full disk full.
        let _ = fs::remove_file(&fresh);
    }
    done?;
    File::open(folder_of(path))?.sync_all()
}

/// Removes what a power cut left behind.
pub fn clean(path: &Path) {
    let _ = fs::remove_file(beside(path, ".new"));
}

/// Reads at most `bytes_max` bytes; a longer file is refused.
///
/// # Errors
/// As `open` and `read` have them; `InvalidData` if it is longer, or no file.
pub fn read(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let odd = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    // Non-blocking: a FIFO of that name must not hang us.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(odd("not a file"));
    }
    let expected = usize::try_from(about.len()).unwrap_or(usize::MAX);
    if expected > bytes_max {
        return Err(odd(&format!("{expected} bytes are more than the {bytes_max} that are read")));
    }
    let mut content = Vec::with_capacity(expected);
    file.take(bytes_max as u64 + 1).read_to_end(&mut content)?;
    if content.len() > bytes_max { Err(odd("longer than it said")) } else { Ok(content) }
}

/// Moves a file that cannot be used out of the way, to `….broken`.
///
/// # Errors
/// As `rename` has them.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = beside(path, ".broken");
    fs::rename(path, &aside)?;
    Ok(aside)
}

fn bring_to_disk(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn st3_a_file_is_replaced_as_a_whole() {
        let dir = Scratch::new();
        let path = dir.join("file");
        write(&path, b"one").expect("written");
        fs::write(beside(&path, ".new"), b"left by a power cut, and longer than the next").expect("leftover");
        write(&path, b"two").expect("written");
        assert_eq!(read(&path, 3).expect("read"), b"two");
        assert!(!beside(&path, ".new").exists());
        fs::write(beside(&path, ".new"), b"left").expect("leftover");
        clean(&path);
        assert!(!beside(&path, ".new").exists());
        assert_eq!(read(&path, 2).expect_err("too long").kind(), io::ErrorKind::InvalidData);
        let aside = set_aside(&path).expect("moved");
        assert_eq!(aside, dir.join("file.broken"));
        assert_eq!(read(&path, 3).expect_err("gone").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn st3_what_cannot_be_written_leaves_the_old_file() {
        let dir = Scratch::new();
        let path = dir.join("no-such-folder/file");
        assert!(write(&path, b"x").is_err());
        let path = dir.join("file");
        write(&path, b"old").expect("written");
        // A folder in the way of the temporary file.
        fs::create_dir(beside(&path, ".new")).expect("folder");
        assert!(write(&path, b"new").is_err());
        assert_eq!(read(&path, 10).expect("read"), b"old");
    }

    #[test]
    fn st3_a_fifo_or_a_folder_of_that_name_does_not_hang() {
        let dir = Scratch::new();
        let fifo = dir.join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("fifo");
        assert_eq!(read(&fifo, 10).expect_err("fifo").kind(), io::ErrorKind::InvalidData);
        assert!(read(&dir.join(""), 10).is_err());
    }
}
