//! `tower devices` and `tower meter` as a person meets them, with PCMs that need no hardware.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// What ALSA is configured with.
static ASOUND_CONF: LazyLock<PathBuf> = LazyLock::new(|| {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("levels-asound.conf");
    let hint = "hint { show on description \"Something to hear\" }";
    fs::write(&file, format!("pcm.null {{ type null {hint} }}\npcm.desk {{ type null {hint} }}\n"))
        .expect("asound.conf");
    file
});

fn tower(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tower"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TOWER_")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).env("ALSA_CONFIG_PATH", &*ASOUND_CONF);
    command
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    said(&tower(args).output().expect("tower"))
}

#[test]
fn devices_is_exit_code_0_whatever_there_is() {
    let (code, out, err) = run(&["devices"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("live.device is not set"), "{out}");
    assert_eq!(out.matches("Something to hear").count(), 1, "desk, and not null: {out}");
    // A developer's machine may have a card.
    if !fs::read_to_string("/proc/asound/cards").is_ok_and(|cards| cards.contains('[')) {
        assert!(out.starts_with("no sound card was found\n"), "{out}");
    }
    let (code, out, err) = run(&["devices", "--set", "live.device=\"null\""]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("live.device = \"null\"\n  would use 48000 Hz, 2 channels, S32_LE, period 480"), "{out}");
    let (code, out, err) = run(&["devices", "--set", "live.device=\"nobody\""]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("nobody: no sound card has this id") && out.contains("Unknown PCM nobody"), "{out}");
}

#[test]
fn meter_of_a_device_is_a_plain_line_a_second() {
    let begun = Instant::now();
    let (code, out, err) = run(&["meter", "--device", "null", "--seconds", "1"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(out.starts_with("L peak -inf RMS -inf dBFS; R peak -inf"), "{out}");
    assert!(out.ends_with("; overruns: 0\n") && out.lines().count() == 1 && !out.contains('\x1b'), "{out}");
}

#[test]
fn meter_of_a_device_that_is_not_there_is_exit_code_1_in_the_words_of_alsa() {
    let (code, out, err) = run(&["meter", "--device", "hw:CARD=Nobody"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("there is no such sound device (Unknown PCM hw:CARD=Nobody)"), "{err}");
    assert_eq!(err.lines().count(), 1, "nothing is printed by the library: {err}");
    let (code, _, err) = run(&["meter", "--device", "usb:9-9"]);
    assert!(code == Some(1) && err.contains("no sound card is plugged in there"), "{err}");
}

#[test]
fn devices_and_meter_explain_themselves() {
    for args in [["devices", "--help"], ["meter", "-h"]] {
        let (code, out, err) = run(&args);
        assert!(code == Some(0) && out.starts_with("Usage: tower ") && err.is_empty(), "{args:?}: {err}");
    }
    for args in [vec!["devices", "all"], vec!["meter", "--seconds", "0"], vec!["meter", "--device", "a", "--url", "b"]]
    {
        let (code, out, err) = run(&args);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}: {err}");
    }
    let (code, _, err) = run(&["meter", "--set", "http.port=0"]);
    assert!(code == Some(2) && err.contains("--url"), "{err}");
}

#[test]
fn a_meter_is_ended_by_ctrl_c_and_by_a_reader_that_has_gone() {
    let start = || {
        let mut child = tower(&["meter", "--device", "null"]).stdout(Stdio::piped()).spawn().expect("tower");
        // A first line: it has begun.
        let mut stdout = child.stdout.take().expect("stdout");
        stdout.read_exact(&mut [0; 10]).expect("a line");
        (child, stdout)
    };
    let (mut child, stdout) = start();
    kill(Pid::from_raw(i32::try_from(child.id()).expect("pid")), Signal::SIGINT).expect("signal");
    assert_eq!(child.wait().expect("ended").code(), Some(0));
    drop(stdout);
    let (mut child, stdout) = start();
    drop(stdout);
    assert_eq!(child.wait().expect("ended").code(), Some(0));
}

const STATUS: &str = r#"{"mode":"PROGRAM","source":"live","levels":{"peak_dbfs":[-1.5,-2.5],"rms_dbfs":[-14,-15],
 "lufs_momentary":-13.2},"live":{"state":"running","device":"CODEC"},"alarms":[{"alarm":"x","text":"It clips"}]}"#;

/// A tower that gives its status so many times, then is gone.
fn stand_in(answers: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    std::thread::spawn(move || {
        for _ in 0..answers {
            let (mut stream, _) = listener.accept().expect("accepted");
            let _ = stream.read(&mut [0; 2048]);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", STATUS.len());
            let _ = stream.write_all((head + STATUS).as_bytes());
        }
    });
    url
}

#[test]
fn meter_of_a_tower_goes_on_while_it_is_away() {
    let (code, out, err) = run(&["meter", "--url", &stand_in(1), "--seconds", "1"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines[0],
        "air L peak -1.5 RMS -14.0 dBFS; air R peak -2.5 RMS -15.0 dBFS; live: running, CODEC; air: -13.2 momentary; \
         ALARM: It clips"
    );
    assert!(lines.len() == 2 && lines[1].contains("is the tower running?"), "{out}");
    let (code, _, err) = run(&["meter", "--url", &stand_in(0), "--seconds", "1"]);
    assert!(code == Some(1) && err.contains("is the tower running?"), "{err}");
}
