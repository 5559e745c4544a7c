//! From what a card gives to stereo in fractions of full scale.
//!
//! Exact for up to 24 bits (f32 holds those). Arithmetic on blocks that the caller owns:
//! nothing here allocates, and no byte pattern is refused: a float that is no number is silence.

use crate::{config::ChannelPick, frame::CHANNELS, published::published};

published! {
    /// How a card writes a sample.
    ///
    /// By preference: what keeps most of a card's bits first (24 of 32 are what f32 holds
    /// anyway), what is rare last. The words are as ALSA writes them.
    pub enum SampleFormat, name, else S16Le {
        /// Signed 32 bits, little-endian.
        S32Le = "S32_LE",
        /// Signed 24 bits in three bytes, little-endian.
        S24Le3 = "S24_3LE",
        /// Signed 24 bits in the lower part of four bytes, little-endian.
        S24Le = "S24_LE",
        /// A float, little-endian; 1 is full scale.
        F32Le = "FLOAT_LE",
        /// Signed 16 bits, little-endian.
        S16Le = "S16_LE",
        /// Signed 32 bits, big-endian.
        S32Be = "S32_BE",
        /// Signed 24 bits in three bytes, big-endian.
        S24Be3 = "S24_3BE",
        /// Signed 16 bits, big-endian.
        S16Be = "S16_BE",
        /// Unsigned 8 bits.
        U8 = "U8",
    }
}

impl SampleFormat {
    /// Bytes of one sample of one channel.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::S16Le | Self::S16Be => 2,
            Self::S24Le3 | Self::S24Be3 => 3,
            Self::S24Le | Self::S32Le | Self::F32Le | Self::S32Be => 4,
        }
    }
}

/// What `channels` interleaved channels of `format` sound like on two: as many card
/// frames as `bytes` and `out` (interleaved stereo) both hold. Returns how many.
pub fn to_stereo(format: SampleFormat, channels: usize, pick: ChannelPick, bytes: &[u8], out: &mut [f32]) -> usize {
    use SampleFormat::{F32Le, S16Be, S16Le, S24Be3, S24Le, S24Le3, S32Be, S32Le, U8};
    match format {
        S16Le => stereo(channels, pick, bytes, out, |[a, b]: [u8; 2]| whole([0, 0, a, b])),
        S16Be => stereo(channels, pick, bytes, out, |[b, a]: [u8; 2]| whole([0, 0, a, b])),
        S24Le3 => stereo(channels, pick, bytes, out, |[a, b, c]: [u8; 3]| whole([0, a, b, c])),
        S24Be3 => stereo(channels, pick, bytes, out, |[c, b, a]: [u8; 3]| whole([0, a, b, c])),
        // Whatever a card leaves in the fourth byte is no part of the sample.
        S24Le => stereo(channels, pick, bytes, out, |[a, b, c, _]: [u8; 4]| whole([0, a, b, c])),
        S32Le => stereo(channels, pick, bytes, out, whole),
        S32Be => stereo(channels, pick, bytes, out, |[d, c, b, a]: [u8; 4]| whole([a, b, c, d])),
        F32Le => stereo(channels, pick, bytes, out, float),
        U8 => stereo(channels, pick, bytes, out, |[a]: [u8; 1]| whole([0, 0, 0, a ^ 0x80])),
    }
}

/// A 32-bit sample, its lowest byte first.
#[allow(clippy::cast_precision_loss)] // the last bits of 32 are below every converter's noise
fn whole(bytes: [u8; 4]) -> f32 {
    i32::from_le_bytes(bytes) as f32 / 2_147_483_648.0
}

fn float(bytes: [u8; 4]) -> f32 {
    let value = f32::from_le_bytes(bytes);
    if value.is_finite() { value } else { 0.0 }
}

