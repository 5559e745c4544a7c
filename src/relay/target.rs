//! Where the relay pushes to: `http://user:password@host:port/mount`.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};

/// A mount of an Icecast server, and who we are there. Shown without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Host name or address; an IPv6 address without its brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Begins with `/`.
    pub mount: String,
    user: String,
    password: String,
}

impl Target {
    /// Reads a URL; `None`: it is none of this form.
    pub fn parse(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("http://")?;
        let (authority, mount) = rest.split_at(rest.find('/')?);
        // A password may hold an `@`.
        let (login, place) = authority.rsplit_once('@')?;
        let (user, password) = login.split_once(':')?;
        let (host, port) = match place.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, port.strip_prefix(':'))
            }
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let port = port.map_or(Some(8000), |port| port.parse().ok().filter(|port| *port > 0))?;
        let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
        let good_host = plain(host) && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:".contains(c));
        let good_mount = plain(mount) && mount.len() > 1 && !mount.contains(['?', '#']);
        (good_host && good_mount && plain(user) && plain(password)).then(|| Self {
            host: host.into(),
            port,
            mount: mount.into(),
            user: user.into(),
            password: password.into(),
        })
    }

    /// For the header `Authorization`.
    pub fn authorization(&self) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", self.user, self.password)))
    }

    /// Host and port, as in a URL.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.mount)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relay_urls_as_a_table() {
        let good = [
            ("http://source:hackme@icecast.lan:8000/live.mp3", "http://icecast.lan:8000/live.mp3"),
            ("http://source:p@ss:w@10.0.0.1/a/b", "http://10.0.0.1:8000/a/b"),
            ("http://dj:x@[::1]:9000/m", "http://[::1]:9000/m"),
        ];
        for (url, shown) in good {
            let target = Target::parse(url).expect(url);
            assert_eq!((target.to_string().as_str(), format!("{target:?}")), (shown, format!("Target({shown})")));
        }
        let target = Target::parse("http://source:hackme@h/m").expect("good");
        assert_eq!(target.authorization(), "Basic c291cmNlOmhhY2ttZQ==");
        for url in [
            "",
            "https://source:x@h/m",
            "http://h/m",
            "http://source@h/m",
            "http://source:x@h",
            "http://source:x@h/",
            "http://source:x@h:0/m",
            "http://source:x@h:70000/m",
            "http://source:x@/m",
            "http://:x@h/m",
            "http://source:@h/m",
            "http://source:x@h/m?a",
            "http://source:x@h/m\r\nEvil: 1",
            "http://source:x@[h]/m",
        ] {
            assert_eq!(Target::parse(url), None, "{url}");
        }
    }
}
