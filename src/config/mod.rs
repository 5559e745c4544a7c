//! Configuration: what can be set, where each value came from, and what is wrong.
//!
//! The rest of the program sees only finished, checked values. Nothing starts
//! before all of them are right (I2).

mod tower;

pub use tower::*;
