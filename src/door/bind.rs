//! What the door needs before anything starts: its port, those that systemd hands over, its socket,
//! its descriptors.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        socket::{
            AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, listen, setsockopt, socket,
            sockopt,
        },
    },
};
use thiserror::Error;

use super::admission::Bounds;
use crate::{
    config::{HttpConfig, Slow, StreamConfig, TowerConfig},
    limits::{DESCRIPTORS_KEPT, HEADLESS_MAX, LISTEN_BACKLOG},
    sys::socket::handed_over as handed_over_sockets,
    unix_socket::{self, BindError, BoundSocket},
};

/// Only this user and its group talk to the control socket; its folder says who gets there.
const CONTROL_SOCKET_MODE: u32 = 0o660;
/// A peer that vanished is given up after this, in `slow = "drop"`: later than any backlog runs out.
const USER_TIMEOUT_MS: u32 = 10_000;
/// In `slow = "skip"` a listener may pause; the kernel gives it a minute.
const USER_TIMEOUT_SKIP_MS: u32 = 60_000;
/// Class CS3 (broadcast video), which networks that sort by class send ahead of bulk, in the place where a packet
/// carries it.
const DSCP_CS3: i32 = 24 << 2;
/// Room for requests that a lowered limit leaves beside the listeners.
const HEADLESS_MIN: usize = 64;

/// Why the door cannot open.
#[derive(Debug, Error)]
pub enum DoorError {
    /// Somebody else has the port.
    #[error(
        "port {port} on {host} is in use: another program, perhaps another tower, listens there; \
         stop it, or choose another port with http.port or TOWER_PORT"
    )]
    PortInUse {
        /// `http.host`
        host: String,
        /// `http.port`
        port: u16,
    },
    /// Ports below 1024 need a right.
    #[error("port {port} on {host} is not permitted: choose one from 1024 up, or give the tower CAP_NET_BIND_SERVICE")]
    PortNotPermitted {
        /// `http.host`
        host: String,
        /// `http.port`
        port: u16,
    },
    /// Not an address of this machine.
    #[error(
        "http.host: \"{0}\" is no address of this machine; \"::\" means all of them, \"127.0.0.1\" only this machine"
    )]
    Host(String),
    /// The control socket.
    #[error(transparent)]
    ControlSocket(#[from] BindError),
    /// Anything else.
    #[error("cannot {doing}: {source}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

pub(super) fn refused(doing: &'static str) -> impl Fn(Errno) -> DoorError {
    move |errno| DoorError::Refused { doing, source: errno.into() }
}

/// A door that is bound and not yet open: nothing is accepted before `start`.
pub struct Door {
    /// Its own port first.
    pub(super) tcp: Vec<TcpListener>,
    pub(super) control: BoundSocket,
    pub(super) bounds: Bounds,
    pub(super) local: SocketAddr,
}

impl Door {
    /// Binds the port and the control socket, and raises the descriptor limit as
    /// far as it goes. Callers from now on wait in the kernel's queue.
    ///
    /// # Errors
    /// When the port, the address or the socket cannot be had.
    pub fn bind(config: &TowerConfig) -> Result<Self, DoorError> {
        let tcp = listeners(&config.http, config.stream.slow, handed_over(config.stream.slow))?;
        let local =
            tcp[0].local_addr().map_err(|source| DoorError::Refused { doing: "ask for the local address", source })?;
        Ok(Self {
            tcp,
            control: unix_socket::bind(&config.control.socket, CONTROL_SOCKET_MODE)?,
            bounds: bounds(&config.stream, descriptors_free()),
            local,
        })
    }

    /// Where listeners connect.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

/// What systemd listens on for the tower: on the box, port 80. Without it the tower's own port is enough,
/// so nothing that is wrong with it keeps the tower from its work.
fn handed_over(slow: Slow) -> Vec<TcpListener> {
    let sockets = handed_over_sockets().unwrap_or_else(|error| {
        log::warn!("the sockets that systemd hands over are not there: {error}");
        Vec::new()
    });
    let is_ready = |socket: &TcpListener| {
        let prepared = socket.set_nonblocking(true).and_then(|()| Ok(for_listeners(socket, slow)?));
        let address = prepared.and_then(|()| socket.local_addr());
        match &address {
            Ok(address) => log::info!("the front door is at {address}, which systemd has handed over"),
            Err(error) => log::warn!("a socket that systemd has handed over is not used: {error}"),
        }
        address.is_ok()
    };
    sockets.into_iter().filter(is_ready).collect()
}

/// The tower's own port, bound here unless it was handed over, and then the other ones.
fn listeners(http: &HttpConfig, slow: Slow, mut handed_over: Vec<TcpListener>) -> Result<Vec<TcpListener>, DoorError> {
    let is_own = |socket: &TcpListener| socket.local_addr().is_ok_and(|address| address.port() == http.port);
    match handed_over.iter().position(is_own) {
        Some(own) => handed_over.swap(0, own),
        None => handed_over.insert(0, bind_tcp(http, slow)?),
    }
    Ok(handed_over)
}

fn bind_tcp(http: &HttpConfig, slow: Slow) -> Result<TcpListener, DoorError> {
    let address = resolve(http)?;
    match listen_on(address, slow) {
        // A kernel without IPv6: every address is every IPv4 address.
        Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) if address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED) => {
            listen_on((Ipv4Addr::UNSPECIFIED, http.port).into(), slow)
        }
        other => other,
    }
    .map(TcpListener::from)
    .map_err(|errno| bind_error(http, errno))
}

