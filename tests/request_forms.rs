//! Every form in which a player is known to ask for the stream, as bytes on a socket: each row names
//! the player or the habit, and what is asked of the answer is the same for all.
//!
//! What is shown elsewhere is not shown here again: paths and pipelining, half-close after the head
//! (`door_stream`), slow readers (`listener_slow`), slow and endless heads (`door_limits`), `?burst=`
//! and `?metaint=` (`stream_start`), heads in single bytes and those that are refused (`door/head.rs`).

mod door_rig;
#[path = "common/icy.rs"]
mod icy;

use std::{
    io::{Read, Write},
    net::{Ipv6Addr, Shutdown, TcpStream},
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use door_rig::*;
use icy::{Icy, read_for};
use retrowaves::{pump::selector::Source, sys::socket::reset_on_close};

/// A rig that has two seconds to give at once, so that no row waits for a tick.
fn rig() -> Rig {
    let rig = Rig::start_with(|config| config.stream.burst_ms = 2000);
    wait_until("a burst is there", Duration::from_secs(5), || rig.listeners.frames_on_air.get() > 20);
    rig
}

/// Sends `request` and reads the head of the answer; the audio follows.
fn ask(rig: &Rig, request: &[u8]) -> (TcpStream, String) {
    let mut stream = rig.connect();
    stream.write_all(request).expect("sent");
    let head = read_head(&mut stream);
    (stream, head)
}

/// The answer in full: every header of it and no other, so that none is forgotten and none slips in,
/// `Content-Length`, `Transfer-Encoding` and `Location` above all.
fn stream_head(minor: u8, home: &str, metaint: Option<u32>) -> String {
    let metaint = metaint.map(|bytes| format!("icy-metaint: {bytes}\r\n")).unwrap_or_default();
    format!(
        "HTTP/1.{minor} 200 OK\r\n\
         Content-Type: audio/mpeg\r\n\
         icy-name: Retrowaves\r\n\
         icy-genre: Various\r\n\
         icy-url: http://{home}/\r\n\
         icy-br: 128\r\n\
         icy-pub: 0\r\n\
         {metaint}\
         ice-audio-info: channels=2;samplerate=48000;bitrate=128\r\n\
         Accept-Ranges: none\r\n\
         Cache-Control: no-cache, no-store\r\n\
         Pragma: no-cache\r\n\
         Expires: Mon, 26 Jul 1997 05:00:00 GMT\r\n\
         Access-Control-Allow-Origin: *\r\n\
         Access-Control-Expose-Headers: icy-metaint, icy-br, icy-name, icy-genre, icy-url\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Connection: close\r\n\r\n"
    )
}

/// Frames come, whole and in order, and more of them than the burst holds.
fn assert_plays(name: &str, stream: &mut TcpStream) {
    let numbers = numbers(&read_frames(stream, 12));
    assert!(numbers.len() >= 10, "{name}: fillers instead of frames");
    assert_gapless(&numbers);
}

const TITLES: Option<u32> = Some(16_000);

/// Who, in which version, with titles or without; the request.
type Form = (&'static str, u8, Option<u32>, &'static str);

#[rustfmt::skip] // a table reads as a table
const FORMS: &[Form] = &[
    // Range: there is nothing to seek in, so it is 200 from live and never 206 or 416 (a 206 broke
    // Firefox and lost iOS its titles in icecast-kh; Apple asks for two bytes first, then for all).
    ("Safari's probe", 1, None, "GET /stream HTTP/1.1\r\nHost: radio.local\r\nX-Playback-Session-Id: 5A1B\r\nRange: bytes=0-1\r\nAccept: */*\r\nAccept-Encoding: identity\r\nConnection: keep-alive\r\n\r\n"),
    ("Safari after its probe", 1, None, "GET /stream HTTP/1.1\r\nHost: radio.local\r\nX-Playback-Session-Id: 5A1B\r\nRange: bytes=0-\r\nAccept: */*\r\nAccept-Encoding: identity\r\nConnection: keep-alive\r\n\r\n"),
    ("AVPlayer on an iPhone", 1, TITLES, "GET /stream HTTP/1.1\r\nHost: radio.local\r\nicy-metadata: 1\r\nRange: bytes=0-1\r\nUser-Agent: AppleCoreMedia/1.0.0 (iPhone; U; CPU OS 18_0 like Mac OS X)\r\n\r\n"),
    ("Chromium's <audio>, a page's", 1, None, "GET /stream HTTP/1.1\r\nHost: radio.local:8000\r\nConnection: keep-alive\r\nsec-ch-ua-platform: \"Linux\"\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r\nsec-ch-ua: \"Not:A-Brand\";v=\"8\", \"Chromium\";v=\"156\"\r\nsec-ch-ua-mobile: ?0\r\nAccept: */*\r\nOrigin: http://page.example\r\nSec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: audio\r\nReferer: http://page.example/\r\nAccept-Encoding: identity\r\nAccept-Language: en-US,en;q=0.9\r\nRange: bytes=0-\r\n\r\n"),
    ("Firefox's <audio>", 1, None, "GET /stream HTTP/1.1\r\nHost: radio.local:8000\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0\r\nAccept: audio/webm,audio/ogg,audio/wav,audio/*;q=0.9,application/ogg;q=0.7,video/*;q=0.6,*/*;q=0.5\r\nAccept-Language: en-US,en;q=0.9\r\nRange: bytes=0-\r\nOrigin: http://page.example\r\nConnection: keep-alive\r\nReferer: http://page.example/\r\nSec-Fetch-Dest: audio\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-site\r\nAccept-Encoding: identity\r\nPriority: u=4\r\n\r\n"),
    ("a page's reader of titles", 1, TITLES, "GET /stream HTTP/1.1\r\nHost: radio.local:8000\r\nConnection: keep-alive\r\nIcy-MetaData: 1\r\nAccept: */*\r\nOrigin: http://page.example\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\r\n"),
    ("a page opened in the address bar", 1, None, "GET /stream HTTP/1.1\r\nHost: radio.local\r\nUpgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nCookie: a=b\r\nIf-None-Match: \"x\"\r\nIf-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT\r\n\r\n"),
    ("a player that goes on where it was cut off", 1, None, "GET /stream HTTP/1.1\r\nHost: radio.local\r\nRange: bytes=1234567-\r\nIf-Range: \"x\"\r\n\r\n"),
    ("the last bytes of what has no end", 1, None, "GET /stream HTTP/1.1\r\nHost: radio.local\r\nRange: bytes=-128\r\n\r\n"),
    ("a range that is none", 1, None, "GET /stream HTTP/1.1\r\nHost: radio.local\r\nRange: bytes=5-2,x\r\n\r\n"),
    ("a range and titles together", 1, TITLES, "GET /stream HTTP/1.1\r\nHost: radio.local\r\nRange: bytes=0-\r\nIcy-MetaData: 1\r\n\r\n"),
    // Players, as they were seen to ask.
    ("VLC looks what it is", 1, None, "GET /stream HTTP/1.1\r\nHost: radio.local:8000\r\nAccept: */*\r\nAccept-Language: en_US\r\nUser-Agent: VLC/3.0.24 LibVLC/3.0.24\r\nRange: bytes=0-\r\n\r\n"),
    ("VLC has found that it is a radio", 0, TITLES, "GET /stream HTTP/1.0\r\nHost: radio.local:8000\r\nUser-Agent: VLC/3.0.24 LibVLC/3.0.24\r\nIcy-MetaData: 1\r\n\r\n"),
    ("FFmpeg, mpv", 1, TITLES, "GET /stream HTTP/1.1\r\nUser-Agent: Lavf/59.27.100\r\nAccept: */*\r\nRange: bytes=0-\r\nConnection: close\r\nHost: radio.local:8000\r\nIcy-MetaData: 1\r\n\r\n"),
    ("MPD", 1, TITLES, "GET /stream HTTP/1.1\r\nHost: radio.local:8000\r\nUser-Agent: Music Player Daemon 0.23.12\r\nAccept: */*\r\nIcy-Metadata: 1\r\n\r\n"),
    ("GStreamer", 1, TITLES, "GET /stream HTTP/1.1\r\nHost: radio.local:8000\r\nUser-Agent: GStreamer souphttpsrc 1.22.0 libsoup/2.74.3\r\nicy-metadata: 1\r\nAccept-Encoding: identity\r\nConnection: Keep-Alive\r\n\r\n"),
    ("mpg123", 0, TITLES, "GET /stream HTTP/1.0\r\nUser-Agent: mpg123/1.31.2\r\nHost: radio.local:8000\r\nIcy-MetaData: 1\r\nAccept: audio/mpeg, audio/x-mpeg, audio/mp3, audio/x-mp3, audio/mpeg3, audio/x-mpeg3, audio/mpg, audio/x-mpg, audio/x-mpegaudio, application/octet-stream, audio/mpegurl, audio/mpeg-url, audio/x-mpegurl, audio/x-scpls, audio/scpls, application/pls, application/x-scpls, application/pls+xml, */*\r\n\r\n"),
    // As others have told.
    ("Sonos", 1, TITLES, "GET /stream.mp3 HTTP/1.1\r\nUser-Agent: Linux UPnP/1.0 Sonos/80.1 (ZPS1)\r\nHost: radio.local\r\nIcy-MetaData: 1\r\ngetcontentFeatures.dlna.org: 1\r\nConnection: close\r\n\r\n"),
    ("Winamp", 0, TITLES, "GET /; HTTP/1.0\r\nHost: radio.local\r\nUser-Agent: WinampMPEG/5.66, Ultravox/2.1\r\nUltravox-transport-type: TCP\r\nAccept: */*\r\nIcy-MetaData: 1\r\nConnection: close\r\n\r\n"),
    // Small radios: 1.0, no Host, no CR, any case, nothing but the first line.
    ("HTTP/1.0 and nothing else", 0, None, "GET /stream HTTP/1.0\r\n\r\n"),
    ("1.0 with titles, lines ended by LF", 0, TITLES, "GET /stream HTTP/1.0\nIcy-MetaData:1\n\n"),
    ("1.1 without a Host", 1, None, "GET /stream HTTP/1.1\r\n\r\n"),
    ("1.1, lines ended by LF", 1, TITLES, "GET /stream HTTP/1.1\nHost: radio.local\nIcy-MetaData: 1\n\n"),
    ("both line ends in one head", 1, TITLES, "GET /stream HTTP/1.1\r\nHost: radio.local\nIcy-MetaData: 1\r\n\n"),
    ("an empty line first", 1, None, "\r\nGET /stream HTTP/1.1\r\nHost: radio.local\r\n\r\n"),
    ("odd case and blanks", 1, TITLES, "GET /stream HTTP/1.1\r\nhOST:radio.local\r\nICY-METADATA:  \t1 \t\r\n\r\n"),
    ("titles asked for twice", 1, TITLES, "GET /stream HTTP/1.1\r\nHost: a\r\nIcy-MetaData: 1\r\nIcy-MetaData: 1\r\n\r\n"),
    ("titles declined", 1, None, "GET /stream HTTP/1.1\r\nHost: a\r\nIcy-MetaData: 0\r\n\r\n"),
    ("titles asked for by another word", 1, None, "GET /stream HTTP/1.1\r\nHost: a\r\nIcy-MetaData: yes\r\n\r\n"),
    // What belongs to other ways of HTTP must not disturb: the answer is the same plain one.
    ("a connection to be kept", 0, None, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\nKeep-Alive: 300\r\n\r\n"),
    ("a wish for 100 Continue", 1, None, "GET /stream HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"),
    ("trailers, compression", 1, None, "GET /stream HTTP/1.1\r\nHost: a\r\nTE: trailers, deflate\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n"),
    ("an upgrade to HTTP/2", 1, None, "GET /stream HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"),
    ("an upgrade to WebSocket", 1, None, "GET /stream HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
    ("an empty body", 1, None, "GET /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
    ("an Accept that excludes us", 1, None, "GET /stream HTTP/1.1\r\nHost: a\r\nAccept: video/mp4\r\n\r\n"),
    ("a name and password nobody asked for", 1, None, "GET /stream HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YTpi\r\n\r\n"),
    ("by way of a proxy", 1, None, "GET /stream HTTP/1.1\r\nHost: a\r\nVia: 1.1 proxy\r\nX-Forwarded-For: 10.1.2.3\r\n\r\n"),
    ("a whole URL, as to a proxy", 1, None, "GET http://radio.local:8000/stream HTTP/1.1\r\nHost: radio.local:8000\r\n\r\n"),
    ("a whole URL, its scheme in capitals", 0, None, "GET HTTP://radio.local/stream?x HTTP/1.0\r\n\r\n"),
    // Paths: players append what makes them believe that it is MP3, or what defeats a cache.
    ("SHOUTcast's own pages", 1, None, "GET /;?type=http&nocache=7 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("Flash players", 1, None, "GET /;stream.nsv&type=mp3 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("another way to say the same", 0, TITLES, "GET /;stream/1 HTTP/1.0\r\nIcy-MetaData:1\r\n\r\n"),
    ("a page's kick after a pause", 1, None, "GET /stream?t=1764230400123 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a query of anything", 1, None, "GET /stream?&&=;/../%00%zz?x HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a query that is empty", 1, None, "GET /stream? HTTP/1.1\r\nHost: a\r\n\r\n"),
    // What others offer and we do not: more than 6 s at once (Google Cast's first fill), a length that is made
    // up, SHOUTcast's `ICY 200 OK`. Who asks is served as anyone.
    ("a longer burst than there is", 1, None, "GET /stream?burst=24 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a length that is not there", 1, None, "GET /stream?len=fake HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("the status line of SHOUTcast", 0, None, "GET /stream?icy=1 HTTP/1.0\r\n\r\n"),
];

/// What `icy-url` leads to: the name by which the tower was called, or its address.
fn home(request: &str, rig: &Rig) -> String {
    let host = request.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim().to_owned())
    });
    host.unwrap_or_else(|| rig.address.to_string())
}

/// Each form gets the same head, to the byte, and then the audio.
#[test]
fn h7_every_form_of_request_that_is_known_plays() {
    let rig = rig();
    for (name, minor, metaint, request) in FORMS {
        let (mut stream, head) = ask(&rig, request.as_bytes());
        assert_eq!(head, stream_head(*minor, &home(request, &rig), *metaint), "{name}");
        assert_plays(name, &mut stream);
    }
    assert_eq!((rig.listeners.total.get(), rig.listeners.bad_requests.get()), (FORMS.len() as u64, 0));
    // Letters that are no ASCII, in headers that do not matter here: an old radio's Latin-1.
    let (mut stream, _) =
        ask(&rig, b"GET /stream HTTP/1.0\r\nUser-Agent: K\xfcchenradio\r\nX-Name: \xe2\x82\xac\r\n\r\n");
    assert_plays("Latin-1", &mut stream);
}

/// Apple's pair as it happens: two bytes are wanted, taken, and the connection thrown away; then the stream.
/// The same connection serves whoever stays on it.
#[test]
fn h7_apples_probe_and_what_follows_it_both_get_the_stream() {
    let rig = rig();
    for _ in 0..3 {
        let (mut probe, head) = ask(&rig, b"GET /stream HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let mut two = [0; 2];
        probe.read_exact(&mut two).expect("two bytes");
        assert_eq!(two, [0xff, 0xfb], "a frame header");
        let (mut stream, _) = ask(&rig, b"GET /stream HTTP/1.1\r\nHost: a\r\nRange: bytes=0-\r\n\r\n");
        drop(probe);
        assert_plays("after the probe", &mut stream);
    }
    wait_until("all have left", Duration::from_secs(1), || rig.listeners.now.get() == 0);
    assert_eq!(rig.listeners.dropped_slow.get(), 0);
}

/// HEAD is the same head and nothing after it, with titles or without, in both versions.
#[test]
fn h7_head_is_the_head_of_the_stream_and_no_more() {
    let rig = Rig::start();
    for path in ["/stream", "/stream.mp3", "/listen", "/live", "/;", "/;stream.mp3"] {
        let reply = rig.ask(&format!("HEAD {path} HTTP/1.1\r\nHost: kodi\r\nRange: bytes=0-\r\n\r\n"));
        assert_eq!(reply, stream_head(1, "kodi", None), "{path}");
    }
    let reply = rig.ask("HEAD /stream HTTP/1.0\nIcy-MetaData: 1\n\n");
    assert_eq!(reply, stream_head(0, &rig.address.to_string(), TITLES));
    assert_eq!(rig.listeners.total.get(), 0, "nobody was counted");
}

/// What a page's player asks before it may ask for titles.
#[test]
fn h7_a_pages_preflight_is_allowed_what_players_need() {
    let rig = Rig::start();
    for path in ["/stream", "/;", "/stream.m3u"] {
        let reply = rig.ask(&format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: radio.local\r\nOrigin: https://page.example\r\n\
             Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: icy-metadata,range\r\n\r\n"
        ));
        assert_eq!(
            reply,
            "HTTP/1.1 204 No Content\r\n\
             Access-Control-Allow-Origin: *\r\n\
             Allow: GET, HEAD, OPTIONS\r\n\
             Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n\
             Access-Control-Allow-Headers: Range, Icy-MetaData, Origin, Accept\r\n\
             Access-Control-Max-Age: 86400\r\n\
             Cache-Control: no-cache, no-store\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Connection: close\r\n\r\n",
            "{path}"
        );
    }
}

/// Anything else than reading is told what is allowed, in a small answer, and the connection ends.
#[test]
fn h7_other_methods_are_405_and_other_protocols_are_told_so() {
    let rig = Rig::start();
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "SOURCE", "PROPFIND", "get", "X"] {
        for path in ["/stream", "/;stream.mp3", "/stream.pls"] {
            let reply = rig.ask(&format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert!(
                status_of(&reply) == 405 && reply.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n"),
                "{method} {reply}"
            );
            assert!(body_json(&reply)["error"].is_string());
        }
    }
    // A browser that tries https first has to learn at once that this is none.
    let began = Instant::now();
    for (bytes, status) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"SOURCE /stream ICE/1.0\r\n\r\n", 505),
        (b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", 505),
    ] {
        let mut stream = rig.connect();
        stream.write_all(bytes).expect("sent");
        assert_eq!(status_of(&read_to_end(&mut stream)), status, "{bytes:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

/// The last place is taken: everyone is told so, in little, and when to come again; a page may read it.
#[test]
fn h7_at_the_limit_every_form_gets_503_and_when_to_come_again() {
    let rig = Rig::start_with(|config| config.stream.max_clients = 1);
    let mut only = rig.listen();
    for request in [
        "GET /stream HTTP/1.1\r\nHost: a\r\nIcy-MetaData: 1\r\nRange: bytes=0-1\r\n\r\n",
        "GET /live HTTP/1.0\n\n",
        "GET /; HTTP/1.1\r\n\r\n",
    ] {
        let reply = rig.ask(request);
        assert!(status_of(&reply) == 503 && reply.contains("\r\nRetry-After: 10\r\n"), "{reply}");
        assert!(reply.contains("\r\nAccess-Control-Allow-Origin: *\r\n") && !reply.contains("icy-"), "{reply}");
        assert!(reply.len() < 512 && body_json(&reply)["error"].is_string(), "{reply}");
    }
    assert_eq!(status_of(&rig.ask("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n")), 200, "HEAD needs no place");
    assert_eq!(status_of(&rig.ask("GET /stream.pls HTTP/1.1\r\nHost: a\r\n\r\n")), 200);
    assert_plays("who was there", &mut only);
}

/// Each format: its type, one entry, and the name by which it was asked. That name is checked for its form and not
/// against `control.hosts`: the stream is open under every name that leads here (a router's, a proxy's),
/// the answer goes to nobody but who sent the name, and no cache may keep it.
#[test]
fn h7_playlists_name_the_tower_as_it_was_called_and_nothing_else() {
    let rig = Rig::start();
    let at = rig.address.to_string();
    let formats = [
        (".m3u", "audio/x-mpegurl", "#EXTM3U\r\n#EXTINF:-1,Retrowaves\r\n{}\r\n"),
        (
            ".pls",
            "audio/x-scpls",
            "[playlist]\r\nNumberOfEntries=1\r\nFile1={}\r\nTitle1=Retrowaves\r\nLength1=-1\r\nVersion=2\r\n",
        ),
        (
            ".xspf",
            "application/xspf+xml",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<playlist version=\"1\" xmlns=\"http://xspf.org/ns/0/\">\n  \
             <title>Retrowaves</title>\n  <trackList>\n    \
             <track><location>{}</location><title>Retrowaves</title></track>\n  </trackList>\n</playlist>\n",
        ),
    ];
    for (ending, content_type, text) in formats {
        for (ask, host) in [
            ("HTTP/1.1\r\nHost: radio.example.org:8000\r\n\r\n", "radio.example.org:8000"),
            ("HTTP/1.1\nhost:192.168.1.7\n\n", "192.168.1.7"),
            ("HTTP/1.0\r\n\r\n", at.as_str()),
            ("HTTP/1.1\r\nHost: a\"><script>\r\n\r\n", at.as_str()),
        ] {
            let reply = rig.ask(&format!("GET /stream{ending}?x=1 {ask}"));
            let (head, body) = reply.split_once("\r\n\r\n").expect("a reply");
            assert!(
                head.contains(" 200 OK\r\n") && head.contains(&format!("Content-Type: {content_type}\r\n")),
                "{head}"
            );
            assert!(head.contains("\r\nCache-Control: no-cache, no-store"), "{head}");
            assert!(head.contains("\r\nAccess-Control-Allow-Origin: *"), "{head}");
            assert_eq!(body, text.replace("{}", &format!("http://{host}/stream")), "{ask}");
        }
        let reply = rig.ask(&format!("HEAD /stream{ending} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(status_of(&reply) == 200 && reply.ends_with("\r\n\r\n"), "{reply}");
    }
}

/// Many simple players say all they have to say and close their side, some together with the request.
#[test]
fn h7_who_closes_the_sending_side_at_once_is_served_all_the_same() {
    let rig = rig();
    for request in ["GET /stream HTTP/1.0\n\n", "GET /stream HTTP/1.1\r\nHost: a\r\nIcy-MetaData: 1\r\n\r\n"] {
        let mut stream = rig.connect();
        stream.write_all(request.as_bytes()).expect("sent");
        stream.shutdown(Shutdown::Write).expect("half-closed");
        read_head(&mut stream);
        // Longer than the burst, the batch, and any look at who has left.
        let bytes = read_frames(&mut stream, 41);
        assert_gapless(&numbers(&bytes));
    }
    for (request, status) in [
        ("HEAD /stream HTTP/1.0\n\n", 200),
        ("GET /stream.m3u HTTP/1.0\r\n\r\n", 200),
        ("GET /tower/buffer HTTP/1.0\r\n\r\n", 200),
        ("GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        ("BAD\n\n", 400),
    ] {
        let mut stream = rig.connect();
        stream.write_all(request.as_bytes()).expect("sent");
        stream.shutdown(Shutdown::Write).expect("half-closed");
        assert_eq!(status_of(&read_to_end(&mut stream)), status, "{request}");
    }
}

/// A head in pieces, as slow or encrypted links cut it; one that keeps talking is not listened to.
#[test]
fn h7_a_head_in_pieces_and_a_client_that_goes_on_sending() {
    let rig = rig();
    let mut stream = rig.connect();
    stream.set_nodelay(true).expect("at once");
    for piece in ["GE", "T /stream HT", "TP/1.1\r", "\nHost: a\r\nIcy-MetaData", ": 1\r\n\r", "\n"] {
        stream.write_all(piece.as_bytes()).expect("sent");
        std::thread::sleep(Duration::from_millis(15));
    }
    assert_eq!(read_head(&mut stream), stream_head(1, "a", TITLES));
    // As much as the kernel takes: the tower reads none of it, and owes nothing for it.
    stream.set_nonblocking(true).expect("without waiting");
    let request = b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    let mut sent = 0;
    while let Ok(bytes) = stream.write(&request) {
        sent += bytes;
    }
    assert!(sent > 100_000, "{sent} bytes");
    stream.set_nonblocking(false).expect("waiting");
    assert_plays("who goes on sending", &mut stream);
    assert_eq!(rig.listeners.now.get(), 1);
}

/// A player that is switched off in mid-stream resets the connection; so does one before its head is read.
#[test]
fn h7_a_reset_costs_the_others_nothing() {
    let rig = rig();
    let mut other = rig.listen();
    for _ in 0..20 {
        let (stream, _) = ask(&rig, b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
        reset_on_close(&stream).expect("by a reset");
        drop(stream);
        let mut stream = rig.connect();
        stream.write_all(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        reset_on_close(&stream).expect("by a reset");
    }
    wait_until("they have left", Duration::from_secs(1), || rig.listeners.now.get() == 1);
    assert_gapless(&numbers(&read_frames(&mut other, 60)));
    assert_eq!(rig.listeners.dropped_slow.get(), 0, "nobody was slow");
}

/// The largest block that can come: artist and title of 256 letters, four bytes each, in an interval that
/// is smaller than the block. The audio around it is whole.
#[test]
fn h7_h6_the_biggest_title_comes_whole_and_the_audio_with_it() {
    let rig = rig();
    rig.pump.on_air.store(Source::Station as u8, SeqCst);
    let (mut stream, head) = ask(&rig, b"GET /stream?metaint=1024&burst=0 HTTP/1.0\nIcy-MetaData: 1\n\n");
    assert!(head.contains("\r\nicy-metaint: 1024\r\n"), "{head}");
    let mut bytes = read_for(&mut stream, Duration::from_millis(200));
    rig.say(&serde_json::json!({"artist": "🎷".repeat(300), "title": "🎺".repeat(300)}));
    bytes.extend(read_for(&mut stream, Duration::from_millis(400)));
    let icy = Icy::of(&bytes, 1024);
    let told = &icy.titles.last().expect("a title").1;
    assert_eq!(*told, format!("StreamTitle='{} - {}';", "🎷".repeat(256), "🎺".repeat(256)));
    assert!(told.len() > 2048, "larger than two intervals");
    let whole = icy.audio.len() / FRAME_BYTES * FRAME_BYTES;
    assert_gapless(&numbers(&icy.audio[..whole]));
}

/// By IPv6 as by IPv4; a playlist then names the address in brackets.
#[test]
fn h7_by_ipv6_as_by_ipv4() {
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("not tried: this machine has no IPv6");
        return;
    }
    let rig = rig();
    let port = rig.address.port();
    let ask = |request: &str| {
        let mut stream = TcpStream::connect((Ipv6Addr::LOCALHOST, port)).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
        stream.write_all(request.as_bytes()).expect("sent");
        stream
    };
    let mut stream = ask("GET /stream HTTP/1.0\r\n\r\n");
    assert_eq!(read_head(&mut stream), stream_head(0, &format!("[::1]:{port}"), None));
    assert_plays("IPv6", &mut stream);
    for request in [
        "GET /stream.m3u HTTP/1.0\r\n\r\n".to_owned(),
        format!("GET /stream.m3u HTTP/1.1\r\nHost: [::1]:{port}\r\n\r\n"),
    ] {
        let reply = read_to_end(&mut ask(&request));
        assert!(reply.ends_with(&format!("\r\nhttp://[::1]:{port}/stream\r\n")), "{reply}");
    }
}
