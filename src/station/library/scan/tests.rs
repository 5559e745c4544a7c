//! Looks at folders with everything in them that a disk can hold.

use std::{
    fs::File,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    time::{Duration, SystemTime},
};

use proptest::prelude::*;

use super::{super::reader::tests::command, *};
use crate::{limits::LIBRARY_LINES_PER_LOOK, scratch::Scratch, station::library::reader::ReaderCommand};

const HOUR: i64 = 3600;

/// A music folder and what is known of it. Titles are paths, by the test's own reader.
struct Rig {
    dir: Scratch,
    index: Index,
    reader: TagReader,
    complaints: Complaints,
    progress: Progress,
    number: u64,
    /// When the test began: the clock of all looks, and of all files.
    begun: SystemTime,
    /// So much later the look is, in seconds.
    later: i64,
    tracks_max: usize,
}

impl Rig {
    fn new() -> Self {
        let rig = Self {
            dir: Scratch::new(),
            index: Index::new(),
            reader: TagReader::new(command("fragile")),
            complaints: Complaints::default(),
            progress: Progress::default(),
            number: 0,
            begun: SystemTime::now(),
            later: 0,
            tracks_max: 100,
        };
        fs::create_dir(rig.dir.join("m")).expect("folder");
        rig
    }

    fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.dir.join("m").join(Path::new(name.as_ref()))
    }

    /// A file that was written an hour ago.
    fn put(&self, name: impl AsRef<OsStr>, bytes: usize) {
        self.put_aged(name, bytes, HOUR);
    }

    fn put_aged(&self, name: impl AsRef<OsStr>, bytes: usize, age_sec: i64) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("folder")).expect("folder");
        fs::write(&path, vec![b'x'; bytes]).expect("file");
        let age = Duration::from_secs(age_sec.unsigned_abs());
        File::options().write(true).open(&path).expect("file").set_modified(self.begun - age).expect("mtime");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("removed");
    }

    /// Names of the tracks after a look, from the music folder.
    fn look(&mut self) -> Vec<String> {
        self.look_at(false).1
    }

    fn look_at(&mut self, full: bool) -> (bool, Vec<String>) {
        let music = [self.path("")];
        self.number += 1;
        self.complaints.begin_look();
        let mut look = Look {
            number: self.number,
            full,
            now_ns: self.now_ns(),
            tracks_max: self.tracks_max,
            stop: &AtomicBool::new(false),
            progress: &self.progress,
            reader: &mut self.reader,
            complaints: &mut self.complaints,
            meanwhile: &mut |_| {},
        };
        let changed = super::look(&mut self.index, &music, &mut look).expect("not stopped");
        (changed, self.names())
    }

    fn now_ns(&self) -> i64 {
        let since = self.begun.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        i64::try_from(since.as_nanos()).expect("before 2262") + self.later * SEC_NS
    }

    fn names(&self) -> Vec<String> {
        let name =
            |track: &Arc<Track>| track.path.strip_prefix(self.path("")).expect("inside").to_string_lossy().into_owned();
        self.index.catalogue().tracks.iter().map(name).collect()
    }

    fn parsed(&self) -> u64 {
        self.progress.parsed.load(Relaxed)
    }

    fn why(&self, name: &str) -> Option<&str> {
        let path = self.path(name);
        self.complaints.listed.iter().find(|(complaint, _)| *complaint == path).map(|(_, why)| why.as_str())
    }
}

