//! The four bytes that open every MP3 frame.
//!
//! Layer III only, of MPEG-1, 2 and 2.5 (ISO 11172-3, 13818-3). Free format is
//! refused: its frames do not say how long they are.

/// kbit/s by bitrate index, MPEG-1 and MPEG-2/2.5. 0 and 15 are not bitrates.
const MPEG1_KBPS: [u16; 16] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0];
const MPEG2_KBPS: [u16; 16] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0];

/// A valid header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    word: u32,
}

impl Header {
    /// What never changes within one CBR stream of one encoder: all but padding,
    /// private bit, mode extension, copyright and original.
    const CBR_CLASS: u32 = 0xFFFF_FCC0;
    /// What never changes within any stream: sync, version, layer, sample rate.
    const STREAM_CLASS: u32 = 0xFFFE_0C00;

    /// Reads a header from its four bytes; `None` if they are not one.
    pub fn parse(bytes: [u8; 4]) -> Option<Self> {
        let word = u32::from_be_bytes(bytes);
        let header = Self { word };
        let sync = word >> 21 == 0x7FF;
        let version = word >> 19 & 3 != 1;
        let layer = word >> 17 & 3 == 1;
        let rate = word >> 10 & 3 != 3;
        let emphasis = word & 3 != 2;
        (sync && version && layer && rate && emphasis && header.bitrate_kbps() != 0).then_some(header)
    }

    /// The header of the frames on air: MPEG-1, 48 kHz, stereo, no CRC.
    /// `None` if Layer III has no such bitrate.
    pub fn on_air(bitrate_kbps: u32) -> Option<Self> {
        let index = MPEG1_KBPS.iter().position(|kbps| u32::from(*kbps) == bitrate_kbps && bitrate_kbps != 0)?;
        // FFmpeg's LAME writes joint stereo (01), mode extension 00, and the original bit.
        Some(Self { word: 0xFFFB_0444 | u32::try_from(index).ok()? << 12 })
    }

    /// The four bytes.
    pub fn bytes(self) -> [u8; 4] {
        self.word.to_be_bytes()
    }

    /// kbit/s of this frame.
    pub fn bitrate_kbps(self) -> u32 {
        let index = (self.word >> 12 & 15) as usize;
        u32::from(if self.is_mpeg1() { MPEG1_KBPS[index] } else { MPEG2_KBPS[index] })
    }

    /// Samples a second.
    pub fn sample_rate_hz(self) -> u32 {
        let base = [44_100, 48_000, 32_000, 0][(self.word >> 10 & 3) as usize];
        base >> match self.word >> 19 & 3 {
            3 => 0,
            2 => 1,
            _ => 2,
        }
    }

    /// Bytes of the whole frame, header, CRC and padding included: 24 to 1441.
    pub fn frame_bytes(self) -> usize {
        let factor = if self.is_mpeg1() { 144_000 } else { 72_000 };
        let padding = self.word >> 9 & 1;
        (factor * self.bitrate_kbps() / self.sample_rate_hz() + padding) as usize
    }

    /// Belongs to the same stream, whatever its bitrate.
    pub fn same_stream(self, other: Self) -> bool {
        (self.word ^ other.word) & Self::STREAM_CLASS == 0
    }

    /// Comes from the same CBR encoder.
    pub fn same_encoder(self, other: Self) -> bool {
        (self.word ^ other.word) & Self::CBR_CLASS == 0
    }

    /// How far back, in bytes, the audio of this frame begins; 0 if the frame
    /// stands alone. `frame` is the whole frame.
    pub fn main_data_begin(self, frame: &[u8]) -> u16 {
        let has_crc = self.word >> 16 & 1 == 0;
        let side_info = 4 + if has_crc { 2 } else { 0 };
        let (Some(high), Some(low)) = (frame.get(side_info), frame.get(side_info + 1)) else {
            return 0;
        };
        if self.is_mpeg1() { u16::from(*high) << 1 | u16::from(*low) >> 7 } else { u16::from(*high) }
    }

    fn is_mpeg1(self) -> bool {
        self.word >> 19 & 3 == 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bytes: [u8; 4]) -> Header {
        Header::parse(bytes).expect("a valid header")
    }

    #[test]
    fn p2_lengths_follow_each_header() {
        for (bytes, frame_bytes, rate_hz, kbps) in [
            ([0xFF, 0xFB, 0x94, 0x44], 384, 48_000, 128),
            ([0xFF, 0xFB, 0xE4, 0x44], 960, 48_000, 320),
            ([0xFF, 0xFB, 0x90, 0x44], 417, 44_100, 128),
            ([0xFF, 0xFB, 0x92, 0x44], 418, 44_100, 128),
            ([0xFF, 0xFA, 0x94, 0x44], 384, 48_000, 128), // with CRC
            ([0xFF, 0xF3, 0x84, 0x44], 192, 24_000, 64),
            ([0xFF, 0xE3, 0x18, 0x44], 72, 8_000, 8),
        ] {
            let header = header(bytes);
            assert_eq!(
                (header.frame_bytes(), header.sample_rate_hz(), header.bitrate_kbps()),
                (frame_bytes, rate_hz, kbps)
            );
        }
    }

    #[test]
    fn p2_what_is_not_a_layer_iii_header_is_refused() {
        for (bytes, why) in [
            ([0xFF, 0x1B, 0x94, 0x44], "sync of eight bits only"),
            ([0xFF, 0xEB, 0x94, 0x44], "reserved version"),
            ([0xFF, 0xFD, 0x94, 0x44], "layer II"),
            ([0xFF, 0xF9, 0x94, 0x44], "reserved layer"),
            ([0xFF, 0xFB, 0x04, 0x44], "free format"),
            ([0xFF, 0xFB, 0xF4, 0x44], "bitrate 15"),
            ([0xFF, 0xFB, 0x9C, 0x44], "sample rate 3"),
            ([0xFF, 0xFB, 0x94, 0x46], "emphasis 2"),
        ] {
            assert_eq!(Header::parse(bytes), None, "{why}");
        }
    }

    #[test]
    fn c6_the_on_air_header_is_the_measured_one() {
        assert_eq!(Header::on_air(128).map(Header::bytes), Some([0xFF, 0xFB, 0x94, 0x44]));
        assert_eq!(Header::on_air(320).map(Header::frame_bytes), Some(960));
        assert_eq!(Header::on_air(0), None);
        assert_eq!(Header::on_air(100), None);
        // The mode extension changes from frame to frame.
        assert!(header([0xFF, 0xFB, 0x94, 0x64]).same_encoder(header([0xFF, 0xFB, 0x94, 0x44])));
        assert!(!header([0xFF, 0xFB, 0xA4, 0x44]).same_encoder(header([0xFF, 0xFB, 0x94, 0x44])));
        assert!(header([0xFF, 0xFB, 0xA4, 0x44]).same_stream(header([0xFF, 0xFB, 0x94, 0x44])));
    }
}
