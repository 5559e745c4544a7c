//! Options that every command of both programs takes, and the loop over all of them.

use std::{ffi::OsString, path::PathBuf};

use lexopt::{
    Arg::{Long, Short, Value},
    Parser, ValueExt,
};

/// The layers that the command line adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigArgs {
    /// `--config`
    pub file: Option<PathBuf>,
    /// Each `--set`.
    pub set: Vec<String>,
}

/// What was asked for instead of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
    /// `--help`
    Help,
    /// `--version`
    Version,
}

/// One thing on the command line, to the command that may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// By its long name, without the dashes.
    Option(String),
    /// Not an option.
    Value(OsString),
}

/// Parses all that is left. What is not shared is shown to `own`, which says
/// whether it took it.
///
/// # Errors
/// When nobody takes it, or a value is missing.
pub fn options(
    parser: &mut Parser,
    mut own: impl FnMut(&mut Parser, &Seen) -> Result<bool, lexopt::Error>,
) -> Result<Result<ConfigArgs, Instead>, lexopt::Error> {
    let mut config = ConfigArgs::default();
    while let Some(arg) = parser.next()? {
        let seen = match arg {
            Long("help") | Short('h') => return Ok(Err(Instead::Help)),
            Long("version") | Short('V') => return Ok(Err(Instead::Version)),
            Long(name) => Seen::Option(name.to_owned()),
            Value(value) => Seen::Value(value),
            Short(_) => return Err(arg.unexpected()),
        };
        match &seen {
            Seen::Option(name) if name == "config" => config.file = Some(parser.value()?.into()),
            Seen::Option(name) if name == "set" => config.set.push(parser.value()?.string()?),
            seen if own(parser, seen)? => {}
            Seen::Option(name) => return Err(lexopt::Error::UnexpectedOption(format!("--{name}"))),
            Seen::Value(value) => return Err(lexopt::Error::UnexpectedArgument(value.clone())),
        }
    }
    Ok(Ok(config))
}
