//! Icecast's source protocol: one PUT that never ends.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt};

use super::target::Target;
use crate::{config::StreamConfig, door::reply::one_line, frame::SAMPLE_RATE_HZ};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the server's answer to the head.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that takes nothing for so long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The kernel doubles it: 16 s at 128 kbit/s.
const SEND_BUFFER_BYTES: usize = 128 << 10;
const ANSWER_BYTES_MAX: usize = 4096;
/// A body has a length, or it would have to be chunked; at 320 kbit/s this one ends in 790 years.
const LENGTH: u64 = 1_000_000_000_000_000;

/// The request head.
pub(super) fn head(target: &Target, stream: &StreamConfig, bitrate_kbps: u32) -> Vec<u8> {
    format!(
        "PUT {} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nUser-Agent: retrowaves/{}\r\n\
         Content-Type: audio/mpeg\r\nContent-Length: {LENGTH}\r\nIce-Public: 0\r\nIce-Name: {}\r\nIce-Genre: {}\r\n\
         Ice-Bitrate: {bitrate_kbps}\r\n\
         Ice-Audio-Info: channels=2;samplerate={SAMPLE_RATE_HZ};bitrate={bitrate_kbps}\r\n\r\n",
        target.mount,
        target.authority(),
        target.authorization(),
        env!("CARGO_PKG_VERSION"),
        one_line(&stream.name),
        one_line(&stream.genre),
    )
    .into_bytes()
}

/// Connects, sends the head, and waits for the server to agree.
pub(super) fn connect(target: &Target, head: &[u8]) -> io::Result<TcpStream> {
    let mut last = io::Error::other("its name has no address");
    for address in (target.host.as_str(), target.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(socket) => return agree(socket, head),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn agree(mut socket: TcpStream, head: &[u8]) -> io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    // Else the kernel takes minutes of audio for a server that stands still.
    setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER_BYTES)?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
    socket.write_all(head)?;
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"\n") && answer.len() < ANSWER_BYTES_MAX {
        match socket.read(&mut byte) {
            Ok(0) => return Err(io::Error::other("it hung up without an answer")),
            Ok(_) => answer.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::other("it gave no answer within 5 seconds"));
            }
            Err(error) => return Err(error),
        }
    }
    let line = String::from_utf8_lossy(&answer);
    match line.split_whitespace().nth(1).and_then(|status| status.parse::<u16>().ok()) {
        Some(100 | 200) => Ok(socket),
        Some(401) => Err(io::Error::other("it refuses user and password (401)")),
        Some(403) => Err(io::Error::other("it refuses the mount: another source may have it (403)")),
        _ => Err(io::Error::other(format!("it answers: {}", line.trim().escape_debug()))),
    }
}

/// Sends audio.
pub(super) fn send(socket: &mut TcpStream, audio: &[u8]) -> io::Result<()> {
    socket.write_all(audio).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::other("it has taken nothing for 10 seconds"),
        _ => error,
    })
}
