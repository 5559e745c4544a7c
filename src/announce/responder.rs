//! The process that speaks mDNS: `tower announce NAME PORT ADDRESSES`, started by the tower.
//!
//! Says on stdout, a line each, what becomes of it: `announced`, `renamed`, `taken`, `error`. When its stdin ends it takes back
//! what it said (a goodbye, so that no list shows a station that is gone) and ends.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use mdns_sd::{DaemonEvent, IfKind, MDNS_PORT, ServiceDaemon, ServiceInfo};
use nix::sys::{
    resource::{Resource, setrlimit},
    socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt},
};

use super::{Announced, At, host_name};
use crate::limits::ANNOUNCER_BYTES_MAX;

/// The argument that makes the tower such a process.
pub const ARGUMENT: &str = "announce";
/// For tests: another port than mDNS's, and then on loopback alone, so that no network hears of it.
const TEST_PORT: &str = "RETROWAVES_MDNS_PORT";
const SERVICE: &str = "_http._tcp.local.";
const PATH: &str = "/stream";
/// A goodbye takes this long at most.
const GOODBYE: Duration = Duration::from_millis(300);

/// Is the responder, if that is what the arguments say. Called first of all in `main`.
pub fn serve_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next().as_deref() != Some(OsStr::new(ARGUMENT)) {
        return None;
    }
    let announced = announced(&args.collect::<Vec<_>>())?;
    // What the network sends may ask for much, and says nothing that a core dump would be good for.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = setrlimit(Resource::RLIMIT_AS, ANNOUNCER_BYTES_MAX, ANNOUNCER_BYTES_MAX);
    Some(match serve(&announced) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say("error", &why);
            ExitCode::FAILURE
        }
    })
}

/// The arguments of such a process.
pub(super) fn arguments(announced: &Announced) -> [String; 4] {
    let at = match announced.at {
        At::Every => "::".to_owned(),
        At::EveryV4 => "0.0.0.0".to_owned(),
        At::One(one) => one.to_string(),
    };
    [ARGUMENT.to_owned(), announced.name.clone(), announced.port.to_string(), at]
}

fn announced(args: &[OsString]) -> Option<Announced> {
    let [name, port, host] = args else {
        return None;
    };
    Announced::of(name.to_str()?, host.to_str()?.parse().ok()?, port.to_str()?.parse().ok()?)
}

fn serve(announced: &Announced) -> Result<(), String> {
    let test_port = std::env::var(TEST_PORT).ok().and_then(|port| port.parse().ok());
    let port = test_port.unwrap_or(MDNS_PORT);
    if is_taken(port) {
        say("taken", &port.to_string());
        return Ok(());
    }
    // Without this right the crate would announce nothing, and say nothing.
    nix::ifaddrs::getifaddrs().map_err(|errno| format!("the network's interfaces cannot be seen: {}", errno.desc()))?;
    run(announced, port, test_port.is_some()).map_err(|error| error.to_string())
}

fn run(announced: &Announced, port: u16, is_test: bool) -> mdns_sd::Result<()> {
    let daemon = ServiceDaemon::new_with_port(port)?;
    if is_test {
        daemon.disable_interface(IfKind::All)?;
        daemon.enable_interface(IfKind::LoopbackV4)?;
    } else {
        daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
        if announced.at == At::EveryV4 {
            daemon.disable_interface(IfKind::IPv6)?;
        }
    }
    let host = host_name(&nix::unistd::gethostname().unwrap_or_default().to_string_lossy());
    let properties: &[(&str, &str)] = &[("path", PATH)];
    let service = match announced.at {
        At::One(one) => ServiceInfo::new(SERVICE, &announced.name, &host, one, announced.port, properties)?,
        At::Every | At::EveryV4 => {
            ServiceInfo::new(SERVICE, &announced.name, &host, "", announced.port, properties)?.enable_addr_auto()
        }
    };
    let full_name = service.get_fullname().to_owned();
    let events = daemon.monitor()?;
    daemon.register(service)?;
    std::thread::spawn(move || events.iter().for_each(|event| tell(&event)));
    wait_for_the_end();
    let goodbye = daemon.unregister(&full_name)?;
    let _ = goodbye.recv_timeout(GOODBYE);
    let _ = daemon.shutdown()?.recv_timeout(GOODBYE);
    Ok(())
}

fn tell(event: &DaemonEvent) {
    match event {
        DaemonEvent::Announce(service, _) => say("announced", service),
        DaemonEvent::NameChange(change) => {
            say("renamed", &format!("{} is another's; now {}", change.original, change.new_name))
        }
        DaemonEvent::Error(error) => say("error", &error.to_string()),
        _ => {}
    }
}

/// The tower closes our stdin, or is gone.
fn wait_for_the_end() {
    let mut bytes = [0; 64];
    while matches!(io::stdin().read(&mut bytes), Ok(1..)) {}
}

fn say(what: &str, text: &str) {
    // A tower that is gone ends us by our stdin.
    let _ = writeln!(io::stdout(), "{what} {text}");
}

/// Somebody has the port, on IPv4 or IPv6. Those who share it with others have it too: asked for without sharing, it is refused.
fn is_taken(port: u16) -> bool {
    let is_free = |address: IpAddr| -> nix::Result<()> {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let socket = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        if address.is_ipv6() {
            setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
        }
        bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &SockaddrStorage::from(SocketAddr::new(address, port)))
    };
    // A machine without IPv6 refuses in another way.
    let taken = |address| is_free(address) == Err(nix::errno::Errno::EADDRINUSE);
    taken(Ipv4Addr::UNSPECIFIED.into()) || taken(Ipv6Addr::UNSPECIFIED.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w3_what_the_tower_tells_its_responder_is_what_it_announces() {
        for host in ["::", "0.0.0.0", "10.0.0.7", "fd00::7"] {
            let wanted = Announced::of("Radio \"é\"", host.parse().expect("an address"), 8000).expect("open");
            let args: Vec<OsString> = arguments(&wanted).into_iter().skip(1).map(OsString::from).collect();
            assert_eq!(announced(&args), Some(wanted));
        }
        assert_eq!(announced(&["Radio".into(), "x".into(), "::".into()]), None);
        assert_eq!(announced(&[]), None);
    }

    #[test]
    fn w3_a_port_that_others_share_is_taken() {
        let mut builder = None;
        let port = (0..50).find_map(|_| {
            let free = std::net::UdpSocket::bind("0.0.0.0:0").expect("a port");
            let port = free.local_addr().expect("an address").port();
            drop(free);
            (!is_taken(port)).then_some(port)
        });
        let port = port.expect("a free port");
        let shared = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        setsockopt(&shared, sockopt::ReuseAddr, &true).expect("shared");
        setsockopt(&shared, sockopt::ReusePort, &true).expect("shared");
        let address = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
        bind(std::os::fd::AsRawFd::as_raw_fd(&shared), &SockaddrStorage::from(address)).expect("bound");
        builder.replace(shared);
        assert!(is_taken(port));
        drop(builder);
        assert!(!is_taken(port));
    }
}
