//! What the programs share on the command line: arguments, help, exit codes, output.

pub mod args;
mod help;
pub mod probe;
pub mod status;

use std::{
    io::{self, Write},
    process::ExitCode,
};

pub use help::help;

/// How a program ends, and what that means to a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done; for `status`: healthy.
    Ok,
    /// 1: the machine or the system refused, or the tower is not healthy.
    Failure,
    /// 2: wrong arguments or a wrong configuration: trying again changes nothing.
    Misuse,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failure => 1,
            Exit::Misuse => 2,
        })
    }
}

/// Writes to stdout. A reader that has gone (`tower config | head`) is no error
/// and no panic: there is nobody to tell.
pub fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes `tower: …` lines to stderr, with the same peace of mind.
pub fn complain(text: &str) {
    let mut out = io::stderr().lock();
    for line in text.lines() {
        let _ = writeln!(out, "tower: {line}");
    }
}
