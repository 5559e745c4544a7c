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
};

/// Where the capture thread is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LiveState {
    /// No card is configured.
    Off = 0,
    /// There is no card, or it cannot be opened; it is tried again.
    Waiting = 1,
    /// It is open and has given nothing yet.
    Starting = 2,
    /// Its sound comes.
    Running = 3,
}

impl LiveState {
    const ALL: [Self; 4] = [Self::Off, Self::Waiting, Self::Starting, Self::Running];

    /// As it is written in status and logs.
    pub fn name(self) -> &'static str {
        ["off", "waiting", "starting", "running"][self as usize]
    }

    /// Back from the number in `LiveStats::state`.
    pub fn from_u8(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Off)
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
