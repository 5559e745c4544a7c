//! The ring of what is on air: one copy of the audio for every listener.
//!
//! Contiguous bytes, so that a batch of frames is one `send` (two at the wrap).
//! Positions are absolute byte counts since start and only grow; a listener is a
//! position. The ring never knows its listeners: who is overtaken finds out by
//! comparing with `oldest`.

use crate::limits::ON_AIR;

/// The last `ON_AIR.frames_max` frames.
pub struct OnAirRing {
    bytes: Box<[u8]>,
    frame_bytes: usize,
    /// Position after the newest byte.
    head: u64,
}

impl OnAirRing {
    /// An empty ring for frames of `frame_bytes` each. Its memory is taken here.
    ///
    /// # Panics
    /// If `frame_bytes` is 0: the encoder's filler sets it, and is never empty.
    pub fn new(frame_bytes: usize) -> Self {
        assert!(frame_bytes > 0, "a frame holds at least 1 byte");
        Self { bytes: vec![0; ON_AIR.frames_max * frame_bytes].into(), frame_bytes, head: 0 }
    }

    /// Puts a frame on air; the oldest one leaves. A frame of another length is
    /// not one of this stream: nothing happens, and the answer is false.
    pub fn push(&mut self, frame: &[u8]) -> bool {
        if frame.len() != self.frame_bytes {
            return false;
        }
        let at = self.index(self.head);
        self.bytes[at..at + frame.len()].copy_from_slice(frame);
        self.head += frame.len() as u64;
        true
    }

    /// Position after the newest byte; always a frame border.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Position of the oldest byte that is still here; always a frame border.
    pub fn oldest(&self) -> u64 {
        self.head.saturating_sub(self.bytes.len() as u64)
    }

    /// Where the newest whole frame begins; the head while there is none.
    pub fn newest_frame(&self) -> u64 {
        self.head.saturating_sub(self.frame_bytes as u64)
    }

    /// Bytes of every frame.
    pub fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// The first frame border at or after `position`.
    pub fn border_after(&self, position: u64) -> u64 {
        position.next_multiple_of(self.frame_bytes as u64)
    }

    /// The bytes from one position to another, in two parts where the ring wraps.
    /// What is not here (any more, or yet) is left out.
    pub fn slices(&self, from: u64, to: u64) -> (&[u8], &[u8]) {
        let (from, to) = (from.max(self.oldest()), to.min(self.head));
        if from >= to {
            return (&[], &[]);
        }
        let (start, len) = (self.index(from), usize::try_from(to - from).unwrap_or(0));
        let first = len.min(self.bytes.len() - start);
        (&self.bytes[start..start + first], &self.bytes[..len - first])
    }

    fn index(&self, position: u64) -> usize {
        usize::try_from(position % self.bytes.len() as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(ring: &OnAirRing, from: u64, to: u64) -> Vec<u8> {
        let (a, b) = ring.slices(from, to);
        [a, b].concat()
    }

    #[test]
    fn h2_every_position_reads_the_bytes_that_were_put_on_air() {
        let mut ring = OnAirRing::new(3);
        let byte = |position: u64| u8::try_from(position % 251).expect("below 251");
        let frames = ON_AIR.frames_max as u64 * 2 + 5;
        for frame in 0..frames {
            let at = frame * 3;
            assert!(ring.push(&[byte(at), byte(at + 1), byte(at + 2)]));
        }
        assert_eq!(ring.head(), frames * 3);
        assert_eq!(ring.oldest(), (frames - ON_AIR.frames_max as u64) * 3);
        for from in [ring.oldest(), ring.oldest() + 1, ring.head() - 40, ring.head() - 1] {
            for to in [from + 1, from + 17, ring.head()] {
                let expected: Vec<u8> = (from..to.min(ring.head())).map(byte).collect();
                assert_eq!(joined(&ring, from, to), expected, "{from}..{to}");
            }
        }
    }

    #[test]
    fn h2_what_is_not_in_the_ring_is_left_out() {
        let mut ring = OnAirRing::new(2);
        assert_eq!((ring.newest_frame(), joined(&ring, 0, 10)), (0, vec![]));
        assert!(!ring.push(b"long"), "a frame of another length");
        assert!(ring.push(b"ab"));
        assert_eq!(joined(&ring, 0, 10), b"ab");
        assert_eq!(ring.newest_frame(), 0);
        assert_eq!((ring.border_after(0), ring.border_after(1)), (0, 2));
    }
}
