//! The fallback file: decoded once, in the background, and looped for ever (F3).
//!
//! The decoder's thread puts the finished PCM on a shelf and never touches it
//! again; the pump looks at the shelf, which is one atomic load. No lock, no
//! copy, and nothing for the pump to free.

use std::{
    io,
    path::Path,
    sync::{Arc, OnceLock},
    thread::JoinHandle,
};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::{
    decoder::{DecodeError, decode_whole},
    frame::PumpFrame,
    limits::FALLBACK_FILE_SEC_MAX,
    sys::thread,
};

/// Where the decoded file is, once there is one. Interleaved, never empty.
pub type Shelf = Arc<OnceLock<Box<[i16]>>>;

/// A place in the file.
#[derive(Debug, Default)]
pub struct FileLoop {
    position: usize,
}

impl FileLoop {
    /// The next frame; after the file's last sample comes its first.
    pub fn next_frame(&mut self, pcm: &[i16]) -> PumpFrame {
        let mut frame = PumpFrame::SILENCE;
        let mut filled = 0;
        while filled < frame.values.len() && !pcm.is_empty() {
            let count = (pcm.len() - self.position).min(frame.values.len() - filled);
            let from = &pcm[self.position..self.position + count];
            frame.values[filled..filled + count].copy_from_slice(from);
            filled += count;
            self.position = (self.position + count) % pcm.len();
        }
        frame
    }
}

/// The thread that decodes the file, if there is one to decode.
#[derive(Debug)]
pub struct FallbackLoader {
    cancel: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl FallbackLoader {
    /// Starts to decode `file` onto `shelf`. What goes wrong is a warning in the log.
    ///
    /// # Errors
    /// When there is no descriptor or thread to be had.
    pub fn start(file: Option<&Path>, ffmpeg: &Path, shelf: &Shelf) -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let cancel = Arc::new(EventFd::from_flags(flags)?);
        let start = |file: &Path| {
            let (file, ffmpeg) = (file.to_owned(), ffmpeg.to_owned());
            let (shelf, cancel) = (shelf.clone(), cancel.clone());
            thread::spawn("tower:fallback", move || load(&file, &ffmpeg, &shelf, &cancel))
        };
        let thread = file.map(start).transpose()?;
        Ok(Self { cancel, thread })
    }

    /// True until the file is ready or has been refused.
    pub fn is_loading(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Ends the decoder if it still runs. Called again, it does nothing.
    pub fn stop(&mut self) {
        // A counter that is full is readable too.
        let _ = self.cancel.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for FallbackLoader {
    fn drop(&mut self) {
        self.stop();
    }
}

fn load(file: &Path, ffmpeg: &Path, shelf: &Shelf, cancel: &EventFd) {
    match decode_whole(ffmpeg, file, FALLBACK_FILE_SEC_MAX, cancel) {
        Ok(pcm) => {
            log::info!("fallback file {} is ready, {} samples", file.display(), pcm.len() / 2);
            // The shelf is empty: this thread alone fills it, once.
            let _ = shelf.set(pcm);
        }
        Err(DecodeError::Cancelled) => {}
        Err(error) => log::warn!("no fallback file, the tone stays: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f3_the_loop_is_exact_and_gapless_across_frames() {
        for samples in [1usize, 7, 1151, 1152, 1153, 5000] {
            let pcm: Vec<i16> = (0..samples * 2).map(|i| i16::try_from(i).expect("small")).collect();
            let mut file = FileLoop::default();
            let heard: Vec<i16> = (0..20).flat_map(|_| file.next_frame(&pcm).values).collect();
            let expected: Vec<i16> = pcm.iter().copied().cycle().take(heard.len()).collect();
            assert_eq!(heard, expected, "{samples} samples");
        }
    }
}
