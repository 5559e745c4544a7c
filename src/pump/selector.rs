//! What is on air (Q). Nothing else decides it.
//!
//! ```text
//!              an input is present
//!   ┌─────────────────────────────────────┐
//!   │ ┌────────────────────┐              ▼
//! FALLBACK ◄── grace over ── GRACE ◄── PROGRAM(input)
//!   ▲                                     │  none is present: GRACE until `grace_ms`
//!   └──────────── no grace left ──────────┘  after its first tick without a frame
//! ```
//!
//! Leaving GRACE or FALLBACK is immediate. Pure: what the inputs have and the
//! time go in, the next state and its reason come out; no clock is read.

use super::presence::Left;
use crate::{published::published, router::InputId};

published! {
    /// PROGRAM, GRACE or FALLBACK.
    pub enum Mode, name, else Fallback {
        /// An input is on air.
        Program = "PROGRAM",
        /// No input; silence, for the grace time.
        Grace = "GRACE",
        /// No input; file, tone or silence.
        Fallback = "FALLBACK",
    }
}

published! {
    /// What is heard.
    pub enum Source, name, else Silence {
        /// The sound card.
        Live = "live",
        /// The player.
        Station = "station",
        /// Another radio's stream.
        Relay = "relay",
        /// Silence: grace, an underrun, or no tone configured.
        Silence = "silence",
        /// The fallback file.
        File = "file",
        /// The tone.
        Tone = "tone",
    }
}

published! {
    /// Why it is on air.
    pub enum Reason, text, else Start {
        /// Nothing has been on air before.
        Start = "no input since the start",
        /// The sound card is the first input that is present.
        LivePresent = "the sound card sends",
        /// The station is the first input that is present.
        StationPresent = "the station sends",
        /// The stream that is pulled is the first input that is present.
        RelayPresent = "the relayed stream comes",
        /// A person chose the input that is on air.
        Forced = "chosen by hand",
        /// A person chose an input that is absent (Q7).
        ForcedAbsent = "the input chosen by hand sends nothing",
        /// The input on air was closed.
        SenderGone = "the sender, the card or the relayed stream has gone",
        /// The input on air is open and gave nothing for 4 ticks.
        SenderStalled = "the sender, the card or the relayed stream is there and gives nothing",
        /// The input on air was silent for as long as its rule allows (Q5).
        InputSilent = "the input has been silent for too long",
        /// The grace time has passed without an input.
        GraceOver = "no input within the grace time",
    }
}

impl From<InputId> for Source {
    fn from(input: InputId) -> Self {
        match input {
            InputId::Live => Self::Live,
            InputId::Station => Self::Station,
            InputId::Relay => Self::Relay,
        }
    }
}

/// Where the selector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// `input` is on air; it has had no frame since `missing_since_ns`.
    Program {
        /// Which one.
        input: InputId,
        /// Its first tick without a frame, if it has none now.
        missing_since_ns: Option<u64>,
    },
    /// Silence, since the first tick without a frame.
    Grace {
        /// That tick.
        since_ns: u64,
    },
    /// File, tone or silence.
    Fallback,
}

impl State {
    /// Which of the three.
    pub fn mode(self) -> Mode {
        match self {
            Self::Program { .. } => Mode::Program,
            Self::Grace { .. } => Mode::Grace,
            Self::Fallback => Mode::Fallback,
        }
    }

    /// The input on air, if it is one.
    pub fn input(self) -> Option<InputId> {
        match self {
            Self::Program { input, .. } => Some(input),
            Self::Grace { .. } | Self::Fallback => None,
        }
    }

    /// True if the input on air has no frame and still counts as present (Q4).
    pub fn is_underrun(self) -> bool {
        matches!(self, Self::Program { missing_since_ns: Some(_), .. })
    }
}

/// An input in this tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// It may be on air.
    pub present: bool,
    /// It gave a frame in this tick.
    pub has_frame: bool,
    /// If it is absent, why.
    pub left: Left,
}

/// What a tick is decided on. `seen` is indexed by the input's number.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The tick's time.
    pub now_ns: u64,
    /// Every input.
    pub seen: [Seen; InputId::ALL.len()],
    /// Inputs by precedence.
    pub order: &'a [InputId],
    /// The input that a person chose.
    pub forced: Option<InputId>,
    /// Silence before the fallback.
    pub grace_ns: u64,
}

