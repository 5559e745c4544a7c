//! Whatever an encoder writes, in whatever pieces (P4): no panic, no byte lost or invented,
//! never more held than the bound, and each packet is a frame of the length that its header says.
//!
//! The input is cut by its own bytes: the first says whether a stream is expected, and from
//! then on each piece is led by a byte with its length (0: the long pieces that a pipe gives).

#![no_main]

use libfuzzer_sys::fuzz_target;
use retrowaves::{
    encoder::{Header, Mp3Packetizer},
    limits::PACKETIZER_BYTES_MAX,
};

const LONG_PIECE: usize = 4096;

fuzz_target!(|input: &[u8]| {
    let Some((mode, mut rest)) = input.split_first() else { return };
    let (mut cut, mut whole) = (packetizer(*mode), packetizer(*mode));
    let (mut fed, mut heard, mut given) = (Vec::new(), Vec::new(), 0);
    while let Some((length, after)) = rest.split_first() {
        let length = if *length == 0 { LONG_PIECE } else { usize::from(*length) };
        let (piece, after) = after.split_at(length.min(after.len()));
        rest = after;
        fed.extend_from_slice(piece);
        cut.feed(piece, |packet| {
            assert_eq!(packet.header.frame_bytes(), packet.bytes.len());
            given += packet.bytes.len() + packet.garbage_before;
            assert_eq!(&fed[given - packet.bytes.len()..given], packet.bytes, "byte for byte, in its place");
            heard.push((packet.bytes.to_vec(), packet.garbage_before));
        });
        assert_eq!(given + cut.garbage_bytes() + cut.pending_bytes(), fed.len(), "bytes are conserved");
        assert!(cut.pending_bytes() <= PACKETIZER_BYTES_MAX);
        let _ = cut.has_foreign_bytes();
    }
    let mut at_once = Vec::new();
    whole.feed(&fed, |packet| at_once.push((packet.bytes.to_vec(), packet.garbage_before)));
    assert_eq!(heard, at_once, "any chunking gives the same frames (P1)");
});

fn packetizer(mode: u8) -> Mp3Packetizer {
    match Header::on_air(128) {
        Some(header) if mode % 2 == 1 => Mp3Packetizer::expecting(header),
        _ => Mp3Packetizer::new(),
    }
}
