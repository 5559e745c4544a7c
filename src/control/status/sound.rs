//! The part of `/status` that is about sound: levels on air, the sound card, alarms.

use std::sync::{PoisonError, atomic::Ordering::Relaxed};

use serde::Serialize;

use super::StatusSources;
use crate::{
    frame::CHANNELS,
    input::live::{LiveState, convert::SampleFormat},
    meter::Alarm,
    pump::presence::Standing,
    router::InputId,
    stats::{Figure, SoundStats},
};

/// Levels of one sound; null: silence, or not as long yet.
#[derive(Debug, Serialize)]
pub(super) struct LevelsStatus {
    peak_dbfs: [Option<f64>; CHANNELS],
    rms_dbfs: [Option<f64>; CHANNELS],
    lufs_momentary: Option<f64>,
    lufs_short: Option<f64>,
    lufs_integrated: Option<f64>,
    clipped: u64,
}

impl LevelsStatus {
    fn of(stats: &SoundStats) -> Self {
        Self {
            peak_dbfs: stats.peak_dbfs.each_ref().map(Figure::get),
            rms_dbfs: stats.rms_dbfs.each_ref().map(Figure::get),
            lufs_momentary: stats.lufs_momentary.get(),
            lufs_short: stats.lufs_short.get(),
            lufs_integrated: stats.lufs_integrated.get(),
            clipped: stats.clipped.get(),
        }
    }
}

/// The sound card. What only one that runs can tell is null while none does; what is counted stays.
#[derive(Debug, Serialize)]
pub(super) struct LiveStatus {
    state: &'static str,
    device: Option<String>,
    pcm: Option<String>,
    name: Option<String>,
    error: Option<String>,
    standing: &'static str,
    rate: Option<u32>,
    channels: Option<u32>,
    format: Option<&'static str>,
    period_frames: Option<u32>,
    buffer_frames: Option<u32>,
    real_time: bool,
    ppm: Option<f64>,
    xruns: u64,
    losses: u64,
    restarts: u64,
    overflows: u64,
    queue_ms: Option<f64>,
    latency_ms: Option<f64>,
    #[serde(flatten)]
    levels: LevelsStatus,
}

/// An alarm that stands, and for how long it has.
#[derive(Debug, Serialize)]
pub(super) struct AlarmStatus {
    alarm: &'static str,
    text: String,
    since_sec: u64,
}

impl AlarmStatus {
    fn of(alarm: Alarm, now_ns: u64) -> Self {
        Self {
            alarm: alarm.name.name(),
            text: alarm.text,
            since_sec: now_ns.saturating_sub(alarm.since_ns) / 1_000_000_000,
        }
    }
}

impl StatusSources {
    pub(super) fn levels(&self) -> LevelsStatus {
        LevelsStatus::of(&self.meter.on_air)
    }

    pub(super) fn alarms(&self, now_ns: u64) -> Vec<AlarmStatus> {
        self.meter.alarms.get().into_iter().map(|alarm| AlarmStatus::of(alarm, now_ns)).collect()
    }

    pub(super) fn live(&self) -> LiveStatus {
        let stats = &self.live;
        let words = stats.words.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        let state = LiveState::from_u8(stats.state.load(Relaxed));
        let runs = (state == LiveState::Running).then_some(());
        let figure = |figure: &Figure| runs.and(figure.get());
        LiveStatus {
            state: state.name(),
            device: self.live_device.clone(),
            pcm: said(words.pcm),
            name: said(words.name),
            error: said(words.error).filter(|_| runs.is_none()),
            standing: Standing::from_u8(self.pump.live.load(Relaxed)).name(),
            rate: runs.map(|()| stats.rate_hz.load(Relaxed)),
            channels: runs.map(|()| stats.channels.load(Relaxed)),
            format: runs.map(|()| SampleFormat::from_u8(stats.format.load(Relaxed)).name()),
            period_frames: runs.map(|()| stats.period_frames.load(Relaxed)),
            buffer_frames: runs.map(|()| stats.buffer_frames.load(Relaxed)),
            real_time: stats.real_time.load(Relaxed),
            ppm: figure(&stats.ppm),
            xruns: stats.xruns.get(),
            losses: stats.losses.get(),
            restarts: stats.restarts.get(),
            overflows: self.router.get_stats(InputId::Live).overflow_count,
            queue_ms: figure(&stats.queue_ms),
            latency_ms: figure(&stats.latency_ms),
            // The meter has none for a card that does not run.
            levels: LevelsStatus::of(&self.meter.live),
        }
    }
}
