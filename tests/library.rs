//! The library on real files, with real tags, read by the real process.
//! The large one runs under `make soak` and prints the figures of SPECIFICATION.md.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant, SystemTime},
};

use lofty::{
    config::WriteOptions,
    file::TaggedFileExt,
    picture::{MimeType, Picture, PictureType},
    probe::Probe,
    tag::{Accessor, ItemKey, Tag, TagExt, TagType},
};
use retrowaves::station::{
    library::{
        Library, LibraryOptions, cache,
        reader::{ReaderCommand, serve_if_asked},
        scan_report,
    },
    track::{Track, TrackKind},
};

const ROLE: &str = "RETROWAVES_TEST_TAG_READER";

/// Not a test: the process that reads tags, when this program is started as such.
#[test]
fn reader_process() {
    if std::env::var_os(ROLE).is_some() {
        retrowaves::station::library::reader::serve_tags();
    }
    // What the station's `main` calls; here the arguments are another's.
    serve_if_asked();
}

fn reader() -> ReaderCommand {
    let myself = std::env::current_exe().expect("test binary").into_os_string();
    let args = [format!("{ROLE}=1").into(), myself, "--exact".into(), "reader_process".into(), "--nocapture".into()];
    ReaderCommand { program: "env".into(), args: args.into() }
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("retrowaves-library-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("music")).expect("folder");
        fs::create_dir_all(path.join("state")).expect("folder");
        Self(path)
    }

    fn music(&self) -> PathBuf {
        self.0.join("music")
    }

    fn options(&self) -> LibraryOptions {
        LibraryOptions {
            music: vec![self.music()],
            rescan: Duration::from_secs(3600),
            state_dir: self.0.join("state"),
            reader: reader(),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A tone of half a second, as FFmpeg makes it by the file's ending.
fn tone(path: &Path, more: &[&str]) {
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", "sine=frequency=440:duration=0.5"])
        .args(more)
        .arg(path)
        .status()
        .expect("ffmpeg");
    assert!(made.success(), "{}", path.display());
}

/// As if the file had been there for a day.
fn age(path: &Path) {
    let file = File::options().write(true).open(path).expect("file");
    file.set_modified(SystemTime::now() - Duration::from_secs(24 * 3600)).expect("mtime");
}

/// `count` small MP3 files in folders of 50, each with a title and artist of its own.
fn make_library(music: &Path, count: usize) {
    let original = music.join("original.mp3");
    tone(&original, &["-b:a", "32k", "-ac", "1"]);
    let bytes = fs::read(&original).expect("tone");
    fs::remove_file(&original).expect("removed");
    let tops = ["Rock", "Jazz", "Jingles", "ids", "Pop"];
    for number in 0..count {
        let folder = music.join(tops[number / 50 % tops.len()]).join(format!("Album {}", number / 50));
        if number % 50 == 0 {
            fs::create_dir_all(&folder).expect("folder");
        }
        let path = folder.join(format!("{:02} - File {number}.mp3", number % 50));
        fs::write(&path, &bytes).expect("copy");
        let mut tag = Tag::new(TagType::Id3v2);
        tag.set_title(format!("The Title of Number {number}"));
        tag.set_artist(format!("Artist {} and the Examples", number / 10));
        tag.set_album(format!("Album {}", number / 50));
        tag.insert_text(ItemKey::RecordingDate, format!("{}", 1950 + number % 70));
        tag.insert_text(ItemKey::ReplayGainTrackGain, "-6.50 dB".to_owned());
        tag.save_to_path(&path, WriteOptions::default()).expect("tagged");
        age(&path);
    }
}

/// Starts a library; waits until the first look is over. Returns it, and how long
/// the first catalogue and the look took.
fn start(options: LibraryOptions) -> (Library, Duration, Duration) {
    let begun = Instant::now();
    let library = Library::start(options).expect("thread");
    let mut first = None;
    while library.progress().looks.load(Relaxed) == 0 || library.progress().looking.load(Relaxed) {
        if library.generation() > 0 {
            first.get_or_insert(begun.elapsed());
        }
        assert!(begun.elapsed() < Duration::from_secs(1800), "{}", library.progress());
        std::thread::sleep(Duration::from_millis(1));
    }
    while library.generation() == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let whole = begun.elapsed();
    (library, first.unwrap_or(whole), whole)
}

fn check(library: &Library, count: usize) {
    let begun = Instant::now();
    while library.catalogue().tracks.len() != count {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} tracks", library.catalogue().tracks.len());
        std::thread::sleep(Duration::from_millis(1));
    }
    let catalogue = library.catalogue();
    assert!(catalogue.tracks.is_sorted_by(|a, b| a.path.as_os_str() < b.path.as_os_str()));
    for track in &catalogue.tracks {
        assert!(track.title.starts_with("The Title of Number "), "{track:?}");
        assert!(track.artist.is_some() && track.album.is_some() && track.year.is_some(), "{track:?}");
        assert_eq!(track.tag_lufs, Some(-11.5), "{track:?}");
        assert!(track.duration_ms.is_some_and(|ms| (450..700).contains(&ms)), "{track:?}");
    }
    let mut keys: Vec<u64> = catalogue.tracks.iter().map(|track| track.title_key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), count, "every title has a key of its own");
}

#[test]
fn st3_two_thousand_files_cold_and_warm() {
    let scratch = Scratch::new("small");
    make_library(&scratch.music(), 2000);
    let (library, _, _) = start(scratch.options());
    check(&library, 2000);
    assert_eq!(library.progress().parsed.load(Relaxed), 2000);
    let kinds = |kind| library.catalogue().tracks.iter().filter(|track| track.kind == kind).count();
    assert_eq!([TrackKind::Song, TrackKind::Jingle, TrackKind::StationId].map(kinds), [1200, 400, 400]);
    library.stop();

    let (library, _, _) = start(scratch.options());
    check(&library, 2000);
    assert_eq!(library.progress().parsed.load(Relaxed), 0, "all of it was in the cache");
}

fn find<'a>(tracks: &'a [std::sync::Arc<Track>], name: &str) -> &'a Track {
    tracks.iter().find(|track| track.path.file_name().is_some_and(|file| file == name)).expect(name)
}

