//! Titles, artists, weights, the time left before the hour, and what gives way.

use super::{rules::Weight, *};

fn keys(came: &[(u64, Reason)]) -> Vec<u64> {
    assert!(came.iter().all(|(_, reason)| *reason == Reason::Rotation), "{came:?}");
    came.iter().map(|(key, _)| *key).collect()
}

/// Songs 1, 2, … played one after the other, the last of them `last_ago_min` ago.
fn played_in_a_row(songs: &[Track], now: Moment, last_ago_min: i64) -> History {
    let mut history = History::new(2000);
    for (song, left) in songs.iter().zip((0..songs.len()).rev()) {
        let ago = last_ago_min + 4 * i64::try_from(left).expect("few");
        played(&mut history, song, now.later(-ago * MINUTE_MS));
    }
    history
}

#[test]
fn st3_no_title_again_within_the_gap() {
    let rules = Rules { title_gap_min: 60, ..no_rules() };
    let songs: Vec<Track> = (1..=4).map(|key| song(key, key)).collect();
    let now = at(12, 0, 0);
    for (ago_min, come) in [(4, vec![3, 4]), (59, vec![3, 4]), (60, vec![1, 3, 4])] {
        // Song 2 just played, song 1 that long ago; one of four more so that the rested half reaches song 1.
        let mut history = History::new(2000);
        played(&mut history, &songs[2], now.later(-500 * MINUTE_MS));
        played(&mut history, &songs[3], now.later(-400 * MINUTE_MS));
        played(&mut history, &songs[0], now.later(-ago_min * MINUTE_MS));
        played(&mut history, &songs[1], now.later(-MINUTE_MS));
        let came = all_that_come(&rules, &catalogue(songs.clone()), &history, now);
        let came = keys(&came);
        assert!(came.iter().all(|key| come.contains(key)), "{ago_min} min ago: {came:?}");
        assert_eq!(came, if ago_min == 60 { vec![3, 4] } else { vec![3] }, "the rested half of those that may come");
    }
}

#[test]
fn st3_a_file_that_was_renamed_in_its_tags_rests_too() {
    let rules = Rules { title_gap_min: 60, ..no_rules() };
    let (before, mut after) = (song(1, 1), song(1, 1));
    after.title_key = 100;
    let now = at(12, 0, 0);
    let history = played_in_a_row(&[song(2, 2), before], now, 4);
    let came = all_that_come(&rules, &catalogue(vec![after.clone(), song(3, 3)]), &history, now);
    assert_eq!(keys(&came), [3]);
    // Of two that must rest, the one played longer ago.
    let came = all_that_come(&rules, &catalogue(vec![after, song(2, 2)]), &history, now);
    assert_eq!(came, [(2, Reason::BestThereIs(GivenUp::TITLE))]);
}

#[test]
fn st3_no_artist_again_within_the_gap() {
    let now = at(12, 0, 0);
    let songs = [song(1, 1), song(2, 2), song(3, 3)];
    let all = catalogue((1..=3).map(|artist| song(10 + artist, artist)).chain([song(20, 0)]).collect());
    for (gap, come) in [(0, vec![11, 12, 13, 20]), (1, vec![11, 12, 20]), (2, vec![11, 20]), (3, vec![20])] {
        let rules = Rules { artist_gap_songs: gap, ..no_rules() };
        let history = played_in_a_row(&songs, now, 4);
        assert_eq!(keys(&all_that_come(&rules, &all, &history, now)), come, "gap {gap}");
    }
    // Who is unknown is nobody twice.
    let rules = Rules { artist_gap_songs: 1, ..no_rules() };
    let history = played_in_a_row(&[song(1, 0)], now, 4);
    assert_eq!(keys(&all_that_come(&rules, &catalogue(vec![song(2, 0)]), &history, now)), [2]);
    // What came in between is no song.
    let mut history = played_in_a_row(&songs, now, 4);
    played(&mut history, &short(TrackKind::Jingle, "jingles/a", 90), now.later(-10_000));
    assert_eq!(keys(&all_that_come(&rules, &all, &history, now)), [11, 12, 20]);
}

