//! Live input: a sound card, brought to the tower's time and format (V).

pub mod capture;
pub mod card;
pub mod convert;
pub mod device;
pub mod drift;
pub mod event;
pub mod feed;
pub mod life;
pub mod negotiate;
pub mod resampler;
pub mod running;

use crate::{
    config::LiveLatency,
    frame::TICK_MS,
    limits::{LIVE_TARGET_LOW_MS, LIVE_TARGET_MS},
    published::published,
};

published! {
    /// Where the capture thread is.
    pub enum LiveState, name, else Off {
        /// No card is configured.
        Off = "off",
        /// There is no card, or it cannot be opened; it is tried again.
        Waiting = "waiting",
        /// It is open and has given nothing yet.
        Starting = "starting",
        /// Its sound comes.
        Running = "running",
    }
}

/// What waits between the card and the pump, once all is well.
pub fn target_ms(latency: LiveLatency) -> u64 {
    match latency {
        LiveLatency::Normal => LIVE_TARGET_MS,
        LiveLatency::Low => LIVE_TARGET_LOW_MS,
    }
}

/// Frames that make it present: never more than wait there. A card does not come in bursts.
pub fn preroll_frames(latency: LiveLatency) -> usize {
    usize::try_from(target_ms(latency) / TICK_MS).unwrap_or(1)
}
