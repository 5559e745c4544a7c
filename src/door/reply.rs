//! What the door itself says: the head of the stream, and short replies.

use crate::config::StreamConfig;

/// Free of what could end a line, so that no header can be smuggled in.
pub fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// A short reply: everything the door answers but the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Reply {
    /// A reply with a body.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("Content-Type", content_type.to_owned())], body: body.into() }
    }

    /// `{"error": why}` (K4).
    pub fn error(status: u16, why: &str) -> Self {
        Self::new(status, "application/json", format!("{}\n", serde_json::json!({ "error": why })))
    }

    /// No body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// One more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Any page may read it, as it may the stream.
    #[must_use]
    pub fn open_to_all(self) -> Self {
        self.with("Access-Control-Allow-Origin", "*")
    }

    /// As it is sent. `head_only`: as an answer to HEAD.
    pub fn to_bytes(&self, minor: u8, head_only: bool) -> Vec<u8> {
        let mut text = status_line(minor, self.status);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.status != 204 {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        text.push_str(
            "Cache-Control: no-cache, no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        );
        let mut bytes = text.into_bytes();
        if !head_only {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// The first line of a reply.
pub fn status_line(minor: u8, status: u16) -> String {
    format!("HTTP/1.{} {status} {}\r\n", minor.min(1), reason(status))
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

/// The head before the audio. No length and no chunks: old radios know neither, and
/// the stream has no end. Range requests get it too, since there is nothing to seek in.
/// With `metaint`, titles come between the audio bytes, so far apart. `authority`: the tower's name
/// and port as the listener knows them, for the link that players show.
pub fn stream_head(
    minor: u8,
    stream: &StreamConfig,
    authority: &str,
    bitrate_kbps: u32,
    metaint: Option<u32>,
) -> Vec<u8> {
    let mut head = status_line(minor, 200);
    head.push_str("Content-Type: audio/mpeg\r\n");
    head.push_str(&format!("icy-name: {}\r\nicy-genre: {}\r\n", one_line(&stream.name), one_line(&stream.genre)));
    head.push_str(&format!("icy-url: http://{authority}/\r\n"));
    head.push_str(&format!("icy-br: {bitrate_kbps}\r\nicy-pub: 0\r\n"));
    if let Some(metaint) = metaint {
        head.push_str(&format!("icy-metaint: {metaint}\r\n"));
    }
    head.push_str(&format!(
        "ice-audio-info: channels=2;samplerate={};bitrate={bitrate_kbps}\r\n",
        crate::frame::SAMPLE_RATE_HZ
    ));
    head.push_str(
        "Accept-Ranges: none\r\n\
         Cache-Control: no-cache, no-store\r\n\
         Pragma: no-cache\r\n\
         Expires: Mon, 26 Jul 1997 05:00:00 GMT\r\n\
         Access-Control-Allow-Origin: *\r\n\
         Access-Control-Expose-Headers: icy-metaint, icy-br, icy-name, icy-genre, icy-url\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Connection: close\r\n\r\n",
    );
    head.into_bytes()
}

/// The answer to what a browser asks before it plays.
pub fn stream_options() -> Reply {
    Reply::empty(204)
        .open_to_all()
        .with("Allow", "GET, HEAD, OPTIONS")
        .with("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        .with("Access-Control-Allow-Headers", "Range, Icy-MetaData, Origin, Accept")
        .with("Access-Control-Max-Age", "86400")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h7_the_stream_head_has_no_length_and_no_chunks() {
        let config = crate::config::TowerConfig::with_runtime_dir(std::path::Path::new("/nowhere"));
        let stream = StreamConfig { name: "Schule\r\nX: y".into(), ..config.stream };
        for (minor, metaint) in [(0, None), (1, None), (0, Some(16_000)), (1, Some(16_000))] {
            let head = String::from_utf8(stream_head(minor, &stream, "radio:8000", 128, metaint)).expect("text");
            assert!(head.starts_with(&format!("HTTP/1.{minor} 200 OK\r\n")) && head.ends_with("\r\n\r\n"));
            assert!(head.contains("Connection: close\r\n") && head.contains("icy-br: 128\r\n"));
            assert!(head.contains("icy-url: http://radio:8000/\r\n"));
            assert!(head.contains("icy-name: SchuleX: y\r\n"), "no header can be smuggled in: {head}");
            assert_eq!(head.contains("\r\nicy-metaint: 16000\r\n"), metaint.is_some());
            assert!(!head.to_lowercase().contains("content-length") && !head.contains("chunked"));
        }
    }

    #[test]
    fn k4_errors_are_json_whatever_they_say() {
        let bytes = Reply::error(400, "a \"quote\"").to_bytes(0, false);
        let text = String::from_utf8(bytes).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("head");
        assert!(head.starts_with("HTTP/1.0 400 Bad Request\r\n"));
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        let json: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(json["error"], "a \"quote\"");
        assert!(Reply::error(400, "x").to_bytes(1, true).ends_with(b"\r\n\r\n"), "HEAD has no body");
    }
}
