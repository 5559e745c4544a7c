//! Where a stream is pulled from: a URL that may hold a secret.
//!
//! A login before the host, or what stands after `?`, is shown to nobody: not in the log, the status or the
//! printed configuration, nor on FFmpeg's command line, which every user of the machine may read.

use std::fmt;

/// `http://…` or `https://…`. Shown without its secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    url: String,
    /// Without login and query.
    shown: String,
}

/// Of a URL.
const BYTES_MAX: usize = 2000;

impl Source {
    /// Reads a URL; `None`: it is none of this form.
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))?;
        // What has a meaning to a list of files, which the URL may be handed over in, is percent-encoded in a URL.
        let plain = url.len() <= BYTES_MAX && url.chars().all(|c| c.is_ascii_graphic() && !"'\\\"<>".contains(c));
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        // A password may hold an `@`.
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        if !plain || !is_place(place) || path.contains('#') {
            return None;
        }
        let path = path.split('?').next().unwrap_or(path);
        Some(Self { url: url.to_owned(), shown: format!("{scheme}://{place}{path}") })
    }

    /// As FFmpeg is to open it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// It must not stand where others can read it.
    pub fn has_secret(&self) -> bool {
        self.url != self.shown
    }

    /// A text of FFmpeg's, which likes to quote the URL, without the secrets.
    pub fn redact(&self, text: &str) -> String {
        let text = text.replace(&self.url, &self.shown);
        let login = self.url.split_once("://").and_then(|(_, rest)| rest.split('/').next()?.rsplit_once('@'));
        let query = self.url.split_once('?').map(|(_, query)| query);
        let secrets = login.map(|(login, _)| login).into_iter().chain(query).filter(|secret| !secret.is_empty());
        secrets.fold(text, |text, secret| text.replace(secret, "…"))
    }
}

/// A host and perhaps a port.
fn is_place(place: &str) -> bool {
    let (host, port) = match place.strip_prefix('[') {
        Some(v6) => match v6.split_once(']') {
            Some((host, rest)) if host.parse::<std::net::Ipv6Addr>().is_ok() => {
                ("v6", rest.strip_prefix(':').or(if rest.is_empty() { None } else { Some("") }))
            }
            _ => return false,
        },
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let good_host =
        (1..=253).contains(&host.len()) && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
    good_host && port.is_none_or(|port| digits(port) && port.parse::<u16>().is_ok_and(|port| port > 0))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_urls_as_a_table() {
        let good = [
            ("http://radio.example/stream", "http://radio.example/stream", false),
            ("https://radio.example:8443/a/b.mp3", "https://radio.example:8443/a/b.mp3", false),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000", false),
            ("http://[::1]:8000/live", "http://[::1]:8000/live", false),
            ("http://[::1]/live", "http://[::1]/live", false),
            ("http://me:p@ss@radio.example/x", "http://radio.example/x", true),
            ("http://radio.example/x?token=abc", "http://radio.example/x", true),
            ("http://radio.example?token=abc", "http://radio.example", true),
        ];
        for (url, shown, secret) in good {
            let source = Source::parse(url).expect(url);
            assert_eq!((source.to_string().as_str(), source.url(), source.has_secret()), (shown, url, secret));
            assert_eq!(format!("{source:?}"), format!("Source({shown})"));
        }
        for url in [
            "",
            "radio.example/stream",
            "ftp://radio.example/x",
            "file:///etc/passwd",
            "http://",
            "http:///x",
            "http://radio.example:0/x",
            "http://radio.example:70000/x",
            "http://radio.example:/x",
            "http://[::1/x",
            "http://[::1]8000/x",
            "http://[radio]/x",
            "http://radio.example/a b",
            "http://radio.example/a'b",
            "http://radio.example/x\nfile evil",
            "http://rädio.example/x",
            "http://radio.example/x#y",
        ] {
            assert_eq!(Source::parse(url), None, "{url}");
        }
        assert_eq!(Source::parse(&format!("http://h/{}", "x".repeat(BYTES_MAX))), None);
    }

    #[test]
    fn pull_secrets_are_in_no_words_of_ffmpegs() {
        let source = Source::parse("http://me:hackme@radio.example/x?token=abc").expect("a source");
        let said =
            source.redact("http://me:hackme@radio.example/x?token=abc: Server returned 404; token=abc, me:hackme");
        assert_eq!(said, "http://radio.example/x: Server returned 404; …, …");
    }
}
