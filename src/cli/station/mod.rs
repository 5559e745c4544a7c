//! The command line of `station`.

pub mod args;
pub mod client;
mod help;
pub mod show;

pub use help::help;
