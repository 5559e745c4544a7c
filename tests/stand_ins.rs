//! FFmpeg replaced by stand-ins that misbehave: the right state, log line and
//! backoff, the stream goes on, and it recovers when the real one is back.

mod common;

use std::{thread::sleep, time::Duration};

use common::{
    Setup, Tower,
    listener::{Recorder, Recording},
    programme::{quiet_tower, soaking},
    stand_in::StandIn,
};
use nix::sys::signal::{Signal, kill};

const SOON: Duration = Duration::from_secs(60);

/// A quiet tower (silence is on air) whose FFmpeg is the stand-in.
fn setup(stand_in: &StandIn) -> Setup {
    quiet_tower().env("TOWER_FFMPEG", stand_in.path().display()).set("encoder.spare=false")
}

/// The same without the tone loop, so that each start is one of the encoder.
fn toneless(stand_in: &StandIn) -> Setup {
    setup(stand_in).set("fallback.tone_hz=0")
}

/// How often a line with `text` was logged: the log folds repetitions.
fn times(log: &str, text: &str) -> usize {
    let mut lines = log.lines().peekable();
    let mut count = 0;
    while let Some(line) = lines.next() {
        if line.contains(text) {
            let folded = lines.peek().and_then(|next| next.split_once("last line repeated ")?.1.split_once(' '));
            count += 1 + folded.and_then(|(n, _)| n.parse::<usize>().ok()).unwrap_or(0);
        }
    }
    count
}

fn wait_for_state(tower: &Tower, state: &str) {
    tower.wait_until(state, SOON, |status| status["encoder"]["state"] == state);
}

/// What is logged from `mark` on contains `text`.
fn wait_for_log_since(tower: &Tower, mark: usize, text: &str) {
    let start = std::time::Instant::now();
    while !tower.log()[mark..].contains(text) {
        assert!(start.elapsed() < SOON, "not logged: {text}\n{}", &tower.log()[mark..]);
        sleep(Duration::from_millis(20));
    }
}

/// The encoder that works is killed, so that the next one is started.
fn kill_encoder(tower: &Tower) {
    kill(tower.encoder_pid(), Signal::SIGKILL).expect("the encoder runs");
}

fn the_stream_went_on(recording: &Recording, tower: &Tower) {
    recording.assert_no_break();
    assert!(recording.frames().len() > 40);
    recording.assert_decoders_are_content(&tower.dir);
    assert_eq!(recording.stalls.excuse(0, tower.figure("ticks/skipped")), Ok(()), "{}", tower.log());
    assert_eq!(tower.figure("listeners/dropped_slow"), 0);
}

/// Peak and pitch of the last second but a half.
#[allow(clippy::cast_precision_loss)]
fn last_heard(recording: &Recording, tower: &Tower) -> (i16, f64) {
    let samples = recording.decoded(&tower.dir);
    let left: Vec<i16> = samples.iter().copied().step_by(2).collect();
    let piece = &left[left.len() - 72_000..left.len() - 24_000];
    let rises = piece.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
    (piece.iter().map(|value| value.saturating_abs()).max().expect("a second"), rises as f64)
}

/// How it misbehaves, and how its failure reads in the log.
const FAILURES: [(&str, &str); 14] = [
    ("exits", "failed: exit, exit code 3; 0 frames delivered"),
    ("crashes", "failed: exit, SIGSEGV; 0 frames delivered"),
    ("never_answers", "failed: startup timeout, SIGKILL; 0 frames delivered"),
    ("too_slow", "failed: startup timeout, SIGKILL; 0 frames delivered"),
    ("floods_zeros", "failed: desync (a byte that belongs to no frame), SIGKILL; 0 frames delivered"),
    ("floods_noise", "failed: desync (a byte that belongs to no frame), SIGKILL; 0 frames delivered"),
    ("floods_frames", "failed: desync (more frames out than were written), SIGKILL; "),
    ("swallows", "failed: desync (a frame never came), SIGKILL; "),
    ("inserts", "failed: desync (a byte that belongs to no frame), SIGKILL; "),
    ("other_rate", "failed: desync (a frame of another format), SIGKILL; "),
    ("closes", "failed: EOF on its stdout, SIGKILL; 0 frames delivered"),
    ("deaf", "failed: broken stdin, SIGKILL; 0 frames delivered"),
    ("missing", "ffmpeg cannot be started: No such file or directory"),
    ("forbidden", "ffmpeg cannot be started: Permission denied"),
];

