//! Under which names the control plane answers.
//!
//! A web page from elsewhere can point a name of its own at this machine and so make a
//! visitor's browser talk to it (DNS rebinding); it cannot do that with an
//! address, with `localhost`, or with this machine's own name. The stream is
//! open to all and is not asked.

use std::net::{IpAddr, Ipv6Addr};

/// The names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRules {
    names: Vec<String>,
}

impl HostRules {
    /// `localhost`, this machine's name, that name with `.local`, and `more`.
    pub fn new(hostname: &str, more: &[String]) -> Self {
        let own = hostname.to_ascii_lowercase();
        let short = own.split('.').next().unwrap_or("").to_owned();
        let mut names = vec!["localhost".to_owned(), format!("{short}.local"), short, own];
        names.extend(more.iter().map(|name| name.to_ascii_lowercase()));
        names.retain(|name| !name.is_empty() && name != ".local");
        Self { names }
    }

    /// This machine's.
    pub fn of_this_machine(more: &[String]) -> Self {
        let hostname = nix::unistd::gethostname().unwrap_or_default();
        Self::new(&hostname.to_string_lossy(), more)
    }

    /// True for an allowed `Host`, with or without a port.
    pub fn allows_host(&self, host: &str) -> bool {
        if let Some(rest) = host.strip_prefix('[') {
            return rest.split_once(']').is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
        }
        let name = host.split(':').next().unwrap_or("").trim_end_matches('.');
        let name = name.to_ascii_lowercase();
        name.parse::<IpAddr>().is_ok() || self.names.contains(&name)
    }

    /// True for an `Origin` that is a page of this tower.
    pub fn allows_origin(&self, origin: &str) -> bool {
        let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        host.is_some_and(|host| self.allows_host(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k4_hosts_and_origins_as_a_table() {
        let rules = HostRules::new("Radio.school.example", &["Funk.Example".into()]);
        for host in [
            "localhost",
            "LOCALHOST:8000",
            "127.0.0.1:8000",
            "192.168.1.7",
            "[::1]:8000",
            "[fe80::1]",
            "radio",
            "radio.local:8000",
            "radio.local.",
            "radio.school.example",
            "funk.example:80",
        ] {
            assert!(rules.allows_host(host), "{host}");
            assert!(rules.allows_origin(&format!("http://{host}")), "{host}");
        }
        for host in ["", "evil.example", "radio.local.evil.example", "localhost.evil", "[evil]", "school.example"] {
            assert!(!rules.allows_host(host), "{host}");
        }
        assert!(!rules.allows_origin("null") && !rules.allows_origin("file://localhost"));
        assert!(!HostRules::new("", &[]).allows_host(""), "no name is no permission");
    }
}
