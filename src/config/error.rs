//! What can be wrong with a configuration, and where.

use std::{fmt, path::PathBuf};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A line of the file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// The command line.
    Set,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Set => write!(f, "--set"),
        }
    }
}

/// One thing that is wrong: where, what, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read at all.
    #[error("{}: cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason, or ours.
        why: String,
    },
    /// The file is not TOML.
    #[error("{origin}: not valid TOML: {why}")]
    Syntax {
        /// The line.
        origin: Origin,
        /// What the parser expected.
        why: String,
    },
    /// A table that does not exist.
    #[error("{origin}: unknown table [{name}]{}", meant(program, *.nearest, "[", "]"))]
    UnknownTable {
        /// Where it was written.
        origin: Origin,
        /// As it was written.
        name: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
        /// Whose configuration it is.
        program: &'static str,
    },
    /// A key that does not exist.
    #[error("{origin}: unknown key {key}{}", meant(program, *.nearest, "", ""))]
    UnknownKey {
        /// Where it was written.
        origin: Origin,
        /// Table and key as written.
        key: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
        /// Whose configuration it is.
        program: &'static str,
    },
    /// A table that was written as a value.
    #[error("{origin}: {name} is a table: write [{name}] and its keys below")]
    NotATable {
        /// Where it was written.
        origin: Origin,
        /// The table.
        name: String,
    },
    /// A value of the wrong type or out of range.
    #[error("{origin}: {key} is {found}{}; allowed is {allowed}", more(.why))]
    BadValue {
        /// Where it was written.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// What was written.
        found: String,
        /// What exactly is wrong with it, where there is more to say.
        why: Option<String>,
        /// What would be right.
        allowed: String,
    },
    /// A `--set` without a key and a value.
    #[error("--set {argument}: write --set table.key=value, such as --set {example}")]
    BadSet {
        /// As it was written.
        argument: String,
        /// One that is right.
        example: &'static str,
    },
    /// Two values that do not go together.
    #[error("{key} = {value} ({origin}): {why}")]
    Conflict {
        /// The key to change.
        key: &'static str,
        /// Its value.
        value: String,
        /// Where it came from.
        origin: Origin,
        /// What it does not go with, and what would be right.
        why: String,
    },
}

impl ConfigError {
    /// The line of the file, where there is one.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Syntax { origin, .. }
            | Self::UnknownTable { origin, .. }
            | Self::UnknownKey { origin, .. }
            | Self::NotATable { origin, .. }
            | Self::BadValue { origin, .. }
            | Self::Conflict { origin, .. } => match origin {
                Origin::File { line, .. } => Some(*line),
                _ => None,
            },
            Self::Unreadable { .. } | Self::BadSet { .. } => None,
        }
    }
}

fn meant(program: &str, nearest: Option<&str>, before: &str, after: &str) -> String {
    nearest.map_or_else(
        || format!("; `{program} config` shows all there are"),
        |name| format!("; did you mean {before}{name}{after}?"),
    )
}

fn more(why: &Option<String>) -> String {
    why.as_ref().map(|why| format!(": {why}")).unwrap_or_default()
}

/// Everything that is wrong, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "{}", lines.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}
