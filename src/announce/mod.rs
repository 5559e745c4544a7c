//! Found on the LAN: the tower says by mDNS where its stream is (`_http._tcp`), where nothing else on this machine speaks mDNS.
//!
//! What speaks mDNS takes apart what anybody on the network sends, and in a release a panic ends the program. So it is a
//! process of its own (`responder`, by the crate `mdns-sd`), as the reader of tags is: nice, and not missed when it dies.
//! The thread `tower:announce` starts it, logs what it says, and starts it again a minute later. It touches nothing else
//! of the tower's.
//!
//! Where UDP port 5353 is taken, avahi-daemon, systemd-resolved or a program like them answers for this machine: two that
//! answer for one machine contradict each other. Then it is left to them, and that is said once; `docs/install.md` says how they
//! are told. A door that is open on loopback only is not announced either: nobody could come through it.

mod responder;
mod thread;

pub use responder::{ARGUMENT, serve_if_asked};
pub use thread::{AnnounceHandle, start};

use std::net::IpAddr;

/// What is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// As it is shown: the stream's name.
    pub name: String,
    /// Where the door is.
    pub port: u16,
    /// The addresses at which it is open.
    pub at: At,
}

/// Where a door is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// On every address.
    Every,
    /// On every IPv4 address.
    EveryV4,
    /// On one.
    One(IpAddr),
}

/// A label of DNS.
const LABEL_BYTES_MAX: usize = 63;

impl Announced {
    /// What there is to announce of a door at `host`; `None`: it is open to this machine only.
    pub fn of(name: &str, host: IpAddr, port: u16) -> Option<Self> {
        let at = match host {
            IpAddr::V4(v4) if v4.is_unspecified() => At::EveryV4,
            IpAddr::V6(v6) if v6.is_unspecified() => At::Every,
            one if one.is_loopback() => return None,
            one => At::One(one),
        };
        Some(Self { name: label(name), port, at })
    }
}

/// A name as it fits into a label: whole characters, at most 63 bytes.
fn label(name: &str) -> String {
    let end = (0..=name.len().min(LABEL_BYTES_MAX)).rev().find(|at| name.is_char_boundary(*at));
    name[..end.unwrap_or(0)].trim().to_owned()
}

/// The first part of this machine's name, as a host below `.local.`
fn host_name(hostname: &str) -> String {
    let short: String = hostname
        .split('.')
        .next()
        .unwrap_or("")
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(LABEL_BYTES_MAX)
        .collect();
    let short = short.trim_matches('-');
    format!("{}.local.", if short.is_empty() { "retrowaves" } else { short })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w3_only_a_door_that_is_open_to_the_network_is_announced() {
        let at = |host: &str| Announced::of("Radio", host.parse().expect("an address"), 8000).map(|it| it.at);
        let one = "192.168.1.7".parse().expect("an address");
        let table = [
            ("::", Some(At::Every)),
            ("0.0.0.0", Some(At::EveryV4)),
            ("192.168.1.7", Some(At::One(one))),
            ("127.0.0.1", None),
            ("127.1.2.3", None),
            ("::1", None),
        ];
        for (host, expected) in table {
            assert_eq!(at(host), expected, "{host}");
        }
    }

    #[test]
    fn w3_names_fit_into_a_label_of_dns() {
        let name = Announced::of(&"ü".repeat(50), "::".parse().expect("an address"), 1).map(|it| it.name);
        assert_eq!(name, Some("ü".repeat(31)));
        let table = [
            ("radio", "radio.local."),
            ("radio.example.org", "radio.local."),
            ("-r_x-", "rx.local."),
            ("", "retrowaves.local."),
            ("ü", "retrowaves.local."),
        ];
        for (hostname, expected) in table {
            assert_eq!(host_name(hostname), expected, "{hostname:?}");
        }
    }
}