fn stereo<const BYTES: usize>(
    channels: usize,
    pick: ChannelPick,
    bytes: &[u8],
    out: &mut [f32],
    sample: impl Fn([u8; BYTES]) -> f32,
) -> usize {
    let frames = bytes.chunks_exact((channels * BYTES).max(1)).zip(out.chunks_exact_mut(CHANNELS));
    let count = frames.len();
    for (frame, out) in frames {
        let mut of_channel = frame.as_chunks().0.iter().map(|bytes| sample(*bytes));
        let first = of_channel.next().unwrap_or(0.0);
        // The one channel of a mono card is both.
        let second = of_channel.next().unwrap_or(first);
        let pair = match pick {
            ChannelPick::Stereo => [first, second],
            ChannelPick::Left => [first; CHANNELS],
            ChannelPick::Right => [second; CHANNELS],
            ChannelPick::Mix => [f32::midpoint(first, second); CHANNELS],
        };
        out.copy_from_slice(&pair);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(format: SampleFormat, bytes: &[u8]) -> f32 {
        let mut out = [9.0; 2];
        assert_eq!(to_stereo(format, 1, ChannelPick::Stereo, bytes, &mut out), 1);
        assert_eq!(out[0].to_bits(), out[1].to_bits(), "a mono card is heard on both sides");
        out[0]
    }

    #[test]
    fn v1_every_format_has_its_full_scale_its_half_and_its_smallest_step() {
        use SampleFormat::*;
        let bit = |bits: i32| 2f32.powi(1 - bits);
        let table: [(SampleFormat, &[u8], f32); 25] = [
            (S16Le, &[0x00, 0x80], -1.0),
            (S16Le, &[0x00, 0x40], 0.5),
            (S16Le, &[0x01, 0x00], bit(16)),
            (S16Le, &[0xff, 0x7f], 1.0 - bit(16)),
            (S16Be, &[0x40, 0x00], 0.5),
            (S16Be, &[0xff, 0xff], -bit(16)),
            (S24Le3, &[0x00, 0x00, 0x80], -1.0),
            (S24Le3, &[0x01, 0x00, 0x00], bit(24)),
            (S24Le3, &[0xff, 0xff, 0x7f], 1.0 - bit(24)),
            (S24Be3, &[0x40, 0x00, 0x00], 0.5),
            (S24Be3, &[0xff, 0xff, 0xff], -bit(24)),
            (S24Le, &[0x00, 0x00, 0x80, 0xff], -1.0),
            (S24Le, &[0x00, 0x00, 0x80, 0x00], -1.0),
            (S24Le, &[0x01, 0x00, 0x00, 0x7a], bit(24)),
            (S32Le, &[0x00, 0x00, 0x00, 0x80], -1.0),
            (S32Le, &[0x00, 0x01, 0x00, 0x00], bit(24)),
            (S32Be, &[0xc0, 0x00, 0x00, 0x00], -0.5),
            (F32Le, &0.25f32.to_le_bytes(), 0.25),
            (F32Le, &(-1.5f32).to_le_bytes(), -1.5),
            (F32Le, &f32::NAN.to_le_bytes(), 0.0),
            (F32Le, &f32::INFINITY.to_le_bytes(), 0.0),
            (U8, &[0x80], 0.0),
            (U8, &[0x00], -1.0),
            (U8, &[0xc0], 0.5),
            (U8, &[0x81], bit(8)),
        ];
        for (format, bytes, value) in table {
            assert_eq!(one(format, bytes).to_bits(), value.to_bits(), "{} {bytes:x?}", format.name());
        }
    }

    #[test]
    fn v1_channels_are_picked_as_configured() {
        let frame = |values: &[i16]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let (mono, stereo, six) = (frame(&[8192]), frame(&[8192, -4096]), frame(&[8192, -4096, 1, 2, 3, 4]));
        let table = [
            (1, &mono, ChannelPick::Stereo, [0.25, 0.25]),
            (1, &mono, ChannelPick::Right, [0.25, 0.25]),
            (1, &mono, ChannelPick::Mix, [0.25, 0.25]),
            (2, &stereo, ChannelPick::Stereo, [0.25, -0.125]),
            (2, &stereo, ChannelPick::Left, [0.25, 0.25]),
            (2, &stereo, ChannelPick::Right, [-0.125, -0.125]),
            (2, &stereo, ChannelPick::Mix, [0.0625, 0.0625]),
            (6, &six, ChannelPick::Stereo, [0.25, -0.125]),
        ];
        for (channels, bytes, pick, heard) in table {
            let mut out = [9.0; 2];
            assert_eq!(to_stereo(SampleFormat::S16Le, channels, pick, bytes, &mut out), 1);
            assert_eq!(out, heard, "{channels} channels, {pick:?}");
        }
    }

    #[test]
    fn v1_whole_frames_only_and_never_more_than_fit() {
        let mut out = [9.0; 6];
        assert_eq!(to_stereo(SampleFormat::S16Le, 2, ChannelPick::Stereo, &[0; 11], &mut out), 2);
        assert_eq!(out, [0.0, 0.0, 0.0, 0.0, 9.0, 9.0]);
        assert_eq!(to_stereo(SampleFormat::U8, 2, ChannelPick::Stereo, &[0x80; 99], &mut out), 3);
        assert_eq!(to_stereo(SampleFormat::U8, 0, ChannelPick::Stereo, &[0x80; 2], &mut out), 2, "no channel: silence");
    }
}
