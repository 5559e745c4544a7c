//! Whatever lies in a music folder is played or put aside, with one line that says why; the
//! station goes on.

mod common;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    time::{Duration, Instant},
};

use common::{
    joins::{continuous, ffmpeg, write_wav},
    pcm_sink::{FakeTower, PcmSink},
    station::StationSetup,
    temp_dir,
};
use nix::{
    sys::{signal::Signal, stat::Mode},
    unistd::mkfifo,
};

/// Title as the tags or the file's name tell it, ending, and FFmpeg's options.
const ENCODED: [(&str, &str, &[&str]); 8] = [
    ("mono", "wav", &["-ac", "1"]),
    ("8 kHz", "wav", &["-ar", "8000"]),
    ("192 kHz", "flac", &["-ar", "192000"]),
    ("24 bit", "flac", &["-sample_fmt", "s32"]),
    ("variable", "mp3", &["-q:a", "4"]),
    ("vorbis", "ogg", &["-c:a", "libvorbis"]),
    ("opus", "opus", &["-c:a", "libopus"]),
    ("aac", "m4a", &["-c:a", "aac"]),
];

/// A song with a cover in its ID3 tag.
fn with_picture(wav: &Path, scratch: &Path, song: &Path) {
    let cover = scratch.join("cover.png");
    ffmpeg(wav, &["-lavfi", "showspectrumpic=s=64x64", "-frames:v", "1"], &cover);
    let cover = cover.to_str().expect("UTF-8");
    ffmpeg(wav, &["-i", cover, "-map", "0:a", "-map", "1:v", "-c:v", "copy", "-id3v2_version", "3"], song);
}

/// Every kind of file; the titles of those that can be played.
fn fill(music: &Path, scratch: &Path) -> BTreeSet<String> {
    let wav = scratch.join("song.wav");
    write_wav(&wav, 48_000, &continuous(72_000));
    let mut playable = BTreeSet::new();
    for (title, ending, options) in ENCODED {
        ffmpeg(&wav, options, &music.join(format!("{title}.{ending}")));
        playable.insert(title.to_owned());
    }
    with_picture(&wav, scratch, &music.join("picture.mp3"));
    fs::copy(&wav, music.join("two\nlines.wav")).expect("copied");
    fs::copy(&wav, music.join(OsStr::from_bytes(b"broken \xff\xfe utf8.wav"))).expect("copied");
    let whole = fs::read(music.join("variable.mp3")).expect("read");
    fs::write(music.join("truncated.mp3"), &whole[..whole.len() / 2]).expect("written");
    playable.insert("picture".to_owned());
    playable.insert("truncated".to_owned());

    fs::write(music.join("empty.mp3"), []).expect("written");
    fs::write(music.join("text.mp3"), "This is no music. ".repeat(200)).expect("written");
    mkfifo(&music.join("fifo.mp3"), Mode::S_IRWXU).expect("FIFO");
    fs::create_dir(music.join("folder.mp3")).expect("folder");
    symlink(".", music.join("loop")).expect("link");
    symlink("dangling-goal.mp3", music.join("dangling.mp3")).expect("link");
    playable
}

#[test]
fn fd1_4_st3_every_file_is_played_or_put_aside_with_one_line() {
    let dir = temp_dir();
    let music = dir.join("music");
    fs::create_dir(&music).expect("folder");
    let playable = fill(&music, &dir);
    let sink = PcmSink::start(&dir.join("pcm.sock"));
    let tower = FakeTower::start(&sink, 0);
    let mut station = StationSetup::default().music(&music).start(&sink.path, &tower.url);
    // Named by hand, they are refused or fail in their turn; neither ends the station.
    for bad in ["empty.mp3", "text.mp3", "fifo.mp3"] {
        station.next(&music.join(bad));
    }
    let start = Instant::now();
    let missing = loop {
        let titles: Vec<String> =
            tower.events().iter().filter_map(|e| e["metadata"]["title"].as_str().map(str::to_owned)).collect();
        let mut missing: Vec<&str> =
            playable.iter().map(String::as_str).filter(|title| !titles.iter().any(|t| t == title)).collect();
        for piece in ["lines", "broken"] {
            if !titles.iter().any(|title| title.contains(piece)) {
                missing.push(piece);
            }
        }
        if missing.is_empty() || start.elapsed() > Duration::from_secs(180) {
            break missing.join(", ");
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(missing, "", "never played; the log:\n{}", station.log());
    assert!(station.lives(), "{}", station.log());
    for bad in ["empty.mp3", "text.mp3", "fifo.mp3"] {
        let lines = station.lines_with(&["WARN", bad]);
        assert_eq!(lines.len(), 1, "one line says why {bad} is not played: {lines:#?}\n{}", station.log());
    }
    let log = station.log();
    assert!(!log.lines().any(|line| line.starts_with("lines.wav")), "a name cannot begin a line of its own");
    let before = sink.bytes();
    sink.wait_for_bytes(before + 192_000, Duration::from_secs(20));
    station.end(Signal::SIGKILL);
    fs::remove_dir_all(&dir).expect("removed");
}

/// A stick that is pulled takes its songs along and not their good name.
#[test]
fn st3_a_music_folder_that_is_pulled_puts_no_file_in_quarantine() {
    let dir = temp_dir();
    let music = dir.join("music");
    fs::create_dir(&music).expect("folder");
    for number in 0..40 {
        write_wav(&music.join(format!("song {number}.wav")), 48_000, &continuous(96_000));
    }
    let sink = PcmSink::start(&dir.join("pcm.sock"));
    let tower = FakeTower::start(&sink, 0);
    let mut station = StationSetup::default().music(&music).start(&sink.path, &tower.url);
    // Files just written wait for the next look.
    station.wait_for_log("library: 40 tracks", Duration::from_secs(60));
    station.wait_for_log("segment started", Duration::from_secs(60));
    let pulled = dir.join("pulled");
    fs::rename(&music, &pulled).expect("renamed");
    station.wait_for_log("its 40 tracks leave until it is back", Duration::from_secs(60));
    std::thread::sleep(Duration::from_secs(3));
    let events = tower.events().len();
    fs::rename(&pulled, &music).expect("renamed");
    let start = Instant::now();
    while tower.events().len() <= events {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not play again\n{}", station.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(station.lines_with(&["quarantined"]), Vec::<String>::new());
    assert!(station.lives(), "{}", station.log());
    station.end(Signal::SIGKILL);
    fs::remove_dir_all(&dir).expect("removed");
}
