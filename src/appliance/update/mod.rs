//! `tower update`: a new version into the slot that does not run.
//!
//! RAUC checks the signature and writes; here is decided beforehand whether it may: not while this
//! slot is on trial, not for another board, never an older version. What is wrong is said in words.
//! The slot that runs is never touched.

mod bundle;
mod download;
mod rauc;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use bundle::Bundle;

use super::{
    BoxPlaces,
    slots::{Slot, SlotError, SlotStore},
};
use rauc::Rauc;

/// Why there is no update.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// This is no box, or its slots cannot be read.
    #[error(transparent)]
    Slots(#[from] SlotError),
    /// Not now.
    #[error(
        "this version is itself on trial: when the box has been healthy for a minute it is made good, and can be updated"
    )]
    OnTrial,
    /// RAUC is not there.
    #[error("this is not the box: RAUC, which writes updates, is missing ({0})")]
    NoRauc(io::Error),
    /// The file cannot be had.
    #[error("{from}: {why}")]
    Source {
        /// What was asked for.
        from: String,
        /// In words.
        why: String,
    },
    /// RAUC does not take it.
    #[error("{0}")]
    Refused(String),
    /// For another board.
    #[error("this update is for {found}, and this box is {ours}")]
    OtherBoard {
        /// As the update says.
        found: String,
        /// As RAUC's configuration says.
        ours: String,
    },
    /// The same or older.
    #[error("this update is version {found}, and version {running} runs: only a newer one is taken")]
    NotNewer {
        /// As the update says.
        found: String,
        /// As os-release says.
        running: String,
    },
    /// Not to be compared.
    #[error("{whose} version is {found:?}, which cannot be compared: it should be like 1.2.3")]
    Version {
        /// "this update's" or "the running".
        whose: &'static str,
        /// As it is.
        found: String,
    },
    /// It was written, and yet nothing is on trial.
    #[error("RAUC has written the update and not put it on trial; nothing has changed for this box")]
    NotOnTrial,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// The version that was written.
    pub version: String,
    /// Into which slot.
    pub slot: Slot,
}

/// Fetches, checks and writes. `tell` hears how far it is, a line each.
///
/// # Errors
/// Whatever keeps it from being done; this slot then starts as before.
pub fn update(places: &BoxPlaces, from: &str, tell: &mut dyn FnMut(&str)) -> Result<Updated, UpdateError> {
    let (running, slots) = {
        // The lock is not kept: RAUC will ask for the slots too.
        let store = SlotStore::open(places)?;
        (store.running(), store.slots())
    };
    if slots.is_trial_of(running) {
        return Err(UpdateError::OnTrial);
    }
    let rauc = Rauc::new(&places.rauc_conf);
    let source = Source::fetch(places, from, tell)?;
    let bundle = rauc.info(&source.name)?;
    bundle.may_replace(&rauc.compatible()?, &places.version())?;
    tell(&format!("version {} is written into slot {}", bundle.version, running.other()));
    rauc.install(&source.name, tell)?;
    drop(source);
    if SlotStore::open(places)?.slots().primary() == running {
        return Err(UpdateError::NotOnTrial);
    }
    Ok(Updated { version: bundle.version, slot: running.other() })
}

/// What RAUC is given; a downloaded file goes when it is done with.
struct Source {
    name: String,
    downloaded: Option<PathBuf>,
}

impl Source {
    /// http is downloaded first: any server does, and half a file is noticed before anything is written. https is
    /// left to RAUC, which has TLS, and reads it piece by piece; the server has to be able to do that (ranges).
    fn fetch(places: &BoxPlaces, from: &str, tell: &mut dyn FnMut(&str)) -> Result<Self, UpdateError> {
        let wrong = |why: String| UpdateError::Source { from: from.to_owned(), why };
        if from.starts_with("https://") {
            return Ok(Self { name: from.to_owned(), downloaded: None });
        }
        if !from.starts_with("http://") {
            let path = fs::canonicalize(from).map_err(|error| wrong(error.to_string()))?;
            let is_file = path.is_file();
            let name = path.to_str().map(str::to_owned).filter(|_| is_file);
            return Ok(Self { name: name.ok_or_else(|| wrong("is no file".into()))?, downloaded: None });
        }
        let folder = places.data.join("rauc");
        fs::create_dir_all(&folder).map_err(|error| wrong(error.to_string()))?;
        let path = folder.join("download.raucb");
        let source = Self { name: path.display().to_string(), downloaded: Some(path.clone()) };
        download::download(from, &path, tell).map_err(wrong)?;
        Ok(source)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.downloaded.as_deref().map(Path::to_owned).map(fs::remove_file);
    }
}