fn resolve(http: &HttpConfig) -> Result<SocketAddr, DoorError> {
    let host = http.host.trim_start_matches('[').trim_end_matches(']');
    let mut found = (host, http.port).to_socket_addrs().map_err(|_| DoorError::Host(http.host.clone()))?;
    found.next().ok_or_else(|| DoorError::Host(http.host.clone()))
}

fn bind_error(http: &HttpConfig, errno: Errno) -> DoorError {
    let (host, port) = (http.host.clone(), http.port);
    match errno {
        Errno::EADDRINUSE => DoorError::PortInUse { host, port },
        Errno::EACCES | Errno::EPERM => DoorError::PortNotPermitted { host, port },
        Errno::EADDRNOTAVAIL => DoorError::Host(host),
        errno => refused("listen on the port")(errno),
    }
}

/// Options of a listening socket hold for those it accepts: no call per listener.
fn for_listeners(socket: &impl AsFd, slow: Slow) -> nix::Result<()> {
    setsockopt(socket, sockopt::TcpNoDelay, &true)?;
    setsockopt(socket, sockopt::KeepAlive, &true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &30)?;
    let user_timeout_ms = match slow {
        Slow::Drop => USER_TIMEOUT_MS,
        Slow::Skip => USER_TIMEOUT_SKIP_MS,
    };
    setsockopt(socket, sockopt::TcpUserTimeout, &user_timeout_ms)?;
    // A socket of both families wants both, one of IPv4 has only one of them; and without a mark nothing is lost.
    let _ = setsockopt(socket, sockopt::Ipv4Tos, &DSCP_CS3);
    let _ = setsockopt(socket, sockopt::Ipv6TClass, &DSCP_CS3);
    Ok(())
}

fn listen_on(address: SocketAddr, slow: Slow) -> nix::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(family, SockType::Stream, flags, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    for_listeners(&fd, slow)?;
    match address {
        SocketAddr::V4(v4) => bind(fd.as_raw_fd(), &SockaddrIn::from(v4))?,
        SocketAddr::V6(v6) => {
            setsockopt(&fd, sockopt::Ipv6V6Only, &false)?;
            bind(fd.as_raw_fd(), &SockaddrIn6::from(v6))?;
        }
    }
    let backlog = i32::try_from(LISTEN_BACKLOG).unwrap_or(Backlog::MAXCONN.into());
    listen(&fd, Backlog::new(backlog).unwrap_or(Backlog::MAXCONN))?;
    Ok(fd)
}

