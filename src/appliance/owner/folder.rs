//! Reads the owner's folder: a few files, each bounded, whatever else lies there.

use std::{fs, io, path::Path};

use crate::{
    atomic_file,
    limits::{OWNER_FILE_BYTES_MAX, OWNER_NAMES_MAX},
};

/// The files that are read, as they are called.
pub const NAMES: [&str; 6] = ["tower.toml", "station.toml", "wifi.txt", "hostname.txt", "authorized_keys", "RESET"];

/// One of the owner's files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Found {
    /// Not there.
    #[default]
    Absent,
    /// Its bytes.
    Bytes(Vec<u8>),
    /// There, and not to be read; why, in words.
    Unusable(String),
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folder {
    /// In the order of `NAMES`.
    pub files: [Found; NAMES.len()],
    /// Under which name each was found; capitals do not matter on a FAT.
    pub real_names: [Option<String>; NAMES.len()],
    /// What else lies there.
    pub others: Vec<String>,
}

impl Folder {
    /// Reads it.
    ///
    /// # Errors
    /// When there is no such folder, or it cannot be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut folder = Self::default();
        let mut names: Vec<String> = Vec::new();
        for entry in fs::read_dir(path)?.take(OWNER_NAMES_MAX) {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        for name in names {
            match NAMES.iter().position(|known| known.eq_ignore_ascii_case(&name)) {
                // Two that differ in capitals only, which a FAT does not have: the exact one counts.
                Some(which) if folder.real_names[which].is_none() || NAMES[which] == name => {
                    folder.files[which] = read(&path.join(&name));
                    folder.real_names[which] = Some(name);
                }
                _ => folder.others.push(name),
            }
        }
        Ok(folder)
    }
}

fn read(path: &Path) -> Found {
    match fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => return Found::Unusable("is a folder, and should be a file".into()),
        Ok(about) if about.len() > OWNER_FILE_BYTES_MAX as u64 => {
            return Found::Unusable(format!(
                "has {} bytes; no more than {OWNER_FILE_BYTES_MAX} are read, and a file of this kind has a few hundred",
                about.len()
            ));
        }
        _ => {}
    }
    match atomic_file::read(path, OWNER_FILE_BYTES_MAX) {
        Ok(bytes) => Found::Bytes(bytes),
        Err(error) => Found::Unusable(format!("cannot be read: {error}")),
    }
}
