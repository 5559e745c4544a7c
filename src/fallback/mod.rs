//! tmp
pub mod tone;
