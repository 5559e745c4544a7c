//! Intros, outros, what is asked for, sign-on and sign-off.

use super::*;

fn named(kind: TrackKind, path: &str, key: u64) -> Track {
    short(kind, path, key)
}

fn paths(choices: &[Choice]) -> Vec<&str> {
    choices.iter().map(|choice| choice.track.path.to_str().expect("text")).collect()
}

fn last_played(track: &Track) -> History {
    let mut history = History::new(2000);
    played(&mut history, track, at(11, 0, 0));
    history
}

#[test]
fn st3_an_intro_comes_before_the_song_that_has_its_name() {
    let song = named(TrackKind::Song, "music/Élan.flac", 5);
    for (intro, key, comes) in [
        ("intros/élan.mp3", 90, true),
        ("intros/ÉLAN.ogg", 90, true),
        ("intros/elan.mp3", 90, false),
        ("intros/any.mp3", 5, true),
        ("intros/Élan.flac.mp3", 90, false),
    ] {
        let all = catalogue(vec![song.clone(), named(TrackKind::Intro, intro, key)]);
        let came = Rotation::new(no_rules(), 1).choose(&all, &History::new(9), at(0, 0, 0));
        let expected = if comes { vec![intro, "music/Élan.flac"] } else { vec!["music/Élan.flac"] };
        assert_eq!(paths(&came), expected);
        assert_eq!(came[0].reason, if comes { Reason::Intro } else { Reason::Rotation });
    }
}

#[test]
fn st3_the_name_of_the_file_counts_before_the_title() {
    let song = named(TrackKind::Song, "music/b.flac", 5);
    let by_title = named(TrackKind::Intro, "intros/a.mp3", 5);
    let by_name = named(TrackKind::Intro, "intros/b.mp3", 90);
    let came =
        Rotation::new(no_rules(), 1).choose(&catalogue(vec![song, by_title, by_name]), &History::new(9), at(0, 0, 0));
    assert_eq!(paths(&came), ["intros/b.mp3", "music/b.flac"]);
}

#[test]
fn st3_an_outro_comes_right_after_its_song_and_before_all_else() {
    let rules = Rules { jingle_every_songs: 1, ..no_rules() };
    let first = named(TrackKind::Song, "music/first.flac", 5);
    let jingle = named(TrackKind::Jingle, "jingles/j.mp3", 80);
    let all = catalogue(vec![
        named(TrackKind::Song, "music/second.flac", 6),
        named(TrackKind::Intro, "intros/second.mp3", 91),
        named(TrackKind::Outro, "outros/First.mp3", 90),
        jingle.clone(),
    ]);
    let mut history = last_played(&first);
    let came = Rotation::new(rules.clone(), 1).choose(&all, &history, at(11, 4, 0));
    assert_eq!(paths(&came), ["outros/First.mp3", "jingles/j.mp3", "intros/second.mp3", "music/second.flac"]);
    // Once something else was played, it is too late.
    played(&mut history, &jingle, at(11, 4, 0));
    let came = Rotation::new(rules, 1).choose(&all, &history, at(11, 4, 10));
    assert_eq!(paths(&came), ["intros/second.mp3", "music/second.flac"]);
}

#[test]
fn st3_what_is_asked_for_has_its_intro_and_no_rule() {
    let song = Arc::new(named(TrackKind::Song, "music/a.flac", 5));
    let jingle = Arc::new(named(TrackKind::Jingle, "jingles/a.mp3", 80));
    let all = catalogue(vec![
        Track::clone(&song),
        Track::clone(&jingle),
        named(TrackKind::Intro, "intros/A.mp3", 90),
        named(TrackKind::Outro, "outros/a.mp3", 91),
    ]);
    let nothing = History::new(9);
    let came = asked_for(&all, &nothing, &song);
    assert_eq!(paths(&came), ["intros/A.mp3", "music/a.flac"]);
    assert_eq!(came[1].reason, Reason::AskedFor);
    assert_eq!(paths(&asked_for(&all, &last_played(&song), &song)), ["outros/a.mp3", "intros/A.mp3", "music/a.flac"]);
    assert_eq!(paths(&asked_for(&all, &nothing, &jingle)), ["jingles/a.mp3"]);
}

#[test]
fn st3_sign_on_and_sign_off_take_the_one_that_rested() {
    let ons = ["sign-on/a", "sign-on/b"].map(|path| named(TrackKind::SignOn, path, 1));
    let off = named(TrackKind::SignOff, "sign-off/a", 2);
    let all = catalogue(ons.iter().chain([&off]).cloned().collect());
    let mut rotation = Rotation::new(Rules::default(), 1);
    for (last, next) in [(0, 1), (1, 0)] {
        let mut history = last_played(&ons[next]);
        played(&mut history, &ons[last], at(11, 1, 0));
        let choice = rotation.sign_on(&all, &history).expect("a sign-on");
        assert_eq!((choice.track.path == ons[next].path, choice.reason), (true, Reason::SignOn));
    }
    let choice = rotation.sign_off(&all, &History::new(9)).expect("a sign-off");
    assert_eq!((choice.track.path == off.path, choice.reason), (true, Reason::SignOff));
    assert_eq!(rotation.sign_on(&Catalogue::default(), &History::new(9)), None);
}
