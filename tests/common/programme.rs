//! A programme that is sent, heard, and compared with its offline encode, byte for byte.

use std::{sync::atomic::AtomicBool, time::Duration};

use retrowaves::{
    config::TowerConfig,
    encoder::{EncoderCommand, Header, filler, probe},
    frame::PumpFrame,
    pump::fade,
};

use super::{
    Setup, Tower,
    listener::{Recorder, Recording},
    material::music,
    sender::Sender,
};

/// Frames that the sender is ahead: half the tower's queue.
pub const FILL_FRAMES: u64 = 50;
/// Silence before the programme in the offline encode: more than LAME remembers.
const LEAD_FRAMES: usize = 128;

/// A tower whose programme comes after silence, so that every pump frame is known.
pub fn quiet_tower() -> Setup {
    Setup::default().set("input.start_in_grace=true").set("input.grace_sec=3600")
}

/// What was heard, and the tower that is still on air.
pub struct Heard {
    pub tower: Tower,
    pub recording: Recording,
    /// Frames that the sender sent.
    pub sent: u64,
}

/// Sends the programme for `length` and records it; meanwhile `disturb` may do what it likes.
pub fn play(setup: &Setup, length: Duration, disturb: impl FnOnce(&Tower)) -> Heard {
    let tower = setup.start();
    tower.wait_until("the encoder runs and is on air", Duration::from_secs(60), |status| {
        status["encoder"]["state"] == "RUNNING" && status["ticks"]["count"].as_u64() > Some(150)
    });
    let recorder = Recorder::start(tower.port);
    let start = std::time::Instant::now();
    let sender = Sender::start(&tower.pcm_socket(), FILL_FRAMES, music);
    disturb(&tower);
    std::thread::sleep(length.saturating_sub(start.elapsed()));
    let sent = sender.stop();
    // What is in the queue and the cushion is heard to the end.
    std::thread::sleep(Duration::from_millis(2800));
    Heard { recording: recorder.stop(), tower, sent }
}

/// How the recording differs from the offline encode.
#[derive(Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Frames of the programme that were compared.
    pub frames: usize,
    /// Of these, silent fillers in the recording.
    pub fillers: usize,
    /// Frames that are neither the offline frame nor a filler, by position.
    pub different: Vec<usize>,
}

impl Heard {
    /// Compares all after the fade-in frame, and asserts that nothing else was between.
    pub fn compare(&self, bitrate_kbps: u32) -> Comparison {
        let expected = offline(self.sent, bitrate_kbps);
        let filler = filler(bitrate_kbps).expect("bitrate");
        let heard = self.recording.frames();
        // The programme begins at the frame after its fade-in.
        let begin = heard.iter().position(|frame| *frame == expected[0]).expect("the programme was heard");
        let pairs = || heard[begin..].iter().zip(&expected);
        Comparison {
            frames: pairs().count(),
            fillers: pairs().filter(|(heard, _)| heard[..] == filler[..]).count(),
            different: pairs()
                .enumerate()
                .filter(|(_, (heard, expected))| heard != expected && heard[..] != filler[..])
                .map(|(position, _)| position)
                .collect(),
        }
    }
}

/// The same pump frames through the same command, without a tower: all but the last.
fn offline(sent: u64, bitrate_kbps: u32) -> Vec<Vec<u8>> {
    // The tower takes station frames of 1024 samples: what is left of the last ones is faded.
    let whole = sent - sent % 8 - 8;
    let pcm: Vec<PumpFrame> = std::iter::repeat_n(PumpFrame::SILENCE, LEAD_FRAMES)
        .chain([fade::fade_in(&music(0))])
        .chain((1..whole).map(music))
        .collect();
    let mut config = TowerConfig::with_runtime_dir(std::path::Path::new("/nowhere"));
    config.encoder.bitrate_kbps = bitrate_kbps;
    let trial = probe::Trial { frames: &pcm, paced: false, timeout_ms: 60_000, cancel: &AtomicBool::new(false) };
    let command = EncoderCommand::new(&config.encoder);
    let outcome = probe::run(&command, Header::on_air(bitrate_kbps).expect("bitrate"), &trial).expect("ffmpeg");
    outcome.frames[LEAD_FRAMES + 1..].to_vec()
}

/// Ten minutes for `make soak`, seconds for `make test`.
pub fn length(seconds: u64) -> Duration {
    Duration::from_secs(std::env::var("RETROWAVES_SOAK_SEC").ok().and_then(|s| s.parse().ok()).unwrap_or(seconds))
}

/// True in `make soak`.
pub fn soaking() -> bool {
    std::env::var_os("RETROWAVES_SOAK_SEC").is_some()
}
