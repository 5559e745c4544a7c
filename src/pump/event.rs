//! What the pump has to say, as small values: the main thread makes words of them.

use std::fmt;

use super::selector::{Mode, Reason, Source};

/// Something that belongs in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PumpEvent {
    /// Another source is on air (Q1).
    Changed(Change),
    /// Real-time priority was refused, with this errno; the pump runs without it.
    RealTimeRefused(i32),
    /// Ticks that never happened, before this tick (A4).
    Skipped {
        /// How many.
        ticks: u64,
        /// The tick after them.
        at_tick: u64,
    },
}

/// Another source is on air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What was.
    pub old: (Mode, Source),
    /// What is.
    pub new: (Mode, Source),
    /// Why.
    pub reason: Reason,
    /// The frame it begins with.
    pub number: u64,
    /// Underruns since the start.
    pub underruns: u64,
}

impl PumpEvent {
    /// How much it matters.
    pub fn level(&self) -> log::Level {
        match self {
            Self::Changed(_) => log::Level::Info,
            Self::RealTimeRefused(_) | Self::Skipped { .. } => log::Level::Warn,
        }
    }
}

impl fmt::Display for PumpEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(change) => change.fmt(f),
            Self::RealTimeRefused(errno) => {
                let error = std::io::Error::from_raw_os_error(*errno);
                write!(f, "no real-time priority for the pump ({error}); it runs at normal priority")
            }
            Self::Skipped { ticks, at_tick } => {
                write!(f, "{ticks} ticks skipped before tick {at_tick}: the machine stood still")
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |(mode, source): (Mode, Source)| format!("{} ({})", mode.name(), source.name());
        let (old, new, reason) = (name(self.old), name(self.new), self.reason.text());
        write!(f, "on air: {old} -> {new}: {reason}")?;
        write!(f, "; frame {}, underruns {}", self.number, self.underruns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q1_a_change_names_old_new_reason_and_counters() {
        let change = PumpEvent::Changed(Change {
            old: (Mode::Fallback, Source::Tone),
            new: (Mode::Program, Source::Station),
            reason: Reason::StationPresent,
            number: 412,
            underruns: 3,
        });
        let expected = "on air: FALLBACK (tone) -> PROGRAM (station): the station sends; frame 412, underruns 3";
        assert_eq!(change.to_string(), expected);
        let refused = PumpEvent::RealTimeRefused(1).to_string();
        assert!(refused.contains("Operation not permitted"), "{refused}");
    }
}
