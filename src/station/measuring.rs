//! Measures a file that is about to be played for the first time: its loudness,
//! and where its sound begins, falls and ends.
//!
//! The whole file is decoded once, as fast as the machine can beside everything
//! else, on a thread and a process of the lowest priority. What cannot be decoded
//! is found here, before it is ever on air.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use super::{
    sound::measure::Meter,
    track::{Measured, Track},
};
use crate::{
    decoder::{DecodeError, Decoded, FfmpegDecoder},
    sys::thread,
};

/// Everything else goes first.
const NICE: i32 = 19;
/// How often the wish to stop is looked at while a decoder gives nothing.
const LOOK: Duration = Duration::from_millis(100);

/// What came of it.
#[derive(Debug)]
pub struct Measuring {
    /// Which track.
    pub track: Arc<Track>,
    /// What was found; none: it was stopped.
    pub found: Option<Result<Measured, Arc<DecodeError>>>,
}

/// Measures one file after another.
pub struct Measurer {
    ffmpeg: PathBuf,
    stop: Arc<AtomicBool>,
}

impl Measurer {
    /// With this FFmpeg.
    pub fn new(ffmpeg: &Path) -> Self {
        Self { ffmpeg: ffmpeg.to_owned(), stop: Arc::default() }
    }

    /// Measures `track` on a thread of its own, and tells `done` of it.
    ///
    /// # Errors
    /// Without a thread.
    pub fn start(&self, track: Arc<Track>, done: impl FnOnce(Measuring) + Send + 'static) -> io::Result<()> {
        let (ffmpeg, stop) = (self.ffmpeg.clone(), self.stop.clone());
        thread::spawn("station:measure", move || {
            // Refused or not, it is measured.
            let _ = thread::set_nice(NICE);
            let found = measure(&ffmpeg, &track.path, &stop);
            done(Measuring { track, found });
        })?;
        Ok(())
    }

    /// What is under way ends soon, without a result.
    pub fn stop(&self) {
        self.stop.store(true, SeqCst);
    }
}

fn measure(ffmpeg: &Path, file: &Path, stop: &AtomicBool) -> Option<Result<Measured, Arc<DecodeError>>> {
    let mut decoder = match FfmpegDecoder::open_to_measure(ffmpeg, file) {
        Ok(decoder) => decoder,
        Err(source) => return Some(Err(Arc::new(DecodeError::NotStarted { program: ffmpeg.to_owned(), source }))),
    };
    let mut meter = Meter::new();
    while !stop.load(SeqCst) {
        match decoder.wait_frame(LOOK) {
            Decoded::Frame(frame) => meter.push(frame.played()),
            Decoded::NotYet => {}
            Decoded::End => return Some(Ok(meter.finish())),
            Decoded::Failed(error) => return Some(Err(error)),
        }
    }
    None
}