/// Makes the next start fail as the table says.
fn misbehave(stand_in: &StandIn, how: &str) {
    match how {
        "missing" => stand_in.exist(false),
        "forbidden" => stand_in.permit(false),
        mode => stand_in.behave(mode),
    }
}

fn behave_again(stand_in: &StandIn, how: &str) {
    match how {
        "missing" => stand_in.exist(true),
        "forbidden" => stand_in.permit(true),
        _ => stand_in.behave("real"),
    }
}

#[test]
fn s6_s7_each_failure_is_named_and_the_real_one_recovers() {
    let stand_in = StandIn::new("real");
    let setup = setup(&stand_in)
        .env("TOWER_ENCODER_BACKOFF_MS", 200)
        .env("TOWER_ENCODER_MAX_RESTARTS", 1000)
        .env("TOWER_FFMPEG_STARTUP_TIMEOUT_MS", 1000);
    let tower = setup.start();
    wait_for_state(&tower, "RUNNING");
    tower.wait_until("the tone loop", SOON, |status| status["ticks"]["count"].as_u64() > Some(60));
    let recorder = Recorder::start(tower.port);
    for (how, line) in FAILURES {
        let mark = tower.log().len();
        misbehave(&stand_in, how);
        kill_encoder(&tower);
        wait_for_log_since(&tower, mark, line);
        behave_again(&stand_in, how);
        tower.wait_until("the real one runs", SOON, |status| {
            status["encoder"]["state"] == "RUNNING" && stand_in.starts().last().is_some_and(|mode| mode == "real")
        });
        let log = tower.log()[mark..].to_owned();
        assert!(log.contains("failed: exit, SIGKILL"), "{how}: the one that worked was killed\n{log}");
        assert!(log.contains("encoder RUNNING -> RESTARTING"), "{how}\n{log}");
        assert!(log.contains("encoder BOOTING -> RUNNING"), "{how}\n{log}");
        assert!(!log.contains("-> DEGRADED"), "{how}\n{log}");
        for (mode, words) in [("exits", "cannot go on"), ("crashes", "about to crash")] {
            let said = log.contains(&format!("[FFMPEG] {words}")) && log.contains(&format!("its last words: {words}"));
            assert_eq!(said, mode == how, "{how}: what it said last\n{log}");
        }
    }
    // Frames flow from the encoder again, not from the filler; at the latest after a cushion.
    sleep(Duration::from_secs(1));
    let fillers = tower.figure("encoder/fillers");
    sleep(Duration::from_secs(1));
    assert_eq!(tower.figure("encoder/fillers"), fillers);
    the_stream_went_on(&recorder.stop(), &tower);
    assert!(tower.figure("encoder/desyncs") >= 6, "{:#}", tower.status()["encoder"]);
}

/// With an encoder that had worked before: from RUNNING to DEGRADED and the tone loop.
fn degrade(how: &str) {
    let stand_in = StandIn::new("real");
    let setup = setup(&stand_in)
        .env("TOWER_ENCODER_BACKOFF_MS", "100,200,300")
        .env("TOWER_ENCODER_MAX_RESTARTS", 3)
        .env("TOWER_FFMPEG_STARTUP_TIMEOUT_MS", 700);
    let tower = setup.start();
    wait_for_state(&tower, "RUNNING");
    // Some tone is encoded meanwhile.
    tower.wait_until("it has run for a while", SOON, |status| status["ticks"]["count"].as_u64() > Some(100));
    let recorder = Recorder::start(tower.port);
    let mark = tower.log().len();
    misbehave(&stand_in, how);
    kill_encoder(&tower);
    wait_for_state(&tower, "DEGRADED");
    sleep(Duration::from_secs(3));
    let recording = recorder.stop();
    the_stream_went_on(&recording, &tower);
    assert_eq!(tower.encoder_state(), "DEGRADED", "one attempt a minute");
    // The immediate restart, and three that waited.
    let log = tower.log()[mark..].to_owned();
    let (_, line) = FAILURES.into_iter().find(|(name, _)| *name == how).expect("in the table");
    assert_eq!(times(&log, line), 4, "{how}\n{log}");
    assert!(log.contains("RESTARTING -> DEGRADED") || log.contains("BOOTING -> DEGRADED"), "{how}\n{log}");
    assert_eq!(tower.figure("encoder/restarts"), 4, "{how}");
    assert!(tower.figure("encoder/fillers") > 0);
    assert_eq!(last_heard(&recording, &tower).1.round(), 440.0, "{how}: the tone loop is on air\n{log}");
    let peak = last_heard(&recording, &tower).0;
    assert!((2900..3700).contains(&peak), "{how}: −20 dBFS, and not {peak}");
}

