//! Request heads: bytes in, a request out, or the reason why not.
//!
//! Pure, and the first to see what strangers send; so it is fuzzed, and nothing
//! behind it ever sees a byte that did not pass here. What is kept is a whitelist: a relayed
//! request is rebuilt from these fields alone.
//!
//! Small radios end lines with LF only and leave out `Host` in HTTP/1.0: both are fine.

use crate::limits::{BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX};

/// A request whose head is complete.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// As sent: methods are case-sensitive.
    pub method: String,
    /// Without the query; begins with `/`, or is `*`.
    pub path: String,
    /// What followed `?`, without it.
    pub query: Option<String>,
    /// HTTP/1.`minor`: 0 or 1.
    pub minor: u8,
    /// `Host`, as sent.
    pub host: Option<String>,
    /// `Origin`, as sent.
    pub origin: Option<String>,
    /// `Content-Type`, as sent.
    pub content_type: Option<String>,
    /// Bytes of the body that follows.
    pub content_length: usize,
    /// It went through a proxy: `Forwarded`, `X-Forwarded-…`, `X-Real-IP` or `Via`.
    pub forwarded: bool,
    /// `Range: bytes=0-` or from further on, to the end: what a browser's player asks for.
    pub range_to_end: bool,
    /// `Icy-MetaData: 1`: titles are wanted between the audio bytes.
    pub wants_titles: bool,
    /// It waits for `100 Continue` before it sends its body.
    pub expects_continue: bool,
}

/// A head that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadHead {
    /// HTTP status.
    pub status: u16,
    /// What is wrong and what would be right.
    pub why: &'static str,
}

/// What the bytes so far amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// More is to come.
    Incomplete,
    /// The head ends after so many bytes; a body may follow.
    Complete(Box<Request>, usize),
    /// It will never be a request.
    Bad(BadHead),
}

/// Parses `bytes`, of which the first `seen` were there at the last call. A head is
/// parsed once, when its end is there: a client that sends single bytes costs a
/// look at each, not a parse.
pub fn parse(bytes: &[u8], seen: usize) -> Parsed {
    let first = bytes.iter().find(|b| !matches!(b, b'\r' | b'\n'));
    if first.is_some_and(|b| !b.is_ascii_alphabetic()) {
        return bad(400, "this is no HTTP request");
    }
    if has_head_end(&bytes[seen.saturating_sub(3).min(bytes.len())..]) {
        match parse_complete(&bytes[..bytes.len().min(HEAD_BYTES_MAX)]) {
            Ok(Some((request, len))) => return Parsed::Complete(Box::new(request), len),
            Ok(None) => {}
            Err(bad) => return Parsed::Bad(bad),
        }
    }
    if bytes.len() >= HEAD_BYTES_MAX {
        return bad(431, "the request head is longer than 8192 bytes");
    }
    Parsed::Incomplete
}

fn bad(status: u16, why: &'static str) -> Parsed {
    Parsed::Bad(BadHead { status, why })
}

fn has_head_end(bytes: &[u8]) -> bool {
    let mut newline_before = false;
    bytes.iter().any(|byte| match byte {
        b'\n' if newline_before => true,
        b'\n' => {
            newline_before = true;
            false
        }
        b'\r' => false,
        _ => {
            newline_before = false;
            false
        }
    })
}

fn parse_complete(bytes: &[u8]) -> Result<Option<(Request, usize)>, BadHead> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let len = match head.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(refusal(error)),
    };
    let (path, query) = target(head.path.unwrap_or(""))?;
    let mut request = Request {
        method: head.method.unwrap_or("").to_owned(),
        path,
        query,
        minor: head.version.unwrap_or(1),
        ..Request::default()
    };
    let mut content_length = None;
    for header in head.headers.iter() {
        take_header(&mut request, &mut content_length, header.name, header.value)?;
    }
    request.content_length = content_length.unwrap_or(0);
    Ok(Some((request, len)))
}