#[test]
fn st3_everything_a_disk_can_hold() {
    let mut rig = Rig::new();
    for name in ["b.mp3", "a.flac", "Rock/x.ogg", "Rock/sub/y.MP3", "Jingles/j.wav", "deep.mp3/inside.mp3"] {
        rig.put(name, 10);
    }
    for name in ["cover.jpg", ".hidden.mp3", ".hidden/z.mp3", "x.mp3.part"] {
        rig.put(name, 10);
    }
    rig.put("empty.mp3", 0);
    let broken = OsStr::from_bytes(b"broken\xff\nname.mp3");
    rig.put(broken, 10);
    nix::unistd::mkfifo(&rig.path("fifo.mp3"), nix::sys::stat::Mode::S_IRWXU).expect("fifo");
    let _socket = UnixListener::bind(rig.path("socket.mp3")).expect("socket");
    symlink("nowhere", rig.path("dangling.mp3")).expect("link");
    symlink("itself.mp3", rig.path("itself.mp3")).expect("link");
    symlink("/dev/zero", rig.path("zero.mp3")).expect("link");
    symlink("b.mp3", rig.path("link.mp3")).expect("link");
    symlink(".", rig.path("loop")).expect("link");
    symlink("..", rig.path("Rock/up")).expect("link");
    symlink("Rock", rig.path("A same as Rock")).expect("link");

    let names = rig.look();
    let expected = [
        "Jingles/j.wav",
        "Rock/sub/y.MP3",
        "Rock/x.ogg",
        "a.flac",
        "b.mp3",
        "broken\u{fffd}\nname.mp3",
        "deep.mp3/inside.mp3",
        "link.mp3",
    ];
    assert_eq!(names, expected);
    assert_eq!(rig.why("empty.mp3"), Some("is empty"));
    assert_eq!(rig.why("fifo.mp3"), Some("is a FIFO, not a file"));
    assert_eq!(rig.why("socket.mp3"), Some("is a socket, not a file"));
    assert_eq!(rig.why("zero.mp3"), Some("is a device, not a file"));
    assert!(rig.why("dangling.mp3").is_some() && rig.why("itself.mp3").is_some());
    assert_eq!(rig.progress.skipped.load(Relaxed), 6);

    let catalogue = rig.index.catalogue();
    let of = |name: &str| catalogue.tracks.iter().find(|track| track.path == rig.path(name)).expect("known");
    assert_eq!(of("Jingles/j.wav").kind, TrackKind::Jingle);
    assert_eq!(of("Rock/sub/y.MP3").kind, TrackKind::Song);
    let folder = |name: &str| catalogue.folders[usize::from(of(name).folder)].as_str();
    assert_eq!([folder("b.mp3"), folder("Rock/sub/y.MP3"), folder("deep.mp3/inside.mp3")], ["", "Rock", "deep.mp3"]);
    // The reader was given the bytes of the name; it cannot say them, so the file goes by its name.
    let odd = catalogue.tracks.iter().find(|track| track.path == rig.path(broken)).expect("known");
    assert_eq!(&*odd.title, "broken\u{fffd} name");
    assert_eq!(&*of("b.mp3").title, rig.path("b.mp3").to_str().expect("text"));
}

#[test]
fn st3_new_removed_and_changed_files_are_found() {
    let mut rig = Rig::new();
    rig.put("a.mp3", 10);
    rig.put("sub/b.mp3", 10);
    assert_eq!(rig.look(), ["a.mp3", "sub/b.mp3"]);
    rig.later = HOUR;
    assert!(!rig.look_at(false).0, "all is settled");
    rig.put("sub/c.mp3", 10);
    rig.put("sub/deeper/d.mp3", 10);
    assert_eq!(rig.look(), ["a.mp3", "sub/b.mp3", "sub/c.mp3", "sub/deeper/d.mp3"]);
    assert_eq!(rig.parsed(), 2, "only what is new");
    rig.remove("sub/b.mp3");
    fs::remove_dir_all(rig.path("sub/deeper")).expect("removed");
    assert_eq!(rig.look_at(false), (true, vec!["a.mp3".to_owned(), "sub/c.mp3".to_owned()]));
    // In place, with the same size: the folder does not tell, a full look does.
    rig.put_aged("a.mp3", 10, HOUR + 5);
    assert!(!rig.look_at(false).0);
    assert_eq!(rig.parsed(), 0);
    assert!(rig.look_at(true).0);
    assert_eq!(rig.parsed(), 1);
    assert!(!rig.look_at(true).0, "nothing changed: nothing is said to have");
}

