//! Playlists: one entry, the stream, under the name by which the tower was called.
//!
//! The name comes from a stranger (`Host`), so its syntax is checked and what remains is
//! harmless in each format; XML is escaped nevertheless.

use std::net::SocketAddr;

use super::reply::{Reply, one_line};

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Playlist {
    /// `.m3u`
    M3u,
    /// `.pls`
    Pls,
    /// `.xspf`
    Xspf,
}

impl Playlist {
    /// The playlist at a path.
    pub fn at(path: &str) -> Option<Self> {
        match path {
            "/stream.m3u" => Some(Self::M3u),
            "/stream.pls" => Some(Self::Pls),
            "/stream.xspf" => Some(Self::Xspf),
            _ => None,
        }
    }

    /// The playlist. `host` as the request named it; `local`: where it arrived.
    pub fn reply(self, host: Option<&str>, local: Option<SocketAddr>, station_name: &str) -> Reply {
        let name = one_line(station_name);
        let url = format!("http://{}/stream", authority(host, local));
        let (content_type, text) = match self {
            Self::M3u => ("audio/x-mpegurl", format!("#EXTM3U\r\n#EXTINF:-1,{name}\r\n{url}\r\n")),
            Self::Pls => (
                "audio/x-scpls",
                format!(
                    "[playlist]\r\nNumberOfEntries=1\r\nFile1={url}\r\nTitle1={name}\r\nLength1=-1\r\nVersion=2\r\n"
                ),
            ),
            Self::Xspf => ("application/xspf+xml", xspf(&url, &name)),
        };
        Reply::new(200, content_type, text).open_to_all()
    }
}

fn xspf(url: &str, name: &str) -> String {
    let (url, name) = (escaped(url), escaped(name));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <playlist version=\"1\" xmlns=\"http://xspf.org/ns/0/\">\n  <title>{name}</title>\n  <trackList>\n    \
         <track><location>{url}</location><title>{name}</title></track>\n  </trackList>\n</playlist>\n"
    )
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c => out.push(c),
        }
    }
    out
}

/// How the listener calls the tower: by the name in its request, if that is one, else by the address
/// where it arrived.
pub fn authority(host: Option<&str>, local: Option<SocketAddr>) -> String {
    match (host.filter(|host| is_authority(host)), local) {
        (Some(host), _) => host.to_owned(),
        (None, Some(local)) => SocketAddr::new(local.ip().to_canonical(), local.port()).to_string(),
        (None, None) => "localhost".to_owned(),
    }
}

/// A name or an address, with or without a port.
fn is_authority(host: &str) -> bool {
    let (name, port) = match (host.starts_with('['), host.rsplit_once(':')) {
        (true, _) => match host.split_once(']') {
            Some((address, rest)) => (&address[1..], rest.strip_prefix(':').unwrap_or(rest)),
            None => return false,
        },
        (false, Some((name, port))) => (name, port),
        (false, None) => (host, ""),
    };
    let name_ok = if host.starts_with('[') {
        name.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    let port_ok = port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    !name.is_empty() && name.len() <= 253 && name_ok && port_ok && !host.ends_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(playlist: Playlist, host: Option<&str>) -> String {
        let local = "[::ffff:10.1.2.3]:8000".parse().ok();
        String::from_utf8(playlist.reply(host, local, "R & B <1>").to_bytes(1, false)).expect("text")
    }

    #[test]
    fn h7_playlists_name_the_host_they_were_asked_by() {
        for (playlist, line) in [
            (Playlist::M3u, "\r\nhttp://radio.local:8000/stream\r\n"),
            (Playlist::Pls, "\r\nFile1=http://radio.local:8000/stream\r\n"),
            (Playlist::Xspf, "<location>http://radio.local:8000/stream</location><title>R &amp; B &lt;1&gt;</title>"),
        ] {
            let text = text(playlist, Some("radio.local:8000"));
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn h7_a_host_that_is_none_gives_the_local_address() {
        for host in [
            None,
            Some(""),
            Some("a b"),
            Some("a/b"),
            Some("user@a"),
            Some("a:b"),
            Some("a:"),
            Some("[::1"),
            Some("[::g]"),
            Some("[::1]x"),
            Some("<script>"),
            Some(":8000"),
        ] {
            let text = text(Playlist::M3u, host);
            assert!(text.contains("\r\nhttp://10.1.2.3:8000/stream\r\n"), "{host:?}: {text}");
        }
        assert!(text(Playlist::M3u, Some("[::1]:80")).contains("http://[::1]:80/stream"));
    }
}