/// The input to be on air: the first present one; if one is forced, only that.
pub fn first_present(
    order: &[InputId],
    forced: Option<InputId>,
    present: [bool; InputId::ALL.len()],
) -> Option<InputId> {
    let allowed = |input: &InputId| forced.is_none_or(|forced| forced == *input);
    order.iter().copied().find(|input| allowed(input) && present[*input as usize])
}

/// The state of this tick, given that of the last one.
pub fn step(state: State, situation: &Situation) -> State {
    let now_ns = situation.now_ns;
    let present = situation.seen.map(|seen| seen.present);
    let Some(top) = first_present(situation.order, situation.forced, present) else {
        return without_input(state, situation);
    };
    let missing_since_ns = match state {
        _ if situation.seen[top as usize].has_frame => None,
        State::Program { input, missing_since_ns } if input == top => missing_since_ns.or(Some(now_ns)),
        State::Program { .. } | State::Grace { .. } | State::Fallback => Some(now_ns),
    };
    State::Program { input: top, missing_since_ns }
}

fn without_input(state: State, situation: &Situation) -> State {
    let since_ns = match state {
        State::Program { missing_since_ns, .. } => missing_since_ns.unwrap_or(situation.now_ns),
        State::Grace { since_ns } => since_ns,
        State::Fallback => return State::Fallback,
    };
    if situation.now_ns >= since_ns + situation.grace_ns { State::Fallback } else { State::Grace { since_ns } }
}

