//! Jingles and station IDs: cadence, the top of the hour, and who comes round.

use super::*;

fn kinds(choices: &[Choice]) -> Vec<TrackKind> {
    choices.iter().map(|choice| choice.track.kind).collect()
}

fn all() -> Catalogue {
    let songs = (1..=50).map(|key| song(key, key));
    let jingles = (0..4).map(|n| short(TrackKind::Jingle, &format!("jingles/{n}"), 100));
    let ids = (0..3).map(|n| short(TrackKind::StationId, &format!("ids/{n}"), 200));
    catalogue(songs.chain(jingles).chain(ids).collect())
}

/// What plays from `begin` on, `joins` times over: one letter per play and a dash per join.
fn programme(rules: &Rules, catalogue: &Catalogue, begin: Moment, joins: usize) -> (String, History) {
    let mut rotation = Rotation::new(rules.clone(), 3);
    let (mut history, mut now, mut letters) = (History::new(2000), begin, String::new());
    for _ in 0..joins {
        for choice in rotation.choose(catalogue, &history, now) {
            letters.push(match choice.track.kind {
                TrackKind::Song => '-',
                TrackKind::Jingle => 'J',
                TrackKind::StationId if choice.reason == Reason::TopOfHour => 'H',
                TrackKind::StationId => 'I',
                _ => '?',
            });
            played(&mut history, &choice.track, now);
            now = now.later(length_ms(&choice.track));
        }
    }
    (letters, history)
}

#[test]
fn st3_jingles_and_ids_keep_their_cadence() {
    for (jingles, ids, letters) in [
        (0, 0, "-------------------"),
        (1, 0, "-J-J-J-J-J-"),
        (3, 0, "---J---J---"),
        (0, 4, "----I----I----"),
        // Both due: the ID, and the jingle at the next join.
        (2, 4, "--J--I-J--J-I-J--J-I"),
        (3, 3, "---I-J--I-J--I-J"),
        (1, 1, "-I-I-I-"),
    ] {
        let rules = Rules { jingle_every_songs: jingles, id_every_songs: ids, ..no_rules() };
        let came = programme(&rules, &all(), at(0, 0, 0), 30).0;
        assert!(came.starts_with(letters), "every {jingles} and {ids}: {came}");
    }
}

#[test]
fn st3_the_id_of_the_hour_comes_at_the_first_join_after_it() {
    let rules = Rules { hour_id: true, ..no_rules() };
    let id = short(TrackKind::StationId, "ids/0", 200);
    for (last_id, now, due) in [
        (Some(at(11, 0, 3)), at(11, 59, 59), false),
        (Some(at(11, 0, 3)), at(12, 0, 0), true),
        (Some(at(11, 0, 3)), at(12, 4, 0), true),
        (Some(at(11, 0, 3)), at(12, 55, 0), true),
        (Some(at(12, 0, 3)), at(12, 4, 0), false),
        // Foreseen for just after the hour and begun just before it: that was it.
        (Some(at(11, 59, 50)), at(12, 4, 0), false),
        (Some(at(11, 59, 49)), at(12, 4, 0), true),
        (None, at(12, 20, 0), true),
    ] {
        let mut history = History::new(2000);
        last_id.into_iter().for_each(|at| played(&mut history, &id, at));
        played(&mut history, &song(1, 1), now.later(-240_000));
        let came = Rotation::new(rules.clone(), 1).choose(&all(), &history, now);
        let expected = if due { vec![TrackKind::StationId, TrackKind::Song] } else { vec![TrackKind::Song] };
        assert_eq!(kinds(&came), expected, "ID {last_id:?}, now {now:?}");
    }
    let off = Rules { hour_id: false, ..rules };
    assert_eq!(kinds(&Rotation::new(off, 1).choose(&all(), &History::new(9), at(12, 0, 0))), [TrackKind::Song]);
}

#[test]
fn st3_an_id_at_the_hour_begins_the_count_anew() {
    let rules = Rules { hour_id: true, jingle_every_songs: 5, id_every_songs: 6, ..no_rules() };
    // From 11:30 on, songs of four minutes: the join after the eighth is past twelve.
    let (came, _) = programme(&rules, &all(), at(11, 30, 0), 20);
    assert_eq!(came, "H-----J-I--H--J----I-J-----");
}

#[test]
fn st3_the_outro_that_ends_after_the_hour_has_the_id_behind_it() {
    let rules = Rules { hour_id: true, ..no_rules() };
    let id = short(TrackKind::StationId, "ids/0", 200);
    let last = song(1, 1);
    let outro = short(TrackKind::Outro, "outros/00001.mp3", 300);
    let all = catalogue(vec![id.clone(), song(2, 2), outro]);
    let mut history = History::new(2000);
    played(&mut history, &id, at(11, 0, 0));
    played(&mut history, &last, at(11, 55, 0));
    let came = Rotation::new(rules.clone(), 1).choose(&all, &history, at(11, 59, 55));
    assert_eq!(kinds(&came), [TrackKind::Outro, TrackKind::StationId, TrackKind::Song]);
    let came = Rotation::new(rules, 1).choose(&all, &history, at(11, 59, 45));
    assert_eq!(kinds(&came), [TrackKind::Outro, TrackKind::Song]);
}

#[test]
fn st3_jingles_come_round_though_they_share_a_title() {
    let rules = Rules { jingle_every_songs: 1, ..no_rules() };
    let (_, history) = programme(&rules, &all(), at(0, 0, 0), 401);
    let jingles: Vec<_> = history.newest_first().filter(|play| play.kind == TrackKind::Jingle).collect();
    assert_eq!(jingles.len(), 400);
    assert!(jingles.windows(2).all(|pair| pair[0].path != pair[1].path), "one twice in a row");
    for n in 0..4 {
        let count = jingles.iter().filter(|play| play.path.ends_with(n.to_string())).count();
        assert!((80..=120).contains(&count), "jingle {n} came {count} times of 400");
    }
}

#[test]
fn st3_nothing_is_due_that_does_not_exist() {
    let rules = Rules { jingle_every_songs: 1, id_every_songs: 1, ..Rules::default() };
    let (came, _) = programme(&rules, &catalogue((1..=50).map(|key| song(key, key)).collect()), at(11, 50, 0), 30);
    assert_eq!(came, "-".repeat(30));
    // Without IDs, a jingle need not wait for one.
    let songs_and_jingle = [song(1, 1), song(2, 2), short(TrackKind::Jingle, "jingles/0", 100)];
    let (came, _) = programme(&rules, &catalogue(songs_and_jingle.to_vec()), at(0, 0, 0), 3);
    assert_eq!(came, "-J-J-");
}

#[test]
fn st3_without_songs_jingles_and_then_ids() {
    let jingle = short(TrackKind::Jingle, "jingles/0", 100);
    let id = short(TrackKind::StationId, "ids/0", 200);
    let intro = short(TrackKind::Intro, "intros/0", 300);
    for (tracks, come) in [
        (vec![], vec![]),
        (vec![intro.clone()], vec![]),
        (vec![intro, id.clone()], vec![TrackKind::StationId]),
        (vec![id, jingle], vec![TrackKind::Jingle]),
    ] {
        let came = Rotation::new(no_rules(), 1).choose(&catalogue(tracks), &History::new(9), at(0, 0, 0));
        assert_eq!(kinds(&came), come);
        assert!(came.iter().all(|choice| choice.reason == Reason::NoSong));
    }
}
