//! All the unsafe there is: system calls that no kept crate wraps.
//!
//! Each function has a safe face and says how it behaves at the edges. Nothing
//! here knows what a radio station is.

pub mod child;
pub mod futex;
pub mod socket;
pub mod terminal;
pub mod thread;
pub mod time;
