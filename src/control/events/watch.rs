//! What has happened, in words for people, told from two looks at the tower's counters. Pure.
//!
//! The log says what each part did; this says what it meant for who listens. A look has no memory of its
//! own, so nothing that happens between two looks is lost but its order.

use std::collections::BTreeMap;

use crate::{
    encoder::EncoderState,
    frame::TICK_MS,
    pump::selector::{Reason, Source},
};

/// A look: counters, but for what is said otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// What is on air, and why.
    pub on_air: Option<(Source, Reason)>,
    /// The encoder's state; none: not looked yet.
    pub encoder: Option<EncoderState>,
    /// Failures of the encoder.
    pub failures: u64,
    /// How the last of them ended.
    pub last_failure: String,
    /// Stand-ins on air.
    pub fillers: u64,
    /// Times that an encoder gave the first frame that another one had owed.
    pub recoveries: u64,
    /// Ticks that never happened.
    pub skipped: u64,
    /// Losses of the sound card's sound.
    pub xruns: u64,
    /// Stations that send: 0 or 1.
    pub senders: u64,
    /// The relay is connected; none: there is no relay.
    pub relay: Option<bool>,
    /// Listeners let go because they did not keep up.
    pub dropped_slow: u64,
    /// Alarms that stand, and their words.
    pub alarms: BTreeMap<&'static str, String>,
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// As it should be.
    Note,
    /// Somebody might want to look.
    Warning,
}

/// Remembers the last look, and how many fillers there were when the encoder failed.
#[derive(Debug, Default)]
pub struct Watch {
    last: Option<Look>,
    fillers_before_failure: Option<u64>,
}

impl Watch {
    /// Sentences about what happened since the last look.
    pub fn step(&mut self, now: Look) -> Vec<(Weight, String)> {
        let mut told = Vec::new();
        let old = self.last.take().unwrap_or_else(|| Look { on_air: None, ..now.clone() });
        on_air(&old, &now, &mut told);
        self.encoder(&old, &now, &mut told);
        machine(&old, &now, &mut told);
        others(&old, &now, &mut told);
        alarms(&old, &now, &mut told);
        self.last = Some(now);
        told
    }

    fn encoder(&mut self, old: &Look, now: &Look, told: &mut Vec<(Weight, String)>) {
        let failed = now.failures - old.failures;
        if failed > 0 {
            self.fillers_before_failure.get_or_insert(old.fillers);
            let how = if now.last_failure.is_empty() { String::new() } else { format!(" ({})", now.last_failure) };
            told.push((Weight::Warning, format!("The encoder stopped{how}. Another one takes its place.")));
        }
        let entered = |state| now.encoder == Some(state) && old.encoder != Some(state);
        if entered(EncoderState::Degraded) {
            told.push((
                Weight::Warning,
                "No encoder stays alive: a prepared tone is on air, and every minute another one is tried.".into(),
            ));
        }
        if now.encoder != Some(EncoderState::Running) || (now.recoveries == old.recoveries && failed > 0) {
            return;
        }
        if let Some(before) = self.fillers_before_failure.take() {
            let fillers = now.fillers - before;
            let (weight, heard) = match fillers {
                0 => (Weight::Note, "Nobody noticed: 0 fillers.".to_owned()),
                _ => (Weight::Warning, format!("{fillers} fillers ({}) were heard.", duration(fillers * TICK_MS))),
            };
            told.push((weight, format!("The encoder was replaced. {heard}")));
        }
    }
}

fn on_air(old: &Look, now: &Look, told: &mut Vec<(Weight, String)>) {
    let (Some((source, reason)), true) = (now.on_air, now.on_air.map(|on| on.0) != old.on_air.map(|on| on.0)) else {
        return;
    };
    let what = match source {
        Source::Live => "The sound card is on air",
        Source::Station => "The station is on air",
        Source::Silence => "Silence is on air",
        Source::File => "The fallback file is on air",
        Source::Tone => "The tone is on air",
        #[allow(unreachable_patterns)] // an input that comes later has its name
        other => return told.push((Weight::Note, format!("On air: {} ({}).", other.name(), reason.text()))),
    };
    let weight = if matches!(source, Source::Live | Source::Station) { Weight::Note } else { Weight::Warning };
    told.push((weight, format!("{what}: {}.", reason.text())));
}

fn machine(old: &Look, now: &Look, told: &mut Vec<(Weight, String)>) {
    let skipped = now.skipped - old.skipped;
    if skipped > 0 {
        let long = duration(skipped * TICK_MS);
        told.push((Weight::Warning, format!("The machine stood still for {long}; so long the stream paused.")));
    }
    if now.xruns > old.xruns {
        told.push((Weight::Warning, "Some sound of the sound card was lost: the machine came too late for it.".into()));
    }
}

