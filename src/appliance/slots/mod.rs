//! The two slots: what the firmware and RAUC are told, kept so that power may go at any moment.
//!
//! `autoboot.txt` is the truth about what starts. What it cannot hold stands in
//! `slots.toml` on the data partition. The first is always written before the second,
//! and each as a whole: what lies between two writes is read as the state before or
//! after the step, or one from which the next start heals (`Event::Booted`).

pub mod autoboot;
pub mod machine;
mod store;

pub use autoboot::Autoboot;
pub use machine::{Event, Slot, SlotRefusal, Slots};
pub use store::{SlotError, SlotStore};
