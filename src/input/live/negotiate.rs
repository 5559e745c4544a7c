//! What a card is asked for, and what it agrees to.
//!
//! Only what the card really has: whatever alsa-lib converts, it converts in the capture
//! thread, with less care than we do and without telling. So a plug-in PCM is asked not to
//! resample either, unless it has nothing else to offer.

use std::fmt;

use alsa::{
    ValueOr,
    pcm::{Access, Format, Frames, HwParams, PCM},
};

use super::{card::CardError, convert::SampleFormat};
use crate::{
    config::LiveLatency,
    limits::{
        LIVE_BUFFER_MS, LIVE_CHANNELS_MAX, LIVE_PERIOD_LOW_MS, LIVE_PERIOD_MS, LIVE_PERIODS_MIN, LIVE_RATE_HZ_MAX,
        LIVE_RATE_HZ_MIN,
    },
};

/// The rate of the air: a card that has it needs no resampling but for its drift.
const RATE_HZ: u32 = 48_000;
/// Rates that cards have.
const RATES_HZ: [u32; 11] = [8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000];

/// What a card agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Frames a second, by the card's clock.
    pub rate_hz: u32,
    /// Channels, interleaved; of more than two the first two are used.
    pub channels: usize,
    /// How it writes a sample.
    pub format: SampleFormat,
    /// Frames between two wake-ups.
    pub period_frames: usize,
    /// Frames that the card keeps before it overruns.
    pub buffer_frames: usize,
}

impl Setup {
    /// Bytes of one frame: a sample of each channel.
    pub fn frame_bytes(&self) -> usize {
        self.channels * self.format.bytes()
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let channels = if self.channels == 1 { "1 channel".into() } else { format!("{} channels", self.channels) };
        let Self { rate_hz, format, period_frames, buffer_frames, .. } = self;
        write!(f, "{rate_hz} Hz, {channels}, {}, period {period_frames}, buffer {buffer_frames} frames", format.name())
    }
}

/// What a PCM offers that the tower can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Formats, by our preference.
    pub formats: Vec<SampleFormat>,
    /// Channels, least and most.
    pub channels: (u32, u32),
    /// Frames a second: of the usual rates those it has; none of them: its least and its most.
    pub rates_hz: Vec<u32>,
}

/// Agrees with the PCM on a setup and installs it; the PCM is then prepared.
///
/// # Errors
/// When it has nothing that the tower can use, or ALSA refuses.
pub(super) fn negotiate(pcm: &PCM, name: &str, latency: LiveLatency) -> Result<Setup, CardError> {
    native(pcm, name, latency, false).or_else(|_| native(pcm, name, latency, true))
}

fn native(pcm: &PCM, name: &str, latency: LiveLatency, resample: bool) -> Result<Setup, CardError> {
    let failed = |doing| move |error| CardError::from_alsa(name, doing, error);
    let params = HwParams::any(pcm).map_err(failed("ask what it can do"))?;
    params.set_rate_resample(resample).map_err(failed("choose whether ALSA resamples"))?;
    params.set_access(Access::RWInterleaved).map_err(|_| CardError::Access { pcm: name.to_owned() })?;
    let format = preferred_format(|format| params.set_format(alsa_format(format)).is_ok());
    let format = format.ok_or_else(|| CardError::Format { pcm: name.to_owned() })?;
    let channels = preferred_channels(|channels| params.set_channels(channels).is_ok());
    let channels = channels.ok_or_else(|| CardError::Channels { pcm: name.to_owned() })?;
    let rate_hz = params.set_rate_near(RATE_HZ, ValueOr::Nearest).map_err(failed("agree on a rate"))?;
    if !(LIVE_RATE_HZ_MIN..=LIVE_RATE_HZ_MAX).contains(&rate_hz) {
        return Err(CardError::Rate { pcm: name.to_owned(), rate_hz });
    }
    let (period, buffer) = wanted_frames(rate_hz, latency);
    // A card that has fewer periods is still better than none.
    let _ = params.set_periods_min(LIVE_PERIODS_MIN, ValueOr::Nearest);
    params.set_period_size_near(period, ValueOr::Nearest).map_err(failed("agree on a period"))?;
    params.set_buffer_size_near(buffer).map_err(failed("agree on a buffer"))?;
    pcm.hw_params(&params).map_err(failed("set it up"))?;
    let (period, buffer) = software(pcm).map_err(failed("set it up"))?;
    Ok(Setup {
        rate_hz,
        channels: usize::try_from(channels).unwrap_or(usize::MAX),
        format,
        period_frames: whole(period),
        buffer_frames: whole(buffer),
    })
}

/// Wakes us once a period, and starts with the first read if nobody did before.
/// Gives the period and the buffer as they came out.
fn software(pcm: &PCM) -> alsa::Result<(Frames, Frames)> {
    let agreed = pcm.hw_params_current()?;
    let (period, buffer) = (agreed.get_period_size()?, agreed.get_buffer_size()?);
    let params = pcm.sw_params_current()?;
    params.set_avail_min(period)?;
    params.set_start_threshold(1)?;
    pcm.sw_params(&params)?;
    Ok((period, buffer))
}

