//! The library as a whole: thread, catalogue, cache.

use std::fs;

use super::{reader::tests::command, *};
use crate::scratch::Scratch;

fn options(dir: &Scratch) -> LibraryOptions {
    LibraryOptions {
        music: vec![dir.join("music")],
        rescan: Duration::from_millis(20),
        state_dir: dir.join(""),
        reader: command("fragile"),
    }
}

fn put(dir: &Scratch, name: &str) {
    let path = dir.join("music").join(name);
    fs::create_dir_all(path.parent().expect("folder")).expect("folder");
    fs::write(&path, b"x").expect("file");
    let file = fs::File::options().write(true).open(&path).expect("file");
    file.set_modified(SystemTime::now() - Duration::from_secs(3600)).expect("mtime");
}

fn wait_for(library: &Library, tracks: usize) {
    let begun = Instant::now();
    while library.generation() == 0 || library.catalogue().tracks.len() != tracks {
        let found = library.catalogue().tracks.len();
        assert!(begun.elapsed() < Duration::from_secs(60), "{found} tracks where {tracks} were expected");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn st3_the_library_follows_its_folders_and_knows_them_at_the_next_start() {
    let dir = Scratch::new();
    put(&dir, "a.mp3");
    let library = Library::start(options(&dir)).expect("thread");
    wait_for(&library, 1);
    put(&dir, "Jazz/b.mp3");
    wait_for(&library, 2);
    fs::remove_file(dir.join("music/a.mp3")).expect("removed");
    wait_for(&library, 1);
    library.stop();

    // Nothing is there to read tags; what the cache knew is known.
    let nobody = LibraryOptions { reader: ReaderCommand { program: "true".into(), args: vec![] }, ..options(&dir) };
    let library = Library::start(nobody).expect("thread");
    wait_for(&library, 1);
    assert!(library.catalogue().tracks[0].title.ends_with("Jazz/b.mp3"), "its tags, not its name");
    drop(library);
}

#[test]
fn st3_a_broken_cache_is_ignored() {
    let dir = Scratch::new();
    put(&dir, "a.mp3");
    fs::write(dir.join(cache::FILE_NAME), b"nonsense").expect("written");
    let library = Library::start(options(&dir)).expect("thread");
    wait_for(&library, 1);
    library.stop();
    assert!(cache::load(&dir.join(cache::FILE_NAME), &[dir.join("music")]).is_some(), "made anew");
}

#[test]
fn st3_no_music_is_no_catastrophe() {
    let dir = Scratch::new();
    let library = Library::start(options(&dir)).expect("thread");
    wait_for(&library, 0);
    put(&dir, "a.mp3");
    wait_for(&library, 1);
    library.stop();
    let none = Library::start(LibraryOptions { music: vec![], ..options(&dir) }).expect("thread");
    wait_for(&none, 0);
}

#[test]
fn st3_a_rescan_can_be_asked_for() {
    let dir = Scratch::new();
    put(&dir, "a.mp3");
    let library =
        Library::start(LibraryOptions { rescan: Duration::from_secs(3600), ..options(&dir) }).expect("thread");
    wait_for(&library, 1);
    put(&dir, "b.mp3");
    library.rescan_now();
    wait_for(&library, 2);
    // And a stop does not wait for the hour.
}

#[test]
fn st3_a_report_says_what_a_scan_found() {
    let dir = Scratch::new();
    for name in ["a.mp3", "Jingles/j.mp3", "Rock/b.mp3"] {
        put(&dir, name);
    }
    fs::create_dir(dir.join("music/empty")).expect("folder");
    let empty = dir.join("music/empty/e.mp3");
    fs::write(&empty, b"").expect("file");
    let file = fs::File::options().write(true).open(&empty).expect("file");
    file.set_modified(SystemTime::now() - Duration::from_secs(60)).expect("mtime");
    let music = [dir.join("music"), dir.join("nowhere")];
    let report = scan_report(&music, command("fragile"), |_| {});
    assert_eq!((report.catalogue.tracks.len(), report.skipped_files, report.gone.len()), (3, 1, 1));
    let text = report.to_string();
    for line in
        ["3 tracks: 1 jingles, 2 songs", "       1  Jingles (jingles)", "       1  . (songs)", "e.mp3: is empty"]
    {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
