//! Which alarms there are, at what levels, and what they say.
//!
//! No alarm without a cause: silence that is meant (GRACE, a fallback of silence) is none, nor is a
//! card that is still being found, nor a stream that is begun anew.

use super::alarm::{CLIPPING_WINDOWS, Change, ClippingWatch, Hysteresis, LostWatch, Sign, XRUNS_RAISED, XrunWatch};
use super::levels::{Levels, WINDOW_MS, Window};
use crate::{
    frame::CHANNELS,
    input::live::LiveState,
    pump::selector::{Mode, Source},
};

/// Below this nothing is heard above the noise of a room: the level of the silence rule (Q5).
pub const SILENT_DBFS: f64 = -60.0;
/// Above this something is: the same.
pub const SOUNDING_DBFS: f64 = -54.0;
/// Longer than a pause in speech or music, and twice the default grace time.
pub const SILENT_MS: u64 = 10_000;
/// A click in the silence is not its end.
pub const SOUNDING_MS: u64 = 2000;

/// One side has a tenth of the other's amplitude: no mix of music is like that for long, a broken cable is.
pub const IMBALANCED_DB: f64 = 20.0;
/// A wide mix, as there are.
pub const BALANCED_DB: f64 = 14.0;
/// What is softer tells nothing: the hiss of one side, a fade, a pause.
pub const BALANCE_HEARD_DBFS: f64 = -50.0;
/// Longer than a guitar that begins alone on one side.
pub const IMBALANCED_MS: u64 = 10_000;
/// One phrase.
pub const BALANCED_MS: u64 = 5000;

/// Crystals are within ±100 ppm each: more than both together is a clock that is no crystal, or
/// a card that gives less than it says. The resampler can follow 500.
pub const DRIFT_PPM: f64 = 300.0;
/// A sixth less, so that the noise of the measurement does not cross both.
pub const NO_DRIFT_PPM: f64 = 250.0;
/// The measurement settles within this.
pub const DRIFT_MS: u64 = 60_000;

/// The alarms there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmName {
    /// Nothing is to be heard on air.
    OnAirSilence,
    /// Samples on air are at full scale.
    OnAirClipping,
    /// One channel on air is much softer.
    OnAirImbalance,
    /// Samples of the card are at full scale.
    LiveClipping,
    /// One channel of the card is much softer.
    LiveImbalance,
    /// The card that is configured does not run.
    LiveLost,
    /// Its clock is far off.
    LiveDrift,
    /// Its sound is lost again and again.
    LiveXruns,
}

impl AlarmName {
    /// Of all there are.
    pub const NAMES: [&str; 8] = [
        "on_air_silence",
        "on_air_clipping",
        "on_air_imbalance",
        "live_clipping",
        "live_imbalance",
        "live_lost",
        "live_drift",
        "live_xruns",
    ];

    /// As it is written in status and logs; stable for ever.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// An alarm that was raised or is over, with the figures that were the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Which.
    pub alarm: AlarmName,
    /// What has become of it.
    pub change: Change,
    /// A sentence.
    pub text: String,
}

/// What is judged of a sound, window by window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heard {
    /// RMS of the last 288 ms; none: digital silence.
    pub rms_dbfs: [Option<f64>; CHANNELS],
    /// The window has clipped samples.
    pub clipped: bool,
}

impl Heard {
    /// With the window that has just ended.
    pub fn new(levels: &Levels, window: &Window) -> Self {
        Self { rms_dbfs: levels.rms_dbfs(), clipped: window.clipped > 0 }
    }

    fn levels(&self) -> [f64; CHANNELS] {
        self.rms_dbfs.map(|level| level.unwrap_or(f64::NEG_INFINITY))
    }

