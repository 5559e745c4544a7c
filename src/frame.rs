//! The one audio format, and the frames that carry it.
//!
//! Everything before the encoder is 48 kHz, signed 16-bit, two channels
//! interleaved; everything after it is MPEG-1 Layer III at the same rate. One
//! pump frame makes one MP3 frame, and both last one tick, so time is counted in
//! frames and never in bytes or seconds.

/// Samples per second and channel.
pub const SAMPLE_RATE_HZ: u32 = 48_000;
/// Left and right, interleaved.
pub const CHANNELS: usize = 2;
/// Samples per channel in a pump frame: what one MPEG-1 Layer III frame holds.
pub const PUMP_FRAME_SAMPLES: usize = 1152;
/// Interleaved values in a pump frame.
pub const PUMP_FRAME_VALUES: usize = PUMP_FRAME_SAMPLES * CHANNELS;
/// Bytes of a pump frame as signed 16-bit little-endian.
pub const PUMP_FRAME_BYTES: usize = PUMP_FRAME_VALUES * 2;
/// Samples per channel in a station frame.
pub const STATION_FRAME_SAMPLES: usize = 1024;
/// Bytes of a station frame as signed 16-bit little-endian.
pub const STATION_FRAME_BYTES: usize = STATION_FRAME_SAMPLES * CHANNELS * 2;
/// Interleaved values in a station frame.
pub const STATION_FRAME_VALUES: usize = STATION_FRAME_SAMPLES * CHANNELS;
/// One tick: 24 ms exactly.
pub const TICK_NS: u64 = 24_000_000;
/// One tick in milliseconds.
pub const TICK_MS: u64 = 24;
/// The longest MP3 frame on air: 320 kbit/s at 48 kHz.
pub const MP3_FRAME_BYTES_MAX: usize = 960;

// The tick is sharp: no rounding anywhere.
const _: () = assert!(PUMP_FRAME_SAMPLES as u64 * 1_000_000_000 == TICK_NS * SAMPLE_RATE_HZ as u64);
// Nine station frames make exactly eight pump frames (192 ms).
const _: () = assert!(9 * STATION_FRAME_SAMPLES == 8 * PUMP_FRAME_SAMPLES);

/// The PCM of one tick: 1152 samples of two channels, interleaved.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PumpFrame {
    /// Left, right, left, right, …
    pub values: [i16; PUMP_FRAME_VALUES],
}

impl PumpFrame {
    /// Digital silence. Built at compile time and never allocated again.
    pub const SILENCE: Self = Self { values: [0; PUMP_FRAME_VALUES] };

    /// Reads a frame from signed 16-bit little-endian bytes.
    pub fn from_le_bytes(bytes: &[u8; PUMP_FRAME_BYTES]) -> Self {
        let mut frame = Self::SILENCE;
        for (value, pair) in frame.values.iter_mut().zip(bytes.chunks_exact(2)) {
            *value = i16::from_le_bytes([pair[0], pair[1]]);
        }
        frame
    }

    /// The frame as signed 16-bit little-endian bytes.
    pub fn to_le_bytes(&self) -> [u8; PUMP_FRAME_BYTES] {
        let mut bytes = [0; PUMP_FRAME_BYTES];
        for (value, pair) in self.values.iter().zip(bytes.chunks_exact_mut(2)) {
            pair.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }
}

impl std::fmt::Debug for PumpFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PumpFrame([{}, {}, …])", self.values[0], self.values[1])
    }
}

/// PCM of a file in the station's measure: 1024 samples, interleaved. Only the
/// last frame of a file may hold fewer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StationFrame {
    /// Left, right, left, right, …; zeros after the last sample.
    pub values: [i16; STATION_FRAME_VALUES],
    /// Samples per channel that are the file's.
    pub samples: usize,
}

impl StationFrame {
    /// A whole frame of digital silence.
    pub const SILENCE: Self = Self { values: [0; STATION_FRAME_VALUES], samples: STATION_FRAME_SAMPLES };

    /// Reads whole samples from signed 16-bit little-endian bytes, as many as there
    /// are and fit.
    pub fn from_le_bytes(bytes: &[u8]) -> Self {
        let whole = bytes.chunks_exact(2 * CHANNELS).take(STATION_FRAME_SAMPLES);
        let mut frame = Self { samples: whole.len(), ..Self::SILENCE };
        for (sample, bytes) in frame.values.chunks_exact_mut(CHANNELS).zip(whole) {
            for (value, pair) in sample.iter_mut().zip(bytes.chunks_exact(2)) {
                *value = i16::from_le_bytes([pair[0], pair[1]]);
            }
        }
        frame
    }

    /// False for the last frame of a file that does not end on a frame.
    pub fn is_whole(&self) -> bool {
        self.samples == STATION_FRAME_SAMPLES
    }

    /// The values of the file, without the zeros after them.
    pub fn played(&self) -> &[i16] {
        &self.values[..self.samples.min(STATION_FRAME_SAMPLES) * CHANNELS]
    }
}

impl std::fmt::Debug for StationFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StationFrame([{}, {}, …], {} samples)", self.values[0], self.values[1], self.samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c1_c2_bytes_and_samples_are_the_same_frame() {
        let mut bytes = [0u8; PUMP_FRAME_BYTES];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from(i * 31 % 251).expect("below 251");
        }
        let frame = PumpFrame::from_le_bytes(&bytes);
        assert_eq!(frame.values[1], i16::from_le_bytes([bytes[2], bytes[3]]));
        assert_eq!(frame.to_le_bytes(), bytes);
        assert_eq!(PUMP_FRAME_BYTES, 4608);
    }

    #[test]
    fn fd1_3_a_partial_frame_is_marked_and_ends_in_zeros() {
        let bytes: Vec<u8> = (1..=11).collect();
        let frame = StationFrame::from_le_bytes(&bytes);
        assert_eq!((frame.samples, frame.is_whole()), (2, false), "the third sample is not whole");
        assert_eq!(frame.played(), [0x0201, 0x0403, 0x0605, 0x0807]);
        assert!(frame.values[4..].iter().all(|value| *value == 0));
        assert!(StationFrame::from_le_bytes(&[1; STATION_FRAME_BYTES + 4]).is_whole());
    }
}
