//! A short file at once, on the caller's thread: the fallback file.

use std::{os::fd::AsFd, path::Path, time::Duration};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::EventFd,
};

use super::{
    command::Job,
    error::DecodeError,
    process::{Sink, decode},
};
use crate::{
    frame::{CHANNELS, SAMPLE_RATE_HZ, StationFrame},
    limits::DECODER_SILENT_SEC_MAX,
};

/// Gives way to everything that is on air.
const NICE: i32 = 10;

/// Decodes a whole file of at most `seconds_max` into interleaved values. Ends
/// early, with the child, once `cancel` is readable.
///
/// # Errors
/// When the file or the decoder is not there, says no, hangs, or gives too much.
pub fn decode_whole(
    ffmpeg: &Path,
    file: &Path,
    seconds_max: usize,
    cancel: &EventFd,
) -> Result<Box<[i16]>, DecodeError> {
    let job = Job::new(ffmpeg, file, NICE, Duration::from_secs(DECODER_SILENT_SEC_MAX));
    let mut sink = Whole { file, seconds_max, cancel, pcm: Vec::new() };
    decode(&job, cancel, &mut sink)?;
    Ok(sink.pcm.into_boxed_slice())
}

/// All of the file so far.
struct Whole<'a> {
    file: &'a Path,
    seconds_max: usize,
    cancel: &'a EventFd,
    pcm: Vec<i16>,
}

impl Sink for Whole<'_> {
    fn put(&mut self, pcm: &[u8]) -> Result<bool, DecodeError> {
        self.pcm.extend_from_slice(StationFrame::from_le_bytes(pcm).played());
        let seconds_max = self.seconds_max;
        if self.pcm.len() > seconds_max * CHANNELS * SAMPLE_RATE_HZ as usize {
            return Err(DecodeError::TooLong { file: self.file.to_owned(), seconds_max });
        }
        Ok(true)
    }

    /// The eventfd is the caller's, who may have other uses for it: it is looked at
    /// and not emptied.
    fn is_wanted(&mut self) -> bool {
        let mut fds = [PollFd::new(self.cancel.as_fd(), PollFlags::POLLIN)];
        !poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Instant};

    use super::*;
    use crate::{decoder::testing::script, limits::DECODER_WORDS_BYTES_MAX, scratch::Scratch};

    fn decode(scratch: &Scratch, body: &str) -> Result<Box<[i16]>, DecodeError> {
        let file = scratch.join("any");
        fs::write(&file, "x").expect("file");
        decode_whole(&script(scratch, body), &file, 1, &EventFd::new().expect("eventfd"))
    }

    #[test]
    fn fd1_bytes_become_values_however_they_are_cut() {
        let scratch = Scratch::new();
        let pcm = decode(&scratch, r"printf '\001'; sleep 0.05; printf '\002\003\004\005\006'");
        assert_eq!(*pcm.expect("decoded"), [0x0201, 0x0403], "the last sample is not whole");
    }

    #[test]
    fn f2_refusals_say_what_and_why() {
        let scratch = Scratch::new();
        let error = decode(&scratch, "echo 'Invalid data found' >&2; exit 3").expect_err("failed");
        assert!(error.to_string().ends_with("(exit status: 3): Invalid data found"), "{error}");
        assert!(matches!(decode(&scratch, "exit 0"), Err(DecodeError::Empty(_))));
        let error = decode(&scratch, "head -c 10000000 /dev/zero").expect_err("too long");
        assert!(error.to_string().contains("longer than 1 s"), "{error}");
        assert!(matches!(decode(&scratch, "exec >&-; exec sleep 60"), Err(DecodeError::Hung { .. })));
        // 10 MB of words neither block nor fill anything.
        let error = decode(&scratch, "head -c 10000000 /dev/zero >&2; exit 1").expect_err("wordy");
        assert!(error.to_string().len() < 2 * DECODER_WORDS_BYTES_MAX);
        let cancel = EventFd::new().expect("eventfd");
        let missing = decode_whole(Path::new("ffmpeg"), &scratch.join("none"), 1, &cancel);
        assert!(matches!(missing, Err(DecodeError::Unreadable { .. })));
        let not_started = decode_whole(&scratch.join("none"), &scratch.join("any"), 1, &cancel);
        assert!(matches!(not_started, Err(DecodeError::NotStarted { .. })));
    }

    #[test]
    fn f2_a_hung_decoder_is_ended_on_stop() {
        let scratch = Scratch::new();
        let file = scratch.join("any");
        fs::write(&file, "x").expect("file");
        let program = script(&scratch, "exec sleep 60");
        let cancel = EventFd::new().expect("eventfd");
        let start = Instant::now();
        std::thread::scope(|scope| {
            let call = scope.spawn(|| decode_whole(&program, &file, 1, &cancel));
            std::thread::sleep(std::time::Duration::from_millis(50));
            cancel.write(1).expect("cancel");
            assert!(matches!(call.join().expect("thread"), Err(DecodeError::Cancelled)));
        });
        assert!(start.elapsed().as_secs() < 5);
    }
}