fn others(old: &Look, now: &Look, told: &mut Vec<(Weight, String)>) {
    match (old.senders > 0, now.senders > 0) {
        (false, true) => told.push((Weight::Note, "The station has connected.".into())),
        (true, false) => told.push((Weight::Warning, "The station has gone.".into())),
        _ => {}
    }
    match (old.relay, now.relay) {
        (Some(false), Some(true)) => told.push((Weight::Note, "The other server takes the stream.".into())),
        (Some(true), Some(false)) => {
            told.push((
                Weight::Warning,
                "The other server does not take the stream any more; it is tried again.".into(),
            ));
        }
        _ => {}
    }
    match now.dropped_slow - old.dropped_slow {
        0 => {}
        1 => told.push((Weight::Note, "A listener did not keep up and was let go.".into())),
        count => told.push((Weight::Note, format!("{count} listeners did not keep up and were let go."))),
    }
}

fn alarms(old: &Look, now: &Look, told: &mut Vec<(Weight, String)>) {
    for (name, text) in &now.alarms {
        if !old.alarms.contains_key(name) {
            told.push((Weight::Warning, format!("Alarm: {text}.")));
        }
    }
    for (name, text) in &old.alarms {
        if !now.alarms.contains_key(name) {
            told.push((Weight::Note, format!("Over: {text}.")));
        }
    }
}

fn duration(ms: u64) -> String {
    if ms < 1000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1000, ms % 1000 / 100) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(watch: &mut Watch, look: &Look) -> Vec<String> {
        watch.step(look.clone()).into_iter().map(|(_, text)| text).collect()
    }

    fn running() -> Look {
        let on_air = Some((Source::Station, Reason::StationPresent));
        Look { on_air, encoder: Some(EncoderState::Running), senders: 1, ..Look::default() }
    }

    #[test]
    fn k6_what_happens_is_said_once_as_a_table() {
        type Change = fn(&mut Look);
        let table: [(Change, &[&str]); 10] = [
            (
                |look| look.on_air = Some((Source::Tone, Reason::GraceOver)),
                &["The tone is on air: no input within the grace time."],
            ),
            (
                |look| look.on_air = Some((Source::Live, Reason::LivePresent)),
                &["The sound card is on air: the sound card sends."],
            ),
            (|look| look.skipped = 100, &["The machine stood still for 2.4 s; so long the stream paused."]),
            (|look| look.xruns = 1, &["Some sound of the sound card was lost: the machine came too late for it."]),
            (|look| look.senders = 0, &["The station has gone."]),
            (|look| look.dropped_slow = 1, &["A listener did not keep up and was let go."]),
            (|look| look.dropped_slow = 3, &["3 listeners did not keep up and were let go."]),
            (|look| drop(look.alarms.insert("on_air_silence", "silence on air".into())), &["Alarm: silence on air."]),
            (
                |look| look.encoder = Some(EncoderState::Degraded),
                &["No encoder stays alive: a prepared tone is on air, and every minute another one is tried."],
            ),
            (|_| {}, &[]),
        ];
        for (change, expected) in table {
            let mut watch = Watch::default();
            assert_eq!(texts(&mut watch, &running()), ["The station is on air: the station sends."]);
            let mut look = running();
            change(&mut look);
            assert_eq!(texts(&mut watch, &look), expected);
            assert!(texts(&mut watch, &look).is_empty(), "said twice: {expected:?}");
        }
    }

    #[test]
    fn k6_an_encoder_that_was_replaced_says_what_was_heard_of_it() {
        for (fillers, seen_running, expected) in [
            (0, true, "The encoder was replaced. Nobody noticed: 0 fillers."),
            (50, false, "The encoder was replaced. 50 fillers (1.2 s) were heard."),
        ] {
            let mut watch = Watch::default();
            let mut look = running();
            look.fillers = 7;
            watch.step(look.clone());
            look.failures = 1;
            look.last_failure = "killed by SIGKILL".into();
            if !seen_running {
                look.encoder = Some(EncoderState::Restarting);
            }
            let stopped = "The encoder stopped (killed by SIGKILL). Another one takes its place.";
            assert_eq!(texts(&mut watch, &look), [stopped]);
            look.encoder = Some(EncoderState::Running);
            look.recoveries = 1;
            look.fillers += fillers;
            assert_eq!(texts(&mut watch, &look), [expected]);
        }
        // All of it between two looks.
        let mut watch = Watch::default();
        watch.step(running());
        let told = texts(&mut watch, &Look { failures: 1, recoveries: 1, ..running() });
        assert_eq!(told.len(), 2, "{told:?}");
    }

    #[test]
    fn k6_relay_and_alarms_come_and_go() {
        let mut watch = Watch::default();
        let mut look = Look { relay: Some(false), ..running() };
        look.alarms.insert("live_lost", "no sound card".into());
        watch.step(look.clone());
        look.relay = Some(true);
        look.alarms.clear();
        assert_eq!(texts(&mut watch, &look), ["The other server takes the stream.", "Over: no sound card."]);
        look.relay = Some(false);
        assert_eq!(
            texts(&mut watch, &look),
            ["The other server does not take the stream any more; it is tried again."]
        );
    }
}
