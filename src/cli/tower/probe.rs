//! `tower probe`: does this FFmpeg do what the tower needs?

use std::{path::PathBuf, sync::atomic::AtomicBool};

use nix::sys::eventfd::EventFd;

use super::args::{ProbeArgs, ProbeSource};
use crate::{
    config::TowerConfig,
    decoder::{DecodeError, decode_whole},
    encoder::{
        EncoderCommand, Header,
        probe::{Outcome, ProbeError, Trial, run},
    },
    fallback::tone::Tone,
    frame::{PUMP_FRAME_VALUES, PumpFrame, TICK_MS},
    limits::FALLBACK_FILE_SEC_MAX,
};

/// Two seconds, at the pace of the air: what comes in bursts shows as backlog.
const FRAMES: usize = 84;
/// The pitch where the tone is off.
const TONE_HZ: u32 = 440;

/// Why a probe fails.
#[derive(Debug, thiserror::Error)]
pub enum ProbeFailure {
    /// The encoder does not deliver.
    #[error(transparent)]
    Encoder(#[from] ProbeError),
    /// The file to feed it with cannot be had.
    #[error(transparent)]
    File(#[from] DecodeError),
    /// It holds no audio.
    #[error("{}: no audio in it", .0.display())]
    Empty(PathBuf),
    /// Configuration checks it before.
    #[error("MPEG-1 Layer III has no bitrate of {0} kbit/s")]
    Bitrate(u32),
    /// No descriptor for the decoder.
    #[error("cannot set up the probe: {0}")]
    System(#[from] nix::errno::Errno),
}

/// Feeds FFmpeg for two seconds as the tower would; gives a report in words.
///
/// # Errors
/// When MP3 frames did not come, not in time, or were not those ordered.
pub fn probe(config: &TowerConfig, args: &ProbeArgs) -> Result<String, ProbeFailure> {
    let kbps = config.encoder.bitrate_kbps;
    let header = Header::on_air(kbps).ok_or(ProbeFailure::Bitrate(kbps))?;
    let command = EncoderCommand::new(&config.encoder);
    let frames = frames(config, &args.source)?;
    let timeout_ms = args.timeout_ms.unwrap_or(config.encoder.startup_timeout_ms);
    let trial = Trial { frames: &frames, paced: true, timeout_ms, cancel: &AtomicBool::new(false) };
    let outcome = run(&command, header, &trial)?;
    Ok(report(&command, frames.len(), &outcome))
}

fn frames(config: &TowerConfig, source: &ProbeSource) -> Result<Vec<PumpFrame>, ProbeFailure> {
    Ok(match source {
        ProbeSource::Silence => vec![PumpFrame::SILENCE; FRAMES],
        ProbeSource::Tone => {
            let hz = config.fallback.tone_hz;
            let mut tone = Tone::new(if hz == 0 { TONE_HZ } else { hz });
            (0..FRAMES).map(|_| tone.next_frame()).collect()
        }
        ProbeSource::File(file) => {
            let pcm = decode_whole(&config.encoder.ffmpeg, file, FALLBACK_FILE_SEC_MAX, &EventFd::new()?)?;
            let frames: Vec<PumpFrame> = pcm.chunks(PUMP_FRAME_VALUES).take(FRAMES).map(padded).collect();
            if frames.len() < 2 {
                return Err(ProbeFailure::Empty(file.clone()));
            }
            frames
        }
    })
}

fn padded(values: &[i16]) -> PumpFrame {
    let mut frame = PumpFrame::SILENCE;
    frame.values[..values.len()].copy_from_slice(values);
    frame
}

fn report(command: &EncoderCommand, written: usize, outcome: &Outcome) -> String {
    let stderr = if outcome.stderr.is_empty() { "nothing".to_owned() } else { outcome.stderr.join("\n              ") };
    format!(
        "command       {command}\n\
         PCM frames    {written} in {} ms\n\
         MP3 frames    {} (one is always owed: the encoder looks ahead)\n\
         first frame   {} ms after the start of the process\n\
         backlog       {} at most, once it had started (1 or 2: frames come one by one)\n\
         ffmpeg says   {stderr}\n",
        written as u64 * TICK_MS,
        outcome.frames.len(),
        outcome.first_frame_ms.unwrap_or(0),
        outcome.backlog_frames,
    )
}
