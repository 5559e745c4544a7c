//! What FFmpeg is not given: a thing that is no file (opening a FIFO may wait for
//! ever), and a list that would make it open other files.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::error::DecodeError;

const ID3_HEADER_BYTES: usize = 10;
/// Tags one behind the other that are passed over, as FFmpeg does.
const ID3_TAGS_MAX: usize = 4;
/// How the lists begin that FFmpeg would follow: HLS, its own, and the XML ones.
const PLAYLISTS: [&[u8]; 3] = [b"#EXTM3U", b"ffconcat ", b"<?xml"];

/// Checks that `file` is a regular file, may be read and is no playlist. FFmpeg's
/// own words for this are longer and less clear.
pub(super) fn check(file: &Path) -> Result<(), DecodeError> {
    match audio_start(file) {
        Ok(start) if start.is_empty() => Err(DecodeError::Empty(file.to_owned())),
        Ok(start) if is_playlist(&start) => Err(DecodeError::Playlist(file.to_owned())),
        Ok(_) => Ok(()),
        Err(source) => Err(DecodeError::Unreadable { file: file.to_owned(), source }),
    }
}

fn is_playlist(start: &[u8]) -> bool {
    PLAYLISTS.iter().any(|magic| start.trim_ascii_start().starts_with(magic))
}

/// The first bytes after the ID3 tags.
fn audio_start(file: &Path) -> io::Result<Vec<u8>> {
    // Looked at before it is opened, since opening a device may do something, and
    // after, since it may be another one by then.
    regular(&std::fs::metadata(file)?)?;
    let mut opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(file)?;
    regular(&opened.metadata()?)?;
    let mut at = 0;
    for _ in 0..ID3_TAGS_MAX {
        let Some(tag_bytes) = id3_bytes(&bytes_at(&mut opened, at)?) else { break };
        at += tag_bytes;
    }
    bytes_at(&mut opened, at)
}

fn regular(found: &Metadata) -> io::Result<()> {
    if found.is_file() { Ok(()) } else { Err(io::Error::other("it is not a regular file")) }
}

fn bytes_at(file: &mut File, at: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.take(256).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// How long the ID3v2 tag is that begins here: seven bits in each byte of its size.
fn id3_bytes(bytes: &[u8]) -> Option<u64> {
    let header = bytes.get(..ID3_HEADER_BYTES).filter(|header| header.starts_with(b"ID3"))?;
    let body = header[6..].iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
    Some(ID3_HEADER_BYTES as u64 + body)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn fd1_4_playlists_and_empty_files_are_refused_and_audio_is_not() {
        let scratch = Scratch::new();
        let file = scratch.join("song.mp3");
        let tagged = |body: &[u8]| [b"ID3\x03\x00\x00\x00\x00\x01\x05".as_slice(), &[7; 133], body].concat();
        let found = |content: &[u8]| {
            fs::write(&file, content).expect("file");
            check(&file)
        };
        let lists =
            ["#EXTM3U\nhttp://example.org/", "ffconcat version 1.0\nfile /etc/passwd", "\n <?xml version='1.0'?>"];
        for list in lists {
            assert!(matches!(found(list.as_bytes()), Err(DecodeError::Playlist(_))), "{list}");
            assert!(matches!(found(&tagged(list.as_bytes())), Err(DecodeError::Playlist(_))), "{list} after a tag");
        }
        for empty in [b"".as_slice(), &tagged(b"")] {
            assert!(matches!(found(empty), Err(DecodeError::Empty(_))));
        }
        for audio in [tagged(b"\xff\xfb\x90\x00"), b"ID3".to_vec(), b"RIFF....WAVE".to_vec()] {
            found(&audio).expect("it may be audio");
        }
    }

    #[test]
    fn fd1_4_what_is_no_file_is_refused_without_opening_it() {
        let scratch = Scratch::new();
        let fifo = scratch.join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("fifo");
        let circle = scratch.join("loop");
        std::os::unix::fs::symlink(&circle, &circle).expect("link");
        let here = scratch.join(".");
        for path in [fifo, circle, here, scratch.join("none"), "/dev/zero".into()] {
            let error = check(&path).expect_err("refused");
            assert!(matches!(error, DecodeError::Unreadable { .. }), "{error}");
        }
    }
}
