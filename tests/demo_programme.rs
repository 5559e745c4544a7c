//! The demo programme is whole, sounds clean, and is made once; nobody else's folder is touched.

mod common;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use common::{joins::decoded, temp_dir};
use lofty::{file::TaggedFileExt, tag::Accessor};

fn make(folder: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/demo.sh");
    Command::new(script).arg(folder).output().expect("the script runs")
}

/// Audio files in a folder, by name.
fn files(folder: PathBuf) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|e| e.expect("entry").path())
        .collect();
    files.sort();
    files
}

#[test]
fn the_demo_programme_is_whole_and_clean_and_made_once() {
    let dir = temp_dir();
    let folder = dir.join("it's a demo; really");
    let made = make(&folder);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for announcements in ["ids", "intros", "jingles", "outros", "sign-off", "sign-on"] {
        assert!(!files(folder.join(announcements)).is_empty(), "{announcements}");
    }
    let songs: Vec<PathBuf> = ["Evening", "Sea"].iter().flat_map(|name| files(folder.join(name))).collect();
    let mut artists = BTreeSet::new();
    for song in &songs {
        let tagged = lofty::read_from_path(song).expect("tags");
        let tag = tagged.primary_tag().or(tagged.first_tag()).expect("a tag");
        artists.insert(tag.artist().expect("an artist").into_owned());
        assert!(tag.title().is_some() && tag.album().is_some(), "{}", song.display());
        let values = decoded(song);
        let (peak, edge) = (i16::MAX.unsigned_abs(), 400);
        assert!(values.iter().all(|value| value.unsigned_abs() < peak), "{} clips", song.display());
        for end in [&values[..200], &values[values.len() - 200..]] {
            assert!(end.iter().all(|value| value.unsigned_abs() < edge), "{} clicks", song.display());
        }
    }
    assert!(songs.len() >= 8 && artists.len() >= 4, "{artists:?}");

    let stamp = || fs::metadata(&songs[0]).and_then(|file| file.modified()).expect("a time");
    let before = stamp();
    let again = make(&folder);
    assert!(again.status.success() && again.stderr.is_empty(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(stamp(), before, "it is made once");
    assert_eq!(files(dir.clone()), [folder], "nothing half-made is left");
    fs::remove_dir_all(&dir).expect("removed");
}

#[test]
fn a_folder_of_somebody_else_is_refused_and_kept() {
    let dir = temp_dir();
    fs::write(dir.join("mine.txt"), "mine").expect("written");
    let refused = make(&dir);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("holds something else"));
    assert_eq!(files(dir.clone()), [dir.join("mine.txt")]);
    fs::remove_dir_all(&dir).expect("removed");
}
