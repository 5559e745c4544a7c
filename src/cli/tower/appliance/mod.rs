//! `tower box`: what the box's services and RAUC call.

pub mod args;

use std::{path::PathBuf, thread::sleep, time::Duration};

use self::args::{BoxAct, BoxArgs, SlotQuestion, UpdateArgs};
use super::status;
use crate::{
    appliance::{
        BoxPlaces, apply,
        confirm::{Trial, Verdict},
        report::Kind,
        restart::{self, RestartError},
        slots::{Event, SlotError, SlotStore},
        update,
    },
    cli::{Exit, Voice, say, tell},
    config::{self, TowerConfig},
    limits::CONFIRM_LOOK_MS,
    sys::time::now_ms,
};

/// Does it.
pub fn act(args: &BoxArgs, voice: Voice) -> Exit {
    let places = &args.places;
    match &args.act {
        BoxAct::Apply => apply_and_tell(places, voice),
        BoxAct::Slot(question) => {
            slot(*question, places).map_or_else(|error| voice.failure(&error), |said| tell(&said))
        }
        BoxAct::RestartIntoTrial => match restart::into_trial(places) {
            Ok(()) => tell("the box restarts into the slot that is on trial\n"),
            Err(error) => voice.failure(&error),
        },
        BoxAct::Confirm { url, healthy_ms, at_most_ms } => match confirm(places, url.clone(), *healthy_ms, *at_most_ms)
        {
            Ok(said) => tell(&said),
            Err(error) => voice.failure(&error),
        },
    }
}

/// `tower update`
pub fn update(args: &UpdateArgs, voice: Voice) -> Exit {
    let updated = match update::update(&args.places, &args.from, &mut |line| say(&format!("{line}\n"))) {
        Ok(updated) => updated,
        Err(error) => return voice.failure(&error),
    };
    say(&format!("version {} is in slot {}.\n", updated.version, updated.slot));
    if !args.restart {
        return tell("It is tried at a restart: `tower box restart-into-trial`. Until then nothing changes.\n");
    }
    match restart::into_trial(&args.places) {
        Ok(()) => tell("The box restarts into it; when it has been healthy for a minute, it stays.\n"),
        Err(error) => voice.failure(&error),
    }
}

/// Waits until a slot that is on trial has been healthy for long enough; else the old one comes back.
fn confirm(places: &BoxPlaces, url: Option<String>, healthy_ms: u64, at_most_ms: u64) -> Result<String, RestartError> {
    let running = {
        let store = SlotStore::open(places)?;
        if !store.slots().is_trial_of(store.running()) {
            return Ok(format!("slot {} is good: there is nothing to confirm\n", store.running()));
        }
        store.running()
    };
    say(&format!("slot {running} is on trial: it is good when the box has been healthy for {} s\n", healthy_ms / 1000));
    let url = url.or_else(|| {
        // Without settings there is no tower either, which is what is found out below.
        let loaded = config::load::<TowerConfig>(None, &[]).ok()?;
        status::local_url(&loaded.config.http).ok()
    });
    let mut trial = Trial::new(now_ms(), healthy_ms, at_most_ms);
    loop {
        let healthy = url.as_deref().is_some_and(status::is_healthy);
        match trial.look(now_ms(), healthy) {
            Verdict::Wait => sleep(Duration::from_millis(CONFIRM_LOOK_MS.min(healthy_ms.max(100)))),
            Verdict::Good => {
                SlotStore::open(places)?.step(Event::Confirmed)?;
                return Ok(format!("slot {running} was healthy for {} s: it is good\n", healthy_ms / 1000));
            }
            Verdict::Failed => {
                restart::into_good()?;
                return Ok(format!(
                    "slot {running} was not healthy in {} s: the old one comes back\n",
                    at_most_ms / 1000
                ));
            }
        }
    }
}

/// An owner's mistake is no failure: the box goes on air without it.
fn apply_and_tell(places: &BoxPlaces, voice: Voice) -> Exit {
    let report = match apply::apply(places) {
        Ok(report) => report,
        Err(error) => {
            voice.complain(&format!("{}: {error}", places.run.display()));
            return Exit::Failure;
        }
    };
    for finding in &report.findings {
        match finding.kind {
            Kind::Mistake => voice.complain(&finding.line()),
            Kind::Done | Kind::Note => say(&format!("{}\n", finding.line())),
        }
    }
    Exit::Ok
}

/// What RAUC asks a bootloader.
fn slot(question: SlotQuestion, places: &BoxPlaces) -> Result<String, SlotError> {
    let mut store = SlotStore::open(places)?;
    Ok(match question {
        SlotQuestion::GetPrimary => format!("{}\n", store.slots().primary()),
        SlotQuestion::GetCurrent => format!("{}\n", store.running()),
        SlotQuestion::GetState(slot) => if store.slots().is_good(slot) { "good\n" } else { "bad\n" }.to_owned(),
        SlotQuestion::SetPrimary(slot) => store.step(Event::SetPrimary(slot)).map(|_| String::new())?,
        SlotQuestion::SetState(slot, good) => store.step(Event::SetState(slot, good)).map(|_| String::new())?,
    })
}

/// Where the box's files lie, as the options say.
pub(super) fn place<'a>(places: &'a mut BoxPlaces, option: &str) -> Option<&'a mut PathBuf> {
    Some(match option {
        "card" => &mut places.card,
        "data" => &mut places.data,
        "run" => &mut places.run,
        "cmdline" => &mut places.cmdline,
        "os-release" => &mut places.os_release,
        "hostname" => &mut places.hostname,
        "rauc-conf" => &mut places.rauc_conf,
        _ => return None,
    })
}
