//! From what a card gives to stereo in fractions of full scale.
//!
//! Exact for up to 24 bits (f32 holds those); nothing here allocates.

/// How a card writes a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SampleFormat {
    /// Signed 16 bits, little-endian.
    S16Le = 0,
    /// Signed 24 bits in three bytes, little-endian.
    S24Le3 = 1,
    /// Signed 24 bits in the lower part of four bytes, little-endian.
    S24Le = 2,
    /// Signed 32 bits, little-endian.
    S32Le = 3,
    /// A float, little-endian; 1 is full scale.
    F32Le = 4,
    /// Signed 16 bits, big-endian.
    S16Be = 5,
    /// Signed 24 bits in three bytes, big-endian.
    S24Be3 = 6,
    /// Signed 32 bits, big-endian.
    S32Be = 7,
    /// Unsigned 8 bits.
    U8 = 8,
}

impl SampleFormat {
    /// By preference: what keeps most of a card's bits first (24 of 32 are what f32 holds
    /// anyway), what is rare last.
    pub const ALL: [Self; 9] = [
        Self::S32Le,
        Self::S24Le3,
        Self::S24Le,
        Self::F32Le,
        Self::S16Le,
        Self::S32Be,
        Self::S24Be3,
        Self::S16Be,
        Self::U8,
    ];

    /// As ALSA writes it.
    pub fn name(self) -> &'static str {
        ["S16_LE", "S24_3LE", "S24_LE", "S32_LE", "FLOAT_LE", "S16_BE", "S24_3BE", "S32_BE", "U8"][self as usize]
    }

    /// Back from the number in `LiveStats::format`.
    pub fn from_u8(number: u8) -> Self {
        Self::ALL.into_iter().find(|format| *format as u8 == number).unwrap_or(Self::S16Le)
    }

    /// Bytes of one sample of one channel.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::S16Le | Self::S16Be => 2,
            Self::S24Le3 | Self::S24Be3 => 3,
            Self::S24Le | Self::S32Le | Self::F32Le | Self::S32Be => 4,
        }
    }
}
