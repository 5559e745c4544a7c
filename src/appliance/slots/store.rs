//! Where the slots are remembered: `autoboot.txt` on the card, `slots.toml` on the data partition.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};
use serde::Deserialize;

use super::{
    autoboot::Autoboot,
    machine::{Event, Slot, SlotRefusal, Slots},
};
use crate::{
    appliance::{BoxPlaces, card},
    atomic_file,
};

const AUTOBOOT_BYTES_MAX: usize = 4096;
const SLOTS_BYTES_MAX: usize = 4096;

/// Why the slots could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// No `rauc.slot=` on the kernel's command line.
    #[error("this is not the box: the kernel's command line names no slot (rauc.slot=A or rauc.slot=B)")]
    NotTheBox,
    /// Where `autoboot.txt` belongs.
    #[error("the card's first partition is not there: {}", .0.display())]
    NoCard(PathBuf),
    /// It would be wrong.
    #[error(transparent)]
    Refused(#[from] SlotRefusal),
    /// The disk.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The slots of this box, locked against others of our commands while it lives.
pub struct SlotStore {
    autoboot_path: PathBuf,
    slots_path: PathBuf,
    running: Slot,
    slots: Slots,
    _lock: Flock<File>,
}

/// `slots.toml`. What is missing or not understood counts as "no".
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Remembered {
    /// Whose remarks these are: the slot that was not the one in `[all]`.
    other: String,
    other_is_good: bool,
    other_failed: bool,
    tried: bool,
}

impl SlotStore {
    /// Reads them.
    ///
    /// # Errors
    /// When this is not the box, or the lock cannot be had.
    pub fn open(places: &BoxPlaces) -> Result<Self, SlotError> {
        let running = Self::which_runs(places).ok_or(SlotError::NotTheBox)?;
        if !places.card_is_there() {
            return Err(SlotError::NoCard(places.card.clone()));
        }
        let lock = lock(&places.run)?;
        let (autoboot_path, slots_path) = (places.card.join("autoboot.txt"), places.data.join("rauc/slots.toml"));
        let slots = recall(&autoboot_path, &slots_path, running);
        Ok(Self { autoboot_path, slots_path, running, slots, _lock: lock })
    }

    /// The slot that runs; none: this is not the box.
    pub fn which_runs(places: &BoxPlaces) -> Option<Slot> {
        fs::read_to_string(&places.cmdline).ok().and_then(|text| Slot::of_command_line(&text))
    }

    /// The slot that runs.
    pub fn running(&self) -> Slot {
        self.running
    }

    /// What is known.
    pub fn slots(&self) -> Slots {
        self.slots
    }

    /// Lets something happen to them, and remembers it.
    ///
    /// # Errors
    /// When it is refused, or cannot be written.
    pub fn step(&mut self, event: Event) -> Result<Slots, SlotError> {
        self.slots = self.slots.step(self.running, event)?;
        self.keep()?;
        Ok(self.slots)
    }

    fn keep(&self) -> Result<(), SlotError> {
        let slots = self.slots;
        let disk = |path: &Path| {
            let path = path.to_owned();
            move |source| SlotError::Disk { path, source }
        };
        let autoboot = Autoboot { all: slots.good, tryboot: slots.primary() };
        card::write_if_different(&self.autoboot_path, autoboot.text().as_bytes()).map_err(disk(&self.autoboot_path))?;
        let text = remembered(slots);
        if atomic_file::holds(&self.slots_path, text.as_bytes()) {
            return Ok(());
        }
        let folder = self.slots_path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).map_err(disk(folder))?;
        atomic_file::write(&self.slots_path, text.as_bytes()).map_err(disk(&self.slots_path))
    }
}

fn lock(run: &Path) -> Result<Flock<File>, SlotError> {
    let path = run.join("slots.lock");
    let disk = |source| SlotError::Disk { path: path.clone(), source };
    fs::create_dir_all(run).map_err(disk)?;
    let file = File::options().create(true).append(true).open(&path).map_err(disk)?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| disk(errno.into()))
}

fn recall(autoboot_path: &Path, slots_path: &Path, running: Slot) -> Slots {
    let text = |path: &Path, bytes_max| {
        atomic_file::read(path, bytes_max).ok().and_then(|bytes| String::from_utf8(bytes).ok())
    };
    let remembered: Remembered =
        text(slots_path, SLOTS_BYTES_MAX).and_then(|text| toml::from_str(&text).ok()).unwrap_or_default();
    let other = Slot::parse(&remembered.other);
    let autoboot = text(autoboot_path, AUTOBOOT_BYTES_MAX).and_then(|text| Autoboot::parse(&text));
    // Without a readable autoboot.txt: what was remembered, else what runs is all that is known to start.
    let good = autoboot.map(|autoboot| autoboot.all).or(other.map(Slot::other)).unwrap_or(running);
    let about_other = other == Some(good.other());
    Slots {
        good,
        on_trial: autoboot.is_some_and(|autoboot| autoboot.tryboot != good),
        tried: about_other && remembered.tried,
        // Between the two writes of a confirmation, the remarks are still about the slot that has become good; the
        // other one then was good before.
        other_is_good: if about_other { remembered.other_is_good } else { other.is_some() },
        other_failed: about_other && remembered.other_failed,
    }
}

fn remembered(slots: Slots) -> String {
    format!(
        "# Kept by `tower box`, beside autoboot.txt on the card: what is known of the slot that is not the one in [all].\n\
         other = \"{}\"\nother_is_good = {}\nother_failed = {}\ntried = {}\n",
        slots.good.other(),
        slots.other_is_good,
        slots.other_failed,
        slots.tried,
    )
}
