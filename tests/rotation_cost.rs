//! What one choice costs with 50 000 songs, in instructions: not in time, which
//! belongs to the machine. The test runs itself under valgrind, which counts; two
//! runs that differ in some choices alone give the cost of a choice by subtraction.

use std::{path::PathBuf, process::Command, sync::Arc};

use retrowaves::station::{
    history::{History, Play},
    rotation::{
        Moment, Rotation,
        rules::{DayPart, Rules, Weight},
    },
    track::{Catalogue, Stamp, Track, TrackKind},
};

const INSTRUCTIONS_MAX: u64 = 20_000_000;
const SONGS: u64 = 50_000;
const PLAYS: u64 = 2000;
/// Choices by which two runs differ, with one catalogue.
const CHOICES: u64 = 8;
/// Says to the run under valgrind: `catalogues choices-of-each window-of-the-hour`.
const WORK: &str = "RETROWAVES_ROTATION_COST";

fn track(key: u64, kind: TrackKind, folder: u16, path: String) -> Arc<Track> {
    Arc::new(Track {
        path: PathBuf::from(path),
        stamp: Stamp { size: key, mtime_ns: 0 },
        kind,
        folder,
        title: "A title of usual length".into(),
        artist: Some("An artist".into()),
        album: None,
        year: None,
        duration_ms: Some(match kind {
            TrackKind::Song => 90_000 + u32::try_from(key * 7919 % 450_000).expect("small"),
            _ => 20_000,
        }),
        tag_lufs: None,
        title_key: key.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        artist_key: (key % 5000).wrapping_mul(0xD134_2543_DE82_EF95),
    })
}

fn catalogue() -> Catalogue {
    let places = [
        (TrackKind::StationId, "ids", 20),
        (TrackKind::Intro, "intros", 500),
        (TrackKind::Jingle, "jingles", 100),
        (TrackKind::Song, "music", SONGS),
        (TrackKind::Outro, "outros", 500),
    ];
    let mut tracks = Vec::with_capacity(60_000);
    for (kind, place, count) in places {
        for key in 0..count {
            // The intros and outros have the names of the first songs.
            let folder = u16::try_from(key * 20 / count).expect("small");
            let path =
                format!("/srv/music/{place}/Folder {folder:02}/An artist - A title of usual length {key:05}.flac");
            let key = if kind == TrackKind::Song { key } else { SONGS + key };
            tracks.push(track(key, kind, folder, path));
        }
    }
    Catalogue { tracks, folders: (0..20).map(|folder| format!("Folder {folder:02}")).collect() }
}

fn rules(hour_id_window_min: u64) -> Rules {
    Rules {
        // A long gap, so that most of what is remembered must rest.
        title_gap_min: 4000,
        artist_gap_songs: 20,
        hour_id_window_min,
        weights: vec![Weight::parse("Folder 03=3").expect("weight")],
        day_parts: vec![DayPart::parse("daily 11:00-13:00: Folder 04=5, Folder 05=0").expect("day part")],
        ..Rules::default()
    }
}

/// Two minutes to noon: some songs are too long for the ID of the hour.
fn now() -> Moment {
    Moment { unix_ms: 1_767_614_280_000, weekday: 0, second_of_day: 11 * 3600 + 58 * 60 }
}

fn history(catalogue: &Catalogue) -> History {
    let mut history = History::new(2000);
    let songs = catalogue.tracks.iter().filter(|track| track.kind == TrackKind::Song);
    let others: Vec<_> =
        catalogue.tracks.iter().filter(|t| matches!(t.kind, TrackKind::Jingle | TrackKind::StationId)).collect();
    for (nth, song) in (0..PLAYS).zip(songs.step_by(23)) {
        let track = if nth % 6 == 5 { others[usize::try_from(nth).expect("small") % others.len()] } else { song };
        let ago_ms = i64::try_from((PLAYS - nth) * 240_000).expect("small");
        history.push(Play::of(track, now().unix_ms - ago_ms));
    }
    history
}

/// What runs under valgrind.
fn work(work: &str) {
    let numbers: Vec<u64> = work.split(' ').map(|number| number.parse().expect("a number")).collect();
    let catalogues: Vec<Catalogue> = (0..numbers[0]).map(|_| catalogue()).collect();
    let history = history(&catalogues[0]);
    let mut rotation = Rotation::new(rules(numbers[2]), 1);
    for catalogue in &catalogues {
        for _ in 0..numbers[1] {
            let came = rotation.choose(catalogue, &history, now());
            assert_eq!(came.last().map(|choice| choice.track.kind), Some(TrackKind::Song));
        }
    }
}

/// Instructions of a run that does this work and nothing else.
fn count(work: &str) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", "st3_a_choice_costs_at_most_20_million_instructions", "--test-threads=1"])
        .env(WORK, work)
        .output()
        .expect("valgrind");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{work}: {text}{}", String::from_utf8_lossy(&output.stdout));
    let line = text.lines().find(|line| line.contains("refs:")).unwrap_or_else(|| panic!("no count in {text}"));
    let digits: String = line.rsplit("refs:").next().unwrap_or("").chars().filter(char::is_ascii_digit).collect();
    digits.parse().expect("a count")
}

/// The promise is about a program that is built to be run: `make test` runs this
/// one optimised.
#[test]
#[cfg_attr(debug_assertions, ignore)]
fn st3_a_choice_costs_at_most_20_million_instructions() {
    if let Ok(text) = std::env::var(WORK) {
        return work(&text);
    }
    let none = count("1 0 5");
    let first = count("1 1 5") - none;
    let warm = (count(&format!("1 {} 5", 1 + CHOICES)) - none - first) / CHOICES;
    // Two catalogues, the second as after a change of the library; setting up costs nothing in the difference.
    let changed = count("2 1 5") - count("2 0 5") - first;
    // No song is in time for the hour, so that all are weighed by how late they are.
    let late = count("1 1 0") - none;
    println!(
        "instructions: the first choice {first}, a later one {warm}, after a change {changed}, none in time {late}"
    );
    for (what, instructions) in [("first", first), ("later", warm), ("after a change", changed), ("late", late)] {
        assert!((1..=INSTRUCTIONS_MAX).contains(&instructions), "{what}: {instructions}");
    }
}
