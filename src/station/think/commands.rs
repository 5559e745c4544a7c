//! What a person may want of the station, and what it answers.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{Planned, Think};
use crate::{
    frame::SAMPLE_RATE_HZ,
    station::{playout::Order, rotation, track::Track},
};

/// What a person may want.
#[derive(Debug)]
pub enum Command {
    /// What plays?
    Now,
    /// On to the next segment.
    Skip,
    /// This track is next.
    Next(Arc<Track>),
    /// What was played? At most so many plays.
    History(usize),
    /// The folders are to be looked at now.
    Scan,
}
