//! What the programs share on the command line: options, exit codes, output.
//! Each one's own arguments, help and commands are in a module of its name.

pub mod options;
pub mod station;
pub mod tower;

use std::{
    io::{self, Write},
    process::ExitCode,
};

/// How a program ends, and what that means to a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done; for `tower status`: healthy.
    Ok,
    /// 1: the machine or the system refused, the tower is not healthy, or no station answers.
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

/// [`say`], and all is well.
pub fn tell(text: &str) -> Exit {
    say(text);
    Exit::Ok
}

/// A program's way to complain: each line on stderr begins with its name.
#[derive(Debug, Clone, Copy)]
pub struct Voice(pub &'static str);

impl Voice {
    /// Writes to stderr, with the peace of mind of [`say`].
    pub fn complain(self, text: &str) {
        let mut out = io::stderr().lock();
        for line in text.lines() {
            let _ = writeln!(out, "{}: {line}", self.0);
        }
    }

    /// Somebody wrote something wrong.
    pub fn misuse(self, error: &dyn std::error::Error) -> Exit {
        self.complain(&error.to_string());
        Exit::Misuse
    }

    /// Something did not work.
    pub fn failure(self, error: &dyn std::error::Error) -> Exit {
        self.complain(&error.to_string());
        Exit::Failure
    }
}

/// Texts come from outside: a title must not steer the terminal.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(200).collect()
}
