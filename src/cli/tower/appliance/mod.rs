//! `tower box`: what the box's services and RAUC call.

pub mod args;

use std::path::PathBuf;

use self::args::{BoxAct, BoxArgs, SlotQuestion};
use crate::{
    appliance::{
        BoxPlaces, apply,
        report::Kind,
        slots::{Event, SlotError, SlotStore},
    },
    cli::{Exit, Voice, say, tell},
};

/// Does it.
pub fn act(args: &BoxArgs, voice: Voice) -> Exit {
    match &args.act {
        BoxAct::Apply => apply_and_tell(&args.places, voice),
        BoxAct::Slot(question) => {
            slot(*question, &args.places).map_or_else(|error| voice.failure(&error), |said| tell(&said))
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
        _ => return None,
    })
}
