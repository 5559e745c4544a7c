//! ICY metadata: titles between the audio bytes, for players that ask for them.
//!
//! After every `metaint` audio bytes comes a block: one byte that says how many times 16 bytes
//! follow, and a text padded with zeros. A title belongs to the place on air from which it is true, so
//! each listener learns of it where it hears it, however far it is behind. A player that joins
//! gets the title in its first block; a block without news is the single byte 0.
//!
//! Pure: positions in, pieces out. What a kernel takes may end anywhere, within a block too; the rest
//! of that very block comes first in the next turn.

use std::{collections::VecDeque, io::IoSlice};

use super::on_air::OnAirRing;

/// Audio bytes between two blocks, unless a player asks for another distance.
pub const METAINT: u32 = 16_000;
/// A block's text has at most 255 times 16 bytes.
const TEXT_BYTES_MAX: usize = 255 * 16;
const NOTHING_NEW: &[u8] = &[0];
const BEGIN: &str = "StreamTitle='";
const END: &str = "';";

/// Pieces of one write: the head, then audio (two where the ring wraps) and blocks by turns.
pub const PIECES_MAX: usize = 32;

/// A title as it is sent: control characters removed, cut between characters where it is too long.
pub fn block(title: &str) -> Box<[u8]> {
    let clean: String = title.chars().filter(|c| !c.is_control()).collect();
    // Players look for the first `';`: within a title it would end it.
    let clean = clean.replace(END, "\u{2019};");
    let room = clean.len().min(TEXT_BYTES_MAX - BEGIN.len() - END.len());
    let cut = (0..=room).rev().find(|at| clean.is_char_boundary(*at)).unwrap_or(0);
    let text = [BEGIN, &clean[..cut], END].concat();
    let units = text.len().div_ceil(16);
    let mut bytes = vec![u8::try_from(units).unwrap_or(u8::MAX)];
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(1 + units * 16, 0);
    bytes.into()
}

/// The titles of what is in the ring, each from its position on.
pub struct Titles {
    /// In the order of their positions, which differ: at most one for each frame of the ring.
    list: VecDeque<Title>,
    next_serial: u64,
}

struct Title {
    position: u64,
    serial: u64,
    block: Box<[u8]>,
}

impl Titles {
    /// With what is true from the beginning.
    pub fn new(first: &str) -> Self {
        Self { list: VecDeque::from([Title { position: 0, serial: 1, block: block(first) }]), next_serial: 2 }
    }

    /// From the frame at `position` on; it is not yet in the ring. Two for one position: the later holds.
    pub fn push(&mut self, position: u64, block: Box<[u8]>) {
        if self.list.back().is_some_and(|last| last.position == position) {
            self.list.pop_back();
        }
        self.list.push_back(Title { position, serial: self.next_serial, block });
        self.next_serial += 1;
    }

    /// Forgets what is true only of what has left the ring.
    pub fn forget_before(&mut self, oldest: u64) {
        while self.list.get(1).is_some_and(|second| second.position <= oldest) {
            self.list.pop_front();
        }
    }

    /// Number and block of the title at a position of the ring.
    fn at(&self, position: u64) -> (u64, &[u8]) {
        let after = self.list.partition_point(|title| title.position <= position);
        match self.list.get(after.saturating_sub(1)) {
            Some(title) => (title.serial, &title.block),
            None => (0, NOTHING_NEW),
        }
    }
}

/// Where a listener is: in the audio, and between two blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Position on air of the next audio byte.
    pub position: u64,
    icy: Option<Icy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Icy {
    metaint: u32,
    /// Audio bytes until the next block.
    left: u32,
    /// Number of the title that it was told.
    told: u64,
    /// Bytes of the block here that it has.
    begun: usize,
}

/// Audio of the ring, or of a block what is still to be sent.
enum Step<'a> {
    Audio { to: u64 },
    Block { serial: u64, rest: &'a [u8] },
}

impl Cursor {
    /// At a position; with `metaint`, blocks come between.
    pub fn new(position: u64, metaint: Option<u32>) -> Self {
        let icy = metaint.map(|metaint| Icy { metaint, left: metaint, told: 0, begun: 0 });
        Self { position, icy }
    }

    /// A block was begun and not ended: no place to be moved from.
    pub fn is_within_a_block(&self) -> bool {
        self.icy.is_some_and(|icy| icy.begun > 0)
    }