#[test]
fn st3_a_folders_weight_holds_for_each_of_its_songs() {
    let mut tracks = Vec::new();
    for (folder, count) in [(0u16, 10u64), (1, 30), (2, 60)] {
        for key in 0..count {
            let key = u64::from(folder) * 1000 + key;
            tracks.push(Track { folder, ..song(key, 0) });
        }
    }
    let all = catalogue(tracks);
    let weight = |folder: &str, weight| Weight { folder: folder.to_owned(), weight };
    for (weights, shares) in [
        (vec![], [10.0, 30.0, 60.0]),
        (vec![weight("Rock", 3)], [10.0, 90.0, 60.0]),
        (vec![weight(".", 6), weight("Jazz", 0)], [60.0, 30.0, 0.0]),
    ] {
        let mut rotation = Rotation::new(Rules { weights, ..no_rules() }, 7);
        let mut history = History::new(2000);
        let mut counts = [0.0f64; 3];
        for play in 0..3000 {
            let choice = rotation.choose(&all, &history, moment(play * 4 * MINUTE_MS));
            counts[usize::from(choice[0].track.folder)] += 1.0;
            played(&mut history, &choice[0].track, moment(play * 4 * MINUTE_MS));
        }
        let sum: f64 = shares.iter().sum();
        for (count, share) in counts.iter().zip(shares) {
            let expected: f64 = 3000.0 * share / sum;
            let five_sigma = 5.0 * (expected * (1.0 - share / sum)).sqrt();
            assert!((count - expected).abs() <= five_sigma, "{counts:?} for shares {shares:?}");
        }
    }
}

#[test]
fn st3_a_song_that_would_delay_the_hour_waits() {
    let ids = short(TrackKind::StationId, "ids/a", 90);
    let with = |minutes: &[u32]| {
        let songs = minutes.iter().map(|minutes| Track {
            duration_ms: (*minutes > 0).then_some(minutes * 60_000),
            ..song(u64::from(*minutes), 0)
        });
        catalogue(songs.chain([ids.clone()]).collect())
    };
    let rules = Rules { hour_id: true, hour_id_window_min: 5, ..no_rules() };
    let mut history = History::new(2000);
    played(&mut history, &ids, at(11, 0, 1));
    let all = with(&[0, 3, 6, 9]);
    for (now, come) in [
        (at(11, 55, 0), vec![0, 3, 6, 9]),
        (at(11, 56, 1), vec![0, 3, 6]),
        (at(11, 59, 1), vec![0, 3]),
        (at(11, 59, 59), vec![0, 3]),
    ] {
        assert_eq!(keys(&all_that_come(&rules, &all, &history, now)), come, "{now:?}");
    }
    // None in time: the one that overshoots least, and it says so.
    for (minutes, come) in [(vec![9, 7, 8], 7), (vec![9, 90], 9)] {
        let came = all_that_come(&rules, &with(&minutes), &history, at(11, 59, 0));
        assert_eq!(came, [(come, Reason::BestThereIs(GivenUp::HOUR))]);
    }
    // Without an ID there is nothing to be in time for.
    let none = Catalogue { tracks: all.tracks.iter().filter(|t| t.kind == TrackKind::Song).cloned().collect(), ..all };
    assert_eq!(keys(&all_that_come(&rules, &none, &history, at(11, 59, 59))), [0, 3, 6, 9]);
}

#[test]
fn st3_what_comes_before_and_after_the_song_counts_for_the_hour() {
    let half_minute = |kind, path: &str| Track { duration_ms: Some(30_000), ..short(kind, path, 90) };
    let rules = Rules { hour_id: true, hour_id_window_min: 5, ..no_rules() };
    let now = at(11, 59, 0);
    let six_minutes = Track { duration_ms: Some(360_000), path: "music/long.mp3".into(), ..song(1, 0) };
    let nine_minutes = Track { duration_ms: Some(540_000), ..song(2, 0) };
    for (before, companion, gives_way) in [
        ("music/other.mp3", None, false),
        ("music/other.mp3", Some(half_minute(TrackKind::Intro, "intros/Long.flac")), true),
        ("music/other.mp3", Some(half_minute(TrackKind::Outro, "outros/LONG.wav")), true),
        ("music/other.mp3", Some(half_minute(TrackKind::Outro, "outros/someone.wav")), false),
        ("music/Gone.mp3", Some(half_minute(TrackKind::Outro, "outros/gone.wav")), true),
    ] {
        let id = short(TrackKind::StationId, "ids/a", 91);
        let mut history = History::new(2000);
        played(&mut history, &id, at(11, 0, 0));
        played(&mut history, &Track { path: before.into(), ..song(77, 0) }, at(11, 50, 0));
        let all = catalogue([six_minutes.clone(), nine_minutes.clone(), id].into_iter().chain(companion).collect());
        let came = all_that_come(&rules, &all, &history, now);
        let reason = if gives_way { Reason::BestThereIs(GivenUp::HOUR) } else { Reason::Rotation };
        assert_eq!(came, [(1, reason)], "{before}");
    }
}