    fn louder(&self) -> f64 {
        self.levels().into_iter().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The left channel's level above the right one's.
    fn difference_db(&self) -> f64 {
        let [left, right] = self.levels();
        if left == right { 0.0 } else { left - right }
    }

    fn silence(&self) -> Sign {
        match self.louder() {
            louder if louder < SILENT_DBFS => Sign::Bad,
            louder if louder > SOUNDING_DBFS => Sign::Good,
            _ => Sign::Between,
        }
    }

    fn imbalance(&self) -> Sign {
        match self.difference_db().abs() {
            _ if self.louder() <= BALANCE_HEARD_DBFS => Sign::Unknown,
            difference if difference > IMBALANCED_DB => Sign::Bad,
            difference if difference < BALANCED_DB => Sign::Good,
            _ => Sign::Between,
        }
    }

    /// "left -20.1 dBFS, right digital silence"
    fn words(&self) -> String {
        let [left, right] = self.rms_dbfs.map(|level| match level {
            Some(level) => format!("{level:.1} dBFS"),
            None => "digital silence".to_owned(),
        });
        format!("left {left}, right {right}")
    }
}

/// True if silence on air is as it was configured: the grace time, or a fallback without a tone.
pub fn is_silence_meant(mode: Mode, source: Source) -> bool {
    match mode {
        Mode::Grace => true,
        Mode::Fallback => source == Source::Silence,
        Mode::Program => false,
    }
}

fn drift(ppm: f64) -> Sign {
    match ppm.abs() {
        ppm if ppm > DRIFT_PPM => Sign::Bad,
        ppm if ppm < NO_DRIFT_PPM => Sign::Good,
        _ => Sign::Between,
    }
}

/// What is judged of the card, round by round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Card<'a> {
    /// Where its thread is.
    pub state: LiveState,
    /// How far its clock is off, if that is known.
    pub ppm: Option<f64>,
    /// Xruns since the last round.
    pub xruns: u64,
    /// Why none runs.
    pub error: &'a str,
}

/// Clipping and imbalance of one sound.
#[derive(Debug)]
struct SoundWatch {
    alarms: [AlarmName; 2],
    clipping: ClippingWatch,
    imbalance: Hysteresis,
}

impl SoundWatch {
    fn new(clipping: AlarmName, imbalance: AlarmName) -> Self {
        Self {
            alarms: [clipping, imbalance],
            clipping: ClippingWatch::default(),
            imbalance: Hysteresis::new(IMBALANCED_MS, BALANCED_MS),
        }
    }

    fn hear(&mut self, heard: &Heard, verdicts: &mut Vec<Verdict>) {
        let [clipping, imbalance] = self.alarms;
        if let Some(change) = self.clipping.step(heard.clipped) {
            verdicts.push(Verdict { alarm: clipping, change, text: self.clipping_words() });
        }
        if let Some(change) = self.imbalance.step(heard.imbalance(), WINDOW_MS) {
            verdicts.push(Verdict { alarm: imbalance, change, text: imbalance_words(heard) });
        }
    }

    fn clipping_words(&self) -> String {
        let count = self.clipping.count();
        format!("samples at full scale in {count} of the last {CLIPPING_WINDOWS} windows of {WINDOW_MS} ms")
    }

    fn reset(&mut self, verdicts: &mut Vec<Verdict>) {
        let changes = [self.clipping.reset(), self.imbalance.reset()];
        for (alarm, change) in self.alarms.into_iter().zip(changes) {
            verdicts.extend(change.map(|change| gone(alarm, change)));
        }
    }
}

fn imbalance_words(heard: &Heard) -> String {
    let difference_db = heard.difference_db();
    let (louder, softer) = if difference_db < 0.0 { ("right", "left") } else { ("left", "right") };
    if difference_db.is_infinite() {
        return format!("only {louder} has sound ({})", heard.words());
    }
    format!("{louder} is {:.1} dB louder than {softer} ({})", difference_db.abs(), heard.words())
}

fn gone(alarm: AlarmName, change: Change) -> Verdict {
    Verdict { alarm, change, text: "the card has gone".to_owned() }
}

/// What a card that does not run has against it, in words.
pub fn lost_words(error: &str) -> String {
    let error = if error.is_empty() { "no reason is known yet" } else { error };
    format!("the sound card does not run: {error}")
}