    /// What comes next on the way to `to`. A block comes only before audio that is there: from then on
    /// no title can come to its position, and its rest is the rest of the same.
    fn step<'a>(&self, to: u64, titles: &'a Titles) -> Option<Step<'a>> {
        match self.icy {
            Some(icy) if icy.left == 0 && (icy.begun > 0 || self.position < to) => {
                let (serial, block) = titles.at(self.position);
                let block = if serial == icy.told { NOTHING_NEW } else { block };
                Some(Step::Block { serial, rest: &block[icy.begun.min(block.len())..] })
            }
            _ if self.position >= to => None,
            Some(icy) => Some(Step::Audio { to: to.min(self.position + u64::from(icy.left)) }),
            None => Some(Step::Audio { to }),
        }
    }

    /// Goes on by what was sent of a step; true if that was all of it.
    fn go(&mut self, step: &Step<'_>, bytes: usize) -> bool {
        match (step, &mut self.icy) {
            (Step::Audio { to }, icy) => {
                self.position += bytes as u64;
                if let Some(icy) = icy {
                    icy.left -= u32::try_from(bytes).unwrap_or(icy.left).min(icy.left);
                }
                self.position == *to
            }
            (Step::Block { serial, rest }, Some(icy)) if bytes == rest.len() => {
                *icy = Icy { left: icy.metaint, told: *serial, begun: 0, ..*icy };
                true
            }
            (Step::Block { .. }, Some(icy)) => {
                icy.begun += bytes;
                false
            }
            (Step::Block { .. }, None) => true,
        }
    }

    /// Goes on by `bytes` sent of what `pieces` gave.
    pub fn advance(&mut self, mut bytes: usize, to: u64, titles: &Titles) {
        while bytes > 0 {
            let Some(step) = self.step(to, titles) else {
                return;
            };
            let take = bytes.min(step.len(self.position));
            self.go(&step, take);
            bytes -= take;
        }
    }

    /// What is to be sent up to `to`, as far as `pieces` has room; returns how many it filled.
    pub fn pieces<'a>(mut self, to: u64, ring: &'a OnAirRing, titles: &'a Titles, pieces: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        // Audio may take two.
        while filled + 2 <= pieces.len() {
            let Some(step) = self.step(to, titles) else {
                break;
            };
            let parts = match step {
                Step::Audio { to } => ring.slices(self.position, to).into(),
                Step::Block { rest, .. } => [rest, &[]],
            };
            for part in parts.into_iter().filter(|part| !part.is_empty()) {
                pieces[filled] = IoSlice::new(part);
                filled += 1;
            }
            self.go(&step, step.len(self.position));
        }
        filled
    }
}