#[test]
fn s7_degraded_has_the_tone_loop_on_air() {
    // Two at a time: the machine is not to be the reason of a failure.
    let hows =
        [["exits", "never_answers"], ["floods_zeros", "floods_noise"], ["closes", "missing"], ["forbidden", "deaf"]];
    for pair in hows {
        std::thread::scope(|scope| {
            for how in pair {
                scope.spawn(move || degrade(how));
            }
        });
    }
}

#[test]
fn s7_an_encoder_that_never_worked_is_degraded_with_fillers() {
    let setup = quiet_tower()
        .env("TOWER_FFMPEG", "/no/such/ffmpeg")
        .env("TOWER_ENCODER_BACKOFF_MS", "100,200,300")
        .env("TOWER_ENCODER_MAX_RESTARTS", 3);
    let tower = setup.start();
    let recorder = Recorder::start(tower.port);
    wait_for_state(&tower, "DEGRADED");
    sleep(Duration::from_secs(2));
    let recording = recorder.stop();
    the_stream_went_on(&recording, &tower);
    assert_eq!(last_heard(&recording, &tower).0, 0, "exact silence");
    let log = tower.log();
    let line = "ffmpeg cannot be started: No such file or directory (os error 2); \
                encoder.ffmpeg (TOWER_FFMPEG) must name an FFmpeg with libmp3lame";
    assert_eq!(times(&log, line), 4, "{log}");
    assert_eq!(tower.get("/healthz").0, 503);
    let (status, _) = tower.stop();
    assert!(status.success(), "a tower in DEGRADED stops like any other");
}

#[test]
fn s5_slow_start_is_a_warning_not_a_restart() {
    let stand_in = StandIn::new("slow");
    let tower = toneless(&stand_in).start();
    let recorder = Recorder::start(tower.port);
    tower.wait_for_log("has not delivered a frame in 500 ms", SOON);
    assert_eq!(tower.encoder_state(), "BOOTING");
    wait_for_state(&tower, "RUNNING");
    sleep(Duration::from_millis(1500));
    assert_eq!(stand_in.starts(), ["slow"]);
    assert_eq!((tower.figure("encoder/restarts"), tower.figure("encoder/failures")), (0, 0), "{}", tower.log());
    assert_eq!(tower.log().matches("has not delivered a frame in 500 ms").count(), 1);
    the_stream_went_on(&recorder.stop(), &tower);
}

#[test]
fn s3_ten_megabytes_of_stderr_harm_nothing() {
    let stand_in = StandIn::new("real");
    let tower = setup(&stand_in).start();
    wait_for_state(&tower, "RUNNING");
    // Time for the cushion to fill.
    tower.wait_until("on air", SOON, |status| status["ticks"]["count"].as_u64() > Some(100));
    let recorder = Recorder::start(tower.port);
    let fillers = tower.figure("encoder/fillers");
    stand_in.behave("talkative");
    kill_encoder(&tower);
    tower.wait_until("it runs again", SOON, |s| s["encoder"]["restarts"] == 1 && s["encoder"]["state"] == "RUNNING");
    sleep(Duration::from_secs(5));
    assert_eq!(tower.figure("encoder/failures"), 1, "only the kill\n{}", tower.log());
    assert_eq!(tower.figure("encoder/fillers"), fillers);
    let log = tower.log();
    assert!(log.contains("[FFMPEG] a line of no importance"), "{log}");
    assert!(log.contains("more lines in that second were not logged"), "the log is not flooded");
    assert!(log.len() < 500_000, "{} bytes of log", log.len());
    the_stream_went_on(&recorder.stop(), &tower);
    let (status, _) = tower.stop();
    assert!(status.success());
}

