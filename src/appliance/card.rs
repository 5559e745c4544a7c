//! The card's FAT partition: read-only, and writable for moments only.
//!
//! Power may go at any moment, and a FAT file system forgives that only while it is
//! not being written. So every change is a whole file, through `atomic_file`, between
//! a remount to read-write and one back.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MsFlags, mount},
    sys::statvfs::{FsFlags, statvfs},
};

use crate::atomic_file;

/// Does `change` while the file system of `folder` can be written to. Where it can be
/// anyway (a computer, a test), nothing is remounted.
///
/// # Errors
/// Those of `change`; or the remount, and then nothing was changed.
pub fn writable<T>(folder: &Path, change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let flags = statvfs(folder)?.flags();
    if !flags.contains(FsFlags::ST_RDONLY) {
        return change();
    }
    let point = mount_point(folder)?;
    if point == Path::new("/") {
        // The root of the box stays as it is, whatever could not be mounted.
        return Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the card's partition is not mounted"));
    }
    let kept = kept_flags(flags);
    remount(&point, kept)?;
    let done = change();
    // Not being able to go back is no reason to say that the change failed.
    if let Err(error) = remount(&point, kept | MsFlags::MS_RDONLY) {
        log::warn!("{}: cannot be made read-only again: {error}", point.display());
    }
    done
}

/// Replaces the file, or makes it.
///
/// # Errors
/// When it cannot be written; it is then what it was.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    writable(folder, || atomic_file::write(path, content))
}

/// [`write`], if the file does not hold that already. Says whether it was written.
///
/// # Errors
/// As [`write`].
pub fn write_if_different(path: &Path, content: &[u8]) -> io::Result<bool> {
    if atomic_file::holds(path, content) {
        return Ok(false);
    }
    write(path, content).map(|()| true)
}

/// Replaces a file that held a secret: the old content is overwritten where it lies, after the
/// new file has taken its name, so that it is not found in the free space of the card.
///
/// # Errors
/// As [`write`].
pub fn replace_secret(path: &Path, content: &[u8]) -> io::Result<()> {
    writable(path.parent().unwrap_or(Path::new("/")), || {
        let old = OpenOptions::new().write(true).open(path).ok();
        atomic_file::write(path, content)?;
        old.map_or(Ok(()), |old| overwrite(&old))
    })
}

/// Removes a file; one that is not there is as good. Its content is overwritten.
///
/// # Errors
/// As `unlink` has them.
pub fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    writable(folder, || {
        let old = OpenOptions::new().write(true).open(path).ok();
        fs::remove_file(path)?;
        File::open(folder)?.sync_all()?;
        old.map_or(Ok(()), |old| overwrite(&old))
    })
}

fn overwrite(mut file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    io::copy(&mut io::Read::take(io::repeat(b' '), length), &mut file)?;
    file.flush()?;
    file.sync_all()
}

fn kept_flags(flags: FsFlags) -> MsFlags {
    let pairs = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_SYNCHRONOUS, MsFlags::MS_SYNCHRONOUS),
    ];
    pairs.into_iter().filter(|(on, _)| flags.contains(*on)).fold(MsFlags::empty(), |all, (_, flag)| all | flag)
}

fn remount(point: &Path, flags: MsFlags) -> io::Result<()> {
    let nothing: Option<&str> = None;
    mount(nothing, point, nothing, flags | MsFlags::MS_REMOUNT, nothing)?;
    Ok(())
}

/// The highest folder that is on the same device.
fn mount_point(folder: &Path) -> io::Result<PathBuf> {
    let folder = fs::canonicalize(folder)?;
    let device = fs::metadata(&folder)?.dev();
    let same = |path: &&Path| fs::metadata(path).is_ok_and(|about| about.dev() == device);
    Ok(folder.ancestors().take_while(same).last().unwrap_or(&folder).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn w2_only_what_changes_is_written_and_a_secret_leaves_no_trace_in_its_file() {
        let dir = Scratch::new();
        let path = dir.join("wifi.txt");
        assert!(write_if_different(&path, b"password=secret").expect("written"));
        assert!(!write_if_different(&path, b"password=secret").expect("compared"));
        // A second name for the same bytes, to see what becomes of them.
        let second = dir.join("clusters");
        fs::hard_link(&path, &second).expect("linked");
        replace_secret(&path, b"moved").expect("replaced");
        assert_eq!(fs::read(&path).expect("new"), b"moved");
        assert_eq!(fs::read(&second).expect("old"), b"               ");
        remove(&path).expect("removed");
        remove(&path).expect("is gone, which is as good");
        assert!(!path.exists());
    }
}
