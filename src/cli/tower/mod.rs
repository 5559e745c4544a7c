//! The command line of `tower`.

pub mod args;
mod help;
pub mod probe;
pub mod status;

pub use help::help;
