//! Which request is answered how. Pure.

use super::{head::Request, playlist::Playlist, reply::Reply};

/// What happens to a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// It becomes a listener.
    Listen,
    /// The head of the stream, and no stream.
    StreamHead,
    /// What browsers ask before they play.
    StreamOptions,
    /// A playlist with the stream's address.
    Playlist(Playlist),
    /// The station queue's filling.
    Buffer,
    /// It is told what happens.
    Events,
    /// For the control plane.
    Relay,
    /// Answered at once.
    Refuse(Reply),
}

/// Where the stream is found; with any query.
const STREAM_PATHS: [&str; 4] = ["/stream", "/stream.mp3", "/listen", "/live"];
/// So begins it for SHOUTcast's players; what follows, such as `stream.mp3`, is for themselves.
const SHOUTCAST: &str = "/;";
const READING: [&str; 2] = ["GET", "HEAD"];

/// Finds the route of a request.
pub fn route(request: &Request) -> Route {
    let method = request.method.as_str();
    if STREAM_PATHS.contains(&request.path.as_str()) || request.path.starts_with(SHOUTCAST) {
        return match method {
            "GET" => Route::Listen,
            "HEAD" => Route::StreamHead,
            "OPTIONS" => Route::StreamOptions,
            _ => not_allowed("GET, HEAD, OPTIONS"),
        };
    }
    if let Some(playlist) = Playlist::at(&request.path) {
        return match method {
            _ if READING.contains(&method) => Route::Playlist(playlist),
            "OPTIONS" => Route::StreamOptions,
            _ => not_allowed("GET, HEAD, OPTIONS"),
        };
    }
    if request.path == "/tower/buffer" {
        return if READING.contains(&method) { Route::Buffer } else { not_allowed("GET, HEAD") };
    }
    if request.path == "/events" && method == "GET" {
        return Route::Events;
    }
    if request.path == "/events" {
        return not_allowed("GET");
    }
    if request.minor >= 1 && request.host.is_none() {
        return Route::Refuse(Reply::error(400, "an HTTP/1.1 request needs a Host header"));
    }
    if request.path.contains("/../") || !request.path.starts_with('/') {
        return Route::Refuse(Reply::error(400, "the request target is not a plain path"));
    }
    Route::Relay
}

fn not_allowed(allow: &'static str) -> Route {
    Route::Refuse(Reply::error(405, &format!("here is allowed only: {allow}")).with("Allow", allow))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str) -> Request {
        Request { method: method.into(), path: path.into(), minor: 1, host: Some("radio".into()), ..Request::default() }
    }

    #[test]
    fn h1_h7_h8_routes_as_a_table() {
        for path in STREAM_PATHS.into_iter().chain(["/;", "/;stream.mp3", "/;stream.nsv", "/;/../x"]) {
            assert_eq!(route(&request("GET", path)), Route::Listen);
            assert_eq!(route(&request("HEAD", path)), Route::StreamHead);
            assert_eq!(route(&request("OPTIONS", path)), Route::StreamOptions);
        }
        let table = [
            ("GET", "/stream.m3u", Route::Playlist(Playlist::M3u)),
            ("HEAD", "/stream.pls", Route::Playlist(Playlist::Pls)),
            ("GET", "/stream.xspf", Route::Playlist(Playlist::Xspf)),
            ("GET", "/tower/buffer", Route::Buffer),
            ("GET", "/events", Route::Events),
            ("HEAD", "/tower/buffer", Route::Buffer),
            ("GET", "/", Route::Relay),
            ("GET", "/stream/", Route::Relay),
            ("GET", "/status", Route::Relay),
            ("POST", "/tower/events/ingest", Route::Relay),
        ];
        for (method, path, expected) in table {
            assert_eq!(route(&request(method, path)), expected, "{method} {path}");
        }
    }

    #[test]
    fn h7_other_methods_are_told_which_are_allowed() {
        for path in ["/stream", "/stream.pls", "/tower/buffer", "/events"] {
            let Route::Refuse(reply) = route(&request("PUT", path)) else {
                panic!("{path}");
            };
            let text = String::from_utf8(reply.to_bytes(1, false)).expect("text");
            assert!(text.starts_with("HTTP/1.1 405 ") && text.contains("\r\nAllow: GET"), "{text}");
        }
    }

    #[test]
    fn h8_a_relayed_request_has_a_host_if_it_is_of_version_1_1() {
        let mut request = request("GET", "/status");
        request.host = None;
        assert!(matches!(route(&request), Route::Refuse(reply) if reply.status == 400));
        request.minor = 0;
        assert_eq!(route(&request), Route::Relay);
        request.minor = 1;
        request.path = "/stream".into();
        assert_eq!(route(&request), Route::Listen, "radios are forgiven");
    }
}
