//! One continuous signal, cut into files, and found again in what was heard: where
//! it is, and what lies between two pieces that belong together.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use retrowaves::frame::SAMPLE_RATE_HZ;

/// A signal of `samples` left-right pairs that never repeats and has nothing that a codec would
/// have to leave out: gliding chords, no noise. Interleaved.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub fn continuous(samples: usize) -> Vec<i16> {
    let mut values = Vec::with_capacity(samples * 2);
    for i in 0..samples {
        let t = i as f64 / f64::from(SAMPLE_RATE_HZ);
        // The phase of a glide: its derivative is the pitch.
        let phase = std::f64::consts::TAU * (220.0 * t + 9.0 * t * t + 4.0 * (0.9 * t).sin());
        let loudness = 7000.0 + 2500.0 * (1.3 * t).sin();
        let side = 0.3 * (0.37 * phase).sin();
        let middle = phase.sin() + 0.5 * (1.5 * phase).sin() + 0.25 * (2.76 * phase + (7.0 * t).sin()).sin();
        values.push((loudness * (middle + side)) as i16);
        values.push((loudness * (middle - side)) as i16);
    }
    values
}

/// A canonical WAV file: 16 bit, stereo.
pub fn write_wav(path: &Path, rate_hz: u32, values: &[i16]) {
    let data_bytes = u32::try_from(values.len() * 2).expect("a short file");
    let mut file = Vec::with_capacity(values.len() * 2 + 44);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(data_bytes + 36).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16u32.to_le_bytes());
    for word in [1u16, 2] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(&rate_hz.to_le_bytes());
    file.extend_from_slice(&(rate_hz * 4).to_le_bytes());
    for word in [4u16, 16] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(b"data");
    file.extend_from_slice(&data_bytes.to_le_bytes());
    values.iter().for_each(|value| file.extend_from_slice(&value.to_le_bytes()));
    std::fs::File::create(path).and_then(|mut out| out.write_all(&file)).expect("a WAV file");
}

/// Runs FFmpeg on `input`; the ending of `output` chooses the format.
pub fn ffmpeg(input: &Path, options: &[&str], output: &Path) {
    let done = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-i"])
        .arg(input)
        .args(options)
        .arg(output)
        .output()
        .expect("ffmpeg");
    assert!(done.status.success(), "{}: {}", output.display(), String::from_utf8_lossy(&done.stderr));
}

/// What `path` decodes to by itself, whole: 48 kHz, interleaved.
pub fn decoded(path: &Path) -> Vec<i16> {
    let out = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(path)
        .args(["-f", "s16le", "-ar", "48000", "-ac", "2", "-"])
        .output()
        .expect("ffmpeg");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// `values` cut at sample `cut` into `a` and `b` in `folder`, encoded as `ending`.
pub fn cut_in_two(folder: &Path, values: &[i16], cut: usize, ending: &str) -> [PathBuf; 2] {
    std::fs::create_dir_all(folder).expect("folder");
    let scratch = folder.with_extension("scratch");
    std::fs::create_dir_all(&scratch).expect("folder");
    [("a", &values[..cut * 2]), ("b", &values[cut * 2..])].map(|(name, piece)| {
        let wav = scratch.join(format!("{name}.wav"));
        write_wav(&wav, SAMPLE_RATE_HZ, piece);
        let file = folder.join(format!("{name}.{ending}"));
        match ending {
            "wav" => drop(std::fs::copy(&wav, &file).expect("copied")),
            "mp3" => ffmpeg(&wav, &["-c:a", "libmp3lame", "-b:a", "320k"], &file),
            _ => ffmpeg(&wav, &[], &file),
        }
        file
    })
}

/// Pairs that are compared to find a place.
const WINDOW: usize = 2048;

/// Where the first `WINDOW` pairs of `piece` are in `heard`, in pairs: the place of the smallest
/// error, if that is at most `tolerance` for each value, on average.
pub fn find(heard: &[i16], piece: &[i16], tolerance: u64) -> Option<usize> {
    let window = &piece[..piece.len().min(WINDOW * 2)];
    let mut best = (tolerance * window.len() as u64 + 1, None);
    let last = (heard.len().checked_sub(window.len())?) / 2;
    for at in 0..=last {
        let mut error = 0;
        for (heard, piece) in heard[at * 2..].iter().zip(window) {
            error += u64::from(heard.abs_diff(*piece));
            if error >= best.0 {
                break;
            }
        }
        if error < best.0 {
            best = (error, Some(at));
        }
    }
    best.1
}

/// How two pieces of one signal came together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Where the signal begins in what was heard, in pairs.
    pub begin: usize,
    /// Samples too many (or, below 0, too few) between the pieces.
    pub inserted: i64,
    /// Of any value, from begin to end.
    pub largest_difference: u16,
    /// Of any value within 1152 samples of the join.
    pub largest_at_join: u16,
    /// Of any other value, but for the first 8192 samples.
    pub largest_elsewhere: u16,
}

/// Looks for `signal`, which was cut at `cut`, in what was heard: each piece by itself.
pub fn join_of(heard: &[i16], signal: &[i16], cut: usize, tolerance: u64) -> Option<Join> {
    // Not from a piece's first sample on: a codec is at its worst there.
    let lead = 4 * WINDOW;
    let first = find(heard, &signal[lead * 2..], tolerance)?;
    let after = first + cut - lead;
    let from = after.saturating_sub(48_000);
    let second = from + find(&heard[from * 2..], &signal[(cut + lead) * 2..], tolerance)?;
    let begin = first.checked_sub(lead)?;
    let gap = |at: usize| i64::try_from(at).expect("small");
    let inserted = gap(second) - gap(first) - gap(cut);
    let largest = |from: usize, to: usize| {
        let (heard, signal) = (heard.get((begin + from) * 2..)?, &signal[from * 2..to * 2]);
        heard.iter().zip(signal).map(|(a, b)| a.abs_diff(*b)).max()
    };
    let end = (signal.len() / 2).min(heard.len() / 2 - begin);
    Some(Join {
        begin,
        inserted,
        largest_difference: largest(0, end)?,
        largest_at_join: largest(cut - 1152, (cut + 1152).min(end))?,
        largest_elsewhere: largest(lead, cut - 1152)?.max(largest(cut + 1152, end)?),
    })
}
