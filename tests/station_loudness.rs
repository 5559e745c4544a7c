//! What a station sends is as loud as it promises, whatever lies in the folder; songs overlap
//! where they fade, and jingles are cut hard.

mod common;

use std::time::{Duration, Instant};

use common::{
    joins::{continuous, find, write_wav},
    material::{Folder, encode},
    pcm_sink::{FakeTower, PcmSink},
    station::StationSetup,
};
use ebur128::{EbuR128, Mode};
use nix::sys::signal::Signal;
use retrowaves::{frame::STATION_FRAME_SAMPLES, station::sound::measure::AUDIBLE};

const RATE: usize = 48_000;
/// Long enough that the next one is measured meanwhile, on a busy machine too.
const SONG: usize = 8 * RATE;

/// Integrated loudness in LUFS, and true peak in dBTP.
fn measured(values: &[i16]) -> (f64, f64) {
    let mut meter = EbuR128::new(2, 48_000, Mode::I | Mode::TRUE_PEAK).expect("meter");
    meter.add_frames_i16(values).expect("samples");
    let peak = (0..2).map(|channel| meter.true_peak(channel).expect("peak")).fold(0.0, f64::max);
    (meter.loudness_global().expect("loudness"), 20.0 * peak.log10())
}

#[allow(clippy::cast_possible_truncation)]
fn amplified(values: &[i16], gain: f64) -> Vec<i16> {
    values.iter().map(|value| (f64::from(*value) * gain).round().clamp(-32_768.0, 32_767.0) as i16).collect()
}

/// The same music at a loudness; above what fits it is clipped, as loud records are.
fn at_lufs(music: &[i16], lufs: f64) -> Vec<i16> {
    let mut gain_db = 0.0;
    let mut made = music.to_vec();
    for _ in 0..12 {
        gain_db += lufs - measured(&made).0;
        made = amplified(music, 10f64.powf(gain_db / 20.0));
    }
    assert!((measured(&made).0 - lufs).abs() < 0.1, "material of {lufs} LUFS");
    made
}

/// Quieter than what is heard may be this much of a jingle's beginning and end.
const EDGE: usize = 64;

/// What was announced as playing: type, title, `at_frame`.
fn announced(tower: &FakeTower) -> Vec<(String, String, usize)> {
    let events = tower.events();
    let playing = events.iter().filter(|event| event["at_frame"].is_u64());
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let frame = |value: &serde_json::Value| usize::try_from(value.as_u64().expect("a count")).expect("small");
    playing.map(|e| (text(&e["event_type"]), text(&e["metadata"]["title"]), frame(&e["at_frame"]))).collect()
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(120), "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn every_song_is_played_at_16_lufs_and_no_peak_is_above_1_dbtp() {
    let folder = Folder::new();
    let music = folder.join("music");
    std::fs::create_dir(&music).expect("folder");
    let song = continuous(SONG);
    let mut files: Vec<(String, Vec<i16>, f64)> = [(-30.0, -18.0), (-23.0, -16.0), (-12.0, -16.0), (-6.0, -16.0)]
        .map(|(lufs, expected)| (format!("song at {lufs}"), at_lufs(&song, lufs), expected))
        .into();
    // Quiet, with a hard click now and then: louder, it needs the limiter.
    let mut clicks = at_lufs(&song, -24.0);
    for (at, pair) in clicks.chunks_exact_mut(2).enumerate() {
        if at % (2 * RATE) < 12 {
            pair.fill(if at % 2 == 0 { 32_000 } else { -32_000 });
        }
    }
    files.push(("clicks".into(), clicks, -16.0));
    for (title, values, _) in &files {
        encode(values, &music.join(format!("{title}.flac")), &[]);
    }

    let sink = PcmSink::start(&folder.join("pcm.sock"));
    let tower = FakeTower::start(&sink, 0);
    let mut station =
        StationSetup::default().music(&music).set("playout.crossfade=false").start(&sink.path, &tower.url);
    // The first one of all may begin before it is measured, on a busy machine, and counts for nothing.
    let first = |all: &[(String, String, usize)], title: &str| all.iter().skip(1).position(|(_, t, _)| t == title);
    // All of them, and one more, so that the last one has an end.
    wait_for("every song", || {
        let all = announced(&tower);
        files.iter().all(|(title, ..)| first(&all, title).is_some_and(|nth| nth + 2 < all.len()))
    });
    station.end(Signal::SIGKILL);
    let (heard, announced) = (sink.received().samples(), announced(&tower));
    for (title, source, expected) in &files {
        let nth = 1 + first(&announced, title).expect("announced");
        let (from, to) = (announced[nth].2 * STATION_FRAME_SAMPLES, announced[nth + 1].2 * STATION_FRAME_SAMPLES);
        assert!((to - from).abs_diff(SONG) <= STATION_FRAME_SAMPLES, "{title}: {} samples", to - from);
        let (lufs, dbtp) = measured(&heard[(from + STATION_FRAME_SAMPLES) * 2..to * 2]);
        println!(
            "{title}: {:.2} LUFS, {:.2} dBTP -> {lufs:.2} LUFS, {dbtp:.2} dBTP",
            measured(source).0,
            measured(source).1
        );
        assert!((lufs - expected).abs() <= 1.0, "{title}: {lufs:.2} LUFS");
    }
    let (_, dbtp) = measured(&heard);
    assert!(dbtp < -1.0, "{dbtp:.3} dBTP in all");
    assert!(dbtp > -1.5, "{dbtp:.3} dBTP: something here needs the limiter");
}

