//! The arguments of `tower`, parsed and nothing done.

use std::{ffi::OsString, path::PathBuf};

use lexopt::{
    Arg::{Long, Short, Value},
    Parser, ValueExt,
};

use super::appliance::args::{self as box_args, BoxArgs, BoxArgsError, UpdateArgs};
use crate::cli::options::{self, ConfigArgs, Instead, Seen};

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Print help.
    Help(Topic),
    /// Print the version.
    Version,
    /// Be the tower.
    Run(ConfigArgs),
    /// Print the settings.
    Config(ConfigArgs),
    /// Check a file by itself.
    CheckFile(PathBuf),
    /// Ask a running tower.
    Status {
        /// Where it is; none: this machine, the configured port.
        url: Option<String>,
        /// For the port.
        config: ConfigArgs,
    },
    /// Try FFmpeg.
    Probe(ProbeArgs),
    /// List sound cards.
    Devices(ConfigArgs),
    /// Show levels.
    Meter(MeterArgs),
    /// What the box's services and RAUC call.
    Box(BoxArgs),
    /// A new version of the box.
    Update(UpdateArgs),
}

/// What help is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// All commands.
    Tower,
    /// `tower run`
    Run,
    /// `tower config`
    Config,
    /// `tower status`
    Status,
    /// `tower probe`
    Probe,
    /// `tower devices`
    Devices,
    /// `tower meter`
    Meter,
    /// `tower box`
    Box,
    /// `tower update`
    Update,
}

/// `tower probe`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeArgs {
    /// What FFmpeg is fed with.
    pub source: ProbeSource,
    /// For the first frame; none: `encoder.startup_timeout_ms`.
    pub timeout_ms: Option<u64>,
    /// Which FFmpeg, which bit rate.
    pub config: ConfigArgs,
}

/// `tower meter`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterArgs {
    /// Whose levels.
    pub of: MeterOf,
    /// Ends after so long; none: when it is stopped.
    pub seconds: Option<u64>,
    /// For the port, and how a card is opened.
    pub config: ConfigArgs,
}

/// Whose levels are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeterOf {
    /// A running tower's.
    Tower {
        /// Where it is; none: this machine, the configured port.
        url: Option<String>,
    },
    /// A card's, which is opened for it; written as in `live.device`.
    Device(String),
}

/// What FFmpeg is fed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeSource {
    /// Zeros.
    Silence,
    /// The fallback tone.
    Tone,
    /// An audio file.
    File(PathBuf),
}

/// Arguments that make no sense, with what would.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// No such command.
    #[error(
        "unknown command {0:?}; there are run, status, config, probe, devices, meter, update and box (see `tower --help`)"
    )]
    UnknownCommand(String),
    /// An option of another command, or of none.
    #[error("{why} (see `tower {command} --help`)")]
    Option {
        /// What is wrong.
        why: lexopt::Error,
        /// Whose help to read.
        command: &'static str,
    },
    /// An option before the command.
    #[error("{0} (see `tower --help`)")]
    Top(lexopt::Error),
    /// `--check` looks at one file and nothing else.
    #[error("--check FILE checks a file by itself: leave --config and --set out")]
    CheckAlone,
    /// Not exactly one source.
    #[error("say one of --silence, --tone and --file FILE (see `tower probe --help`)")]
    ProbeSource,
    /// Out of range.
    #[error("--timeout-ms {0}: allowed is a whole number from 1 to 600000")]
    ProbeTimeout(String),
    /// A tower's levels or a card's.
    #[error("say --device or --url, not both (see `tower meter --help`)")]
    MeterOf,
    /// Out of range.
    #[error("--seconds {0}: allowed is a whole number from 1 to 86400")]
    MeterSeconds(String),
    /// `tower box`, `tower update`
    #[error(transparent)]
    Box(#[from] BoxArgsError),
}

/// Parses the arguments after the program's name.
///
/// # Errors
/// When they make no sense.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, ArgsError> {
    let mut parser = Parser::from_args(args);
    match parser.next().map_err(ArgsError::Top)? {
        None | Some(Short('h') | Long("help")) => Ok(Command::Help(Topic::Tower)),
        Some(Short('V') | Long("version")) => Ok(Command::Version),
        Some(Value(word)) => match word.to_str() {
            Some("run") => run(&mut parser),
            Some("config") => config(&mut parser),
            Some("status") => status(&mut parser),
            Some("probe") => probe(&mut parser),
            Some("devices") => devices(&mut parser),
            Some("meter") => meter(&mut parser),
            Some("box") => Ok(box_args::parse(&mut parser)?.map_or(Command::Help(Topic::Box), Command::Box)),
            Some("update") => {
                Ok(box_args::parse_update(&mut parser)?.map_or(Command::Help(Topic::Update), Command::Update))
            }
            Some("help") => Ok(Command::Help(Topic::Tower)),
            _ => Err(ArgsError::UnknownCommand(word.to_string_lossy().into_owned())),
        },
        Some(other) => Err(ArgsError::Top(other.unexpected())),
    }
}

