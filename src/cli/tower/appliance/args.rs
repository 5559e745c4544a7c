//! The arguments of `tower box` and `tower update`, parsed and nothing done.

use std::path::PathBuf;

use lexopt::{
    Arg::{Long, Short, Value},
    Parser, ValueExt,
};

use super::place;
use crate::{
    appliance::{BoxPlaces, slots::Slot},
    limits::{CONFIRM_HEALTHY_MS, CONFIRM_MS_MAX},
};

/// `tower box …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoxArgs {
    /// What to do.
    pub act: BoxAct,
    /// Where the box's files lie.
    pub places: BoxPlaces,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoxAct {
    /// Read the owner's files, apply, report.
    Apply,
    /// RAUC's questions to a bootloader.
    Slot(SlotQuestion),
    /// Restart into the slot that is on trial.
    RestartIntoTrial,
    /// Make this slot good when it is.
    Confirm {
        /// Of the tower; none: this machine, the configured port.
        url: Option<String>,
        /// For how long it has to be healthy.
        healthy_ms: u64,
        /// Within this time.
        at_most_ms: u64,
    },
}

/// `tower update …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateArgs {
    /// A file or a URL.
    pub from: String,
    /// Restart into it at once.
    pub restart: bool,
    /// Where the box's files lie.
    pub places: BoxPlaces,
}

/// What RAUC asks of its custom bootloader backend, in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotQuestion {
    /// Which one starts next.
    GetPrimary,
    /// Which one runs.
    GetCurrent,
    /// Is it good?
    GetState(Slot),
    /// Let it start next.
    SetPrimary(Slot),
    /// It is good, or bad.
    SetState(Slot, bool),
}

/// What of the arguments makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum BoxArgsError {
    /// As lexopt has it.
    #[error("{0} (see `tower box --help`)")]
    Option(#[from] lexopt::Error),
    /// No such act.
    #[error("say apply, slot, confirm or restart-into-trial (see `tower box --help`)")]
    Act,
    /// Not exactly one file.
    #[error("say one FILE or URL (see `tower update --help`)")]
    From,
    /// Out of range.
    #[error("--{0} {1}: allowed is a whole number from 0 to 3600")]
    Seconds(String, String),
    /// RAUC's words.
    #[error(
        "say get-primary, get-current, get-state A|B, set-primary A|B or set-state A|B good|bad (see `tower box --help`)"
    )]
    Slot,
}

/// Parses what follows `tower box`; none: help was asked for.
///
/// # Errors
/// When it makes no sense.
pub fn parse(parser: &mut Parser) -> Result<Option<BoxArgs>, BoxArgsError> {
    let (mut url, mut healthy_ms, mut at_most_ms) = (None, CONFIRM_HEALTHY_MS, CONFIRM_MS_MAX);
    let own = |parser: &mut Parser, name: &str| -> Result<bool, BoxArgsError> {
        match name {
            "url" => url = Some(parser.value()?.string()?),
            "healthy-sec" | "at-most-sec" => {
                let text = parser.value()?.string()?;
                let seconds = text.parse().ok().filter(|seconds| (0..=3600).contains(seconds));
                let ms = seconds.map(|seconds: u64| seconds * 1000);
                let ms = ms.ok_or_else(|| BoxArgsError::Seconds(name.to_owned(), text))?;
                *(if name == "healthy-sec" { &mut healthy_ms } else { &mut at_most_ms }) = ms;
            }
            _ => return Ok(false),
        }
        Ok(true)
    };
    let Some((words, places)) = words_and_places(parser, own)? else { return Ok(None) };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let act = match words.as_slice() {
        ["apply"] => BoxAct::Apply,
        ["confirm"] => BoxAct::Confirm { url, healthy_ms, at_most_ms },
        ["restart-into-trial"] => BoxAct::RestartIntoTrial,
        ["slot", question @ ..] => BoxAct::Slot(slot(question).ok_or(BoxArgsError::Slot)?),
        _ => return Err(BoxArgsError::Act),
    };
    Ok(Some(BoxArgs { act, places }))
}

/// Parses what follows `tower update`; none: help was asked for.
///
/// # Errors
/// When it makes no sense.
pub fn parse_update(parser: &mut Parser) -> Result<Option<UpdateArgs>, BoxArgsError> {
    let mut restart = false;
    let own = |_: &mut Parser, name: &str| {
        restart |= name == "restart";
        Ok(name == "restart")
    };
    let Some((mut words, places)) = words_and_places(parser, own)? else { return Ok(None) };
    let from = words.pop().filter(|_| words.is_empty()).ok_or(BoxArgsError::From)?;
    Ok(Some(UpdateArgs { from, restart, places }))
}

type Words = (Vec<String>, BoxPlaces);

fn words_and_places(
    parser: &mut Parser,
    mut own: impl FnMut(&mut Parser, &str) -> Result<bool, BoxArgsError>,
) -> Result<Option<Words>, BoxArgsError> {
    let (mut words, mut places) = (Vec::new(), BoxPlaces::default());
    while let Some(arg) = parser.next()? {
        let name = match arg {
            Long("help") | Short('h') => return Ok(None),
            Long(name) => name.to_owned(),
            Value(word) => {
                words.push(word.to_string_lossy().into_owned());
                continue;
            }
            Short(_) => return Err(arg.unexpected().into()),
        };
        if own(parser, &name)? {
            continue;
        }
        match place(&mut places, &name) {
            Some(place) => *place = PathBuf::from(parser.value()?),
            None => return Err(lexopt::Error::UnexpectedOption(format!("--{name}")).into()),
        }
    }
    Ok(Some((words, places)))
}

fn slot(words: &[&str]) -> Option<SlotQuestion> {
    Some(match words {
        ["get-primary"] => SlotQuestion::GetPrimary,
        ["get-current"] => SlotQuestion::GetCurrent,
        ["get-state", slot] => SlotQuestion::GetState(Slot::parse(slot)?),
        ["set-primary", slot] => SlotQuestion::SetPrimary(Slot::parse(slot)?),
        ["set-state", slot, "good"] => SlotQuestion::SetState(Slot::parse(slot)?, true),
        ["set-state", slot, "bad"] => SlotQuestion::SetState(Slot::parse(slot)?, false),
        _ => return None,
    })
}
