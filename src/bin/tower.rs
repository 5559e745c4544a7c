//! The transmitter: arguments, configuration, run.

use std::{env, process::ExitCode};

use retrowaves::{
    announce,
    cli::{
        Exit, Voice,
        options::ConfigArgs,
        say, tell,
        tower::{
            appliance,
            args::{self, Command, MeterArgs, MeterOf, ProbeArgs},
            devices::devices,
            help, meter,
            probe::probe,
            status,
        },
    },
    config::{self, Loaded, TowerConfig},
    input::live::device::Roots,
    logging, service,
    signals::Signals,
};

const VOICE: Voice = Voice("tower");

fn main() -> ExitCode {
    if let Some(code) = announce::serve_if_asked() {
        return code;
    }
    let exit = match args::parse(env::args_os().skip(1)) {
        Ok(command) => act(command),
        Err(error) => VOICE.misuse(&error),
    };
    exit.into()
}

fn act(command: Command) -> Exit {
    match command {
        Command::Help(topic) => tell(&help(topic)),
        Command::Version => tell(concat!("tower ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Run(args) => with_config(&args, |loaded| run(&loaded)),
        Command::Config(args) => with_config(&args, |loaded| tell(&config::show(&loaded))),
        Command::CheckFile(file) => match config::check_file::<TowerConfig>(&file) {
            Ok(_) => tell(&format!("{}: ok\n", file.display())),
            Err(errors) => VOICE.misuse(&errors),
        },
        Command::Status { url: Some(url), .. } => show_status(&url),
        Command::Status { url: None, config } => {
            with_config(&config, |loaded| match status::local_url(&loaded.config.http) {
                Ok(url) => show_status(&url),
                Err(error) => VOICE.misuse(&error),
            })
        }
        Command::Devices(args) => with_config(&args, |loaded| tell(&devices(&loaded.config.live, &Roots::default()))),
        Command::Meter(args) => show_levels(&args),
        Command::Box(args) => appliance::act(&args, VOICE),
        Command::Update(args) => appliance::update(&args, VOICE),
        Command::Probe(args) => with_config(&args.config, |loaded| try_ffmpeg(&loaded.config, &args)),
    }
}

fn with_config(args: &ConfigArgs, then: impl FnOnce(Loaded<TowerConfig>) -> Exit) -> Exit {
    match config::load(args.file.as_deref(), &args.set) {
        Ok(loaded) => {
            VOICE.complain(&loaded.layers.warnings.join("\n"));
            then(loaded)
        }
        Err(errors) => VOICE.misuse(&errors),
    }
}

fn show_status(url: &str) -> Exit {
    match status::status(url) {
        Ok((summary, exit)) => {
            say(&summary);
            exit
        }
        Err(error) => VOICE.failure(&error),
    }
}

fn show_levels(args: &MeterArgs) -> Exit {
    let ended = |shown: Result<(), meter::MeterError>| shown.map_or_else(|error| VOICE.failure(&error), |()| Exit::Ok);
    match &args.of {
        MeterOf::Device(device) => with_config(&args.config, |loaded| {
            ended(meter::of_device(device, loaded.config.live.latency, args.seconds))
        }),
        MeterOf::Tower { url: Some(url) } => ended(meter::of_tower(url, args.seconds)),
        MeterOf::Tower { url: None } => {
            with_config(&args.config, |loaded| match status::local_url(&loaded.config.http) {
                Ok(url) => ended(meter::of_tower(&url, args.seconds)),
                Err(error) => VOICE.misuse(&error),
            })
        }
    }
}

/// Folder, log, then the service until it is told to stop.
fn run(loaded: &Loaded<TowerConfig>) -> Exit {
    let signals = match Signals::take() {
        Ok(signals) => signals,
        Err(error) => return VOICE.failure(&error),
    };
    if let Err(error) = config::prepare(&loaded.config) {
        return VOICE.failure(&error);
    }
    let log = match logging::start("tower", &loaded.config.log) {
        Ok(log) => log,
        Err(error) => return VOICE.failure(&error),
    };
    for warning in &loaded.layers.warnings {
        log::warn!("{warning}");
    }
    let served = service::run(&loaded.config, &signals, &log, |tower| welcome(&loaded.config, tower));
    let exit = served.map_or_else(
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
fn welcome(config: &TowerConfig, tower: &service::TowerService) {
    let url = tower.stream_url();
    log::info!("tower {} on air at {url}", env!("CARGO_PKG_VERSION"));
    say(&format!(
        "Retrowaves is on air.\n  listen at   {url}\n  send PCM to {}\n  log         {}\n",
        config.ingest.socket.display(),
        config.log.file.display(),
    ));
}

fn try_ffmpeg(config: &TowerConfig, args: &ProbeArgs) -> Exit {
    match probe(config, args) {
        Ok(report) => tell(&report),
        Err(error) => VOICE.failure(&error),
    }
}