/// All alarms.
#[derive(Debug)]
pub struct Judge {
    silence: Hysteresis,
    on_air: SoundWatch,
    live: SoundWatch,
    lost: LostWatch,
    drift: Hysteresis,
    xruns: XrunWatch,
}

impl Judge {
    /// Nothing is wrong yet.
    pub fn new() -> Self {
        Self {
            silence: Hysteresis::new(SILENT_MS, SOUNDING_MS),
            on_air: SoundWatch::new(AlarmName::OnAirClipping, AlarmName::OnAirImbalance),
            live: SoundWatch::new(AlarmName::LiveClipping, AlarmName::LiveImbalance),
            lost: LostWatch::default(),
            drift: Hysteresis::new(DRIFT_MS, DRIFT_MS),
            xruns: XrunWatch::default(),
        }
    }

    /// A window of what is on air; silence in it counts unless it is `meant`.
    pub fn hear_on_air(&mut self, heard: &Heard, meant: bool, verdicts: &mut Vec<Verdict>) {
        let sign = heard.silence();
        let sign = if meant && sign != Sign::Good { Sign::Unknown } else { sign };
        if let Some(change) = self.silence.step(sign, WINDOW_MS) {
            let text = match change {
                Change::Raised => format!("nothing to be heard on air for {} s: {}", SILENT_MS / 1000, heard.words()),
                Change::Over => heard.words(),
            };
            verdicts.push(Verdict { alarm: AlarmName::OnAirSilence, change, text });
        }
        self.on_air.hear(heard, verdicts);
    }

    /// A window of the card's sound.
    pub fn hear_live(&mut self, heard: &Heard, verdicts: &mut Vec<Verdict>) {
        self.live.hear(heard, verdicts);
    }

    /// How a card that is configured has been for `elapsed_ms`.
    pub fn see_card(&mut self, card: &Card, elapsed_ms: u64, verdicts: &mut Vec<Verdict>) {
        let mut tell = |alarm, change: Option<Change>, text: &dyn Fn(Change) -> String| {
            verdicts.extend(change.map(|change| Verdict { alarm, change, text: text(change) }));
        };
        tell(AlarmName::LiveLost, self.lost.step(card.state, elapsed_ms), &|change| match change {
            Change::Raised => lost_words(card.error),
            Change::Over => "the sound card runs".to_owned(),
        });
        tell(AlarmName::LiveXruns, self.xruns.step(card.xruns, elapsed_ms), &|change| match change {
            Change::Raised => format!("the card's sound was lost {XRUNS_RAISED} times within a minute"),
            Change::Over => "none for a minute".to_owned(),
        });
        if let Some(ppm) = card.ppm.filter(|_| card.state == LiveState::Running) {
            tell(AlarmName::LiveDrift, self.drift.step(drift(ppm), elapsed_ms), &|_| {
                format!("the card's clock is {ppm:+.0} ppm off the tower's")
            });
        }
    }

    /// There is no card any more, or another one: what was wrong with its sound is over.
    pub fn card_gone(&mut self, verdicts: &mut Vec<Verdict>) {
        self.live.reset(verdicts);
        verdicts.extend(self.drift.reset().map(|change| gone(AlarmName::LiveDrift, change)));
    }
}

impl Default for Judge {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AlarmName::{LiveClipping, LiveDrift, LiveImbalance, LiveLost, LiveXruns};
    use AlarmName::{OnAirClipping, OnAirImbalance, OnAirSilence};
    use Change::{Over, Raised};

    const NONE: f64 = f64::NEG_INFINITY;

    fn heard(levels: [f64; 2]) -> Heard {
        Heard { rms_dbfs: levels.map(|level| Some(level).filter(|level| level.is_finite())), clipped: false }
    }

    /// A judge of sound on air, and how far it is.
    struct Hearing {
        judge: Judge,
        windows: u64,
        changes: Vec<(u64, AlarmName, Change)>,
    }

    impl Hearing {
        fn new() -> Self {
            Self { judge: Judge::new(), windows: 0, changes: Vec::new() }
        }