fn refusal(error: httparse::Error) -> BadHead {
    let (status, why) = match error {
        httparse::Error::TooManyHeaders => (431, "the request has more than 64 header lines"),
        httparse::Error::Version => (505, "only HTTP/1.0 and HTTP/1.1 are spoken here"),
        _ => (400, "the request head is malformed"),
    };
    BadHead { status, why }
}

/// Path and query. A whole URL, as a proxy would send, is cut to its path.
fn target(target: &str) -> Result<(String, Option<String>), BadHead> {
    let refused = BadHead { status: 400, why: "the request target is not a path of printable ASCII characters" };
    if !target.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(refused);
    }
    let scheme = target.get(..7).filter(|s| s.eq_ignore_ascii_case("http://"));
    let local = match scheme {
        Some(_) => target[7..].find('/').map_or("/", |slash| &target[7 + slash..]),
        None => target,
    };
    if !local.starts_with('/') && local != "*" {
        return Err(refused);
    }
    let local = local.split('#').next().unwrap_or(local);
    Ok(match local.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (local.to_owned(), None),
    })
}

fn take_header(
    request: &mut Request,
    content_length: &mut Option<usize>,
    name: &str,
    value: &[u8],
) -> Result<(), BadHead> {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "host" if request.host.is_some() => return Err(malformed("the request has two Host headers")),
        "host" => request.host = Some(text(value)?),
        "origin" => request.origin = Some(text(value)?),
        "content-type" => request.content_type = Some(text(value)?),
        "content-length" => {
            let bytes = body_length(value)?;
            if content_length.is_some_and(|before| before != bytes) {
                return Err(malformed("the request has two different Content-Length headers"));
            }
            *content_length = Some(bytes);
        }
        "transfer-encoding" => {
            return Err(BadHead { status: 411, why: "Transfer-Encoding is not taken; send a Content-Length" });
        }
        "range" => request.range_to_end = value.starts_with(b"bytes=") && value.ends_with(b"-"),
        "icy-metadata" => request.wants_titles = value.trim_ascii() == b"1",
        "expect" => request.expects_continue = value.eq_ignore_ascii_case(b"100-continue"),
        "forwarded" | "via" | "x-real-ip" => request.forwarded = true,
        _ => request.forwarded |= name.starts_with("x-forwarded"),
    }
    Ok(())
}

fn malformed(why: &'static str) -> BadHead {
    BadHead { status: 400, why }
}

fn text(value: &[u8]) -> Result<String, BadHead> {
    match std::str::from_utf8(value) {
        Ok(text) if text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') => Ok(text.to_owned()),
        _ => Err(malformed("a header that matters here holds other than printable ASCII")),
    }
}

