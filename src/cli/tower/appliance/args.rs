//! The arguments of `tower box`, parsed and nothing done.

use std::path::PathBuf;

use lexopt::{
    Arg::{Long, Short, Value},
    Parser,
};

use super::place;
use crate::appliance::{BoxPlaces, slots::Slot};

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
    #[error("say apply or slot (see `tower box --help`)")]
    Act,
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
    let (mut words, mut places) = (Vec::new(), BoxPlaces::default());
    while let Some(arg) = parser.next()? {
        match arg {
            Long("help") | Short('h') => return Ok(None),
            Long(name) => {
                let name = name.to_owned();
                let Some(place) = place(&mut places, &name) else {
                    return Err(lexopt::Error::UnexpectedOption(format!("--{name}")).into());
                };
                *place = PathBuf::from(parser.value()?);
            }
            Value(word) => words.push(word.to_string_lossy().into_owned()),
            Short(_) => return Err(arg.unexpected().into()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let act = match words.as_slice() {
        ["apply"] => BoxAct::Apply,
        ["slot", question @ ..] => BoxAct::Slot(slot(question).ok_or(BoxArgsError::Slot)?),
        _ => return Err(BoxArgsError::Act),
    };
    Ok(Some(BoxArgs { act, places }))
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