#[test]
fn st3_a_file_being_copied_waits() {
    let mut rig = Rig::new();
    rig.put_aged("now.mp3", 10, 0);
    rig.put_aged("preserved.mp3", 10, HOUR);
    assert_eq!(rig.look(), ["preserved.mp3"], "written this very moment");
    // Still growing, with the time of its original.
    rig.put_aged("preserved.mp3", 20, HOUR);
    rig.later = 5;
    assert_eq!(rig.look(), ["now.mp3"]);
    rig.put_aged("preserved.mp3", 30, HOUR);
    assert_eq!(rig.look(), ["now.mp3"]);
    assert_eq!(rig.look(), ["now.mp3", "preserved.mp3"], "of the same size twice");
    assert_eq!(rig.index.catalogue().tracks[1].stamp.size, 30);
}

#[test]
fn st3_must_wait_as_a_table() {
    let stamp = |size, age_sec: i64| Stamp { size, mtime_ns: 1000 * SEC_NS - age_sec * SEC_NS };
    let table = [
        (stamp(1, 0), None, true),
        (stamp(1, 1), None, true),
        (stamp(1, 2), None, false),
        (stamp(1, 2), Some(stamp(1, 2)), false),
        (stamp(2, 9), Some(stamp(1, 9)), true),
        (stamp(1, 1), Some(stamp(1, 1)), true),
        // Another machine's clock is ahead.
        (stamp(1, -500), None, false),
    ];
    for (now, last, waits) in table {
        assert_eq!(must_wait(now, last, 1000 * SEC_NS), waits, "{now:?} after {last:?}");
    }
}

#[test]
fn st3_a_music_folder_that_vanishes_comes_back_known() {
    let mut rig = Rig::new();
    rig.put("a.mp3", 10);
    rig.put("sub/b.mp3", 10);
    assert_eq!(rig.look().len(), 2);
    let away = rig.dir.join("away");
    fs::rename(rig.path(""), &away).expect("pulled");
    assert_eq!(rig.look_at(false), (true, vec![]));
    assert_eq!(rig.complaints.music_gone().count(), 1);
    assert!(!rig.look_at(true).0);
    // The mount point stands empty.
    fs::create_dir(rig.path("")).expect("empty");
    assert_eq!(rig.look_at(false), (false, vec![]));
    fs::remove_dir(rig.path("")).expect("removed");
    fs::rename(&away, rig.path("")).expect("back");
    assert_eq!(rig.look_at(false), (true, vec!["a.mp3".to_owned(), "sub/b.mp3".to_owned()]));
    assert_eq!((rig.parsed(), rig.complaints.music_gone().count()), (0, 0), "remembered");
}

#[test]
fn st3_a_folder_replaced_by_a_file_is_survived() {
    let mut rig = Rig::new();
    rig.put("sub/b.mp3", 10);
    rig.put("a.mp3", 10);
    assert_eq!(rig.look().len(), 2);
    fs::remove_dir_all(rig.path("sub")).expect("removed");
    rig.put("sub", 3);
    assert_eq!(rig.look(), ["a.mp3"]);
}

#[test]
fn st3_tags_that_kill_cost_themselves_only() {
    let mut rig = Rig::new();
    rig.put("Artist - dies.mp3", 10);
    rig.put("lives.mp3", 10);
    assert_eq!(rig.look().len(), 2);
    assert_eq!(rig.why("Artist - dies.mp3"), Some("its tags are not read: it died of this file"));
    let catalogue = rig.index.catalogue();
    assert_eq!((catalogue.tracks[0].artist.as_deref(), &*catalogue.tracks[0].title), (Some("Artist"), "dies"));
    rig.later = HOUR;
    rig.look_at(true);
    assert_eq!(rig.parsed(), 0, "not asked again until it changes");
}

