//! Reads the tags of one file. Runs in the process that `reader` starts, because
//! a parser of other people's files may panic, hang or ask for all memory.

use std::{
    fs::{File, OpenOptions},
    io::BufReader,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use lofty::{
    config::{GlobalOptions, ParseOptions, ParsingMode, apply_global_options},
    file::{AudioFile, FileType, TaggedFile, TaggedFileExt},
    ogg::OpusFile,
    probe::Probe,
    tag::ItemKey,
};
use serde::{Deserialize, Serialize};

use super::names::clean;
use crate::limits::TAG_ITEM_BYTES_MAX;

/// ReplayGain brings a track to this.
const REPLAYGAIN_LUFS: f32 = -18.0;
/// R128 tags (RFC 7845) bring it to this.
const R128_LUFS: f32 = -23.0;
/// A gain beyond this is a typing error.
const GAIN_DB_MAX: f32 = 60.0;

/// What a file says about itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tags {
    /// Cleaned, not empty.
    pub title: Option<Box<str>>,
    /// Cleaned, not empty.
    pub artist: Option<Box<str>>,
    /// Cleaned, not empty.
    pub album: Option<Box<str>>,
    /// 1000 to 9999.
    pub year: Option<u16>,
    /// By the properties of the file.
    pub duration_ms: Option<u32>,
    /// By ReplayGain or R128.
    pub lufs: Option<f32>,
}

/// The tags of the file at `path`; none: it cannot be read, or makes no sense.
pub fn read(path: &Path) -> Option<Tags> {
    apply_global_options(
        GlobalOptions::new()
            .allocation_limit(TAG_ITEM_BYTES_MAX)
            .use_custom_resolvers(false)
            .preserve_format_specific_items(false),
    );
    // It was a file a moment ago; a FIFO that took its place must not hang us.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut probe = Probe::new(BufReader::new(file));
    if let Some(by_name) = FileType::from_path(path) {
        probe = probe.set_file_type(by_name);
    }
    // By content first: Opus comes in `.ogg` too.
    let probe = probe.guess_file_type().ok()?.options(options());
    if probe.file_type() == Some(FileType::Opus) { opus(probe) } else { Some(generic(&probe.read().ok()?)) }
}

fn options() -> ParseOptions {
    ParseOptions::new().read_cover_art(false).parsing_mode(ParsingMode::Relaxed)
}

/// R128 gains have no name in lofty's common tag, so the comments are asked first.
fn opus(probe: Probe<BufReader<File>>) -> Option<Tags> {
    let mut reader = probe.into_inner();
    let file = OpusFile::read_from(&mut reader, options()).ok()?;
    let gain = file.vorbis_comments().get("R128_TRACK_GAIN").and_then(|text| text.trim().parse::<i16>().ok());
    let mut tags = generic(&TaggedFile::from(file));
    tags.lufs = gain.map(|gain| R128_LUFS - f32::from(gain) / 256.0).or(tags.lufs);
    Some(tags)
}

fn generic(file: &TaggedFile) -> Tags {
    // Nothing measured is nothing known.
    let duration = file.properties().duration().as_millis();
    Tags {
        title: text(file, ItemKey::TrackTitle),
        artist: text(file, ItemKey::TrackArtist),
        album: text(file, ItemKey::AlbumTitle),
        year: [ItemKey::RecordingDate, ItemKey::Year, ItemKey::ReleaseDate, ItemKey::OriginalReleaseDate]
            .into_iter()
            .find_map(|key| year(&text(file, key)?)),
        duration_ms: u32::try_from(duration).ok().filter(|&duration| duration > 0),
        lufs: text(file, ItemKey::ReplayGainTrackGain)
            .and_then(|text| gain_db(&text))
            .map(|gain| REPLAYGAIN_LUFS - gain),
    }
}

/// The file's best tag first, then the others it has.
fn text(file: &TaggedFile, key: ItemKey) -> Option<Box<str>> {
    let tags = file.primary_tag().into_iter().chain(file.tags());
    tags.filter_map(|tag| tag.get_string(key)).find_map(clean)
}

/// `1984`, `1984-05-01`, `1984-05-01T12:00:00`
fn year(text: &str) -> Option<u16> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().filter(|year| *year >= 1000)
}

/// `-7.23 dB`
fn gain_db(text: &str) -> Option<f32> {
    let number = text.split_whitespace().next()?.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    number.parse().ok().filter(|gain: &f32| gain.abs() <= GAIN_DB_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st3_gains_and_years_are_understood_or_ignored() {
        assert_eq!(gain_db("-7.25 dB"), Some(-7.25));
        assert_eq!(gain_db("+3.5dB"), Some(3.5));
        for odd in ["", "dB", "NaN dB", "inf", "900 dB", "seven"] {
            assert_eq!(gain_db(odd), None, "{odd}");
        }
        assert_eq!(
            [year("1984-05-01"), year("2001"), year("0000"), year("20é1"), year("99")],
            [Some(1984), Some(2001), None, None, None]
        );
    }
}