#[test]
fn s9_a_broken_spare_does_not_disturb_a_working_encoder() {
    for how in ["exits", "never_answers", "floods_frames", "missing"] {
        let stand_in = StandIn::new("real");
        let setup = setup(&stand_in)
            .set("encoder.spare=true")
            .env("TOWER_ENCODER_BACKOFF_MS", "100,200,300")
            .env("TOWER_FFMPEG_STARTUP_TIMEOUT_MS", 800);
        let tower = setup.start();
        wait_for_state(&tower, "RUNNING");
        let pid = tower.encoder_pid();
        tower.wait_until("the spare", SOON, |status| status["encoder"]["spare_ready"] == true);
        tower.wait_until("on air", SOON, |status| status["ticks"]["count"].as_u64() > Some(100));
        let fillers = tower.figure("encoder/fillers");
        misbehave(&stand_in, how);
        let spare = i32::try_from(tower.figure("encoder/spare_pid")).expect("pid");
        kill(nix::unistd::Pid::from_raw(spare), Signal::SIGKILL).expect("the spare lives");
        let recorder = Recorder::start(tower.port);
        sleep(Duration::from_millis(2500));
        let (_, line) = FAILURES.into_iter().find(|(name, _)| *name == how).expect("in the table");
        let line = line.split(';').next().expect("a part");
        // Once there is something else to log, repetitions are told.
        behave_again(&stand_in, how);
        tower.wait_until("a spare again", SOON, |status| status["encoder"]["spare_ready"] == true);
        let failures = times(&tower.log(), "spare ffmpeg PID=") + times(&tower.log(), "spare ffmpeg cannot");
        assert!(times(&tower.log(), line) >= 2, "{how}: it is tried again\n{}", tower.log());
        // 100, 200, 300, 300 …: never faster than the backoff.
        assert!(failures <= 24, "{how}: {failures}\n{}", tower.log());
        assert_eq!(tower.encoder_pid(), pid, "{how}");
        for (figure, wanted) in [("restarts", 0), ("failures", 0), ("fillers", fillers), ("late_frames", 0)] {
            assert_eq!(tower.figure(&format!("encoder/{figure}")), wanted, "{how}: {figure}\n{}", tower.log());
        }
        the_stream_went_on(&recorder.stop(), &tower);
    }
}

#[test]
fn s1_an_ffmpeg_that_refuses_frame_size_is_started_without_it() {
    let stand_in = StandIn::new("old");
    let tower = toneless(&stand_in).start();
    wait_for_state(&tower, "RUNNING");
    let log = tower.log();
    assert_eq!(stand_in.starts(), ["old", "old"], "{log}");
    assert!(log.contains("this FFmpeg refuses -frame_size 1152"), "{log}");
    assert!(log.contains("failed: exit, exit code 1"), "{log}");
    kill_encoder(&tower);
    tower.wait_until("again", SOON, |s| s["encoder"]["restarts"] == 2 && s["encoder"]["state"] == "RUNNING");
    assert_eq!(stand_in.starts().len(), 3, "learnt for good");
}

#[test]
fn s11_stop_ends_children_that_ignore_sigterm() {
    for mode in ["deaf_to_term", "never_answers", "real"] {
        let stand_in = StandIn::new(mode);
        let tower = toneless(&stand_in).env("TOWER_FFMPEG_STARTUP_TIMEOUT_MS", 60_000).start();
        let state = if mode == "real" { "RUNNING" } else { "BOOTING" };
        tower.wait_until(state, SOON, |s| s["encoder"]["state"] == state && s["encoder"]["pid"].is_u64());
        sleep(Duration::from_millis(200));
        let pid = tower.encoder_pid();
        let (status, took) = tower.stop();
        assert_eq!(status.code(), Some(0), "{mode}");
        assert!(took < Duration::from_secs(3), "{mode}: {took:?}");
        assert!(kill(pid, None).is_err(), "{mode}: the child is gone");
        assert_eq!(stand_in.starts().len(), 1, "{mode}: no restart follows");
    }
}

#[test]
fn s12_debug_mode_logs_the_command_and_what_ffmpeg_says() {
    let tower = quiet_tower().env("TOWER_ENCODER_DEBUG", 1).start();
    wait_for_state(&tower, "RUNNING");
    let log = tower.log();
    assert!(log.contains("encoder command: ffmpeg -nostdin -hide_banner -loglevel debug"), "{log}");
    assert!(log.contains("-reservoir 0 -frame_size 1152"), "{log}");
    tower.wait_for_log("[FFMPEG] ", SOON);
    tower.wait_for_log("libmp3lame", SOON);
    assert_eq!(tower.figure("encoder/failures"), 0);
}

