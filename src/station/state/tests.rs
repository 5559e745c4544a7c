//! The state file through restarts, faults and power cuts.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    process::{Command, Stdio},
};

use super::*;
use crate::{scratch::Scratch, station::track::TrackKind};

fn track(path: impl Into<PathBuf>, size: u64) -> Track {
    Track {
        path: path.into(),
        stamp: Stamp { size, mtime_ns: 5 },
        kind: TrackKind::Song,
        folder: 0,
        title: "Title".into(),
        artist: None,
        album: None,
        year: None,
        duration_ms: None,
        tag_lufs: None,
        title_key: u64::MAX,
        artist_key: 0,
    }
}

fn measured(samples: u64) -> Measured {
    Measured { lufs: Some(-9.5), samples, cue_in: 3, cue_out: samples, end: samples }
}

#[test]
fn st3_what_is_remembered_survives_a_restart() {
    let dir = Scratch::new();
    let odd = track(OsStr::from_bytes(b"/m/broken\xff\nname.mp3"), 1);
    let other = track("/m/other.mp3", 2);
    let mut memory = Memory::load(&dir.join(""));
    assert_eq!(memory.measured(&odd), None);
    memory.remember(&odd, measured(100));
    memory.quarantine(&other, "Invalid data\nfound", 1000);
    memory.played(Play::of(&odd, 7));
    assert!(memory.save());

    let mut memory = Memory::load(&dir.join(""));
    assert_eq!(memory.measured(&odd), Some(measured(100)));
    assert!(memory.is_bad(&other.path, other.stamp, 2000));
    assert_eq!(memory.history().newest_first().next(), Some(&Play::of(&odd, 7)));
    assert_eq!(memory.bad_files().next().expect("one").1.why.as_ref(), "Invalid data; found");
}

#[test]
fn st3_another_stamp_is_another_file() {
    let dir = Scratch::new();
    let mut memory = Memory::load(&dir.join(""));
    memory.remember(&track("a", 1), measured(1));
    memory.quarantine(&track("a", 1), "why", 0);
    assert_eq!(memory.measured(&track("a", 2)), None);
    assert!(!memory.is_bad(Path::new("a"), track("a", 2).stamp, 1));
}

#[test]
fn st3_quarantine_ends_after_a_day_and_doubles() {
    let dir = Scratch::new();
    let bad = track("a", 1);
    let mut memory = Memory::load(&dir.join(""));
    let mut now = 0;
    for days in [1, 2, 4, 8, 16, 32, 32] {
        memory.quarantine(&bad, "why", now);
        assert!(memory.is_bad(&bad.path, bad.stamp, now + days * DAY_MS - 1), "{days}");
        assert!(!memory.is_bad(&bad.path, bad.stamp, now + days * DAY_MS), "{days}");
        now += days * DAY_MS;
    }
}

#[test]
fn st3_the_least_recently_used_loudness_goes() {
    let dir = Scratch::new();
    let mut memory = Memory::load(&dir.join(""));
    for number in 0..limits::MEASURED_MAX as u64 {
        memory.remember(&track(format!("{number}"), 1), measured(number));
    }
    assert!(memory.measured(&track("0", 1)).is_some());
    memory.remember(&track("one more", 1), measured(1));
    assert_eq!(memory.measured.len(), limits::MEASURED_MAX + 1 - limits::MEASURED_MAX / 100);
    assert!(memory.measured(&track("0", 1)).is_some(), "used a moment ago");
    assert!(memory.measured(&track("1", 1)).is_none(), "the longest unused");
    assert!(memory.measured(&track("one more", 1)).is_some());
}

#[test]
fn st3_bad_files_are_bounded() {
    let dir = Scratch::new();
    let mut memory = Memory::load(&dir.join(""));
    for number in 0..=i64::try_from(limits::BAD_FILES_MAX).expect("small") {
        let bad = BadFile { stamp: track("", 1).stamp, why: "".into(), at_unix_ms: number, failures: 1 };
        memory.put_bad(format!("{number}").into(), bad);
    }
    assert_eq!(memory.bad.len(), limits::BAD_FILES_MAX);
    assert!(!memory.bad.contains_key(Path::new("0")));
}

