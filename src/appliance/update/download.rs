//! An update over http into a file on the data partition: bounded in size and in time, complete or not at all.
//!
//! Without TLS: who changes it on the way changes nothing, since RAUC looks at the signature.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
    time::Duration,
};

use nix::sys::statvfs::statvfs;
use ureq::Agent;

use crate::limits::UPDATE_BYTES_MAX;

/// Nothing came for this long.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// All of it, over a slow line.
const TIME_MAX: Duration = Duration::from_secs(2 * 3600);
/// The data partition keeps this much.
const ROOM_LEFT_BYTES: u64 = 16 << 20;
const PIECE_BYTES: usize = 64 << 10;

/// Fetches `url` into `path`.
///
/// # Errors
/// In words. Then there is no such file.
pub fn download(url: &str, path: &Path, tell: &mut dyn FnMut(&str)) -> Result<(), String> {
    let done = fetch(url, path, tell);
    if done.is_err() {
        let _ = fs::remove_file(path);
    }
    done
}

fn fetch(url: &str, path: &Path, tell: &mut dyn FnMut(&str)) -> Result<(), String> {
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(TIME_MAX))
        .timeout_connect(Some(PAUSE_MAX))
        .timeout_recv_response(Some(PAUSE_MAX))
        .max_redirects(5)
        .http_status_as_error(false)
        .build()
        .into();
    let mut response = agent.get(url).call().map_err(|error| format!("cannot be fetched: {error}"))?;
    if response.status().as_u16() != 200 {
        return Err(format!("the server says {}", response.status()));
    }
    let length = response.body().content_length();
    if length.is_some_and(|length| length > UPDATE_BYTES_MAX) {
        return Err(format!("is larger than any update ({UPDATE_BYTES_MAX} bytes)"));
    }
    let room = room(path).map_err(|error| error.to_string())?;
    if length.is_some_and(|length| length > room) {
        return Err(no_room(length, room));
    }
    let mut file = File::create(path).map_err(|error| error.to_string())?;
    let bytes = copy(&mut response.body_mut().as_reader(), &mut file, length, room, tell)?;
    match length {
        Some(length) if bytes != length => Err(format!("ended after {bytes} of {length} bytes; try again")),
        _ => file.sync_all().map_err(|error| error.to_string()),
    }
}

fn copy(
    from: &mut dyn Read,
    to: &mut File,
    length: Option<u64>,
    room: u64,
    tell: &mut dyn FnMut(&str),
) -> Result<u64, String> {
    let (mut piece, mut bytes, mut told) = (vec![0; PIECE_BYTES], 0u64, 0);
    loop {
        let count = match from.read(&mut piece) {
            Ok(0) => return Ok(bytes),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(format!("ended after {bytes} bytes: {error}; try again")),
        };
        bytes += count as u64;
        if bytes > UPDATE_BYTES_MAX {
            return Err(format!("is larger than any update ({UPDATE_BYTES_MAX} bytes)"));
        }
        if bytes > room {
            return Err(no_room(length, room));
        }
        to.write_all(&piece[..count]).map_err(|error| error.to_string())?;
        if let Some(percent) = length.filter(|length| *length > 0).map(|length| bytes * 100 / length)
            && percent >= told + 10
        {
            told = percent / 10 * 10;
            tell(&format!("{told}% fetched"));
        }
    }
}

fn room(path: &Path) -> io::Result<u64> {
    let about = statvfs(path.parent().unwrap_or(Path::new("/")))?;
    Ok((about.blocks_available() * about.fragment_size()).saturating_sub(ROOM_LEFT_BYTES))
}

fn no_room(length: Option<u64>, room: u64) -> String {
    let needed = length.map_or_else(|| "more".to_owned(), |length| format!("{} MB", length.div_ceil(1_000_000)));
    format!("the data partition has room for {} MB, and {needed} are needed; remove some music first", room / 1_000_000)
}