fn probe(ffmpeg: &std::path::Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tower"))
        .arg("probe")
        .args(args)
        .env("TOWER_FFMPEG", ffmpeg)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("tower");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn s13_a_probe_of_a_stand_in_says_what_is_wrong() {
    let rows = [
        ("exits", "the encoder ended (exit code 3) after 0 MP3 frames; ffmpeg says: cannot go on"),
        ("crashes", "the encoder ended (SIGSEGV) after 0 MP3 frames; ffmpeg says: about to crash"),
        ("closes", "the encoder ended (it closed its stdout and lives on) after 0 MP3 frames; ffmpeg says: nothing"),
        ("never_answers", "no MP3 frame in 900 ms; ffmpeg says: nothing"),
        ("floods_zeros", "not the frames that were ordered: a byte that belongs to no frame"),
        ("floods_frames", "not the frames that were ordered: more frames out than were written"),
        ("inserts", "not the frames that were ordered: a byte that belongs to no frame"),
        ("swallows", "the encoder stopped delivering: 82 of 83 MP3 frames came in time"),
        ("missing", "cannot start the encoder: No such file or directory"),
        ("forbidden", "cannot start the encoder: Permission denied"),
    ];
    for (how, words) in rows {
        let stand_in = StandIn::new("real");
        misbehave(&stand_in, how);
        let (code, out, err) = probe(&stand_in.path(), &["--silence", "--timeout-ms", "900"]);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{how}: {err}");
        assert!(err.contains(words), "{how}: {err}");
        assert_eq!(err.trim_end().lines().count(), 1, "{how}: one message\n{err}");
    }
}

#[test]
fn s13_a_probe_of_the_real_one_reports() {
    let stand_in = StandIn::new("real");
    let song = stand_in.folder().join("song.wav");
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "sine=f=500:d=3", "-y"])
        .arg(&song)
        .status();
    assert!(made.expect("ffmpeg").success());
    let song = song.to_string_lossy();
    for args in [vec!["--silence"], vec!["--tone"], vec!["--file", &song]] {
        let (code, out, err) = probe("ffmpeg".as_ref(), &args);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{args:?}");
        for words in
            ["command       ffmpeg -nostdin", "PCM frames    84 in 2016 ms", "MP3 frames    83", "first frame   "]
        {
            assert!(out.contains(words), "{args:?}: {out}");
        }
        assert!(out.contains("ffmpeg says   nothing"), "{out}");
        let backlog = out.split_once("backlog       ").and_then(|(_, rest)| rest.split_once(' ')).map(|(n, _)| n);
        println!("{args:?}: backlog {backlog:?}");
    }
    let (code, _, err) = probe("ffmpeg".as_ref(), &["--file", "/no/such/song.mp3"]);
    assert!(code == Some(1) && err.contains("/no/such/song.mp3"), "{code:?} {err}");
    let (code, ..) = probe(&stand_in.path(), &["--tone"]);
    assert_eq!(code, Some(0), "a script that ends in FFmpeg is one");
}

/// `make soak`: in DEGRADED there is one attempt a minute.
#[test]
#[ignore = "70 seconds; make soak runs it"]
fn s7_degraded_recovers_within_a_minute_of_the_real_one() {
    assert!(soaking(), "run it by `make soak`");
    let stand_in = StandIn::new("real");
    let setup = setup(&stand_in).env("TOWER_ENCODER_BACKOFF_MS", 100).env("TOWER_ENCODER_MAX_RESTARTS", 1);
    let tower = setup.start();
    wait_for_state(&tower, "RUNNING");
    let recorder = Recorder::start(tower.port);
    stand_in.behave("exits");
    kill_encoder(&tower);
    wait_for_state(&tower, "DEGRADED");
    stand_in.behave("real");
    sleep(Duration::from_secs(50));
    assert_eq!(tower.encoder_state(), "DEGRADED");
    wait_for_state(&tower, "RUNNING");
    // After failures without output it starts at now, one cushion before it is heard.
    sleep(Duration::from_secs(1));
    let fillers = tower.figure("encoder/fillers");
    sleep(Duration::from_secs(2));
    assert_eq!(tower.figure("encoder/fillers"), fillers);
    the_stream_went_on(&recorder.stop(), &tower);
}

/// As on a machine that is too slow: its first frame comes after a second, and then it is as fast as the air and no
/// faster, so that what it was given first would keep all that follows late for ever.
#[test]
fn s8_an_encoder_that_starts_late_and_only_keeps_up_is_heard_all_the_same() {
    let stand_in = StandIn::new("sluggish");
    let tower = toneless(&stand_in).start();
    wait_for_state(&tower, "RUNNING");
    let start = std::time::Instant::now();
    loop {
        let before = (tower.figure("encoder/fillers"), tower.figure("frames_on_air"));
        std::thread::sleep(Duration::from_secs(4));
        let fillers = tower.figure("encoder/fillers") - before.0;
        let frames = tower.figure("frames_on_air") - before.1;
        if fillers * 2 < frames {
            break;
        }
        assert!(start.elapsed() < SOON, "{fillers} of {frames} frames are fillers still\n{}", tower.log());
    }
    assert_eq!(tower.figure("encoder/desyncs"), 0, "{}", tower.log());
}
