//! Audio to encode: music-like, loud and quiet, with transients; the same each time.
//! And files of it, in any format that FFmpeg writes.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use retrowaves::frame::{CHANNELS, PumpFrame, SAMPLE_RATE_HZ};

/// Frame `number` of a programme that never repeats.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub fn music(number: u64) -> PumpFrame {
    let mut frame = PumpFrame::SILENCE;
    let mut noise = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let passage = usize::try_from(number / 40 % 8).expect("small");
    let loudness = [9000.0, 500.0, 4000.0, 60.0, 14_000.0, 0.0, 2500.0, 9000.0][passage];
    let pitch = 220.0 * [1.0, 1.125, 1.25, 1.5, 1.667, 1.0, 1.2, 1.875][passage];
    for (i, pair) in frame.values.chunks_exact_mut(2).enumerate() {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        let t = (number * 1152 + i as u64) as f64 / f64::from(SAMPLE_RATE_HZ);
        let hiss = (noise % 2000) as f64 / 1000.0 - 1.0;
        let hit = if number.is_multiple_of(17) && (300..340).contains(&i) { 1.2 } else { 0.0 };
        let chord = (t * pitch * std::f64::consts::TAU).sin()
            + 0.5 * (t * pitch * 3.76).sin()
            + 0.3 * (t * pitch * 12.6 + (t * 31.0).sin()).sin();
        pair[0] = (loudness * (0.6 * chord + 0.2 * hiss + hit)) as i16;
        pair[1] = (loudness * (0.6 * chord - 0.2 * hiss + hit)) as i16;
    }
    frame
}

/// Frame `number` of a noise in which no two encoded frames are the same.
pub fn hiss(number: u64) -> PumpFrame {
    let mut frame = PumpFrame::SILENCE;
    let mut noise = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for value in &mut frame.values {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        *value = i16::from_ne_bytes([noise.to_ne_bytes()[3], noise.to_ne_bytes()[4]]) / 8;
    }
    frame
}

/// The first samples of the programme, interleaved.
pub fn music_values(samples: usize) -> Vec<i16> {
    (0..).flat_map(|number| music(number).values).take(samples * CHANNELS).collect()
}

/// A folder for one test, gone when it is dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        Self(super::temp_dir())
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes interleaved values at 48 kHz as a file; `args` and the name say which kind.
pub fn encode(values: &[i16], file: &Path, args: &[&str]) {
    let mut ffmpeg = writer(&["-f", "s16le", "-ar", "48000", "-ac", "2", "-i", "pipe:0"], args, file);
    let mut child = ffmpeg.stdin(Stdio::piped()).spawn().expect("ffmpeg");
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    child.stdin.take().expect("stdin").write_all(&bytes).expect("PCM");
    assert!(child.wait().expect("ffmpeg").success(), "{}", file.display());
}

/// Writes a file from another one, or from one of FFmpeg's own sources (`testsrc=…`).
pub fn encode_from(source: &Path, file: &Path, args: &[&str]) {
    let input = source.to_str().expect("path");
    let kind: &[&str] = if source.exists() { &[] } else { &["-f", "lavfi"] };
    let mut ffmpeg = writer(&[kind, &["-i", input]].concat(), args, file);
    assert!(ffmpeg.stdin(Stdio::null()).status().expect("ffmpeg").success(), "{}", file.display());
}

fn writer(input: &[&str], output: &[&str], file: &Path) -> Command {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]).args(input).args(output).arg(file);
    ffmpeg
}
