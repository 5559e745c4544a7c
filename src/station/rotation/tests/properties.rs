//! Whatever the library, the rules and the history: no panic, never nothing while
//! there is a song, and no rule broken that could have been kept.

use proptest::prelude::*;

use super::{
    rules::{DayPart, Weight},
    *,
};

const FOLDERS: [&str; 3] = ["", "Rock", "Jazz"];

fn any_track() -> impl Strategy<Value = Track> {
    let kind = prop_oneof![
        8 => Just(TrackKind::Song), 1 => Just(TrackKind::Jingle), 1 => Just(TrackKind::StationId),
        1 => Just(TrackKind::Intro), 1 => Just(TrackKind::Outro), 1 => Just(TrackKind::SignOn),
    ];
    let duration_ms = prop_oneof![Just(None), (0u32..900_000).prop_map(Some), any::<u32>().prop_map(Some)];
    (kind, 0u16..5, 0u64..30, 0u64..30, 0u64..6, duration_ms).prop_map(
        |(kind, folder, name, title_key, artist_key, duration_ms)| {
            track(kind, folder, &format!("{kind:?}/{name}.mp3"), title_key, artist_key, duration_ms)
        },
    )
}

fn any_weights() -> impl Strategy<Value = Vec<Weight>> {
    let one = (prop::sample::select(vec![".", "Rock", "Jazz", "Gone"]), 0u32..4);
    prop::collection::vec(one.prop_map(|(folder, weight)| Weight { folder: folder.to_owned(), weight }), 0..4)
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let part = (any::<[bool; 7]>(), 0u16..1440, 0u16..=1440, any_weights())
        .prop_map(|(days, from_minute, to_minute, weights)| DayPart { days, from_minute, to_minute, weights });
    let extreme = prop_oneof![0u64..200, Just(u64::MAX)];
    let every = || prop_oneof![0u64..5, Just(u64::MAX)];
    (
        (extreme.clone(), 0usize..5, every(), every(), any::<bool>(), extreme),
        any_weights(),
        prop::collection::vec(part, 0..3),
    )
        .prop_map(|(numbers, weights, day_parts)| Rules {
            title_gap_min: numbers.0,
            artist_gap_songs: numbers.1,
            jingle_every_songs: numbers.2,
            id_every_songs: numbers.3,
            hour_id: numbers.4,
            hour_id_window_min: numbers.5,
            weights,
            day_parts,
        })
}

/// Plays of tracks that may be in the catalogue or not, each some minutes after the one before.
fn any_history() -> impl Strategy<Value = History> {
    (1usize..40, prop::collection::vec((any_track(), 0i64..20), 0..40)).prop_map(|(bound, plays)| {
        let mut history = History::new(bound);
        let mut ago = plays.iter().map(|(_, minutes)| minutes).sum::<i64>();
        for (track, minutes) in plays {
            played(&mut history, &track, at(12, 0, 0).later(-ago * MINUTE_MS));
            ago -= minutes;
        }
        history
    })
}

/// The rules that this song breaks when it begins at `begins`, told by the plain definition.
fn broken(rules: &Rules, all: &Catalogue, history: &History, song: &Track, begins: Moment, joins: Moment) -> u8 {
    let songs = || history.newest_first().filter(|play| play.kind == TrackKind::Song);
    let gap_ms = rules.title_gap_min.saturating_mul(60_000);
    let near = |play: &Play| play.at_unix_ms.abs_diff(joins.unix_ms) < gap_ms;
    let last = songs().find(|play| play.title_key == song.title_key);
    let title = last.is_some_and(near) || songs().any(|play| play.path == song.path && near(play));
    let artist =
        song.artist_key != 0 && songs().take(rules.artist_gap_songs).any(|play| play.artist_key == song.artist_key);
    let weights = rules.weights_at(&all.folders, begins.weekday, begins.minute());
    let never = weights.get(usize::from(song.folder)) == Some(&0);
    let shelves = Shelves::sort(all);
    let ends = i128::from(begins.unix_ms) + i128::from(length_ms(song) + shelves.companions_ms(song));
    let by = i128::from(joins.next_hour_unix_ms()) + i128::from(rules.hour_id_window_min) * 60_000;
    let late = rules.hour_id && !shelves.ids.is_empty() && ends > by;
    u8::from(late) | u8::from(title) << 1 | u8::from(artist) << 2 | u8::from(never) << 3
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn st3_no_rule_is_broken_that_could_be_kept(
        tracks in prop::collection::vec(any_track(), 0..30), rules in any_rules(), history in any_history(),
        seed in any::<u64>(), after_sec in 0i64..3600,
    ) {
        let mut all = catalogue(tracks);
        all.tracks.dedup_by(|a, b| a.path == b.path);
        all.folders = FOLDERS.map(str::to_owned).to_vec();
        let now = at(12, 0, 0).later(after_sec * 1000);
        let came = Rotation::new(rules.clone(), seed).choose(&all, &history, now);
        prop_assert_eq!(&came, &Rotation::new(rules.clone(), seed).choose(&all, &history, now), "the same again");

        let songs: Vec<_> = all.tracks.iter().filter(|track| track.kind == TrackKind::Song).collect();
        let Some(last) = came.last() else {
            let playable = |kind| matches!(kind, TrackKind::Song | TrackKind::Jingle | TrackKind::StationId);
            prop_assert!(!all.tracks.iter().any(|track| playable(track.kind)), "nothing, and there was something");
            return Ok(());
        };
        // The order of the kinds, each at most once.
        let place = |kind| [TrackKind::Outro, TrackKind::StationId, TrackKind::Jingle, TrackKind::Intro, TrackKind::Song]
            .iter().position(|known| *known == kind);
        prop_assert!(came.windows(2).all(|pair| place(pair[0].track.kind) < place(pair[1].track.kind)));
        if songs.is_empty() {
            return Ok(());
        }
        prop_assert_eq!(last.track.kind, TrackKind::Song, "a song was there");
        let before_ms = |kinds: &[TrackKind]| -> i64 {
            came.iter().filter(|choice| kinds.contains(&choice.track.kind)).map(|choice| length_ms(&choice.track)).sum()
        };
        let joins = now.later(before_ms(&[TrackKind::Outro]));
        let begins = joins.later(before_ms(&[TrackKind::StationId, TrackKind::Jingle]));
        let breaks = |song: &Track| broken(&rules, &all, &history, song, begins, joins);
        let least = songs.iter().map(|song| breaks(song)).min().unwrap_or(0);
        prop_assert_eq!(breaks(&last.track), least, "{:?} was chosen", last);
        let reason = if least == 0 { Reason::Rotation } else { Reason::BestThereIs(GivenUp(least)) };
        prop_assert_eq!(last.reason, reason);
        if reason == Reason::BestThereIs(GivenUp::HOUR) {
            let shelves = Shelves::sort(&all);
            let lasts = |song: &Track| length_ms(song) + shelves.companions_ms(song);
            let shortest = songs.iter().filter(|song| breaks(song) == least).map(|song| lasts(song)).min();
            prop_assert_eq!(Some(lasts(&last.track)), shortest, "the one that overshoots least");
        }
    }
}