#[test]
fn st3_written_at_most_every_ten_minutes_and_only_when_changed() {
    let dir = Scratch::new();
    let file = dir.join(FILE_NAME);
    let mut memory = Memory::load(&dir.join(""));
    let start = Instant::now();
    memory.save_if_due(start);
    assert!(!file.exists(), "nothing to say");
    memory.remember(&track("a", 1), measured(1));
    memory.save_if_due(start);
    assert!(file.exists());
    // The first play comes after the first loudness, and is not to be lost for ten minutes.
    let mut last = start;
    for rest in [SAVE_EARLY, SAVE_EVERY, SAVE_EVERY] {
        fs::remove_file(&file).expect("removed");
        memory.save_if_due(last + rest);
        assert!(!file.exists(), "unchanged");
        memory.remember(&track("b", 1), measured(1));
        memory.save_if_due(last + rest - Duration::from_secs(1));
        assert!(!file.exists(), "too early");
        last += rest;
        memory.save_if_due(last);
        assert!(file.exists());
    }
}

#[test]
fn st3_a_broken_state_file_is_set_aside() {
    for broken in [&b""[..], b"{", b"\xff\xfe", br#"{"version":99,"measured":[],"bad":[],"history":[]}"#] {
        let dir = Scratch::new();
        fs::write(dir.join(FILE_NAME), broken).expect("written");
        fs::write(dir.join("station.state.json.new"), b"half").expect("written");
        let mut memory = Memory::load(&dir.join(""));
        assert_eq!(fs::read(dir.join("station.state.json.broken")).expect("aside"), broken);
        assert!(!dir.join(FILE_NAME).exists() && !dir.join("station.state.json.new").exists());
        memory.remember(&track("a", 1), measured(1));
        assert!(memory.save());
    }
}

#[test]
fn st3_a_folder_that_cannot_be_written_is_survived() {
    let dir = Scratch::new();
    let state_dir = dir.join("later");
    let mut memory = Memory::load(&state_dir);
    memory.remember(&track("a", 1), measured(1));
    let start = Instant::now();
    memory.save_if_due(start);
    assert!(memory.failing);
    fs::create_dir(&state_dir).expect("folder");
    memory.save_if_due(start + SAVE_AGAIN);
    assert!(!memory.failing);
    assert_eq!(Memory::load(&state_dir).measured(&track("a", 1)), Some(measured(1)));
}

/// A disk without room: `/dev/full` stands where the temporary file would be.
#[test]
fn st3_a_full_disk_is_survived() {
    let dir = Scratch::new();
    let mut memory = Memory::load(&dir.join(""));
    memory.remember(&track("a", 1), measured(1));
    assert!(memory.save());
    std::os::unix::fs::symlink("/dev/full", dir.join("station.state.json.new")).expect("link");
    memory.remember(&track("b", 1), measured(2));
    assert!(!memory.save());
    assert_eq!(Memory::load(&dir.join("")).measured(&track("a", 1)), Some(measured(1)));
    assert!(memory.save(), "the way is free again");
}

const WRITER_DIR: &str = "RETROWAVES_TEST_WRITER_DIR";
/// Generation `n` remembers `WRITTEN_FILES` files, each with `n` samples.
const WRITTEN_FILES: usize = 300;

/// Not a test: the process that the next test kills.
#[test]
fn writer_that_is_killed() {
    let Some(dir) = std::env::var_os(WRITER_DIR) else { return };
    let mut memory = Memory::load(Path::new(&dir));
    let first = memory.measured(&track("0", 1)).map_or(0, |known| known.samples);
    for generation in first + 1.. {
        for number in 0..WRITTEN_FILES {
            memory.remember(&track(number.to_string(), 1), measured(generation));
        }
        assert!(memory.save());
    }
}

#[test]
fn st3_a_kill_at_any_moment_leaves_a_whole_generation() {
    let dir = Scratch::new();
    let state_dir = dir.join("");
    let myself = std::env::current_exe().expect("test binary");
    let mut last = 0;
    for round in 0..40u64 {
        let mut child = Command::new(&myself)
            .args(["--exact", "station::state::tests::writer_that_is_killed", "--nocapture"])
            .env(WRITER_DIR, &state_dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("child");
        // Not before it writes, and then at any moment.
        let begun = Instant::now();
        let stamp = || fs::metadata(dir.join(FILE_NAME)).and_then(|about| about.modified()).ok();
        let before = stamp();
        while stamp() == before && begun.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(round * 7919 % 9000));
        child.kill().expect("killed");
        child.wait().expect("reaped");

        let mut memory = Memory::load(&state_dir);
        assert!(!dir.join("station.state.json.broken").exists(), "round {round}: half a file");
        let generation = memory.measured(&track("0", 1)).expect("remembered").samples;
        assert!(generation > last, "round {round}: {generation} after {last}");
        for number in 0..WRITTEN_FILES {
            assert_eq!(memory.measured(&track(number.to_string(), 1)), Some(measured(generation)), "round {round}");
        }
        last = generation;
    }
}
