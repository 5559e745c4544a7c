//! The player: arguments, configuration, run; and questions to the one that runs.

use std::{
    env,
    io::{self, IsTerminal},
    path::Path,
    process::ExitCode,
};

use retrowaves::{
    cli::{
        Exit, Voice,
        options::ConfigArgs,
        say,
        station::{
            args::{self, Command},
            client::{self, AskError},
            help,
            show::show,
        },
        tell,
    },
    config::{self, Loaded, Origin, StationConfig},
    logging,
    signals::Signals,
    station::{
        control::protocol::{FileName, Request},
        library::{
            self,
            reader::{self, ReaderCommand},
        },
        service,
    },
};

const VOICE: Voice = Voice("station");

fn main() -> ExitCode {
    reader::serve_if_asked();
    let exit = match args::parse(env::args_os().skip(1)) {
        Ok(command) => act(command),
        Err(error) => VOICE.misuse(&error),
    };
    exit.into()
}

fn act(command: Command) -> Exit {
    match command {
        Command::Help(topic) => tell(&help(topic)),
        Command::Version => tell(concat!("station ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Run(args) => with_config(&args, run),
        Command::Scan(args) => with_config(&args, scan),
        Command::Now { json, config } => with_config(&config, |loaded| ask(loaded, &Request::Now, json)),
        Command::Skip(config) => with_config(&config, |loaded| ask(loaded, &Request::Skip, false)),
        Command::Next { file, config } => with_config(&config, |loaded| next(loaded, &file)),
        Command::History { count, json, config } => {
            with_config(&config, |loaded| ask(loaded, &Request::History { count }, json))
        }
        Command::Config(args) => with_config(&args, |loaded| tell(&config::show(loaded))),
        Command::CheckFile(file) => match config::check_file::<StationConfig>(&file) {
            Ok(_) => tell(&format!("{}: ok\n", file.display())),
            Err(errors) => VOICE.misuse(&errors),
        },
    }
}

fn with_config(args: &ConfigArgs, then: impl FnOnce(&Loaded<StationConfig>) -> Exit) -> Exit {
    match config::load(args.file.as_deref(), &args.set) {
        Ok(loaded) => {
            VOICE.complain(&loaded.layers.warnings.join("\n"));
            then(&loaded)
        }
        Err(errors) => VOICE.misuse(&errors),
    }
}

fn ask(loaded: &Loaded<StationConfig>, request: &Request, json: bool) -> Exit {
    match client::ask(&loaded.config.control_socket, request) {
        Ok((_, line)) if json => tell(&line),
        Ok((answer, _)) => tell(&show(&answer)),
        Err(error) => VOICE.failure(&error),
    }
}

/// The station may run in another folder, so the path goes out absolute.
fn next(loaded: &Loaded<StationConfig>, file: &Path) -> Exit {
    match std::path::absolute(file) {
        Ok(file) => ask(loaded, &Request::Next { file: FileName(file) }, false),
        Err(error) => VOICE.failure(&error),
    }
}

/// By the station that runs; where none runs, or folders are named, here.
fn scan(loaded: &Loaded<StationConfig>) -> Exit {
    let config = &loaded.config;
    if matches!(loaded.layers.get("music.folders").origin, Origin::Set) {
        return scan_here(config);
    }
    match client::ask(&config.control_socket, &Request::Scan) {
        Ok((answer, _)) => tell(&show(&answer)),
        Err(AskError::NotRunning(_)) => scan_here(config),
        Err(error) => VOICE.failure(&error),
    }
}

/// In the foreground, with what is found so far on stderr where a person looks.
fn scan_here(config: &StationConfig) -> Exit {
    if config.music.folders.is_empty() {
        VOICE.complain("no music folder is set: say --music DIR, or set music.folders or STATION_MUSIC");
        return Exit::Misuse;
    }
    let watched = io::stderr().is_terminal();
    let report = library::scan_report(&config.music.folders, ReaderCommand::default(), |progress| {
        if watched {
            eprint!("\r\x1b[K{progress}");
        }
    });
    if watched {
        eprint!("\r\x1b[K");
    }
    say(&format!("{}\n", report.to_string().trim_end()));
    if report.gone.is_empty() { Exit::Ok } else { Exit::Failure }
}

/// Folders, log, then the service until it is told to stop.
fn run(loaded: &Loaded<StationConfig>) -> Exit {
    let config = &loaded.config;
    let signals = match Signals::take() {
        Ok(signals) => signals,
        Err(error) => return VOICE.failure(&error),
    };
    let warnings = match config::prepare_station(config) {
        Ok(warnings) => warnings,
        Err(error) => return VOICE.failure(&error),
    };
    let log = match logging::start("station", &config.log) {
        Ok(log) => log,
        Err(error) => return VOICE.failure(&error),
    };
    VOICE.complain(&warnings.join("\n"));
    for warning in loaded.layers.warnings.iter().chain(&warnings) {
        log::warn!("{warning}");
    }
    let played = service::run(config, &signals, &log, || announce(config));
    let exit = played.map_or_else(
        |error| {
            log::error!("{error}");
            VOICE.failure(&error)
        },
        |()| Exit::Ok,
    );
    log.stop();
    exit
}

/// Tells the user, and the log, where everything is.
fn announce(config: &StationConfig) {
    log::info!("station {} plays to {}", env!("CARGO_PKG_VERSION"), config.tower.socket.display());
    say(&format!(
        "Retrowaves station is playing.\n  PCM to      {}\n  ask it by   station now\n  log         {}\n",
        config.tower.socket.display(),
        config.log.file.display(),
    ));
}