fn body_length(value: &[u8]) -> Result<usize, BadHead> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(malformed("Content-Length is not a number"));
    }
    // All digits: what does not fit is too large.
    let bytes = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
    bytes
        .filter(|bytes| *bytes <= BODY_BYTES_MAX)
        .ok_or(BadHead { status: 413, why: "the request body is longer than 65536 bytes" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(head: &str) -> Request {
        match parse(head.as_bytes(), 0) {
            Parsed::Complete(request, len) => {
                assert_eq!(len, head.len());
                *request
            }
            other => panic!("{head:?}: {other:?}"),
        }
    }

    #[test]
    fn h7_what_players_send_is_understood() {
        let request = complete("GET /stream?t=1#x HTTP/1.1\r\nhOsT: radio.local:8000\r\nRange: bytes=0-1\r\n\r\n");
        assert_eq!((request.path.as_str(), request.query.as_deref()), ("/stream", Some("t=1")));
        assert_eq!((request.host.as_deref(), request.minor), (Some("radio.local:8000"), 1));
        for (range, to_end) in [("bytes=0-", true), ("bytes=65536-", true), ("bytes=0-1", false), ("bytes=-1", false)] {
            let request = complete(&format!("GET /stream HTTP/1.1\r\nrange: {range}\r\n\r\n"));
            assert_eq!(request.range_to_end, to_end, "{range}");
        }
        // Small radios: LF only, 1.0, no Host.
        let request = complete("GET /;stream.mp3 HTTP/1.0\nIcy-MetaData:1\n\n");
        assert_eq!((request.path.as_str(), request.minor, request.host), ("/;stream.mp3", 0, None));
        let request = complete("GET http://radio:8000/listen HTTP/1.1\r\nHost: radio:8000\r\n\r\n");
        assert_eq!(request.path, "/listen");
        assert_eq!(complete("GET http://radio HTTP/1.0\r\n\r\n").path, "/");
        assert_eq!(complete("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path, "*");
    }

    #[test]
    fn h9_heads_that_are_refused_as_a_table() {
        let post = |headers: &str| format!("POST /tower/events/ingest HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n");
        let table = [
            ("\u{16}\u{3}\u{1}".to_owned(), 400),
            ("GET stream HTTP/1.1\r\n\r\n".to_owned(), 400),
            ("GET /stre\u{e4}m HTTP/1.1\r\n\r\n".to_owned(), 400),
            ("GET /stream HTTP/2.0\r\n\r\n".to_owned(), 505),
            ("GET /stream HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), 400),
            ("GET /stream HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_owned(), 400),
            (post("Content-Length: 65537"), 413),
            (post("Content-Length: 100000000000000"), 413),
            (post("Content-Length: 18446744073709551616"), 413),
            (post("Content-Length: -1"), 400),
            (post("Content-Length: +1"), 400),
            (post("Content-Length:"), 400),
            (post("Content-Length: 5, 5"), 400),
            (post("Content-Length: 5\r\nContent-Length: 6"), 400),
            (post("Transfer-Encoding: chunked"), 411),
            (post("Content-Length: 5\r\nTransfer-Encoding: chunked"), 411),
            (post("Origin: http://\u{e4}"), 400),
            (post(&"A: b\r\n".repeat(HEADERS_MAX)), 431),
            (format!("GET /{} HTTP/1.1\r\n", "a".repeat(HEAD_BYTES_MAX)), 431),
        ];
        for (head, status) in table {
            match parse(head.as_bytes(), 0) {
                Parsed::Bad(bad) => assert_eq!(bad.status, status, "{head:?}: {}", bad.why),
                other => panic!("{head:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn h9_the_limits_themselves_are_allowed() {
        let length =
            |n: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {n}\r\nContent-Length: {n}\r\n\r\n");
        assert_eq!(complete(&length("65536")).content_length, BODY_BYTES_MAX);
        let headers = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX));
        complete(&headers);
        let filling = HEAD_BYTES_MAX - "GET / HTTP/1.1\r\nA: \r\n\r\n".len();
        complete(&format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(filling)));
    }

    #[test]
    fn h9_a_head_in_single_bytes_is_the_same_head() {
        for head in ["GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\nGET /a HTTP/1.0\nA: b\n\n"] {
            for cut in 1..head.len() {
                assert_eq!(parse(&head.as_bytes()[..cut], cut - 1), Parsed::Incomplete, "{cut} of {head:?}");
            }
            assert!(matches!(parse(head.as_bytes(), head.len() - 1), Parsed::Complete(_, len) if len == head.len()));
        }
    }

    #[test]
    fn k3_proxies_leave_their_mark() {
        for header in ["Forwarded: for=a", "Via: 1.1 b", "X-Forwarded-For: c", "x-forwarded-proto: d", "X-Real-IP: e"] {
            assert!(complete(&format!("GET / HTTP/1.1\r\n{header}\r\n\r\n")).forwarded, "{header}");
        }
        assert!(!complete("GET / HTTP/1.1\r\nHost: a\r\nX-Forward: b\r\n\r\n").forwarded);
    }

    proptest::proptest! {
        #[test]
        fn h9_no_bytes_panic_and_the_answer_keeps_within_them(bytes: Vec<u8>, seen in 0usize..64) {
            if let Parsed::Complete(request, len) = parse(&bytes, seen) {
                proptest::prop_assert!(len <= bytes.len() && request.content_length <= BODY_BYTES_MAX);
            }
        }
    }
}