/// Raises the soft limit to the hard one; then what is left of it.
fn descriptors_free() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    let open = std::fs::read_dir("/proc/self/fd").map_or(64, Iterator::count);
    usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(open)
}

/// The bounds that so many descriptors carry.
fn bounds(stream: &StreamConfig, free: usize) -> Bounds {
    let connections = free.saturating_sub(DESCRIPTORS_KEPT).max(HEADLESS_MIN);
    let carried = connections.saturating_sub(HEADLESS_MIN).max(1);
    let listeners = stream.max_clients.min(carried);
    if listeners < stream.max_clients {
        log::warn!(
            "stream.max_clients is lowered from {} to {listeners}: the limit of open files leaves {free}, \
             and {DESCRIPTORS_KEPT} of them are kept for other uses; raise LimitNOFILE or ulimit -n",
            stream.max_clients
        );
    }
    Bounds {
        listeners,
        per_address: stream.max_clients_per_address,
        connections: connections.min(listeners + HEADLESS_MAX + DESCRIPTORS_KEPT),
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::getsockopt;

    use super::*;

    fn http(host: &str, port: u16) -> HttpConfig {
        HttpConfig { host: host.into(), port }
    }

    #[test]
    fn h9_the_descriptor_limit_lowers_the_listeners_and_no_less_than_one_is_left() {
        let table = [
            (1_000_000, 10_000, 10_000 + HEADLESS_MAX + DESCRIPTORS_KEPT),
            (1000, 1000 - DESCRIPTORS_KEPT - HEADLESS_MIN, 1000 - DESCRIPTORS_KEPT),
            (100, 1, HEADLESS_MIN),
        ];
        let config = TowerConfig::with_runtime_dir(std::path::Path::new("/nowhere"));
        for (free, listeners, connections) in table {
            let bounds = bounds(&config.stream, free);
            assert_eq!((bounds.listeners, bounds.connections), (listeners, connections), "{free}");
        }
    }

    #[test]
    fn h9_every_address_takes_both_families() {
        let listener = bind_tcp(&http("::", 0), Slow::Drop).expect("bound");
        let port = listener.local_addr().expect("address").port();
        std::net::TcpStream::connect(("127.0.0.1", port)).expect("IPv4");
        if listener.local_addr().expect("address").is_ipv6() {
            std::net::TcpStream::connect(("::1", port)).expect("IPv6");
        }
        bind_tcp(&http("127.0.0.1", 0), Slow::Drop).expect("IPv4 only");
    }

    #[test]
    fn h4_who_is_accepted_gets_whole_batches_at_once_and_marked() {
        let listener = bind_tcp(&http("::", 0), Slow::Drop).expect("bound");
        let port = listener.local_addr().expect("address").port();
        listener.set_nonblocking(false).expect("blocking");
        for host in ["127.0.0.1", "::1"] {
            let Ok(_client) = std::net::TcpStream::connect((host, port)) else {
                assert_eq!(host, "::1", "only IPv6 may be missing");
                continue;
            };
            let (accepted, _) = listener.accept().expect("accepted");
            assert!(accepted.nodelay().expect("an option"), "{host}");
            let class = match host {
                "::1" => getsockopt(&accepted, sockopt::Ipv6TClass),
                _ => getsockopt(&accepted, sockopt::Ipv4Tos),
            };
            assert_eq!(class, Ok(0x60), "{host}");
        }
    }

    #[test]
    fn h9_a_port_in_use_and_a_foreign_address_are_told_apart() {
        let taken = bind_tcp(&http("127.0.0.1", 0), Slow::Drop).expect("bound");
        let port = taken.local_addr().expect("address").port();
        let error = bind_tcp(&http("127.0.0.1", port), Slow::Drop).expect_err("in use").to_string();
        assert!(error.contains(&format!("port {port}")) && error.contains("TOWER_PORT"), "{error}");
        for host in ["192.0.2.1", "no such name"] {
            let error = bind_tcp(&http(host, 0), Slow::Drop).expect_err("foreign").to_string();
            assert!(error.contains(host), "{error}");
        }
    }
}
