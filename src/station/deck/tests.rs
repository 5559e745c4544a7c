//! Segments from lists instead of decoders: joins, overlaps, failures.

use std::io;

use proptest::prelude::*;

use super::*;

/// Says these things one after the other, and then the end.
struct List(VecDeque<Decoded>);

impl Source for List {
    fn try_frame(&mut self) -> Decoded {
        self.0.pop_front().unwrap_or(Decoded::End)
    }
}

fn frames(values: &[i16]) -> VecDeque<Decoded> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    bytes.chunks(STATION_FRAME_BYTES).map(|bytes| Decoded::Frame(StationFrame::from_le_bytes(bytes))).collect()
}

fn segment(id: u64, said: VecDeque<Decoded>) -> Segment {
    Segment { id, kind: TrackKind::Song, source: Box::new(List(said)), gain: 1.0, cues: None }
}

fn deck() -> Deck {
    Deck::new(SoundChain::new(false, -1.0), 48_000)
}

/// Stereo samples that are all different for a while, and never zero.
fn ramp(from: usize, samples: usize) -> Vec<i16> {
    let value = |n: usize| i16::try_from(n % 30_000).expect("small") + 1;
    (from..from + samples).flat_map(|n| [value(n), -value(n)]).collect()
}

/// Everything that comes until the deck is dry; waiting is skipped.
fn played(deck: &mut Deck) -> Vec<i16> {
    let mut values = Vec::new();
    let mut bytes = [0; STATION_FRAME_BYTES];
    loop {
        match deck.fill() {
            Fill::Waiting => continue,
            Fill::Whole => {}
            Fill::Dry(0) => return values,
            Fill::Dry(_) => deck.pad(),
        }
        deck.take(&mut bytes);
        values.extend(bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
    }
}

fn outcomes(deck: &mut Deck) -> Vec<String> {
    std::iter::from_fn(|| deck.next_event())
        .map(|event| match event {
            DeckEvent::Started { id } => format!("{id} starts"),
            DeckEvent::Ended { id, outcome, samples } => {
                let how = format!("{outcome:?}");
                format!("{id} {} {samples}", how.split('(').next().unwrap_or_default())
            }
        })
        .collect()
}

proptest! {
    /// However a signal is cut into segments, and however late its decoders are, what
    /// is played is the signal and nothing else.
    #[test]
    fn fd1_3_segments_join_on_the_sample(
        lengths in prop::collection::vec(1usize..5000, 1..8),
        waits in prop::collection::vec(0usize..3, 1..40),
    ) {
        let total: usize = lengths.iter().sum();
        let signal = ramp(0, total);
        let mut deck = deck();
        let mut at = 0;
        for (id, length) in (1..).zip(&lengths) {
            let mut said = VecDeque::new();
            for (n, frame) in frames(&signal[at * 2..(at + length) * 2]).into_iter().enumerate() {
                (0..waits[n % waits.len()]).for_each(|_| said.push_back(Decoded::NotYet));
                said.push_back(frame);
            }
            deck.push(segment(id, said));
            at += length;
        }
        let heard = played(&mut deck);
        prop_assert_eq!(heard.len(), total.div_ceil(1024) * 2048);
        prop_assert!(heard[..total * 2] == signal[..]);
        prop_assert!(heard[total * 2..].iter().all(|value| *value == 0));
        prop_assert_eq!(outcomes(&mut deck).len(), 2 * lengths.len());
        prop_assert!(deck.is_empty());
    }
}

#[test]
fn st1_what_begins_and_ends_is_told_in_order() {
    let mut deck = deck();
    deck.push(segment(7, frames(&ramp(0, 1500))));
    deck.push(segment(8, VecDeque::new()));
    deck.push(segment(9, frames(&ramp(0, 10))));
    played(&mut deck);
    // What has no sound was never on air.
    let expected = ["7 starts", "7 Finished 1500", "8 Finished 0", "9 starts", "9 Finished 10"];
    assert_eq!(outcomes(&mut deck), expected);
}

#[test]
fn fd1_4_a_decoder_that_fails_ends_its_segment_without_a_click() {
    let failure = || Decoded::Failed(Arc::new(DecodeError::Empty("song".into())));
    let mut said = frames(&vec![20_000; 2048 * 3]);
    said.push_back(failure());
    let mut deck = deck();
    deck.push(segment(1, said));
    deck.push(segment(2, frames(&vec![0; 2048 * 2])));
    let heard = played(&mut deck);
    assert_eq!(outcomes(&mut deck), ["1 starts", "1 Failed 3072", "2 starts", "2 Finished 2048"]);
    assert!(heard[..2048 * 3].iter().all(|value| *value == 20_000), "all that came is played");
    let left: Vec<i32> = heard.iter().step_by(2).map(|value| i32::from(*value)).collect();
    let steepest = left.windows(2).map(|pair| (pair[1] - pair[0]).abs()).max().expect("pairs");
    assert!(steepest <= 20_000 / 240 + 1, "a step of {steepest}");
    assert_eq!(left[3072 + 240..], [0; 2048 - 240]);

    // One that fails at once and has nothing: the others play on.
    let mut deck = super::tests::deck();
    deck.push(segment(1, [failure()].into()));
    deck.push(segment(2, frames(&ramp(0, 1024))));
    assert!(played(&mut deck) == ramp(0, 1024));
}

#[test]
fn fd2_1_a_decoder_that_gives_nothing_is_given_up_for_the_next() {
    let mut deck = deck();
    let mut said = frames(&ramp(0, 1024 + 10));
    said.extend((0..100).map(|_| Decoded::NotYet));
    deck.push(segment(1, said));
    assert_eq!(deck.fill(), Fill::Whole);
    let mut bytes = [0; STATION_FRAME_BYTES];
    deck.take(&mut bytes);
    assert_eq!(deck.fill(), Fill::Waiting);
    assert!(!deck.abandon(), "there is nothing to go on with");
    deck.push(segment(2, frames(&ramp(0, 2000))));
    assert!(deck.abandon());
    assert_eq!(deck.fill(), Fill::Whole);
    assert_eq!(outcomes(&mut deck), ["1 starts", "1 Starved 1034", "2 starts"]);
}

#[test]
fn fd2_1_of_two_the_one_that_gives_nothing_is_given_up() {
    let mut deck = deck();
    let mut take = [0; STATION_FRAME_BYTES];
    deck.push(segment(1, frames(&vec![10_000; 2 * 48_000])));
    deck.push(segment(2, (0..100).map(|_| Decoded::NotYet).collect()));
    deck.push(segment(3, frames(&vec![10_000; 2 * 48_000])));
    assert_eq!(deck.fill(), Fill::Whole);
    deck.take(&mut take);
    deck.skip(SKIP_FADE_SAMPLES);
    assert_eq!(deck.fill(), Fill::Waiting);
    assert!(deck.abandon());
    assert_eq!(deck.fill(), Fill::Whole);
    assert_eq!(outcomes(&mut deck), ["1 starts", "2 Starved 0", "3 starts"]);
    // One that nobody has heard is skipped at once.
    let mut deck = super::tests::deck();
    deck.push(segment(1, [Decoded::NotYet, Decoded::NotYet].into()));
    deck.push(segment(2, frames(&vec![10_000; 2048])));
    assert_eq!(deck.fill(), Fill::Waiting);
    assert_eq!(deck.current_id(), Some(1));
    deck.skip(SKIP_FADE_SAMPLES);
    assert!(played(&mut deck) == vec![10_000; 2048]);
    assert_eq!(outcomes(&mut deck), ["1 Skipped 0", "2 starts", "2 Finished 1024"]);
}

/// The limiter is 240 samples late, and a way to zero may be begun: both come out.
#[test]
fn the_last_of_the_sound_comes_out_when_nothing_follows() {
    for samples in [1, 700, 784, 785, 1023, 1024] {
        for fails in [false, true] {
            let mut deck = Deck::new(SoundChain::new(true, -1.0), 0);
            let mut said = frames(&vec![10_000; samples * 2]);
            if fails {
                said.push_back(Decoded::Failed(Arc::new(DecodeError::Empty("song".into()))));
            }
            assert!(!deck.holds_sound());
            deck.push(segment(1, said));
            let (mut heard, mut bytes) = (Vec::new(), [0; STATION_FRAME_BYTES]);
            while deck.fill() == Fill::Whole || deck.holds_sound() {
                if deck.fill() != Fill::Whole {
                    deck.pad();
                }
                deck.take(&mut bytes);
                heard.extend(bytes.chunks_exact(4).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
            }
            let sounding = heard.iter().filter(|value| **value != 0).count();
            assert_eq!(sounding, samples + if fails { TAIL_SAMPLES } else { 0 }, "{samples} samples, fails: {fails}");
            assert!(heard.len() <= samples + 240 + TAIL_SAMPLES + 1024, "and no more");
        }
    }
}

fn cued(id: u64, kind: TrackKind, values: &[i16], cues: Cues) -> Segment {
    Segment { kind, cues: Some(cues), ..segment(id, frames(values)) }
}

#[test]
fn songs_overlap_where_the_first_has_fallen_and_jingles_do_not() {
    let cues = Cues { begin: 100, fallen: 2000, end: 3000 };
    let mut values = vec![0; 200];
    values.extend(vec![1000; 2 * 1900]);
    values.extend(vec![100; 2 * 1000]);
    values.extend(vec![0; 2 * 500]);
    let song = |id| cued(id, TrackKind::Song, &values, cues);

    // Two songs: the second begins when the first has fallen. 1900 + 1900 + 1000.
    let mut deck = deck();
    deck.push(song(1));
    deck.push(song(2));
    let heard = played(&mut deck);
    let sounding = heard.iter().rposition(|value| *value != 0).expect("sound") / 2 + 1;
    assert_eq!(sounding, 1900 + 1900 + 1000);
    assert!(heard[..3800].iter().all(|value| *value == 1000), "no silence before it");
    assert_eq!(heard[3800], 1100, "the second at full level, the first on its way out");
    assert_eq!(heard[2 * 2899], 1000, "faded out");
    assert_eq!(outcomes(&mut deck), ["1 starts", "2 starts", "1 Finished 2900", "2 Finished 2900"]);

    // A song and a jingle: hard, where the sound ends.
    let mut deck = super::tests::deck();
    deck.push(song(1));
    deck.push(Segment { cues: None, kind: TrackKind::Jingle, ..song(2) });
    let heard = played(&mut deck);
    assert_eq!(heard[2 * 2899], 100, "to the end of its sound");
    assert!(heard[2 * 2900..2 * 3000].iter().all(|value| *value == 0), "the jingle's own first 100 samples");
    assert_eq!(heard[2 * 3000], 1000);
    assert_eq!(outcomes(&mut deck), ["1 starts", "1 Finished 2900", "2 starts", "2 Finished 3500"]);

    // Nothing to overlap with yet: the song plays on.
    let mut deck = super::tests::deck();
    deck.push(song(1));
    assert_eq!(played(&mut deck).len(), 2900usize.div_ceil(1024) * 2048);

    // No longer than allowed.
    let mut deck = Deck::new(SoundChain::new(false, -1.0), 500);
    deck.push(song(1));
    deck.push(song(2));
    played(&mut deck);
    assert_eq!(outcomes(&mut deck)[2], "1 Finished 2400");
}

#[test]
fn a_skip_fades_out_and_two_skips_do_not_click() {
    let mut deck = deck();
    for id in 1..=3 {
        deck.push(segment(id, frames(&vec![10_000; 2 * 48_000])));
    }
    let mut heard = Vec::new();
    let mut bytes = [0; STATION_FRAME_BYTES];
    for block in 0..40 {
        assert_eq!(deck.fill(), Fill::Whole);
        deck.take(&mut bytes);
        heard.extend(bytes.chunks_exact(4).map(|pair| i32::from(i16::from_le_bytes([pair[0], pair[1]]))));
        if block == 10 || block == 15 {
            deck.skip(SKIP_FADE_SAMPLES);
        }
    }
    let said = outcomes(&mut deck);
    assert_eq!(said[..3], ["1 starts", "2 starts", "1 Skipped 16384"], "the second skip ends the first fade");
    assert!(said[3..].contains(&"3 starts".to_owned()));
    let falls = heard.windows(2).map(|pair| pair[0] - pair[1]).max().expect("pairs");
    assert!(falls < 200, "a step down of {falls}");
}

#[test]
fn gain_is_applied_and_one_changes_no_bit() {
    let mut deck = deck();
    deck.push(Segment { gain: 0.5, ..segment(1, frames(&[1000; 2048])) });
    assert!(played(&mut deck).iter().all(|value| *value == 500));
    let every: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    deck.push(segment(2, frames(&every)));
    assert!(played(&mut deck) == every);
}

#[test]
fn what_has_not_begun_can_be_taken_back() {
    let mut deck = deck();
    for id in 1..=3 {
        deck.push(segment(id, frames(&ramp(0, 5000))));
    }
    assert_eq!(deck.fill(), Fill::Whole);
    assert_eq!(deck.clear(), [2, 3]);
    deck.take(&mut [0; STATION_FRAME_BYTES]);
    assert_eq!(played(&mut deck).len(), 2048 * 4);
    assert!(deck.is_empty());
    // An unreadable file is a failure like any other.
    let unreadable = DecodeError::Unreadable { file: "x".into(), source: io::Error::other("gone") };
    deck.push(segment(4, [Decoded::Failed(Arc::new(unreadable))].into()));
    assert!(played(&mut deck).is_empty());
}
