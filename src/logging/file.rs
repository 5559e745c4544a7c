//! The log file: appended to, and followed when somebody rotates it (LOG3).
//!
//! Appending needs no care for a truncated file: the next line goes to its new
//! end. A renamed or removed one shows as another inode under our name.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// An open log file, or the wish for one.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    open: Option<Open>,
    /// The last line was cut short by a full disk; the next one starts a new line.
    torn: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Device and inode.
    identity: (u64, u64),
}

impl LogFile {
    /// Nothing is opened before the first line.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), open: None, torn: false }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens again at the next line.
    pub fn reopen(&mut self) {
        self.open = None;
    }

    /// Looks whether our name still is our file: one `stat` for each line, so that a file
    /// that is removed takes the one in flight with it, and no more.
    fn follow(&mut self) {
        let found = fs::metadata(&self.path).map(|found| (found.dev(), found.ino())).ok();
        if found != self.open.as_ref().map(|open| open.identity) {
            self.open = None;
        }
    }

    /// Appends a line.
    ///
    /// # Errors
    /// When the file cannot be opened or takes less than the line.
    pub fn write(&mut self, line: &str) -> io::Result<()> {
        self.follow();
        let open = match &mut self.open {
            Some(open) => open,
            closed => closed.insert(open(&self.path)?),
        };
        if self.torn {
            open.file.write_all(b"\n")?;
            self.torn = false;
        }
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match open.file.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(taken) => rest = &rest[taken..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.torn = rest.len() < line.len();
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Readable by the group (LOG1). Non-blocking, so that a named pipe without a
/// reader in the file's place is an error and no trap.
fn open(path: &Path) -> io::Result<Open> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let found = file.metadata()?;
    Ok(Open { file, identity: (found.dev(), found.ino()) })
}
