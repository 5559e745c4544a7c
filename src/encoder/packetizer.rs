//! `Mp3Packetizer`: bytes in any chunking → whole MP3 frames, byte for byte.
//!
//! Never blocks, never grows past a frame and a half, looks at each byte a
//! bounded number of times. It judges headers only; what a frame means (its
//! number, whether it was owed) is the supervisor's business.

use super::header::Header;
use crate::limits::PACKETIZER_BYTES_MAX;

/// Bytes of a header.
const HEADER_BYTES: usize = 4;

/// Finds frames in a byte stream.
pub struct Mp3Packetizer {
    /// Bytes not yet given out: `held[start..]`. Never more than `PACKETIZER_BYTES_MAX`.
    held: Vec<u8>,
    start: usize,
    /// The stream that the next byte must continue; `None`: searching.
    locked: Option<Header>,
    /// Bytes passed over since the last frame.
    garbage: usize,
}

/// One frame, and what had to be passed over to reach it.
#[derive(Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The frame's header.
    pub header: Header,
    /// The whole frame, as received.
    pub bytes: &'a [u8],
    /// Bytes before it that belong to no frame.
    pub garbage_before: usize,
}

impl Default for Mp3Packetizer {
    fn default() -> Self {
        Self::new()
    }
}

impl Mp3Packetizer {
    /// Searches for a stream: a frame is trusted when the header after it agrees.
    pub fn new() -> Self {
        Self { held: Vec::with_capacity(PACKETIZER_BYTES_MAX), start: 0, locked: None, garbage: 0 }
    }

    /// Expects a frame of this stream at the very first byte, and trusts it.
    pub fn expecting(header: Header) -> Self {
        Self { locked: Some(header), ..Self::new() }
    }

