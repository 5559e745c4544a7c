//! From a real sender to the frames that go on air, in real time: socket, router
//! and pump on their own threads, and `ffmpeg -re` as a person would start it.

use std::{
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use nix::sys::eventfd::EventFd;
use retrowaves::{
    config::TowerConfig,
    fallback::FallbackGenerator,
    frame::{PUMP_FRAME_BYTES, PumpFrame},
    input::station_socket::{IngestHandle, StationSocket},
    journal::journal,
    pump::{
        AudioPump, PcmSink, PumpDeps, PumpHandle,
        clock::OnAirClock,
        fade::{fade_in, fade_out, reversed},
    },
    router::AudioInputRouter,
    stats::{IngestStats, PumpStats},
};

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<PumpFrame>>>);

impl PcmSink for Recorder {
    fn write_pcm(&mut self, _: u64, frame: &PumpFrame) {
        self.0.lock().expect("recorder").push(*frame);
    }
}

/// Everything before the encoder, running. Without a tone, so silence is on air
/// until somebody sends.
struct Tower {
    config: TowerConfig,
    folder: std::path::PathBuf,
    recorder: Recorder,
    stats: Arc<PumpStats>,
    ingest_stats: Arc<IngestStats>,
    ingest: IngestHandle,
    pump: PumpHandle,
}

impl Tower {
    fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("retrowaves-{name}-{}", std::process::id()));
        let config = TowerConfig::with_runtime_dir(&folder);
        let router = Arc::new(AudioInputRouter::new(config.input.buffer_frames));
        let (stats, ingest_stats) = (Arc::<PumpStats>::default(), Arc::<IngestStats>::default());
        let socket = StationSocket::bind(&config.ingest, router.clone(), ingest_stats.clone()).expect("bound");
        let recorder = Recorder::default();
        let (reporter, _) = journal(Arc::new(EventFd::new().expect("eventfd")));
        let deps = PumpDeps {
            router,
            clock: Arc::new(OnAirClock::new(30).expect("clock")),
            fallback: FallbackGenerator::with_tone(0),
            sink: recorder.clone(),
            reporter,
            stats: stats.clone(),
            forced: Arc::default(),
            live_position: Arc::default(),
            tap: Arc::default(),
        };
        Self {
            ingest: socket.start().expect("started"),
            pump: AudioPump::new(&config.input, &config.live, deps).start().expect("started"),
            config,
            folder,
            recorder,
            stats,
            ingest_stats,
        }
    }

    fn stop(mut self) -> Vec<PumpFrame> {
        self.pump.stop();
        self.ingest.stop();
        assert!(!self.config.ingest.socket.exists());
        std::fs::remove_dir(&self.folder).expect("nothing is left in the folder");
        self.recorder.0.lock().expect("recorder").clone()
    }
}

fn wait_for(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "it never came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A sweep over noise, so that no two frames are alike.
fn ffmpeg(real_time: bool, to: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error"]);
    if real_time {
        command.arg("-re");
    }
    command
        .args(["-f", "lavfi", "-i", "aevalsrc='0.4*sin(300*t*t)+0.1*random(0)|0.3*sin(2000*t)':s=48000:d=4"])
        .args(["-f", "s16le", "-ar", "48000", "-ac", "2", to])
        .stdin(Stdio::null());
    command
}

fn pcm() -> Vec<PumpFrame> {
    let made = ffmpeg(false, "pipe:1").output().expect("ffmpeg");
    let (frames, _) = made.stdout.as_chunks::<PUMP_FRAME_BYTES>();
    frames.iter().map(PumpFrame::from_le_bytes).collect()
}

/// How late the machine wakes an ordinary thread, in the worst case until `stop`.
fn worst_oversleep(stop: &AtomicBool) -> Duration {
    const NAP: Duration = Duration::from_millis(5);
    let mut worst = Duration::ZERO;
    let give_up = Instant::now() + Duration::from_secs(30);
    while !stop.load(Relaxed) && Instant::now() < give_up {
        let start = Instant::now();
        std::thread::sleep(NAP);
        worst = worst.max(start.elapsed() - NAP);
    }
    worst
}

/// Plays once: the underruns, and whether the machine kept an ordinary thread (as the
/// sender and ingest are) from running for longer than the preroll can bridge.
fn play_once() -> (u64, bool) {
    let tower = Tower::start("re");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let probe = scope.spawn(|| worst_oversleep(&stop));
        let url = format!("unix:{}", tower.config.ingest.socket.display());
        let mut sender = ffmpeg(true, &url).spawn().expect("ffmpeg");
        wait_for(|| tower.ingest_stats.connections.get() == 1);
        // Before its end, since it says goodbye a little after its last sample.
        std::thread::sleep(Duration::from_millis(3500));
        let underruns = tower.stats.underruns.get();
        let status = sender.wait().expect("ffmpeg");
        // Before anything can fail, or the probe would be waited for in vain.
        stop.store(true, Relaxed);
        let machine_busy = probe.join().expect("probe") > Duration::from_millis(12);
        assert!(status.success());
        // What still waits in the queue is played.
        std::thread::sleep(Duration::from_millis(400));
        assert_as_sent(&tower.stop(), &pcm());
        (underruns, machine_busy)
    })
}

/// Each frame heard is the next one that was sent, as it is or joined to silence.
fn assert_as_sent(aired: &[PumpFrame], sent: &[PumpFrame]) {
    let mut next = 0;
    let mut after_silence = true;
    for frame in aired {
        let Some(expected) = sent.get(next) else {
            break;
        };
        let expected = if after_silence { fade_in(expected) } else { *expected };
        // A join to silence and silence itself use up no frame that was sent.
        after_silence = *frame != expected;
        if after_silence {
            let goes = next > 0 && *frame == fade_out(&reversed(&sent[next - 1]));
            assert!(goes || *frame == PumpFrame::SILENCE, "frame {next} was altered");
        } else {
            next += 1;
        }
    }
    assert_eq!(next, sent.len(), "frames were lost");
}

#[test]
fn n3_r6_what_ffmpeg_re_sends_is_on_air_without_an_underrun_or_a_changed_sample() {
    // On a machine too busy to run the sender, underruns are the sender's; samples never are.
    for _ in 0..3 {
        let (underruns, machine_busy) = play_once();
        if underruns == 0 {
            return;
        }
        assert!(machine_busy, "{underruns} underruns on an idle machine");
    }
    eprintln!("the machine was too busy each time to say anything about underruns");
}

#[test]
fn n5_noise_floods_and_short_visits_never_touch_the_tick() {
    const VISITS: u64 = 20;
    let tower = Tower::start("flood");
    let socket: &Path = &tower.config.ingest.socket;
    let (start, ticks) = (Instant::now(), tower.stats.ticks.get());
    for _ in 0..VISITS {
        let mut sender = UnixStream::connect(socket).expect("connected");
        // 2.7 s of PCM and a piece, as fast as it goes.
        std::io::Write::write_all(&mut sender, &[0x5a; 512 * 1024 + 333]).expect("never pushed back");
    }
    let ingest = tower.ingest_stats.clone();
    wait_for(|| ingest.connections.get() == VISITS && ingest.senders.get() == 0);
    wait_for(|| start.elapsed() > Duration::from_millis(500));
    let happened = u128::from(tower.stats.ticks.get() - ticks);
    let due = start.elapsed().as_millis() / 24;
    assert!(happened + 20 >= due, "{happened} ticks of {due}");
    assert_eq!(tower.stats.skipped.get(), 0);
    assert_eq!(ingest.partial_frames.get(), VISITS, "each left a piece");
    tower.stop();
}
