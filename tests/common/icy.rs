//! What a player makes of a stream with titles: audio, and each title with the place where it came.

use std::{
    io::Read,
    net::TcpStream,
    time::{Duration, Instant},
};

/// Audio and titles, apart.
#[derive(Default)]
pub struct Icy {
    pub audio: Vec<u8>,
    /// Audio bytes before it, and the text without its padding.
    pub titles: Vec<(usize, String)>,
}

impl Icy {
    /// Takes apart what followed the response head.
    pub fn of(mut bytes: &[u8], metaint: usize) -> Self {
        let mut icy = Self::default();
        while bytes.len() > metaint {
            let text_bytes = usize::from(bytes[metaint]) * 16;
            let Some(text) = bytes.get(metaint + 1..metaint + 1 + text_bytes) else { break };
            icy.audio.extend_from_slice(&bytes[..metaint]);
            if text_bytes > 0 {
                let text = std::str::from_utf8(text).expect("a title is UTF-8");
                icy.titles.push((icy.audio.len(), text.trim_end_matches('\0').to_owned()));
            }
            bytes = &bytes[metaint + 1 + text_bytes..];
        }
        icy.audio.extend_from_slice(&bytes[..bytes.len().min(metaint)]);
        icy
    }
}

/// Reads a stream for a while.
pub fn read_for(stream: &mut TcpStream, time: Duration) -> Vec<u8> {
    let (start, mut bytes, mut piece) = (Instant::now(), Vec::new(), [0; 4096]);
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("timeout");
    while start.elapsed() < time {
        match stream.read(&mut piece) {
            Ok(0) => panic!("the stream ended after {:?}", start.elapsed()),
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(error) => assert!(matches!(error.kind(), std::io::ErrorKind::WouldBlock), "{error}"),
        }
    }
    bytes
}