impl Step<'_> {
    fn len(&self, position: u64) -> usize {
        match self {
            Self::Audio { to } => usize::try_from(to - position).unwrap_or(0),
            Self::Block { rest, .. } => rest.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME_BYTES: usize = 100;

    /// What a player makes of it: audio, and each block's text with the audio bytes before it.
    fn played(mut bytes: &[u8], metaint: usize) -> (Vec<u8>, Vec<(usize, String)>) {
        let (mut audio, mut titles) = (Vec::new(), Vec::new());
        while bytes.len() > metaint {
            audio.extend_from_slice(&bytes[..metaint]);
            let len = usize::from(bytes[metaint]) * 16;
            if bytes.len() < metaint + 1 + len {
                return (audio, titles);
            }
            let text = String::from_utf8(bytes[metaint + 1..][..len].to_vec()).expect("UTF-8");
            if len > 0 {
                titles.push((audio.len(), text.trim_end_matches('\0').to_owned()));
            }
            bytes = &bytes[metaint + 1 + len..];
        }
        audio.extend_from_slice(bytes);
        (audio, titles)
    }

    /// Takes all that there is up to `to`, in sends of at most `most` bytes.
    fn send(cursor: &mut Cursor, to: u64, ring: &OnAirRing, titles: &Titles, most: usize, out: &mut Vec<u8>) {
        loop {
            let mut pieces = [IoSlice::new(&[]); 6];
            let filled = cursor.pieces(to, ring, titles, &mut pieces);
            let all: Vec<u8> = pieces[..filled].iter().flat_map(|piece| piece.to_vec()).collect();
            if all.is_empty() {
                return;
            }
            let sent = all.len().min(most);
            out.extend_from_slice(&all[..sent]);
            cursor.advance(sent, to, titles);
        }
    }

    #[test]
    fn h6_titles_come_at_their_place_however_the_sends_are_cut() {
        for (metaint, most) in [(16, 1), (16, 7), (64, 33), (100, 100), (150, 1000), (333, 5), (1, 3)] {
            let (mut ring, mut titles) = (OnAirRing::new(FRAME_BYTES), Titles::new("first"));
            let mut cursor = Cursor::new(0, Some(metaint));
            let (mut out, mut air) = (Vec::new(), Vec::new());
            for frame in 0..50u8 {
                if frame == 20 || frame == 33 {
                    titles.push(ring.head(), block(&format!("title {frame}")));
                }
                air.extend_from_slice(&[frame; FRAME_BYTES]);
                assert!(ring.push(&[frame; FRAME_BYTES]));
                let head = ring.head();
                send(&mut cursor, head, &ring, &titles, most, &mut out);
                assert!(!cursor.is_within_a_block());
            }
            let metaint = metaint as usize;
            let (audio, told) = played(&out, metaint);
            assert_eq!(audio, air[..audio.len()]);
            assert!(air.len() - audio.len() <= metaint, "all of it is sent");
            // The first block at or after the place.
            let place = |frame: usize| (frame * FRAME_BYTES).div_ceil(metaint).max(1) * metaint;
            let expected = [(0, "first"), (20, "title 20"), (33, "title 33")]
                .map(|(frame, text)| (place(frame), format!("StreamTitle='{text}';")));
            assert_eq!(told, expected, "metaint {metaint}, {most} bytes a send");
        }
    }

    #[test]
    fn h6_without_metaint_the_bytes_are_those_on_air() {
        let (mut ring, titles) = (OnAirRing::new(FRAME_BYTES), Titles::new("first"));
        (0..9u8).for_each(|frame| assert!(ring.push(&[frame; FRAME_BYTES])));
        let mut out = Vec::new();
        send(&mut Cursor::new(300, None), 800, &ring, &titles, 77, &mut out);
        assert_eq!(out, (3..8u8).flat_map(|frame| [frame; FRAME_BYTES]).collect::<Vec<_>>());
    }

    #[test]
    fn h6_a_title_that_comes_while_a_block_waits_at_the_head_is_the_one_that_is_told() {
        let (mut ring, mut titles) = (OnAirRing::new(FRAME_BYTES), Titles::new("old"));
        let mut cursor = Cursor::new(0, Some(100));
        let mut out = Vec::new();
        assert!(ring.push(&[1; FRAME_BYTES]));
        send(&mut cursor, 100, &ring, &titles, 1000, &mut out);
        assert_eq!(out.len(), 100, "no block before its audio is there");
        titles.push(100, block("older"));
        titles.push(100, block("new"));
        assert!(ring.push(&[2; FRAME_BYTES]));
        send(&mut cursor, 200, &ring, &titles, 9, &mut out);
        assert_eq!(played(&out, 100).1, [(100, "StreamTitle='new';".to_owned())]);
    }

    #[test]
    fn h6_titles_of_what_has_left_the_ring_are_forgotten_and_the_one_that_holds_stays() {
        let mut titles = Titles::new("a");
        titles.push(300, block("b"));
        titles.push(700, block("c"));
        titles.forget_before(299);
        assert_eq!((titles.list.len(), titles.at(299).0), (3, 1));
        titles.forget_before(650);
        assert_eq!((titles.list.len(), titles.at(650).0, titles.at(700).0), (2, 2, 3));
    }

    #[test]
    fn h6_a_block_is_whole_units_of_clean_utf_8_whatever_the_title() {
        let text = |title: &str| {
            let block = block(title);
            assert_eq!(block.len(), 1 + usize::from(block[0]) * 16);
            String::from_utf8(block[1..].to_vec()).expect("UTF-8").trim_end_matches('\0').to_owned()
        };
        let table = [
            ("", "StreamTitle='';"),
            ("AC/DC - Let's go", "StreamTitle='AC/DC - Let's go';"),
            ("a';StreamUrl='http://evil", "StreamTitle='a\u{2019};StreamUrl='http://evil';"),
            ("Grüße 🎵", "StreamTitle='Grüße 🎵';"),
            ("two\r\nlines\0\u{1b}[31m", "StreamTitle='twolines[31m';"),
        ];
        for (title, expected) in table {
            assert_eq!(text(title), expected);
        }
        for character in ["x", "ü", "€", "🎵"] {
            let long = text(&character.repeat(5000));
            assert!((TEXT_BYTES_MAX - 3..=TEXT_BYTES_MAX).contains(&long.len()) && long.ends_with("';"), "{character}");
        }
    }
}