#[test]
fn st3_without_a_reader_tags_are_asked_for_again() {
    let mut rig = Rig::new();
    rig.put("Artist - Title.mp3", 10);
    rig.reader = TagReader::new(ReaderCommand { program: "true".into(), args: vec![] });
    rig.later = HOUR;
    assert!(rig.look_at(false).0);
    assert_eq!(&*rig.index.catalogue().tracks[0].title, "Title");
    assert!(!rig.look_at(false).0, "the same as before");
    rig.reader = TagReader::new(command("fragile"));
    assert!(rig.look_at(false).0);
    assert!(rig.index.catalogue().tracks[0].title.ends_with("Artist - Title.mp3"), "by its tags now");
}

#[test]
fn st3_complaints_are_bounded_and_said_once() {
    let mut rig = Rig::new();
    for number in 0..60 {
        rig.put(format!("{number}.mp3"), 0);
    }
    rig.look();
    assert_eq!(rig.complaints.counts(), (LIBRARY_LINES_PER_LOOK, 60 - LIBRARY_LINES_PER_LOOK));
    rig.look_at(true);
    assert_eq!(rig.complaints.counts(), (0, 0));
}

#[test]
fn st3_depth_is_bounded() {
    let mut rig = Rig::new();
    let deep = "d/".repeat(LIBRARY_DEPTH_MAX) + "in.mp3";
    rig.put(&deep, 10);
    rig.put("d/".repeat(LIBRARY_DEPTH_MAX + 1) + "out.mp3", 10);
    assert_eq!(rig.look(), [deep]);
}

#[test]
fn st3_tracks_are_bounded() {
    let mut rig = Rig::new();
    rig.tracks_max = 3;
    for name in ["a/1.mp3", "a/2.mp3", "b/3.mp3", "b/4.mp3", "c/5.mp3"] {
        rig.put(name, 10);
    }
    assert_eq!(rig.look(), ["a/1.mp3", "a/2.mp3", "b/3.mp3"]);
    let refused: Vec<&str> = rig.complaints.listed.iter().map(|(_, why)| why.as_str()).collect();
    assert_eq!(refused, ["2 tracks beyond the first 3 are left out"]);
    rig.remove("a/1.mp3");
    assert_eq!(rig.look_at(true).1, ["a/2.mp3", "b/3.mp3", "b/4.mp3"]);
}

#[test]
fn st3_a_look_stops_at_once() {
    let mut rig = Rig::new();
    rig.put("a.mp3", 10);
    let mut look = Look {
        number: 1,
        full: true,
        now_ns: 0,
        tracks_max: 1,
        stop: &AtomicBool::new(true),
        progress: &rig.progress,
        reader: &mut rig.reader,
        complaints: &mut rig.complaints,
        meanwhile: &mut |_| {},
    };
    let music = [rig.dir.join("m")];
    assert!(super::look(&mut rig.index, &music, &mut look).is_err());
    assert_eq!(rig.look(), ["a.mp3"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    /// Whatever comes and goes: looking on finds what a fresh look finds.
    #[test]
    fn st3_looking_on_is_as_good_as_looking_afresh(
        steps in proptest::collection::vec(proptest::collection::vec((0u8..12, any::<bool>()), 1..6), 1..5),
    ) {
        let mut rig = Rig::new();
        rig.later = 5;
        for step in steps {
            for (number, there) in step {
                let name = format!("f{}/{number}.mp3", number % 3);
                if there { rig.put(&name, 10) } else { let _ = fs::remove_file(rig.path(&name)); }
            }
            let seen = rig.look();
            let mut fresh = Rig::new();
            fresh.later = 5;
            std::mem::swap(&mut fresh.dir, &mut rig.dir);
            let afresh = fresh.look();
            std::mem::swap(&mut fresh.dir, &mut rig.dir);
            prop_assert_eq!(seen, afresh);
        }
    }
}