#[test]
fn st3_tags_of_every_format_and_of_broken_files() {
    let scratch = Scratch::new("formats");
    let music = scratch.music();
    let tags = ["-metadata", "title=Title", "-metadata", "artist=Artist", "-metadata", "date=1984-05-01"];
    for ending in ["mp3", "flac", "ogg", "opus", "m4a", "wav", "aiff", "wv"] {
        let mut more = tags.to_vec();
        more.extend(if ending == "aiff" { &["-write_id3v2", "1"][..] } else { &[] });
        // FFmpeg writes any name into APE tags; this is the one that taggers use.
        more.extend(if ending == "wv" { &["-metadata", "Year=1984"][..] } else { &[] });
        more.extend(if ending == "opus" { &["-metadata", "R128_TRACK_GAIN=-512"][..] } else { &[] });
        tone(&music.join(format!("a.{ending}")), &more);
    }
    tone(&music.join("Somebody - Something.mka"), &tags);
    fs::copy(music.join("a.opus"), music.join("opus in.ogg")).expect("copy");
    fs::write(music.join("Text - Renamed.mp3"), "this is no music\n".repeat(500)).expect("text");
    let whole = fs::read(music.join("a.flac")).expect("flac");
    fs::write(music.join("cut.flac"), &whole[..60]).expect("cut");
    fs::write(music.join("lies.mp3"), b"ID3\x04\0\0\x7f\x7f\x7f\x7fTIT2\x7f\x7f\x7f\x7f\0\0").expect("lies");
    // A picture of 20 MB is neither read nor in the way.
    fs::copy(music.join("a.mp3"), music.join("picture.mp3")).expect("copy");
    let mut file = Probe::open(music.join("picture.mp3")).expect("open").read().expect("read");
    let tag = file.tag_mut(TagType::Id3v2).expect("tag");
    let picture = Picture::unchecked(vec![7; 20 << 20]).mime_type(MimeType::Png).pic_type(PictureType::CoverFront);
    tag.push_picture(picture.build());
    tag.save_to_path(music.join("picture.mp3"), WriteOptions::default()).expect("saved");
    for entry in fs::read_dir(&music).expect("folder") {
        age(&entry.expect("entry").path());
    }

    let report = scan_report(&[music], reader(), |_| {});
    assert_eq!(report.skipped, []);
    let tracks = &report.catalogue.tracks;
    let whole =
        ["a.mp3", "a.flac", "a.ogg", "a.opus", "a.m4a", "a.aiff", "a.wv", "opus in.ogg", "picture.mp3", "a.wav"];
    for name in whole {
        let track = find(tracks, name);
        let found = (&*track.title, track.artist.as_deref(), track.year);
        assert_eq!(found, ("Title", Some("Artist"), Some(1984)), "{name}");
        assert!(track.duration_ms.is_some_and(|ms| (450..700).contains(&ms)), "{track:?}");
    }
    for name in ["a.opus", "opus in.ogg"] {
        assert_eq!(find(tracks, name).tag_lufs, Some(-21.0), "{name}");
    }
    let by_name = |name| (&*find(tracks, name).title, find(tracks, name).artist.as_deref());
    assert_eq!(by_name("Somebody - Something.mka"), ("Something", Some("Somebody")));
    assert_eq!(by_name("Text - Renamed.mp3"), ("Renamed", Some("Text")));
    assert_eq!((by_name("cut.flac"), by_name("lies.mp3")), (("cut", None), ("lies", None)));
}

fn resident_kb() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("kB")
}

/// Figures, for a release build on a quiet machine. What is asserted holds on any.
#[test]
#[ignore = "fifty thousand files"]
fn st3_fifty_thousand_files() {
    const COUNT: usize = 50_000;
    let scratch = Scratch::new("large");
    make_library(&scratch.music(), COUNT);
    let before = resident_kb();
    let (library, first, cold) = start(scratch.options());
    check(&library, COUNT);
    let grown = resident_kb().saturating_sub(before);
    let begun = Instant::now();
    library.stop();
    println!("cold: first tracks after {first:?}, all after {cold:?}; {grown} kB resident; stop {:?}", begun.elapsed());
    let bytes = fs::metadata(scratch.0.join("state").join(cache::FILE_NAME)).expect("cache").len();
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let (library, first, whole) = start(scratch.options());
        check(&library, COUNT);
        assert_eq!(library.progress().parsed.load(Relaxed), 0);
        let percent = first.as_secs_f64() * 100.0 / cold.as_secs_f64();
        println!(
            "warm: all known after {first:?} ({percent:.1} % of cold), verified after {whole:?}; cache {bytes} bytes"
        );
        best = best.min(percent);
    }
    // Neighbours on the machine only ever add to it.
    assert!(best <= 5.0, "a warm start takes at most 5 % of a cold scan, not {best:.1} %");
}
