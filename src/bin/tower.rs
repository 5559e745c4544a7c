//! The transmitter.

fn main() {}