/// The command's options, or the command that was asked for instead.
fn options(
    parser: &mut Parser,
    topic: Topic,
    mut own: impl FnMut(&mut Parser, &str) -> Result<bool, lexopt::Error>,
) -> Result<Result<ConfigArgs, Command>, lexopt::Error> {
    let config = options::options(parser, |parser, seen| match seen {
        Seen::Option(name) => own(parser, name),
        Seen::Value(_) => Ok(false),
    })?;
    Ok(config.map_err(|instead| match instead {
        Instead::Help => Command::Help(topic),
        Instead::Version => Command::Version,
    }))
}

fn of(command: &'static str) -> impl Fn(lexopt::Error) -> ArgsError {
    move |why| ArgsError::Option { why, command }
}

fn run(parser: &mut Parser) -> Result<Command, ArgsError> {
    let config = options(parser, Topic::Run, |_, _| Ok(false)).map_err(of("run"))?;
    Ok(config.map_or_else(|instead| instead, Command::Run))
}

fn config(parser: &mut Parser) -> Result<Command, ArgsError> {
    let mut check = None;
    let own = |parser: &mut Parser, name: &str| {
        if name == "check" {
            check = Some(PathBuf::from(parser.value()?));
        }
        Ok(name == "check")
    };
    let config = match options(parser, Topic::Config, own).map_err(of("config"))? {
        Ok(config) => config,
        Err(instead) => return Ok(instead),
    };
    match check {
        None => Ok(Command::Config(config)),
        Some(file) if config == ConfigArgs::default() => Ok(Command::CheckFile(file)),
        Some(_) => Err(ArgsError::CheckAlone),
    }
}

fn status(parser: &mut Parser) -> Result<Command, ArgsError> {
    let mut url = None;
    let own = |parser: &mut Parser, name: &str| {
        if name == "url" {
            url = Some(parser.value()?.string()?);
        }
        Ok(name == "url")
    };
    let config = options(parser, Topic::Status, own).map_err(of("status"))?;
    Ok(config.map_or_else(|instead| instead, |config| Command::Status { url, config }))
}

fn probe(parser: &mut Parser) -> Result<Command, ArgsError> {
    let mut sources = Vec::new();
    let mut timeout = None;
    let own = |parser: &mut Parser, name: &str| {
        match name {
            "silence" => sources.push(ProbeSource::Silence),
            "tone" => sources.push(ProbeSource::Tone),
            "file" => sources.push(ProbeSource::File(parser.value()?.into())),
            "timeout-ms" => timeout = Some(parser.value()?.string()?),
            _ => return Ok(false),
        }
        Ok(true)
    };
    let config = match options(parser, Topic::Probe, own).map_err(of("probe"))? {
        Ok(config) => config,
        Err(instead) => return Ok(instead),
    };
    let (Some(source), true) = (sources.pop(), sources.is_empty()) else {
        return Err(ArgsError::ProbeSource);
    };
    let timeout_ms = timeout.map(|text| match text.parse() {
        Ok(ms @ 1..=600_000) => Ok(ms),
        _ => Err(ArgsError::ProbeTimeout(text)),
    });
    Ok(Command::Probe(ProbeArgs { source, timeout_ms: timeout_ms.transpose()?, config }))
}

fn devices(parser: &mut Parser) -> Result<Command, ArgsError> {
    let config = options(parser, Topic::Devices, |_, _| Ok(false)).map_err(of("devices"))?;
    Ok(config.map_or_else(|instead| instead, Command::Devices))
}