#[test]
fn st3_rules_that_leave_nothing_give_way_in_order() {
    let (hour, title, artist, weight) = (GivenUp::HOUR, GivenUp::TITLE, GivenUp::ARTIST, GivenUp::WEIGHT);
    let now = at(11, 59, 0);
    let rules = Rules {
        title_gap_min: 60,
        artist_gap_songs: 1,
        hour_id: true,
        weights: vec![Weight { folder: "Jazz".to_owned(), weight: 0 }],
        ..no_rules()
    };
    let long = |song: Track| Track { duration_ms: Some(900_000), ..song };
    let never = |song: Track| Track { folder: 2, ..song };
    let id = short(TrackKind::StationId, "ids/a", 91);
    // Played, oldest first: 1, 2, 3 by artists 1, 2, 3.
    let before = [song(1, 1), song(2, 2), song(3, 3)];
    let mut history = played_in_a_row(&before, now, 4);
    played(&mut history, &id, at(11, 0, 0));
    for (songs, come, given_up) in [
        (vec![song(1, 1), long(song(9, 9)), song(8, 3)], 9, hour),
        (vec![song(1, 1), song(2, 2), song(8, 3)], 1, title),
        (vec![long(song(1, 1)), song(2, 2)], 2, title),
        (vec![long(song(1, 1)), long(song(2, 2)), song(8, 3)], 1, GivenUp(hour.0 | title.0)),
        (vec![song(3, 3), song(8, 3)], 8, artist),
        (vec![song(3, 3)], 3, GivenUp(artist.0 | title.0)),
        (vec![long(song(3, 3)), never(song(9, 9))], 3, GivenUp(artist.0 | title.0 | hour.0)),
        (vec![never(song(9, 9)), never(song(3, 3))], 9, weight),
        (vec![never(long(song(3, 3)))], 3, GivenUp(15)),
    ] {
        let came = all_that_come(&rules, &catalogue(songs.into_iter().chain([id.clone()]).collect()), &history, now);
        assert_eq!(came, [(come, Reason::BestThereIs(given_up))]);
    }
}

#[test]
fn st3_the_artist_that_rested_longest_when_all_must_rest() {
    let now = at(12, 0, 0);
    let rules = Rules { artist_gap_songs: 10, ..no_rules() };
    let history = played_in_a_row(&[song(1, 1), song(2, 2), song(3, 3)], now, 4);
    let all = catalogue(vec![song(12, 2), song(13, 3), song(11, 1), song(21, 1)]);
    let came = all_that_come(&rules, &all, &history, now);
    assert_eq!(came, [(11, Reason::BestThereIs(GivenUp::ARTIST)), (21, Reason::BestThereIs(GivenUp::ARTIST))]);
}

#[test]
fn st3_a_clock_that_was_years_ahead_silences_no_title() {
    let now = at(12, 0, 0);
    let rules = Rules { title_gap_min: 60, hour_id: true, ..no_rules() };
    let id = short(TrackKind::StationId, "ids/a", 91);
    let mut history = History::new(2000);
    played(&mut history, &song(1, 1), now.later(8760 * HOUR_MS));
    played(&mut history, &id, now.later(8760 * HOUR_MS));
    let next = Rotation::new(rules, 1).choose(&catalogue(vec![song(1, 1), id]), &history, now);
    let reasons: Vec<Reason> = next.iter().map(|choice| choice.reason).collect();
    assert_eq!(reasons, [Reason::TopOfHour, Reason::Rotation]);
}