    /// Takes bytes and gives out each frame that is complete, in order.
    pub fn feed(&mut self, mut bytes: &[u8], mut on_packet: impl FnMut(Packet<'_>)) {
        while !bytes.is_empty() {
            let room = PACKETIZER_BYTES_MAX - self.pending_bytes();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.held.drain(..self.start);
            self.start = 0;
            self.held.extend_from_slice(now);
            bytes = later;
            while let Some(header) = self.find() {
                let frame = self.start..self.start + header.frame_bytes();
                self.start = frame.end;
                let garbage_before = std::mem::take(&mut self.garbage);
                on_packet(Packet { header, bytes: &self.held[frame], garbage_before });
            }
        }
    }

    /// Bytes that wait for the rest of their frame.
    pub fn pending_bytes(&self) -> usize {
        self.held.len() - self.start
    }

    /// Bytes passed over since the last frame that was given out.
    pub fn garbage_bytes(&self) -> usize {
        self.garbage
    }

    /// Bytes that wait and cannot be the beginning of the expected frame.
    pub fn has_foreign_bytes(&self) -> bool {
        self.garbage > 0 || (self.pending_bytes() > 0 && !self.may_begin_a_frame())
    }

    /// Moves to the next frame that is complete and trusted.
    fn find(&mut self) -> Option<Header> {
        loop {
            let header = match self.header_at(self.start)? {
                Ok(header) if self.locked.is_none_or(|locked| locked.same_stream(header)) => header,
                _ => {
                    self.pass_over_a_byte();
                    continue;
                }
            };
            let end = self.start + header.frame_bytes();
            if self.locked.is_some() {
                return (self.held.len() >= end).then_some(header);
            }
            match self.header_at(end)? {
                Ok(next) if next.same_stream(header) => {
                    self.locked = Some(header);
                    return Some(header);
                }
                _ => self.pass_over_a_byte(),
            }
        }
    }

    /// The header at `at`: `None` when its bytes are not all there yet.
    fn header_at(&self, at: usize) -> Option<Result<Header, ()>> {
        let bytes = self.held.get(at..at + HEADER_BYTES)?;
        Some(Header::parse([bytes[0], bytes[1], bytes[2], bytes[3]]).ok_or(()))
    }

    fn pass_over_a_byte(&mut self) {
        self.locked = None;
        self.start += 1;
        self.garbage += 1;
    }

    fn may_begin_a_frame(&self) -> bool {
        let waiting = &self.held[self.start..];
        match (self.header_at(self.start), self.locked) {
            (Some(header), _) => header.is_ok(),
            (None, Some(locked)) => waiting.iter().zip(locked.bytes()).take(2).all(|(a, b)| *a == b),
            (None, None) => waiting[0] == 0xFF,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame with this header and a body in which no sync can hide.
    fn frame(header: [u8; 4], fill: u8) -> Vec<u8> {
        let length = Header::parse(header).expect("valid").frame_bytes();
        let mut frame = vec![fill & 0x7F; length];
        frame[..4].copy_from_slice(&header);
        frame
    }

    fn collect(packetizer: &mut Mp3Packetizer, bytes: &[u8]) -> Vec<(Vec<u8>, usize)> {
        let mut out = Vec::new();
        packetizer.feed(bytes, |p| out.push((p.bytes.to_vec(), p.garbage_before)));
        out
    }

    const H128: [u8; 4] = [0xFF, 0xFB, 0x94, 0x44];

    #[test]
    fn p3_a_first_frame_is_trusted_when_the_next_header_agrees() {
        let mut packetizer = Mp3Packetizer::new();
        let one = frame(H128, 1);
        assert!(collect(&mut packetizer, &one).is_empty());
        assert_eq!(collect(&mut packetizer, &one), vec![(one.clone(), 0), (one.clone(), 0)]);
        // Once locked, the frame's own last byte is enough.
        assert!(collect(&mut packetizer, &one[..383]).is_empty());
        assert_eq!(collect(&mut packetizer, &one[383..]).len(), 1);
    }

    #[test]
    fn p3_an_expected_frame_is_given_out_at_its_last_byte() {
        let mut packetizer = Mp3Packetizer::expecting(Header::on_air(128).expect("128"));
        let one = frame(H128, 1);
        assert_eq!(collect(&mut packetizer, &one), vec![(one, 0)]);
    }

    #[test]
    fn p3_an_inserted_byte_is_seen_at_once_and_passed_over() {
        let mut packetizer = Mp3Packetizer::expecting(Header::on_air(128).expect("128"));
        let one = frame(H128, 1);
        let mut broken = one.clone();
        broken.insert(200, 9);
        assert_eq!(collect(&mut packetizer, &broken).len(), 1);
        assert!(packetizer.has_foreign_bytes());
        let rest = [one.clone(), one.clone()].concat();
        assert_eq!(collect(&mut packetizer, &rest), vec![(one.clone(), 1), (one, 0)]);
        assert!(!packetizer.has_foreign_bytes());
    }

    #[test]
    fn p3_a_header_in_pieces_is_not_foreign() {
        let mut packetizer = Mp3Packetizer::expecting(Header::on_air(128).expect("128"));
        for byte in &frame(H128, 3)[..383] {
            collect(&mut packetizer, &[*byte]);
            assert!(!packetizer.has_foreign_bytes());
        }
        let mut packetizer = Mp3Packetizer::expecting(Header::on_air(128).expect("128"));
        collect(&mut packetizer, &[0x00]);
        assert!(packetizer.has_foreign_bytes());
    }

    #[test]
    fn p3_megabytes_of_garbage_are_held_to_the_bound() {
        let mut packetizer = Mp3Packetizer::new();
        // Headers everywhere, but never one where the one before says that the next would be.
        let syncs = [0xFF, 0xFB, 0x94, 0, 0].repeat(1 << 20);
        assert!(collect(&mut packetizer, &syncs).is_empty());
        assert!(packetizer.pending_bytes() <= PACKETIZER_BYTES_MAX);
        assert!(packetizer.held.capacity() <= 2 * PACKETIZER_BYTES_MAX);
    }

    fn any_stream() -> impl Strategy<Value = Vec<Vec<u8>>> {
        // One stream has one version and rate; bitrate (VBR), padding, CRC and mode extension vary.
        let class = prop_oneof![Just((0xFBu8, 0x00u8)), Just((0xFB, 0x04)), Just((0xF3, 0x04)), Just((0xE3, 0x00))];
        (class, proptest::collection::vec((1u8..15, any::<bool>(), any::<bool>(), 0u8..4, any::<u8>()), 2..12))
            .prop_map(|((second, rate), frames)| {
                frames
                    .into_iter()
                    .map(|(bitrate, padding, crc, extension, fill)| {
                        let second = if crc { second & 0xFE } else { second };
                        let third = bitrate << 4 | rate | if padding { 2 } else { 0 };
                        frame([0xFF, second, third, 0x44 | extension << 4], fill)
                    })
                    .collect()
            })
    }

    proptest! {
        #[test]
        fn p1_p2_any_chunking_gives_the_same_frames(frames in any_stream(), cuts in proptest::collection::vec(1usize..700, 1..40)) {
            let bytes = frames.concat();
            let mut packetizer = Mp3Packetizer::new();
            let mut out = Vec::new();
            let (mut rest, mut cuts) = (&bytes[..], cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                out.extend(collect(&mut packetizer, now));
                rest = later;
            }
            // CRC and no-CRC frames are one stream only if the header's protection bit agrees.
            let expected: Vec<_> = frames.into_iter().map(|f| (f, 0)).collect();
            prop_assert_eq!(out, expected);
        }

        #[test]
        fn p3_garbage_before_and_between_costs_garbage_only(
            frames in any_stream(),
            garbage in proptest::collection::vec(0u8..0xFF, 1..3000),
        ) {
            // Garbage without 0xFF cannot look like a header, so every frame must come out.
            let mut packetizer = Mp3Packetizer::new();
            let bytes = [&garbage[..], &frames.concat(), &garbage[..], &frames.concat()].concat();
            let out = collect(&mut packetizer, &bytes);
            let expected: Vec<_> = [&frames[..], &frames[..]].concat();
            prop_assert_eq!(out.iter().map(|(f, _)| f.clone()).collect::<Vec<_>>(), expected);
            let skipped: usize = out.iter().map(|(_, garbage)| garbage).sum();
            prop_assert_eq!(skipped, 2 * garbage.len());
        }

        #[test]
        fn p4_random_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..20_000)) {
            let mut packetizer = Mp3Packetizer::new();
            let mut given = 0;
            packetizer.feed(&bytes, |p| given += p.bytes.len() + p.garbage_before);
            prop_assert_eq!(given + packetizer.garbage_bytes() + packetizer.pending_bytes(), bytes.len());
        }
    }
}
