//! The two slots of the card: which one starts, which one is on trial, which one is good.
//!
//! ```text
//!            set-primary B               restart into trial, B starts
//!   A good ───────────────▶ B on trial ──────────────────────────────▶ B runs, on trial
//!      ▲                        │                                        │         │
//!      │      set-state B bad   │                   A starts again       │         │ confirmed:
//!      ├────────────────────────┘                   (B failed)           │         │ healthy for 60 s
//!      ├─────────────────────────────────────────────────────────────────┘         ▼
//!      └──────────────────────── the same with the letters exchanged ────────── B good
//! ```
//!
//! Pure. The slot of every ordinary start (`good`) changes in one place only: when the
//! slot that runs on trial is confirmed.

use std::fmt;

/// One of the two systems on the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Boot partition 2, root partition 5.
    A,
    /// Boot partition 3, root partition 6.
    B,
}

impl Slot {
    /// The one that is not this.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// As RAUC's `bootname` and the kernel's `rauc.slot=` have it.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "A" => Some(Self::A),
            "B" => Some(Self::B),
            _ => None,
        }
    }

    /// The slot that runs, by the kernel's command line; none: this is not the box.
    pub fn of_command_line(text: &str) -> Option<Self> {
        text.split_ascii_whitespace().filter_map(|word| word.strip_prefix("rauc.slot=")).find_map(Self::parse)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// All that is remembered about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// The one of every ordinary start. It is good by definition.
    pub good: Slot,
    /// The other one is to be tried (or is being tried) at a start with `tryboot`.
    pub on_trial: bool,
    /// That start was asked for.
    pub tried: bool,
    /// The other one was good once and was not written since.
    pub other_is_good: bool,
    /// The last trial of the other one did not end in a confirmation.
    pub other_failed: bool,
}

/// What happens to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The box has started.
    Booted,
    /// RAUC: this slot shall start next.
    SetPrimary(Slot),
    /// RAUC: this slot is good, or bad (before it is written).
    SetState(Slot, bool),
    /// The restart into the slot on trial is about to happen.
    TrialStarts,
    /// The slot that runs has been healthy for long enough.
    Confirmed,
}

/// What is not done, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlotRefusal {
    /// It would leave nothing that starts.
    #[error("slot {0} is the one that starts: it cannot be marked bad")]
    OnlyGoodSlot(Slot),
    /// Nobody but `tower box confirm` makes it good.
    #[error("slot {0} is on trial: it becomes good by `tower box confirm`, when the box has been healthy long enough")]
    NotConfirmed(Slot),
    /// Nothing was installed.
    #[error("no slot is on trial: there is nothing to restart into")]
    NoTrial,
    /// It runs already.
    #[error("slot {0} is on trial and runs already")]
    TrialRuns(Slot),
}

impl Slots {
    /// What a card says that has `good` alone.
    pub fn fresh(good: Slot) -> Self {
        Self { good, on_trial: false, tried: false, other_is_good: false, other_failed: false }
    }

    /// The slot that runs has yet to show that it is good.
    pub fn is_trial_of(self, running: Slot) -> bool {
        running != self.good
    }

    /// RAUC's "primary": what starts next, if the restart is made as it should be.
    pub fn primary(self) -> Slot {
        if self.on_trial { self.good.other() } else { self.good }
    }

    /// RAUC's "state". A slot on trial is not good yet.
    pub fn is_good(self, slot: Slot) -> bool {
        slot == self.good || (self.other_is_good && !self.on_trial)
    }