/// What the PCM has, before anything is agreed on and without resampling where that is possible.
///
/// # Errors
/// When ALSA does not tell.
pub(super) fn offer(pcm: &PCM) -> alsa::Result<Offer> {
    let params = HwParams::any(pcm)?;
    params.set_rate_resample(false)?;
    let formats = SampleFormat::ALL.into_iter().filter(|format| params.test_format(alsa_format(*format)).is_ok());
    Ok(Offer {
        formats: formats.collect(),
        channels: (params.get_channels_min()?, params.get_channels_max()?),
        rates_hz: rates(&params)?,
    })
}

fn rates(params: &HwParams) -> alsa::Result<Vec<u32>> {
    let usual: Vec<u32> = RATES_HZ.into_iter().filter(|rate_hz| params.test_rate(*rate_hz).is_ok()).collect();
    Ok(if usual.is_empty() { vec![params.get_rate_min()?, params.get_rate_max()?] } else { usual })
}

/// The first of our formats that `accepts` takes.
fn preferred_format(mut accepts: impl FnMut(SampleFormat) -> bool) -> Option<SampleFormat> {
    SampleFormat::ALL.into_iter().find(|format| accepts(*format))
}

/// Two channels; else one; else the fewest that `accepts` takes.
fn preferred_channels(mut accepts: impl FnMut(u32) -> bool) -> Option<u32> {
    [2, 1].into_iter().chain(3..=LIVE_CHANNELS_MAX).find(|channels| accepts(*channels))
}

/// Frames of a period and of the buffer, as we would have them.
fn wanted_frames(rate_hz: u32, latency: LiveLatency) -> (Frames, Frames) {
    let period_ms = match latency {
        LiveLatency::Normal => LIVE_PERIOD_MS,
        LiveLatency::Low => LIVE_PERIOD_LOW_MS,
    };
    let frames = |ms: u64| Frames::try_from(u64::from(rate_hz) * ms / 1000).unwrap_or(Frames::MAX);
    (frames(period_ms), frames(LIVE_BUFFER_MS))
}

fn whole(frames: Frames) -> usize {
    usize::try_from(frames).unwrap_or(0)
}

fn alsa_format(format: SampleFormat) -> Format {
    match format {
        SampleFormat::S16Le => Format::S16LE,
        SampleFormat::S24Le3 => Format::S243LE,
        SampleFormat::S24Le => Format::S24LE,
        SampleFormat::S32Le => Format::S32LE,
        SampleFormat::F32Le => Format::FloatLE,
        SampleFormat::S16Be => Format::S16BE,
        SampleFormat::S24Be3 => Format::S243BE,
        SampleFormat::S32Be => Format::S32BE,
        SampleFormat::U8 => Format::U8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_channels_are_preferred_then_one_then_the_fewest() {
        let table: [(&[u32], Option<u32>); 6] = [
            (&[1, 2, 8], Some(2)),
            (&[1, 4], Some(1)),
            (&[18, 4, 6], Some(4)),
            (&[64], Some(64)),
            (&[65], None),
            (&[], None),
        ];
        for (has, chosen) in table {
            assert_eq!(preferred_channels(|channels| has.contains(&channels)), chosen, "{has:?}");
        }
    }

    #[test]
    fn the_format_with_most_bits_is_preferred() {
        use SampleFormat::*;
        let table: [(&[SampleFormat], Option<SampleFormat>); 5] = [
            (&[S16Le, S32Le], Some(S32Le)),
            (&[S16Le, F32Le, S24Le3], Some(S24Le3)),
            (&[S16Be, S16Le], Some(S16Le)),
            (&[U8], Some(U8)),
            (&[], None),
        ];
        for (has, chosen) in table {
            assert_eq!(preferred_format(|format| has.contains(&format)), chosen, "{has:?}");
        }
    }

    #[test]
    fn periods_and_buffers_are_lengths_of_time() {
        assert_eq!(wanted_frames(48_000, LiveLatency::Normal), (480, 19_200));
        assert_eq!(wanted_frames(48_000, LiveLatency::Low), (240, 19_200));
        assert_eq!(wanted_frames(44_100, LiveLatency::Normal), (441, 17_640));
        assert_eq!(wanted_frames(192_000, LiveLatency::Normal), (1920, 76_800));
    }

    #[test]
    fn alsa_calls_our_formats_what_we_call_them() {
        for format in SampleFormat::ALL {
            assert_eq!(alsa_format(format).to_string(), format.name());
            assert_eq!(SampleFormat::from_u8(format as u8), format);
        }
    }

    #[test]
    fn a_setup_is_said_in_one_line() {
        let mut setup = Setup {
            rate_hz: 48_000,
            channels: 2,
            format: SampleFormat::S16Le,
            period_frames: 480,
            buffer_frames: 19_200,
        };
        assert_eq!(setup.to_string(), "48000 Hz, 2 channels, S16_LE, period 480, buffer 19200 frames");
        assert_eq!(setup.frame_bytes(), 4);
        setup.channels = 1;
        assert!(setup.to_string().contains(", 1 channel, "));
    }
}
