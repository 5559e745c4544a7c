//! ST1: sound is shaped on the audio path, so nothing there allocates once it is made.
//!
//! In a binary of its own, since it replaces the allocator: any allocation or
//! release inside the guarded calls aborts the test.

use assert_no_alloc::{AllocDisabler, assert_no_alloc};
use retrowaves::{
    decoder::Decoded,
    frame::{STATION_FRAME_BYTES, StationFrame},
    sound::mix::{Crossfade, Fade, amplify, to_f32, to_i16},
    station::{
        deck::{Cues, Deck, Fill, Segment, Source},
        sound::{chain::SoundChain, measure::Meter},
        track::TrackKind,
    },
};

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

/// A saw with a peak now and then, so that the limiter works and rests.
fn sound(values: usize) -> Vec<i16> {
    let saw = |at: usize| i16::try_from(at * 37 % 9000).expect("small") - 4500;
    (0..values).map(|at| if at % 20_011 < 3 { 32_767 } else { saw(at) }).collect()
}

#[test]
fn st1_no_block_allocates_on_its_way_through_mix_and_chain() {
    let values = sound(200_000);
    let (mut first, mut second, mut out) = ([0.0; 2048], [0.0; 2048], [0; 2048]);
    for level in [true, false] {
        let mut chain = SoundChain::new(level, -1.0);
        let mut heard = 0u64;
        assert_no_alloc(|| {
            for (block, at) in values.chunks_exact(2048).zip((0..).step_by(1024)) {
                to_f32(block, &mut first);
                to_f32(block, &mut second);
                amplify(&mut first, 4.0);
                Fade { samples: 480 }.fade_in(at, &mut first);
                Crossfade { samples: 48_000 }.mix(at, &mut first, &second);
                chain.process(&mut first);
                to_i16(&first, &mut out);
                heard += u64::from(out[100] != 0);
            }
        });
        assert!(heard > 50, "{heard} blocks with sound");
    }
}

/// So a file of ten hours takes no more memory than a jingle: what 40 s do not
/// allocate (longer than the levels that are kept), ten hours do not.
#[test]
fn a_meter_takes_no_memory_while_it_listens() {
    let values = sound(48_000 * 2);
    let mut meter = Meter::new();
    assert_no_alloc(|| {
        for _ in 0..40 {
            values.chunks(2048).for_each(|chunk| meter.push(chunk));
        }
    });
    assert_eq!(meter.finish().samples, 40 * 48_000);
}

/// The same frame for ever.
struct Endless(StationFrame);

impl Source for Endless {
    fn try_frame(&mut self) -> Decoded {
        Decoded::Frame(self.0)
    }
}

fn song(id: u64, fallen: u64) -> Segment {
    let bytes: Vec<u8> = sound(2048).iter().flat_map(|value| value.to_le_bytes()).collect();
    let source = Box::new(Endless(StationFrame::from_le_bytes(&bytes)));
    let cues = Some(Cues { begin: 1000, fallen, end: fallen + 100_000 });
    Segment { id, kind: TrackKind::Song, source, gain: 2.0, cues }
}

/// A song that plays, and one that comes in over it; only what is told of it allocates.
#[test]
fn st1_no_block_allocates_while_a_deck_plays() {
    let mut deck = Deck::new(SoundChain::new(true, -1.0), 480_000);
    deck.push(song(1, 200_000));
    deck.push(song(2, 1_000_000));
    let mut bytes = [0; STATION_FRAME_BYTES];
    let mut heard = 0u64;
    let mut play = |deck: &mut Deck, blocks: usize| {
        for _ in 0..blocks {
            assert_eq!(deck.fill(), Fill::Whole);
            deck.take(&mut bytes);
            heard += u64::from(bytes.iter().any(|byte| *byte != 0));
        }
    };
    play(&mut deck, 1);
    assert_no_alloc(|| play(&mut deck, 150));
    // 199 000 samples are 194.3 blocks: the second song begins.
    play(&mut deck, 50);
    assert_eq!(deck.current_id(), Some(2));
    assert_no_alloc(|| play(&mut deck, 40));
    assert_eq!(heard, 241);
}
