//! Restarts the box, in an orderly way, by systemd.

use std::{fs, io, process::Command};

use super::{
    BoxPlaces, card,
    slots::{Event, SlotError, SlotStore},
};

/// What the Raspberry Pi's firmware takes as: the partition of `[tryboot]`, once. It comes to it as the argument of
/// `reboot(2)`.
const TRYBOOT: &str = "--reboot-argument=0 tryboot";
/// On the kernel's command line where no firmware of a Pi is there to hear that: the tests' stand-in for it
/// reads, and removes, `retrowaves/.tryboot` on the card.
const STAND_IN: &str = "retrowaves.standin=1";

/// Why there is no restart.
#[derive(Debug, thiserror::Error)]
pub enum RestartError {
    /// Nothing is on trial, or it could not be remembered.
    #[error(transparent)]
    Slots(#[from] SlotError),
    /// The wish could not be left for the stand-in.
    #[error("retrowaves/.tryboot: {0}")]
    StandIn(io::Error),
    /// systemd.
    #[error("systemctl reboot: {0}")]
    Systemctl(String),
}

/// Restarts into the slot that is on trial.
///
/// # Errors
/// When none is, or it runs already, or systemd refuses.
pub fn into_trial(places: &BoxPlaces) -> Result<(), RestartError> {
    SlotStore::open(places)?.step(Event::TrialStarts)?;
    let command_line = fs::read_to_string(&places.cmdline).unwrap_or_default();
    if command_line.split_ascii_whitespace().any(|word| word == STAND_IN) {
        card::write(&places.owner().join(".tryboot"), b"").map_err(RestartError::StandIn)?;
    }
    systemctl(&["reboot", TRYBOOT])
}

/// Restarts into the slot that is good.
///
/// # Errors
/// When systemd refuses.
pub fn into_good() -> Result<(), RestartError> {
    systemctl(&["reboot"])
}

fn systemctl(args: &[&str]) -> Result<(), RestartError> {
    match Command::new("systemctl").args(args).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(RestartError::Systemctl(status.to_string())),
        Err(error) => Err(RestartError::Systemctl(error.to_string())),
    }
}