        /// For `ms`, rounded up to windows; changes are noted with the end of their window.
        fn hear(&mut self, ms: u64, meant: bool, mut sound: impl FnMut(u64) -> Heard) {
            for window in 0..ms.div_ceil(WINDOW_MS) {
                let mut verdicts = Vec::new();
                self.judge.hear_on_air(&sound(window), meant, &mut verdicts);
                self.windows += 1;
                let at_ms = self.windows * WINDOW_MS;
                self.changes.extend(verdicts.iter().map(|verdict| (at_ms, verdict.alarm, verdict.change)));
            }
        }
    }

    /// The first window's end at or after that time.
    fn window_at(ms: u64) -> u64 {
        ms.div_ceil(WINDOW_MS) * WINDOW_MS
    }

    #[test]
    fn l3_silence_on_air_as_a_table() {
        type Row<'a> = (&'a str, &'a [(f64, u64)], &'a [(u64, Change)]);
        let (ten, two) = (window_at(10_000), window_at(2000));
        let table: [Row; 8] = [
            ("sound", &[(-20.0, 60_000)], &[]),
            ("digital silence", &[(NONE, 60_000)], &[(ten, Raised)]),
            ("just below", &[(-60.01, 60_000)], &[(ten, Raised)]),
            ("at the threshold", &[(-60.0, 60_000)], &[]),
            ("just not long enough", &[(-20.0, 960), (-70.0, 9984), (-59.0, 96), (-70.0, 9984)], &[]),
            ("over", &[(-70.0, 20_160), (-30.0, 4000)], &[(ten, Raised), (20_160 + two, Over)]),
            ("at the other threshold", &[(-70.0, 20_160), (-54.0, 60_000)], &[(ten, Raised)]),
            (
                "sound, too short",
                &[(-70.0, 20_160), (-20.0, 1920), (-70.0, 96), (-20.0, 1920), (NONE, 960)],
                &[(ten, Raised)],
            ),
        ];
        for (what, parts, expected) in table {
            let mut hearing = Hearing::new();
            parts.iter().for_each(|(level, ms)| hearing.hear(*ms, false, |_| heard([*level, NONE.max(*level - 3.0)])));
            let expected: Vec<_> = expected.iter().map(|(at_ms, change)| (*at_ms, OnAirSilence, *change)).collect();
            assert_eq!(hearing.changes, expected, "{what}");
        }
    }

    #[test]
    fn l4_silence_that_is_meant_raises_nothing() {
        let table = [
            (Mode::Grace, Source::Silence, true),
            (Mode::Fallback, Source::Silence, true),
            (Mode::Fallback, Source::File, false),
            (Mode::Fallback, Source::Tone, false),
            (Mode::Program, Source::Silence, false),
            (Mode::Program, Source::Station, false),
        ];
        for (mode, source, meant) in table {
            assert_eq!(is_silence_meant(mode, source), meant, "{mode:?} {source:?}");
        }
        let silence = |_| heard([NONE; 2]);
        let mut hearing = Hearing::new();
        // A day of grace, as may be configured; a sender that ends with 9 s of silence, and 5 s of grace.
        hearing.hear(86_400_000, true, silence);
        hearing.hear(9000, false, silence);
        hearing.hear(5000, true, silence);
        hearing.hear(9000, false, |_| heard([-23.0; 2]));
        assert_eq!(hearing.changes, []);
        // What was raised stays while it is silent, and is over with sound wherever that comes from.
        hearing.hear(11_000, false, silence);
        hearing.hear(5000, true, silence);
        assert_eq!(hearing.changes.len(), 1);
        hearing.hear(2500, true, |_| heard([-23.0; 2]));
        assert_eq!(hearing.changes[1..].iter().map(|change| change.2).collect::<Vec<_>>(), [Over]);
    }

    #[test]
    fn l3_imbalance_on_air_as_a_table() {
        type Row<'a> = (&'a str, &'a [([f64; 2], u64)], &'a [(u64, Change)]);
        let (ten, five) = (window_at(10_000), window_at(5000));
        let table: [Row; 9] = [
            ("balanced", &[([-20.0, -22.0], 60_000)], &[]),
            ("left only", &[([-20.0, NONE], 60_000)], &[(ten, Raised)]),
            ("right only", &[([NONE, -49.9], 60_000)], &[(ten, Raised)]),
            ("just beyond", &[([-20.0, -40.01], 60_000)], &[(ten, Raised)]),
            ("at the threshold", &[([-20.0, -40.0], 60_000)], &[]),
            ("too soft to tell", &[([-50.0, NONE], 60_000)], &[]),
            (
                "pauses change nothing",
                &[([-20.0, NONE], 4800), ([-65.0, NONE], 30_048), ([-20.0, NONE], 6000)],
                &[(30_048 + ten, Raised)],
            ),
            (
                "over after 5 s of balance, pauses left out",
                &[([-20.0, NONE], 20_160), ([-20.0; 2], 4800), ([NONE; 2], 9984), ([-20.0; 2], 5000)],
                &[(ten, Raised), (20_160 + 9984 + five, Over)],
            ),
            ("at the other threshold", &[([-20.0, NONE], 20_160), ([-20.0, -34.0], 60_000)], &[(ten, Raised)]),
        ];
        for (what, parts, expected) in table {
            let mut hearing = Hearing::new();
            parts.iter().for_each(|(levels, ms)| hearing.hear(*ms, true, |_| heard(*levels)));
            let expected: Vec<_> = expected.iter().map(|(at_ms, change)| (*at_ms, OnAirImbalance, *change)).collect();
            assert_eq!(hearing.changes, expected, "{what}");
        }
    }

    #[test]
    fn l4_what_swings_around_a_threshold_for_an_hour_flaps_nothing() {
        const HOUR_MS: u64 = 3_600_000;
        // Up and down by half a decibel, some seconds each, around each of the thresholds.
        let swing = |around: f64, windows: u64| {
            move |window: u64| around + if (window / windows).is_multiple_of(2) { 0.5 } else { -0.5 }
        };
        for windows in [1, 3, 30, 70, 120] {
            for (around, most) in [(SILENT_DBFS, 1), (SOUNDING_DBFS, 0)] {
                let (mut hearing, level) = (Hearing::new(), swing(around, windows));
                hearing.hear(HOUR_MS, false, |window| heard([level(window); 2]));
                assert!(hearing.changes.len() <= most, "silence around {around}, {windows}: {:?}", hearing.changes);
            }
            for (around, most) in [(IMBALANCED_DB, 1), (BALANCED_DB, 0)] {
                let (mut hearing, difference) = (Hearing::new(), swing(around, windows));
                hearing.hear(HOUR_MS, false, |window| heard([-20.0, -20.0 - difference(window)]));
                assert!(hearing.changes.len() <= most, "balance around {around}, {windows}: {:?}", hearing.changes);
            }
            for (around, most) in [(DRIFT_PPM, 1), (NO_DRIFT_PPM, 0)] {
                let (mut judge, mut verdicts, ppm) = (Judge::new(), Vec::new(), swing(around, windows));
                for round in 0..HOUR_MS / 1000 {
                    let card = Card { state: LiveState::Running, ppm: Some(ppm(round)), xruns: 0, error: "" };
                    judge.see_card(&card, 1000, &mut verdicts);
                }
                assert!(verdicts.len() <= most, "drift around {around}, {windows}: {verdicts:?}");
            }
        }
    }

    #[test]
    fn l3_drift_as_a_table() {
        let running = |ppm| Card { state: LiveState::Running, ppm, xruns: 0, error: "" };
        // ppm and seconds; changes with their second.
        type Row<'a> = (&'a [(Option<f64>, u64)], &'a [(u64, Change)]);
        let table: [Row; 6] = [
            (&[(Some(80.0), 200)], &[]),
            (&[(Some(300.0), 200)], &[]),
            (&[(Some(300.1), 59), (Some(280.0), 1), (Some(-400.0), 59)], &[]),
            (&[(Some(-301.0), 100), (Some(-250.0), 100)], &[(60, Raised)]),
            (&[(Some(301.0), 100), (Some(249.0), 60)], &[(60, Raised), (160, Over)]),
            (&[(None, 200), (Some(400.0), 30), (None, 100), (Some(400.0), 30)], &[(360, Raised)]),
        ];
        for (parts, expected) in table {
            let (mut judge, mut second, mut changes) = (Judge::new(), 0, Vec::new());
            for (ppm, seconds) in parts {
                for _ in 0..*seconds {
                    let mut verdicts = Vec::new();
                    judge.see_card(&running(*ppm), 1000, &mut verdicts);
                    second += 1;
                    changes.extend(verdicts.iter().map(|verdict| (second, verdict.alarm, verdict.change)));
                }
            }
            let expected: Vec<_> = expected.iter().map(|(at, change)| (*at, LiveDrift, *change)).collect();
            assert_eq!(changes, expected, "{parts:?}");
        }
    }

    #[test]
    fn l3_v3_what_is_wrong_with_a_card_ends_with_it_and_names_its_reason() {
        let (mut judge, mut verdicts) = (Judge::new(), Vec::new());
        let card = |state, ppm, xruns, error| Card { state, ppm, xruns, error };
        for _ in 0..105 {
            judge.hear_live(&Heard { clipped: true, ..heard([-9.0, NONE]) }, &mut verdicts);
        }
        (0..60).for_each(|_| {
            judge.see_card(&card(LiveState::Running, Some(-412.4), 0, ""), 1000, &mut verdicts);
        });
        judge.see_card(&card(LiveState::Running, None, 7, ""), 100, &mut verdicts);
        judge.see_card(&card(LiveState::Waiting, None, 0, "no such device"), 100, &mut verdicts);
        judge.card_gone(&mut verdicts);
        judge.card_gone(&mut verdicts);
        let told: Vec<_> = verdicts.iter().map(|v| (v.alarm, v.change, v.text.as_str())).collect();
        assert_eq!(
            told,
            [
                (LiveClipping, Raised, "samples at full scale in 10 of the last 104 windows of 96 ms"),
                (LiveImbalance, Raised, "only left has sound (left -9.0 dBFS, right digital silence)"),
                (LiveDrift, Raised, "the card's clock is -412 ppm off the tower's"),
                (LiveXruns, Raised, "the card's sound was lost 5 times within a minute"),
                (LiveLost, Raised, "the sound card does not run: no such device"),
                (LiveClipping, Over, "the card has gone"),
                (LiveImbalance, Over, "the card has gone"),
                (LiveDrift, Over, "the card has gone"),
            ]
        );
    }

    #[test]
    fn l3_sentences_have_the_figures() {
        let mut judge = Judge::new();
        let mut verdicts = Vec::new();
        for (level, windows) in [([-40.0, -18.5], 105), ([-20.0, -21.25], 55), ([-61.0, NONE], 110)] {
            for window in 0..windows {
                let sound = Heard { clipped: level[0] > -30.0 && window < 10, ..heard(level) };
                judge.hear_on_air(&sound, false, &mut verdicts);
            }
        }
        let told: Vec<_> = verdicts.iter().map(|v| (v.alarm, v.text.as_str())).collect();
        assert_eq!(
            told,
            [
                (OnAirImbalance, "right is 21.5 dB louder than left (left -40.0 dBFS, right -18.5 dBFS)"),
                (OnAirClipping, "samples at full scale in 10 of the last 104 windows of 96 ms"),
                (OnAirImbalance, "left is 1.2 dB louder than right (left -20.0 dBFS, right -21.2 dBFS)"),
                (OnAirClipping, "samples at full scale in 0 of the last 104 windows of 96 ms"),
                (OnAirSilence, "nothing to be heard on air for 10 s: left -61.0 dBFS, right digital silence"),
            ]
        );
    }
}