    /// What they become.
    ///
    /// # Errors
    /// When it would be wrong; nothing changes then.
    pub fn step(self, running: Slot, event: Event) -> Result<Self, SlotRefusal> {
        let other = self.good.other();
        let not_on_trial = Self { on_trial: false, tried: false, ..self };
        match event {
            // An ordinary start after the wish to try: the trial is over, and it was not confirmed.
            Event::Booted if running == self.good && self.on_trial && self.tried => {
                Ok(Self { other_is_good: false, other_failed: true, ..not_on_trial })
            }
            // Installed, and not tried yet.
            Event::Booted if running == self.good && self.on_trial => Ok(self),
            Event::Booted if running == self.good => Ok(not_on_trial),
            Event::Booted => Ok(Self { on_trial: true, tried: true, ..self }),
            Event::SetPrimary(slot) if slot == self.good => Ok(not_on_trial),
            Event::SetPrimary(slot) if slot == running => Ok(self),
            Event::SetPrimary(_) => Ok(Self { on_trial: true, tried: false, other_failed: false, ..self }),
            Event::SetState(slot, true) if slot == self.good => Ok(self),
            Event::SetState(slot, true) if slot == running || self.on_trial => Err(SlotRefusal::NotConfirmed(slot)),
            Event::SetState(_, true) => Ok(Self { other_is_good: true, other_failed: false, ..self }),
            Event::SetState(slot, false) if slot == self.good => Err(SlotRefusal::OnlyGoodSlot(slot)),
            Event::SetState(_, false) => Ok(Self { other_is_good: false, other_failed: false, ..not_on_trial }),
            Event::TrialStarts if !self.on_trial => Err(SlotRefusal::NoTrial),
            Event::TrialStarts if running == other => Err(SlotRefusal::TrialRuns(other)),
            Event::TrialStarts => Ok(Self { tried: true, ..self }),
            Event::Confirmed if running == self.good => Ok(self),
            Event::Confirmed => Ok(Self { other_is_good: true, ..Self::fresh(running) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Event::{Booted, Confirmed, SetPrimary, SetState, TrialStarts};
    use Slot::{A, B};

    /// A good; "good other", "trial", "tried", "failed" as words.
    fn slots(words: &str) -> Slots {
        let has = |word: &str| words.split(' ').any(|other| other == word);
        Slots {
            good: if has("B") { B } else { A },
            on_trial: has("trial"),
            tried: has("tried"),
            other_is_good: has("other"),
            other_failed: has("failed"),
        }
    }

    #[test]
    fn w5_every_state_answers_every_event() {
        let refused = |refusal| Err(refusal);
        let rows = [
            // Ordinary starts.
            ("A", A, Booted, Ok("A")),
            ("A other", A, Booted, Ok("A other")),
            ("A trial", A, Booted, Ok("A trial")),
            ("A trial tried", A, Booted, Ok("A failed")),
            ("A trial tried other", A, Booted, Ok("A failed")),
            ("A failed", A, Booted, Ok("A failed")),
            // Starts on trial; also one that nobody asked for.
            ("A trial tried", B, Booted, Ok("A trial tried")),
            ("A trial", B, Booted, Ok("A trial tried")),
            ("A other", B, Booted, Ok("A trial tried other")),
            // RAUC installs from a good slot: bad, written, primary.
            ("A other", A, SetState(B, false), Ok("A")),
            ("A failed", A, SetState(B, false), Ok("A")),
            ("A trial tried", A, SetState(B, false), Ok("A")),
            ("A", A, SetPrimary(B), Ok("A trial")),
            ("A other", A, SetPrimary(B), Ok("A trial other")),
            ("A failed", A, SetPrimary(B), Ok("A trial")),
            // The good one is primary again: no trial.
            ("A trial", A, SetPrimary(A), Ok("A")),
            ("A trial tried", B, SetPrimary(A), Ok("A")),
            ("A trial tried", B, SetPrimary(B), Ok("A trial tried")),
            // What is not believed of RAUC.
            ("A", A, SetState(A, false), refused(SlotRefusal::OnlyGoodSlot(A))),
            ("A trial tried", B, SetState(A, false), refused(SlotRefusal::OnlyGoodSlot(A))),
            ("A trial tried", B, SetState(B, true), refused(SlotRefusal::NotConfirmed(B))),
            ("A trial", A, SetState(B, true), refused(SlotRefusal::NotConfirmed(B))),
            ("A trial tried", B, SetState(B, false), Ok("A")),
            ("A", A, SetState(A, true), Ok("A")),
            ("A", A, SetState(B, true), Ok("A other")),
            // The trial.
            ("A", A, TrialStarts, refused(SlotRefusal::NoTrial)),
            ("A trial", A, TrialStarts, Ok("A trial tried")),
            ("A trial tried", A, TrialStarts, Ok("A trial tried")),
            ("A trial tried", B, TrialStarts, refused(SlotRefusal::TrialRuns(B))),
            ("A trial tried", B, Confirmed, Ok("B other")),
            ("A", A, Confirmed, Ok("A")),
            ("A trial", A, Confirmed, Ok("A trial")),
        ];
        for (from, running, event, to) in rows {
            let to = to.map(slots);
            assert_eq!(slots(from).step(running, event), to, "{from}, {running} runs, {event:?}");
            // The same with the letters exchanged.
            let exchanged = |slots: Slots| Slots { good: slots.good.other(), ..slots };
            let event = match event {
                SetPrimary(slot) => SetPrimary(slot.other()),
                SetState(slot, good) => SetState(slot.other(), good),
                other => other,
            };
            let to = to.map(exchanged).map_err(|refusal| match refusal {
                SlotRefusal::OnlyGoodSlot(slot) => SlotRefusal::OnlyGoodSlot(slot.other()),
                SlotRefusal::NotConfirmed(slot) => SlotRefusal::NotConfirmed(slot.other()),
                SlotRefusal::TrialRuns(slot) => SlotRefusal::TrialRuns(slot.other()),
                SlotRefusal::NoTrial => SlotRefusal::NoTrial,
            });
            assert_eq!(exchanged(slots(from)).step(running.other(), event), to, "exchanged: {from}, {event:?}");
        }
    }

    #[test]
    fn w5_only_a_confirmation_of_the_slot_that_runs_changes_what_starts() {
        let events = [Booted, SetPrimary(A), SetPrimary(B), SetState(A, true), SetState(A, false)];
        let events = events.into_iter().chain([SetState(B, true), SetState(B, false), TrialStarts, Confirmed]);
        for event in events {
            for bits in 0..32 {
                let bit = |at: u32| bits & (1 << at) != 0;
                let before = Slots {
                    good: if bit(0) { A } else { B },
                    on_trial: bit(1),
                    tried: bit(2),
                    other_is_good: bit(3),
                    other_failed: bit(4),
                };
                for running in [A, B] {
                    let Ok(after) = before.step(running, event) else { continue };
                    let changed = after.good != before.good;
                    assert_eq!(changed, event == Confirmed && running != before.good, "{before:?} {event:?}");
                    assert!(after.is_good(after.good));
                }
            }
        }
    }

    #[test]
    fn w5_the_slot_that_runs_is_told_by_the_kernels_command_line() {
        let rows = [
            ("root=PARTUUID=52574156-05 rauc.slot=A quiet\n", Some(A)),
            ("rauc.slot=B", Some(B)),
            ("rauc.slot=C rauc.slot=B", Some(B)),
            ("xrauc.slot=A", None),
            ("", None),
        ];
        for (text, slot) in rows {
            assert_eq!(Slot::of_command_line(text), slot, "{text:?}");
        }
    }
}
