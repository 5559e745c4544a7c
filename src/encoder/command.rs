//! The one FFmpeg command line of the whole project.
//!
//! Every word was measured. The false input rate of 1600 Hz makes the demuxer
//! read small packets that divide a frame (64 samples in FFmpeg 5, 128 from 7
//! on), and `asetrate` puts the truth back: the same bytes come out, one frame
//! per tick, instead of bursts of four. `-fflags +nobuffer` is absent because it
//! throws away the first samples of every start.

use std::{
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use crate::{
    config::EncoderConfig,
    frame::{CHANNELS, PUMP_FRAME_SAMPLES, SAMPLE_RATE_HZ},
};

/// What the demuxer is told; 1600 / 25 = 64 samples a packet.
const FALSE_RATE_HZ: u32 = 1600;

/// How to start an encoder.
#[derive(Debug, Clone)]
pub struct EncoderCommand {
    ffmpeg: PathBuf,
    bitrate_kbps: u32,
    debug: bool,
    /// Set when an FFmpeg has refused `-frame_size`, which does nothing anyway.
    without_frame_size: Arc<AtomicBool>,
}

impl EncoderCommand {
    /// The command for this configuration.
    pub fn new(config: &EncoderConfig) -> Self {
        Self {
            ffmpeg: config.ffmpeg.clone(),
            bitrate_kbps: config.bitrate_kbps,
            debug: config.debug,
            without_frame_size: Arc::default(),
        }
    }

    /// The program and its arguments, without its descriptors.
    pub fn build(&self) -> Command {
        let mut command = Command::new(&self.ffmpeg);
        command.args(self.arguments());
        command
    }

    /// Looks at a line of stderr. True if this FFmpeg refuses `-frame_size`; the
    /// next start leaves it out.
    pub fn learn_from(&self, stderr_line: &str) -> bool {
        let refused = stderr_line.contains("frame_size")
            && ["Unrecognized option", "not found", "Error splitting"].iter().any(|w| stderr_line.contains(w));
        refused && !self.without_frame_size.swap(true, Relaxed)
    }

    fn arguments(&self) -> Vec<String> {
        let level = if self.debug { "debug" } else { "error" };
        let input = format!(
            "-nostdin -hide_banner -loglevel {level} -threads 1 -probesize 32 -analyzeduration 0 \
             -f s16le -ar {FALSE_RATE_HZ} -ac {CHANNELS} -i pipe:0"
        );
        let frame_size = if self.without_frame_size.load(Relaxed) {
            String::new()
        } else {
            format!("-frame_size {PUMP_FRAME_SAMPLES}")
        };
        let output = format!(
            "-af asetrate={SAMPLE_RATE_HZ} -map 0:a:0 -threads 1 -c:a libmp3lame -b:a {}k -reservoir 0 {frame_size} \
             -write_xing 0 -id3v2_version 0 -flush_packets 1 -f mp3 pipe:1",
            self.bitrate_kbps
        );
        input.split_whitespace().chain(output.split_whitespace()).map(str::to_owned).collect()
    }
}

impl std::fmt::Display for EncoderCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.ffmpeg.display(), self.arguments().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> EncoderCommand {
        let config = crate::config::TowerConfig::with_runtime_dir(std::path::Path::new("/nowhere"));
        EncoderCommand::new(&config.encoder)
    }

    #[test]
    fn s1_the_command_is_the_measured_one() {
        assert_eq!(
            command().to_string(),
            "ffmpeg -nostdin -hide_banner -loglevel error -threads 1 -probesize 32 -analyzeduration 0 \
             -f s16le -ar 1600 -ac 2 -i pipe:0 -af asetrate=48000 -map 0:a:0 -threads 1 -c:a libmp3lame -b:a 128k \
             -reservoir 0 -frame_size 1152 -write_xing 0 -id3v2_version 0 -flush_packets 1 -f mp3 pipe:1"
        );
    }

    #[test]
    fn s1_an_ffmpeg_that_refuses_frame_size_is_started_without_it() {
        let command = command();
        assert!(!command.learn_from("pipe:0: Invalid data found when processing input"));
        assert!(command.learn_from("Unrecognized option 'frame_size'."));
        assert!(!command.learn_from("Unrecognized option 'frame_size'."), "said once");
        assert!(!command.to_string().contains("frame_size"));
    }
}
