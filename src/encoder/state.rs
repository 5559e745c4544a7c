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
    const ALL: [Self; 6] =
        [Self::Stopped, Self::Starting, Self::Booting, Self::Running, Self::Restarting, Self::Degraded];

    /// As it is written in status and logs.
    pub fn name(self) -> &'static str {
        ["STOPPED", "STARTING", "BOOTING", "RUNNING", "RESTARTING", "DEGRADED"][self as usize]
    }

    /// Back from the number in `EncoderStats::state`.
    pub fn from_u8(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m5_each_state_comes_back_from_its_number_under_its_name() {
        for state in EncoderState::ALL {
            assert_eq!(EncoderState::from_u8(state as u8), state);
            assert_eq!(state.name(), format!("{state:?}").to_uppercase());
        }
        assert_eq!(EncoderState::from_u8(99), EncoderState::Stopped);
    }
}
