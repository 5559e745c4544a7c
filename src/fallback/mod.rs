//! `FallbackGenerator`: what is on air when nobody sends (F).
//!
//! The pump asks for a frame and has it at once: the file if it is decoded, else
//! the tone, else silence. Nothing on that path can fail, wait or allocate. A
//! file that becomes ready while the tone plays is joined to it in one frame.

mod file;
mod tone;

use std::{io, path::Path, sync::Arc};

pub use file::FallbackLoader;
use file::{FileLoop, Shelf};
use tone::Tone;

use crate::{
    config::FallbackConfig,
    frame::PumpFrame,
    pump::{fade, selector::Source},
};

/// The pump's side.
#[derive(Debug)]
pub struct FallbackGenerator {
    shelf: Shelf,
    file: FileLoop,
    /// `None`: silence instead of a tone.
    tone: Option<Tone>,
    /// What the last frame was.
    source: Source,
}

impl FallbackGenerator {
    /// A generator, and the loader that decodes its file in the background. Keep
    /// the loader, and stop it at the end.
    ///
    /// # Errors
    /// When there is no descriptor or thread to be had. A file that is bad is no
    /// error but a warning.
    pub fn new(config: &FallbackConfig, ffmpeg: &Path) -> io::Result<(Self, FallbackLoader)> {
        let generator = Self::with_tone(config.tone_hz);
        let loader = FallbackLoader::start(config.file.as_deref(), ffmpeg, &generator.shelf)?;
        Ok((generator, loader))
    }

    /// A generator without a file: a tone, or silence if `tone_hz` is 0.
    pub fn with_tone(tone_hz: u32) -> Self {
        let tone = (tone_hz > 0).then(|| Tone::new(tone_hz));
        Self {
            shelf: Arc::default(),
            file: FileLoop::default(),
            source: tone.as_ref().map_or(Source::Silence, |_| Source::Tone),
            tone,
        }
    }

    /// The next frame: always, and at once.
    pub fn get_frame(&mut self) -> PumpFrame {
        let Some(pcm) = self.shelf.get() else {
            return stand_in(&mut self.tone);
        };
        let frame = self.file.next_frame(pcm);
        if self.source == Source::File {
            return frame;
        }
        self.source = Source::File;
        fade::crossfade(&stand_in(&mut self.tone), &frame)
    }

    /// What the last frame was: file, tone or silence.
    pub fn source(&self) -> Source {
        self.source
    }
}

fn stand_in(tone: &mut Option<Tone>) -> PumpFrame {
    tone.as_mut().map_or(PumpFrame::SILENCE, Tone::next_frame)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf, time::Duration};

    use super::*;
    use crate::scratch::Scratch;

    fn config(file: Option<PathBuf>, tone_hz: u32) -> FallbackConfig {
        FallbackConfig { file, tone_hz }
    }

    #[test]
    fn f2_tone_then_silence_and_a_bad_file_changes_nothing() {
        let (mut tone, _loader) = FallbackGenerator::new(&config(None, 440), Path::new("none")).expect("made");
        assert_eq!(tone.source(), Source::Tone);
        assert_ne!(tone.get_frame(), PumpFrame::SILENCE);
        let (mut none, _loader) = FallbackGenerator::new(&config(None, 0), Path::new("none")).expect("made");
        assert_eq!((none.get_frame(), none.source()), (PumpFrame::SILENCE, Source::Silence));

        let scratch = Scratch::new();
        let bad = scratch.join("bad.mp3");
        fs::write(&bad, "this is no music").expect("file");
        for file in [bad, scratch.join("missing.mp3")] {
            let made = FallbackGenerator::new(&config(Some(file), 440), Path::new("ffmpeg"));
            let (mut generator, mut loader) = made.expect("made");
            let mut expected = Tone::new(440);
            while loader.is_loading() {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert_eq!(generator.get_frame(), expected.next_frame());
            assert_eq!(generator.source(), Source::Tone);
            loader.stop();
        }
    }

    #[test]
    fn f3_the_decoded_file_follows_the_tone_in_one_joined_frame_and_loops() {
        let scratch = Scratch::new();
        let path = scratch.join("loop.wav");
        let pcm: Vec<i16> = (0..2 * 1500).map(|i| i16::try_from(i).expect("small")).collect();
        fs::write(&path, wav(&pcm)).expect("file");
        let made = FallbackGenerator::new(&config(Some(path), 440), Path::new("ffmpeg"));
        let (mut generator, loader) = made.expect("made");
        while loader.is_loading() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let first = generator.get_frame();
        let mut file = FileLoop::default();
        let expected = fade::crossfade(&Tone::new(440).next_frame(), &file.next_frame(&pcm));
        assert_eq!((first, generator.source()), (expected, Source::File));
        for _ in 0..10 {
            assert_eq!(generator.get_frame(), file.next_frame(&pcm));
        }
    }

    /// 48 kHz, 16 bits, stereo.
    fn wav(pcm: &[i16]) -> Vec<u8> {
        let bytes = u32::try_from(pcm.len() * 2).expect("small");
        let mut wav = b"RIFF".to_vec();
        wav.extend((36 + bytes).to_le_bytes());
        wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x02\0");
        wav.extend(48_000u32.to_le_bytes());
        wav.extend(192_000u32.to_le_bytes());
        wav.extend(b"\x04\0\x10\0data");
        wav.extend(bytes.to_le_bytes());
        wav.extend(pcm.iter().flat_map(|v| v.to_le_bytes()));
        wav
    }
}
