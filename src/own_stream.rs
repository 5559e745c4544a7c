//! The tower hears itself: its own stream, by the control socket, as any listener does.
//!
//! For the monitor, which judges it, and the relay, which sends it on. It has no other tie to the
//! broadcaster, so whoever hears too slowly is dropped like anybody.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

const HEAD_BYTES_MAX: usize = 4096;

/// Becomes a listener without a burst; what is read next is the first byte of a frame. `who` stands in the
/// request; with `metaint`, titles come so many audio bytes apart. `timeout` bounds each read and write.
///
/// # Errors
/// When the tower is not there, is not on air, or has no place.
pub fn open(control_socket: &Path, who: &str, metaint: Option<usize>, timeout: Duration) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(control_socket)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let (query, titles) = match metaint {
        Some(metaint) => (format!("?metaint={metaint}"), "Icy-MetaData: 1\r\n"),
        None => (String::new(), ""),
    };
    let request = format!("GET /live{query} HTTP/1.0\r\nUser-Agent: {who}\r\n{titles}\r\n");
    stream.write_all(request.as_bytes())?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.0 200 ") || !head.ends_with(b"\r\n\r\n") {
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the tower does not let itself listen"));
    }
    Ok(stream)
}