fn meter(parser: &mut Parser) -> Result<Command, ArgsError> {
    let (mut device, mut url, mut seconds) = (None, None, None);
    let own = |parser: &mut Parser, name: &str| {
        let option = match name {
            "device" => &mut device,
            "url" => &mut url,
            "seconds" => &mut seconds,
            _ => return Ok(false),
        };
        *option = Some(parser.value()?.string()?);
        Ok(true)
    };
    let config = match options(parser, Topic::Meter, own).map_err(of("meter"))? {
        Ok(config) => config,
        Err(instead) => return Ok(instead),
    };
    let of = match (device, url) {
        (Some(_), Some(_)) => return Err(ArgsError::MeterOf),
        (Some(device), None) => MeterOf::Device(device),
        (None, url) => MeterOf::Tower { url },
    };
    let seconds = seconds.map(|text: String| match text.parse() {
        Ok(seconds @ 1..=86_400) => Ok(seconds),
        _ => Err(ArgsError::MeterSeconds(text)),
    });
    Ok(Command::Meter(MeterArgs { of, seconds: seconds.transpose()?, config }))
}

#[cfg(test)]
mod tests {
    use super::{
        super::appliance::args::{BoxAct, SlotQuestion},
        *,
    };
    use crate::appliance::{BoxPlaces, slots::Slot};

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn arguments_become_commands() {
        let set = ConfigArgs { file: Some("f.toml".into()), set: vec!["http.port=1".into(), "log.level=debug".into()] };
        let probe =
            |source, timeout_ms| Command::Probe(ProbeArgs { source, timeout_ms, config: ConfigArgs::default() });
        let meter = |of, seconds| Command::Meter(MeterArgs { of, seconds, config: ConfigArgs::default() });
        let status = |url: Option<&str>| Command::Status { url: url.map(str::to_owned), config: ConfigArgs::default() };
        let on_box = |act| Command::Box(BoxArgs { act, places: BoxPlaces::default() });
        let update =
            |restart| Command::Update(UpdateArgs { from: "a.raucb".into(), restart, places: BoxPlaces::default() });
        let table = [
            ("", Command::Help(Topic::Tower)),
            ("--help", Command::Help(Topic::Tower)),
            ("-V", Command::Version),
            ("run --version", Command::Version),
            ("probe -h", Command::Help(Topic::Probe)),
            ("run", Command::Run(ConfigArgs::default())),
            ("run --config f.toml --set http.port=1 --set=log.level=debug", Command::Run(set)),
            ("config --check f.toml", Command::CheckFile("f.toml".into())),
            ("status", status(None)),
            ("status --url http://radio.local", status(Some("http://radio.local"))),
            ("probe --silence", probe(ProbeSource::Silence, None)),
            ("probe --file a.mp3 --timeout-ms 9", probe(ProbeSource::File("a.mp3".into()), Some(9))),
            ("devices", Command::Devices(ConfigArgs::default())),
            ("devices --help", Command::Help(Topic::Devices)),
            ("meter", meter(MeterOf::Tower { url: None }, None)),
            ("meter --url http://a --seconds 3", meter(MeterOf::Tower { url: Some("http://a".into()) }, Some(3))),
            ("box --help", Command::Help(Topic::Box)),
            ("box apply", on_box(BoxAct::Apply)),
            ("box slot set-state B bad", on_box(BoxAct::Slot(SlotQuestion::SetState(Slot::B, false)))),
            ("box confirm", on_box(BoxAct::Confirm { url: None, healthy_ms: 60_000, at_most_ms: 600_000 })),
            ("update a.raucb --restart", update(true)),
            ("update --help", Command::Help(Topic::Update)),
            ("meter --device usb:1-1.2", meter(MeterOf::Device("usb:1-1.2".into()), None)),
        ];
        for (line, command) in table {
            assert_eq!(parsed(line), Ok(command), "tower {line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let table = [
            ("jump", "unknown command \"jump\""),
            ("--port", "--help"),
            ("run --port 80", "tower run --help"),
            ("run now", "unexpected argument"),
            ("run --config", "missing argument"),
            ("status --tone", "--tone"),
            ("config --check a --set http.port=1", "by itself"),
            ("probe", "--silence"),
            ("probe --tone --silence", "one of"),
            ("probe --tone --timeout-ms 0", "1 to 600000"),
            ("devices hw:0", "tower devices --help"),
            ("meter --device", "missing argument"),
            ("meter --device a --url b", "not both"),
            ("meter --seconds 0", "1 to 86400"),
            ("meter --seconds soon", "1 to 86400"),
            ("box", "tower box --help"),
            ("box slot get-state", "get-state A|B"),
            ("box confirm --healthy-sec soon", "0 to 3600"),
            ("box apply --force", "--force"),
            ("update", "one FILE or URL"),
            ("update a b", "one FILE or URL"),
            ("update a --force", "--force"),
        ];
        for (line, said) in table {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(said), "tower {line}: {error}");
        }
    }
}
