//! The arguments of `station`, parsed and nothing done.

use std::{ffi::OsString, path::PathBuf};

use lexopt::{
    Arg::{Long, Short, Value},
    Parser, ValueExt,
};

use crate::{
    cli::options::{self, ConfigArgs, Instead, Seen},
    config,
    limits::STATION_HISTORY_MAX,
};

/// Without `--count`.
const HISTORY_COUNT: usize = 20;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Print help.
    Help(Topic),
    /// Print the version.
    Version,
    /// Be the station.
    Run(ConfigArgs),
    /// Look through the folders of music.
    Scan(ConfigArgs),
    /// What is played.
    Now {
        /// As the station says it.
        json: bool,
        /// For the socket.
        config: ConfigArgs,
    },
    /// Go on to what comes next.
    Skip(ConfigArgs),
    /// Play a file next.
    Next {
        /// As it was written.
        file: PathBuf,
        /// For the socket.
        config: ConfigArgs,
    },
    /// What was played.
    History {
        /// Entries at most.
        count: usize,
        /// As the station says it.
        json: bool,
        /// For the socket.
        config: ConfigArgs,
    },
    /// Print the settings.
    Config(ConfigArgs),
    /// Check a file by itself.
    CheckFile(PathBuf),
}

/// What help is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// All commands.
    Station,
    /// `station run`
    Run,
    /// `station scan`
    Scan,
    /// `station now`
    Now,
    /// `station skip`
    Skip,
    /// `station next`
    Next,
    /// `station history`
    History,
    /// `station config`
    Config,
}

impl Topic {
    /// The command that it is about.
    fn name(self) -> &'static str {
        match self {
            Self::Station => "",
            Self::Run => "run",
            Self::Scan => "scan",
            Self::Now => "now",
            Self::Skip => "skip",
            Self::Next => "next",
            Self::History => "history",
            Self::Config => "config",
        }
    }
}

/// Arguments that make no sense, with what would.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// No such command.
    #[error("unknown command {0:?}; there are run, now, skip, next, history, scan and config (see `station --help`)")]
    UnknownCommand(String),
    /// An option of another command, or of none.
    #[error("{why} (see `station {command} --help`)")]
    Option {
        /// What is wrong.
        why: lexopt::Error,
        /// Whose help to read.
        command: &'static str,
    },
    /// An option before the command.
    #[error("{0} (see `station --help`)")]
    Top(lexopt::Error),
    /// `--check` looks at one file and nothing else.
    #[error("--check FILE checks a file by itself: leave --config, --music and --set out")]
    CheckAlone,
    /// Out of range.
    #[error("--count {0}: allowed is a whole number from 1 to {STATION_HISTORY_MAX}")]
    Count(String),
    /// Not exactly one.
    #[error("say one file: `station next FILE`")]
    OneFile,
}

/// What the options of a command said.
#[derive(Debug, Default)]
struct Said {
    music: Vec<String>,
    json: bool,
    count: Option<String>,
    check: Option<PathBuf>,
    files: Vec<PathBuf>,
}

