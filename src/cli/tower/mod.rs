//! The command line of `tower`.

pub mod appliance;
pub mod args;
pub mod devices;
mod help;
pub mod meter;
pub mod probe;
pub mod status;

pub use help::help;