/// Why the state changed from `old` to `new`; `before` if it did not.
pub fn reason(before: Reason, old: State, new: State, situation: &Situation) -> Reason {
    match (old, new) {
        (_, State::Program { input, .. }) => match (situation.forced, input) {
            (Some(_), _) => Reason::Forced,
            (None, InputId::Live) => Reason::LivePresent,
            (None, InputId::Station) => Reason::StationPresent,
            (None, InputId::Relay) => Reason::RelayPresent,
        },
        _ if situation.forced.is_some() => Reason::ForcedAbsent,
        (State::Program { input, .. }, State::Grace { .. } | State::Fallback) => {
            match situation.seen[input as usize].left {
                Left::Silent => Reason::InputSilent,
                Left::Missed => Reason::SenderStalled,
                Left::NotYet | Left::Closed => Reason::SenderGone,
            }
        }
        (State::Grace { .. }, State::Fallback) => Reason::GraceOver,
        // A choice that was taken back leaves no choice as the reason.
        (State::Grace { .. } | State::Fallback, _) if before == Reason::ForcedAbsent => Reason::GraceOver,
        (State::Grace { .. } | State::Fallback, _) => before,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE_NS: u64 = 5_000_000_000;
    const ORDER: [InputId; 3] = InputId::ALL;

    fn seen(state: char) -> Seen {
        Seen { present: state != '-', has_frame: state == 'f', left: Left::Missed }
    }

    /// `inputs`: live, station and, where it is named, relay: each `f` with a frame, `u` present without one,
    /// `-` absent.
    fn at(now_ns: u64, inputs: &str, forced: Option<InputId>) -> Situation<'static> {
        let mut each = inputs.chars().map(seen);
        Situation {
            now_ns,
            seen: std::array::from_fn(|_| each.next().unwrap_or(seen('-'))),
            order: &ORDER,
            forced,
            grace_ns: GRACE_NS,
        }
    }

    fn program(input: InputId, missing_since_ns: Option<u64>) -> State {
        State::Program { input, missing_since_ns }
    }

    #[test]
    fn q1_q2_q3_q4_every_state_answers_every_situation() {
        use InputId::{Live, Relay, Station};
        let grace = |since_ns| State::Grace { since_ns };
        let table = [
            // FALLBACK stays until an input is present, and then it is on air in that tick.
            (State::Fallback, 0, "--", State::Fallback),
            (State::Fallback, 50, "-f", program(Station, None)),
            (State::Fallback, 50, "ff", program(Live, None)),
            (State::Fallback, 50, "-u", program(Station, Some(50))),
            // GRACE ends exactly grace_ms after the first tick without a frame.
            (grace(7), 7 + GRACE_NS - 1, "--", grace(7)),
            (grace(7), 7 + GRACE_NS, "--", State::Fallback),
            // An input that is present at exactly the end wins.
            (grace(7), 7 + GRACE_NS, "-f", program(Station, None)),
            // PROGRAM: frames flow; the first missing one is remembered; frames flow again.
            (program(Station, None), 50, "-f", program(Station, None)),
            (program(Station, None), 50, "-u", program(Station, Some(50))),
            (program(Station, Some(50)), 74, "-u", program(Station, Some(50))),
            (program(Station, Some(50)), 98, "-f", program(Station, None)),
            // No input any more: the grace clock runs since the first missing frame.
            (program(Station, Some(50)), 122, "--", grace(50)),
            (program(Station, Some(50)), 50 + GRACE_NS, "--", State::Fallback),
            (program(Station, None), 50, "--", grace(50)),
            // The order of inputs.
            (program(Station, Some(50)), 74, "f-", program(Live, None)),
            (program(Station, None), 74, "ff", program(Live, None)),
            (program(Live, Some(50)), 74, "uf", program(Live, Some(50))),
            (program(Live, Some(50)), 122, "-f", program(Station, None)),
            (program(Live, Some(50)), 122, "-u", program(Station, Some(122))),
            // The last of them.
            (program(Station, Some(50)), 122, "--f", program(Relay, None)),
            (program(Relay, None), 122, "-ff", program(Station, None)),
            (program(Relay, Some(50)), 122, "---", grace(50)),
        ];
        for (from, now_ns, inputs, to) in table {
            assert_eq!(step(from, &at(now_ns, inputs, None)), to, "{from:?} at {now_ns} with {inputs}");
        }
    }

    #[test]
    fn q3_no_grace_is_straight_to_fallback() {
        for (since, now_ns) in [(None, 50), (Some(50), 122)] {
            let situation = Situation { grace_ns: 0, ..at(now_ns, "--", None) };
            assert_eq!(step(program(InputId::Station, since), &situation), State::Fallback);
        }
    }

    #[test]
    fn q7_a_forced_input_that_is_absent_is_no_input() {
        use InputId::{Live, Station};
        let forced = at(50, "-f", Some(Live));
        assert_eq!(step(program(Station, None), &forced), State::Grace { since_ns: 50 });
        let now = step(State::Fallback, &at(50, "ff", Some(Station)));
        assert_eq!(now, program(Station, None), "below live, but chosen");
        let why = reason(Reason::Start, State::Fallback, State::Fallback, &forced);
        assert_eq!(why, Reason::ForcedAbsent);
        let back = reason(why, State::Fallback, State::Fallback, &at(50, "--", None));
        assert_eq!(back, Reason::GraceOver);
    }

    #[test]
    fn q1_every_change_has_its_reason() {
        let on_air = program(InputId::Station, None);
        let grace = State::Grace { since_ns: 0 };
        let table = [
            (Left::Closed, Reason::SenderGone),
            (Left::Missed, Reason::SenderStalled),
            (Left::Silent, Reason::InputSilent),
        ];
        for (left, expected) in table {
            let mut situation = at(0, "--", None);
            situation.seen[InputId::Station as usize].left = left;
            assert_eq!(reason(Reason::StationPresent, on_air, grace, &situation), expected);
            assert_eq!(reason(expected, grace, grace, &situation), expected, "kept");
            assert_eq!(reason(expected, grace, State::Fallback, &situation), Reason::GraceOver);
        }
        let situation = at(0, "-f", None);
        assert_eq!(reason(Reason::GraceOver, grace, on_air, &situation), Reason::StationPresent);
        assert_eq!(reason(Reason::Start, State::Fallback, State::Fallback, &at(0, "--", None)), Reason::Start);
    }

    #[test]
    fn numbers_and_back() {
        Reason::ALL.into_iter().for_each(|r| assert_eq!(Reason::from_u8(r as u8), r));
        Source::ALL.into_iter().for_each(|s| assert_eq!(Source::from_u8(s as u8), s));
        Mode::ALL.into_iter().for_each(|m| assert_eq!(Mode::from_u8(m as u8), m));
    }
}