impl Said {
    /// Takes what `topic` knows.
    fn take(&mut self, topic: Topic, parser: &mut Parser, seen: &Seen) -> Result<bool, lexopt::Error> {
        match (topic, seen) {
            (Topic::Next, Seen::Value(file)) => self.files.push(file.into()),
            (Topic::Run | Topic::Scan | Topic::Config, Seen::Option(name)) if name == "music" => {
                self.music.push(parser.value()?.string()?);
            }
            (Topic::Now | Topic::History, Seen::Option(name)) if name == "json" => self.json = true,
            (Topic::History, Seen::Option(name)) if name == "count" => self.count = Some(parser.value()?.string()?),
            (Topic::Config, Seen::Option(name)) if name == "check" => self.check = Some(parser.value()?.into()),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Parses the arguments after the program's name.
///
/// # Errors
/// When they make no sense.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, ArgsError> {
    let mut parser = Parser::from_args(args);
    match parser.next().map_err(ArgsError::Top)? {
        None | Some(Short('h') | Long("help")) => Ok(Command::Help(Topic::Station)),
        Some(Short('V') | Long("version")) => Ok(Command::Version),
        Some(Value(word)) => match word.to_str() {
            Some("run") => command(&mut parser, Topic::Run),
            Some("scan") => command(&mut parser, Topic::Scan),
            Some("now") => command(&mut parser, Topic::Now),
            Some("skip") => command(&mut parser, Topic::Skip),
            Some("next") => command(&mut parser, Topic::Next),
            Some("history") => command(&mut parser, Topic::History),
            Some("config") => command(&mut parser, Topic::Config),
            Some("help") => Ok(Command::Help(Topic::Station)),
            _ => Err(ArgsError::UnknownCommand(word.to_string_lossy().into_owned())),
        },
        Some(other) => Err(ArgsError::Top(other.unexpected())),
    }
}

fn command(parser: &mut Parser, topic: Topic) -> Result<Command, ArgsError> {
    let mut said = Said::default();
    let options = options::options(parser, |parser, seen| said.take(topic, parser, seen));
    let mut config = match options.map_err(|why| ArgsError::Option { why, command: topic.name() })? {
        Ok(config) => config,
        Err(Instead::Help) => return Ok(Command::Help(topic)),
        Err(Instead::Version) => return Ok(Command::Version),
    };
    if !said.music.is_empty() {
        // All of them together, instead of what is set elsewhere.
        config.set.push(format!("music.folders={}", config::Value::Texts(std::mem::take(&mut said.music))));
    }
    Ok(match topic {
        Topic::Station => Command::Help(topic),
        Topic::Run => Command::Run(config),
        Topic::Scan => Command::Scan(config),
        Topic::Now => Command::Now { json: said.json, config },
        Topic::Skip => Command::Skip(config),
        Topic::Next => Command::Next { file: one(said.files)?, config },
        Topic::History => Command::History { count: count(said.count)?, json: said.json, config },
        Topic::Config => match said.check {
            None => Command::Config(config),
            Some(file) if config == ConfigArgs::default() => Command::CheckFile(file),
            Some(_) => return Err(ArgsError::CheckAlone),
        },
    })
}

fn one(mut files: Vec<PathBuf>) -> Result<PathBuf, ArgsError> {
    match (files.pop(), files.is_empty()) {
        (Some(file), true) if !file.as_os_str().is_empty() => Ok(file),
        _ => Err(ArgsError::OneFile),
    }
}

fn count(text: Option<String>) -> Result<usize, ArgsError> {
    let Some(text) = text else { return Ok(HISTORY_COUNT) };
    match text.parse() {
        Ok(count @ 1..=STATION_HISTORY_MAX) => Ok(count),
        _ => Err(ArgsError::Count(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn arguments_become_commands() {
        let none = ConfigArgs::default;
        let music = ConfigArgs {
            file: Some("s.toml".into()),
            set: vec!["log.level=debug".into(), "music.folders=[\"/a:b\", \"c\"]".into()],
        };
        let table = [
            ("", Command::Help(Topic::Station)),
            ("--help", Command::Help(Topic::Station)),
            ("-V", Command::Version),
            ("now --version", Command::Version),
            ("next -h", Command::Help(Topic::Next)),
            ("run", Command::Run(none())),
            ("run --music /a:b --config s.toml --set log.level=debug --music c", Command::Run(music.clone())),
            ("scan --music /a:b --config s.toml --set log.level=debug --music c", Command::Scan(music)),
            ("now", Command::Now { json: false, config: none() }),
            ("now --json", Command::Now { json: true, config: none() }),
            ("skip", Command::Skip(none())),
            ("next a.mp3", Command::Next { file: "a.mp3".into(), config: none() }),
            ("next -- --odd.mp3", Command::Next { file: "--odd.mp3".into(), config: none() }),
            ("history", Command::History { count: 20, json: false, config: none() }),
            ("history --count 1000 --json", Command::History { count: 1000, json: true, config: none() }),
            ("config --check s.toml", Command::CheckFile("s.toml".into())),
            ("config", Command::Config(none())),
        ];
        for (line, command) in table {
            assert_eq!(parsed(line), Ok(command), "station {line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let table = [
            ("jump", "unknown command \"jump\""),
            ("--music /a", "--help"),
            ("run --port 80", "station run --help"),
            ("run now", "unexpected argument"),
            ("run --music", "missing argument"),
            ("skip --music /a", "station skip --help"),
            ("skip --json", "--json"),
            ("next", "one file"),
            ("next a b", "one file"),
            ("history --count 0", "1 to 1000"),
            ("history --count 1001", "1 to 1000"),
            ("history --count many", "1 to 1000"),
            ("config --check a --music b", "by itself"),
        ];
        for (line, said) in table {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(said), "station {line}: {error}");
        }
    }
}
