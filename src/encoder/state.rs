//! The encoder's state as others see it.

/// As in `/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EncoderState {
    /// Not started, or told to stop.
    Stopped = 0,
    /// The first child is being started.
    Starting = 1,
    /// A child runs; no MP3 frame yet.
    Booting = 2,
    /// MP3 frames flow.
    Running = 3,
    /// A child has failed; the next one is due at once or after a wait.
    Restarting = 4,
    /// Many restarts have failed; attempts go on, far apart.
    Degraded = 5,
}

impl EncoderState {
    /// As it is written in status and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::Booting => "BOOTING",
            Self::Running => "RUNNING",
            Self::Restarting => "RESTARTING",
            Self::Degraded => "DEGRADED",
        }
    }

    /// Back from the number in `EncoderStats::state`.
    pub fn from_u8(number: u8) -> Self {
        [Self::Stopped, Self::Starting, Self::Booting, Self::Running, Self::Restarting, Self::Degraded]
            .into_iter()
            .find(|state| *state as u8 == number)
            .unwrap_or(Self::Stopped)
    }
}
