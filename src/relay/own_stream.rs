//! The tower's own stream, as a listener hears it: audio, and titles where they come.

use std::{
    io::{self, Read},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use crate::own_stream;

/// Audio bytes between two titles: a title is at most 64 ms late at 128 kbit/s.
const METAINT: usize = 1024;
/// A tower that is on air has something every 24 ms, and a batch of it more often than this.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// An open stream.
pub(super) struct OwnStream {
    socket: UnixStream,
    buffer: Vec<u8>,
    splitter: Splitter,
}

impl OwnStream {
    /// Becomes a listener; what comes begins with a frame.
    pub(super) fn open(control_socket: &Path) -> io::Result<Self> {
        let socket = own_stream::open(control_socket, "tower:relay", Some(METAINT), READ_TIMEOUT)?;
        Ok(Self { socket, buffer: vec![0; 8192], splitter: Splitter::new(METAINT) })
    }

    /// The next audio, never empty; titles before it are told. None: the stream has ended.
    pub(super) fn next(&mut self, mut title: impl FnMut(String)) -> io::Result<Option<&[u8]>> {
        loop {
            let read = self.socket.read(&mut self.buffer)?;
            if read == 0 {
                return Ok(None);
            }
            self.splitter.feed(&self.buffer[..read], &mut title);
            if !self.splitter.audio.is_empty() {
                return Ok(Some(&self.splitter.audio));
            }
        }
    }
}

/// Takes titles out of a stream that comes in pieces.
struct Splitter {
    metaint: usize,
    /// Audio bytes until the next block.
    left: usize,
    /// The block that is being read: its length byte, and what of it there is.
    block: Vec<u8>,
    /// Of the last piece.
    audio: Vec<u8>,
}

impl Splitter {
    fn new(metaint: usize) -> Self {
        Self { metaint, left: metaint, block: Vec::new(), audio: Vec::new() }
    }

    fn feed(&mut self, mut bytes: &[u8], title: &mut impl FnMut(String)) {
        self.audio.clear();
        while !bytes.is_empty() {
            let take = if self.left > 0 {
                let take = bytes.len().min(self.left);
                self.audio.extend_from_slice(&bytes[..take]);
                self.left -= take;
                take
            } else {
                let whole = 1 + 16 * usize::from(*self.block.first().unwrap_or(&bytes[0]));
                let take = bytes.len().min(whole - self.block.len());
                self.block.extend_from_slice(&bytes[..take]);
                if self.block.len() == whole {
                    if let Some(text) = stream_title(&self.block[1..]) {
                        title(text);
                    }
                    self.block.clear();
                    self.left = self.metaint;
                }
                take
            };
            bytes = &bytes[take..];
        }
    }
}

/// `StreamTitle='…';`, as the tower writes it.
fn stream_title(block: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(block).ok()?.trim_end_matches('\0');
    Some(text.strip_prefix("StreamTitle='")?.strip_suffix("';")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broadcast::icy::block;

    #[test]
    fn relay_takes_titles_out_however_the_pieces_fall() {
        let audio: Vec<u8> = (0..100u8).collect();
        let mut wire = audio[..40].to_vec();
        wire.extend_from_slice(&block("it's; one"));
        wire.extend_from_slice(&audio[40..80]);
        wire.push(0);
        wire.extend_from_slice(&audio[80..]);
        for piece in [1, 2, 7, 39, 40, 41, 1000] {
            let (mut splitter, mut heard, mut titles) = (Splitter::new(40), Vec::new(), Vec::new());
            for bytes in wire.chunks(piece) {
                splitter.feed(bytes, &mut |title| titles.push(title));
                heard.extend_from_slice(&splitter.audio);
            }
            assert_eq!((heard, titles), (audio.clone(), vec!["it's; one".to_owned()]), "pieces of {piece}");
        }
    }
}
