//! The filler: a silent MP3 frame that stands alone.
//!
//! The header of the frames on air and an all-zero body: side information that
//! says "nothing", so every decoder gives exact digital silence, without a
//! warning, between any two real frames. Built once at start (C6).

use super::header::Header;

/// A filler for this bitrate; `None` if Layer III has no such bitrate.
pub fn filler(bitrate_kbps: u32) -> Option<Box<[u8]>> {
    let header = Header::on_air(bitrate_kbps)?;
    let mut frame = vec![0; header.frame_bytes()];
    frame[..4].copy_from_slice(&header.bytes());
    Some(frame.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c6_a_filler_is_a_header_and_zeros() {
        let filler = filler(128).expect("128 kbit/s");
        assert_eq!(filler.len(), 384);
        assert_eq!(filler[..4], [0xFF, 0xFB, 0x94, 0x44]);
        assert!(filler[4..].iter().all(|byte| *byte == 0));
        assert!(super::filler(33).is_none());
    }
}
