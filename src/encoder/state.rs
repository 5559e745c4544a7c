//! The encoder's state as others see it.

use crate::published::published;

published! {
    /// As in `/status`.
    pub enum EncoderState, name, else Stopped {
        /// Not started, or told to stop.
        Stopped = "STOPPED",
        /// The first child is being started.
        Starting = "STARTING",
        /// A child runs; no MP3 frame yet.
        Booting = "BOOTING",
        /// MP3 frames flow.
        Running = "RUNNING",
        /// A child has failed; the next one is due at once or after a wait.
        Restarting = "RESTARTING",
        /// Many restarts have failed; attempts go on, far apart.
        Degraded = "DEGRADED",
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
