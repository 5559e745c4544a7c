//! The part of `/status` that is about the stream that is pulled in as an input.

use std::sync::{PoisonError, atomic::Ordering::Relaxed};

use serde::Serialize;

use super::StatusSources;
use crate::{frame::CHANNELS, input::pull::PullState, pump::presence::Standing, stats::Figure};

/// The stream. What only one whose sound comes can tell is null while none does; what is counted stays.
#[derive(Debug, Serialize)]
pub(super) struct PulledStatus {
    state: &'static str,
    standing: &'static str,
    url: String,
    title: Option<String>,
    error: Option<String>,
    pid: Option<u32>,
    restarts: u64,
    gaps: u64,
    queue_ms: Option<f64>,
    correction_ppm: Option<f64>,
    peak_dbfs: [Option<f64>; CHANNELS],
    rms_dbfs: [Option<f64>; CHANNELS],
}

impl StatusSources {
    pub(super) fn pull(&self) -> Option<PulledStatus> {
        let (source, stats) = self.pull.as_ref()?;
        let words = stats.words.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        let state = PullState::from_u8(stats.state.load(Relaxed));
        let runs = state == PullState::Running;
        let levels = |figures: &[Figure; CHANNELS]| figures.each_ref().map(|figure| figure.get().filter(|_| runs));
        Some(PulledStatus {
            state: state.name(),
            standing: Standing::from_u8(self.pump.relay.load(Relaxed)).name(),
            url: source.to_string(),
            title: said(words.title),
            error: said(words.error),
            pid: Some(stats.pid.load(Relaxed)).filter(|pid| *pid != 0),
            restarts: stats.restarts.get(),
            gaps: stats.gaps.get(),
            queue_ms: stats.queue_ms.get(),
            correction_ppm: stats.correction_ppm.get(),
            peak_dbfs: levels(&stats.levels.peak_dbfs),
            rms_dbfs: levels(&stats.levels.rms_dbfs),
        })
    }
}