/// A tone of `sec` that is as loud until it fades over the last `fade_sec`, and silence behind it.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
fn tone(pitch_hz: f64, sec: f64, fade_sec: f64, silent_sec: f64) -> Vec<i16> {
    let value = |at: usize| {
        let t = at as f64 / RATE as f64;
        let volume = ((sec - t) / fade_sec.max(1e-9)).clamp(0.0, 1.0);
        (9000.0 * volume * (std::f64::consts::TAU * pitch_hz * t).cos()) as i16
    };
    let silent = std::iter::repeat_n(0, (silent_sec * RATE as f64) as usize * 2);
    (0..(sec * RATE as f64) as usize).flat_map(|at| [value(at); 2]).chain(silent).collect()
}

fn largest_step(left: &[i16]) -> u16 {
    left.windows(2).map(|pair| pair[1].abs_diff(pair[0])).max().expect("samples")
}

/// The most samples in a row of which none is heard.
fn longest_silence(left: &[i16]) -> usize {
    left.split(|value| value.unsigned_abs() >= AUDIBLE).map(<[i16]>::len).max().unwrap_or(0)
}

/// Two songs and a jingle, again and again.
#[test]
fn songs_overlap_where_they_fade_and_a_jingle_is_cut_hard() {
    let folder = Folder::new();
    let music = folder.join("music");
    std::fs::create_dir_all(music.join("jingles")).expect("folder");
    let songs = [("low", tone(310.0, 9.0, 3.0, 2.0)), ("high", tone(470.0, 9.0, 3.0, 2.0))];
    let jingle = continuous(2 * RATE);
    songs.iter().for_each(|(title, values)| write_wav(&music.join(format!("{title}.wav")), 48_000, values));
    write_wav(&music.join("jingles/jingle.wav"), 48_000, &jingle);

    let sink = PcmSink::start(&folder.join("pcm.sock"));
    let tower = FakeTower::start(&sink, 0);
    let setup = StationSetup::default().music(&music).set("playout.level=false").set("rotation.jingle_every_songs=2");
    let mut station = setup.start(&sink.path, &tower.url);
    // A jingle, two songs, a jingle, a song: from the first announced song on.
    // Not the first one of all, which may begin before it is measured.
    let songs_then_jingle = |all: &[(String, String, usize)]| {
        (1..all.len().saturating_sub(3)).find(|at| {
            let jingles = [0, 1, 2, 3].map(|n| all[at + n].1 == "jingle");
            jingles == [false, false, true, false]
        })
    };
    wait_for("song, song, jingle, song", || songs_then_jingle(&announced(&tower)).is_some());
    let after = sink.bytes();
    sink.wait_for_bytes(after + 192_000, Duration::from_secs(60));
    station.end(Signal::SIGKILL);
    let all = announced(&tower);
    let nth = songs_then_jingle(&all).expect("found");
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|n| all[nth + n].clone());
    assert!(first.1 != second.1, "{all:?}");
    assert_eq!([&*first.0, &*third.0], ["song_playing", "segment_playing"]);

    let heard = sink.received().samples();
    let left: Vec<i16> = heard.iter().copied().step_by(2).collect();
    let [first_at, second_at, third_at, fourth_at] =
        [&first, &second, &third, &fourth].map(|(_, _, frame)| frame * STATION_FRAME_SAMPLES);
    let overlap = (9 * RATE)
        .checked_sub(second_at - first_at)
        .unwrap_or_else(|| panic!("no overlap: {all:?}\n{}", station.log()));
    println!("overlap {overlap} samples; longest silence {}", longest_silence(&left[first_at + 1024..third_at]));
    // 15 LU below 9000 is 0.53 s before the end of a linear fade over 3 s, 60 dBFS nearly its end.
    assert!((RATE / 4..RATE).contains(&overlap), "{overlap} samples overlap");
    assert!(longest_silence(&left[first_at + 1024..third_at]) < RATE / 5, "no gap between songs or before the jingle");
    let steps = songs.clone().map(|(_, values)| largest_step(&values.iter().copied().step_by(2).collect::<Vec<_>>()));
    let from = second_at - RATE;
    // Where the second begins, its first sample is a step of its own.
    let click = largest_step(&left[from..second_at]).max(largest_step(&left[second_at + 1024..second_at + RATE]));
    assert!(
        click <= steps[0].max(steps[1]) + steps[0].min(steps[1]) / 5 + 2,
        "a step of {click}, the songs have {steps:?}"
    );

    // The jingle is there with every bit: nothing lies under it. Its first and last samples
    // may be too quiet to be heard, and left out.
    let (near, inner) = (third_at.saturating_sub(1024), &jingle[EDGE * 2..jingle.len() - EDGE * 2]);
    let found = find(&heard[near * 2..(third_at + 5 * 1024) * 2], inner, 0).expect("the jingle, bit by bit");
    let begins = near + found - EDGE;
    assert!(
        (third_at..third_at + 1024 + EDGE).contains(&(begins + EDGE)),
        "announced at {third_at}, begins at {begins}"
    );
    assert!(heard[(near + found) * 2..][..inner.len()] == *inner, "nothing lies under it");
    let sounding = left[..begins].iter().rposition(|value| value.unsigned_abs() >= AUDIBLE).expect("a song");
    assert!(begins - sounding < RATE / 20, "{} samples of silence before the jingle", begins - sounding);
    let ends = begins + jingle.len() / 2;
    assert!((fourth_at..fourth_at + 1024 + EDGE).contains(&ends), "announced at {fourth_at}, begins at {ends}");
    assert!(left[ends - EDGE..ends + EDGE].iter().any(|value| *value > 8900), "and the next song at full level");
}
