//! The encoder alone, with a real FFmpeg, ticked as the pump would: what comes
//! out is what an undisturbed encoder would have given, whatever happens to it.

mod common;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use common::material::music;
use nix::{
    sys::{
        eventfd::EventFd,
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use retrowaves::{
    config::TowerConfig,
    encoder::{EncoderCommand, EncoderManager, EncoderState, FrameKind, Header, probe},
    frame::{PumpFrame, TICK_NS},
    pump::{PcmSink, clock::OnAirClock},
    stats::EncoderStats,
    sys::time::{now_ns, sleep_until},
};

struct Run {
    heard: Vec<(FrameKind, Vec<u8>)>,
    stats: Arc<EncoderStats>,
}

/// Ticks for `ticks` ticks and disturbs the encoder at the given ones.
fn run(config: &TowerConfig, ticks: u64, disturb: &[(u64, Signal)]) -> Run {
    let clock = Arc::new(OnAirClock::new(config.encoder.cushion_frames()).expect("clock"));
    let stats = Arc::new(EncoderStats::default());
    let wake = Arc::new(EventFd::new().expect("eventfd"));
    let (mut manager, mut ends) = EncoderManager::new(config, clock.clone(), stats.clone(), wake).expect("encoder");
    manager.start().expect("start");
    let mut heard = Vec::new();
    let start = now_ns();
    for tick in 0..ticks {
        sleep_until(start + tick * TICK_NS).expect("sleep");
        clock.tick();
        for number in clock.aired()..clock.due() {
            let (bytes, kind) = ends.outlet.get_frame(number);
            heard.push((kind, bytes.to_vec()));
            clock.set_aired(number + 1);
        }
        ends.inlet.write_pcm(tick, &music(tick));
        for (_, signal) in disturb.iter().filter(|(at, _)| *at == tick) {
            let pid = i32::try_from(stats.pid.load(Relaxed)).expect("pid");
            kill(Pid::from_raw(pid), *signal).expect("the encoder runs");
        }
    }
    manager.stop();
    Run { heard, stats }
}

fn undisturbed(config: &TowerConfig, frames: usize) -> Vec<Vec<u8>> {
    let pcm: Vec<PumpFrame> = (0..frames as u64 + 1).map(music).collect();
    let trial = probe::Trial { frames: &pcm, paced: false, timeout_ms: 20_000, cancel: &AtomicBool::new(false) };
    let command = EncoderCommand::new(&config.encoder);
    probe::run(&command, Header::on_air(config.encoder.bitrate_kbps).expect("bitrate"), &trial).expect("probe").frames
}

#[test]
fn s8_s9_kills_and_stops_cost_no_filler_and_no_byte() {
    for spare in [true, false] {
        let mut config = TowerConfig::with_runtime_dir(Path::new("/nowhere"));
        config.encoder.spare = spare;
        let disturb = [(120, Signal::SIGKILL), (240, Signal::SIGSTOP), (360, Signal::SIGKILL)];
        let run = run(&config, 460, &disturb);
        let expected = undisturbed(&config, run.heard.len());
        let fillers = run.heard.iter().filter(|(kind, _)| *kind != FrameKind::Encoded).count();
        assert_eq!(
            fillers,
            0,
            "spare {spare}: recovery median {} worst {} ms",
            run.stats.recovery_ms.percentile(500),
            run.stats.recovery_ms.max()
        );
        for (number, ((_, heard), expected)) in run.heard.iter().zip(&expected).enumerate() {
            assert!(heard == expected, "spare {spare}: frame {number} differs");
        }
        assert_eq!((run.stats.restarts.get(), run.stats.stalls.get(), run.stats.late_frames.get()), (3, 1, 0));
        assert_eq!(run.stats.state.load(Relaxed), EncoderState::Stopped as u8);
        println!(
            "spare {spare}: recovery median {} worst {} ms",
            run.stats.recovery_ms.percentile(500),
            run.stats.recovery_ms.max()
        );
    }
}
