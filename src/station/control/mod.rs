//! The station's control socket: a line of JSON in, a line of JSON out.

pub mod protocol;
