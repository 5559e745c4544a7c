//! Who is let in: every bound of the door, counted.
//!
//! Pure: no sockets, no clock. Each connection is at one stage, and every stage has a
//! bound in all and per address. A connection without a complete head is worth
//! nothing yet, so at its bound the *oldest* such one makes room: an honest
//! request sends its head at once and always gets in, however many sit there in silence.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use crate::limits;

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Somebody on this machine who may open `control.sock`.
    ControlSocket,
    /// An address; IPv4 in its own form, IPv6 cut to its /64, which is one subscriber.
    Address(IpAddr),
}

impl Peer {
    /// The peer at a TCP address.
    pub fn of(address: SocketAddr) -> Self {
        Self::Address(match address.ip().to_canonical() {
            IpAddr::V6(v6) if !v6.is_loopback() => {
                let s = v6.segments();
                Ipv6Addr::new(s[0], s[1], s[2], s[3], 0, 0, 0, 0).into()
            }
            ip => ip,
        })
    }

    /// On this machine; no bound per address holds for it, since a proxy would use it for all.
    pub fn is_local(self) -> bool {
        match self {
            Self::ControlSocket => true,
            Self::Address(ip) => ip.is_loopback(),
        }
    }
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its head is not complete.
    Headless,
    /// It takes a short reply and leaves.
    Leaving,
    /// It has a request for the control plane in hand.
    Control,
    /// It listens.
    Listener,
    /// It is told what happens.
    Subscriber,
}

const STAGES: usize = 5;

/// A connection that was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Who.
    pub peer: Peer,
    stage: Stage,
}

impl Ticket {
    /// How far it has come.
    pub fn stage(&self) -> Stage {
        self.stage
    }
}

/// The answer to a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Newcomer {
    /// Come in.
    Welcome,
    /// Come in once the oldest headless connection (of this peer only, if one is named) is out.
    InsteadOfOldest(Option<Peer>),
    /// No.
    Refused,
}

/// The bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Listeners on TCP.
    pub listeners: usize,
    /// Connections of one address, for one that wants to listen.
    pub per_address: usize,
    /// Connections of any stage: what the descriptors carry.
    pub connections: usize,
}

/// Connections by stage.
#[derive(Debug, Default, Clone, Copy)]
struct Counts([usize; STAGES]);

impl Counts {
    fn of(&self, stage: Stage) -> usize {
        self.0[stage as usize]
    }

    fn all(&self) -> usize {
        self.0.iter().sum()
    }
}

/// The door's book of who is in.
pub struct Admission {
    bounds: Bounds,
    in_all: Counts,
    /// Of these, from `control.sock`.
    control_socket: Counts,
    by_address: HashMap<IpAddr, Counts>,
}

impl Admission {
    /// Nobody is in.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, in_all: Counts::default(), control_socket: Counts::default(), by_address: HashMap::new() }
    }

    /// What to do with a newcomer. Does not let it in: see `enter`.
    pub fn newcomer(&self, peer: Peer) -> Newcomer {
        let of_peer = self.counts(peer);
        if !peer.is_local() && of_peer.of(Stage::Headless) >= limits::HEADLESS_PER_ADDRESS_MAX {
            return Newcomer::InsteadOfOldest(Some(peer));
        }
        let full = self.in_all.all() >= self.bounds.connections;
        match self.in_all.of(Stage::Headless) {
            0 if full => Newcomer::Refused,
            headless if full || headless >= limits::HEADLESS_MAX => Newcomer::InsteadOfOldest(None),
            _ => Newcomer::Welcome,
        }
    }

    /// Lets it in, headless.
    pub fn enter(&mut self, peer: Peer) -> Ticket {
        let ticket = Ticket { peer, stage: Stage::Headless };
        self.add(ticket);
        ticket
    }

    /// The next stage, if its bounds allow; otherwise nothing changes.
    pub fn advance(&mut self, ticket: &mut Ticket, stage: Stage) -> bool {
        let allowed = match stage {
            Stage::Headless => false,
            Stage::Leaving => self.in_all.of(stage) < limits::LEAVING_MAX,
            Stage::Control => self.control_allowed(ticket.peer),
            Stage::Listener => self.listener_allowed(ticket.peer),
            Stage::Subscriber => self.subscriber_allowed(ticket.peer),
        };
        if allowed {
            self.leave(*ticket);
            ticket.stage = stage;
            self.add(*ticket);
        }
        allowed
    }

    /// It is gone.
    pub fn leave(&mut self, ticket: Ticket) {
        let stage = ticket.stage as usize;
        self.in_all.0[stage] -= 1;
        match ticket.peer {
            Peer::ControlSocket => self.control_socket.0[stage] -= 1,
            Peer::Address(ip) => {
                if let Some(counts) = self.by_address.get_mut(&ip) {
                    counts.0[stage] -= 1;
                    if counts.all() == 0 {
                        self.by_address.remove(&ip);
                    }
                }
            }
        }
    }

    /// Connections at a stage.
    pub fn count(&self, stage: Stage) -> usize {
        self.in_all.of(stage)
    }

    fn add(&mut self, ticket: Ticket) {
        let stage = ticket.stage as usize;
        self.in_all.0[stage] += 1;
        match ticket.peer {
            Peer::ControlSocket => self.control_socket.0[stage] += 1,
            Peer::Address(ip) => self.by_address.entry(ip).or_default().0[stage] += 1,
        }
    }

    fn counts(&self, peer: Peer) -> Counts {
        match peer {
            Peer::ControlSocket => self.control_socket,
            Peer::Address(ip) => self.by_address.get(&ip).copied().unwrap_or_default(),
        }
    }

    /// Strangers never take the last slots, nor one of them more than half: whoever
    /// sits at the machine gets his answer.
    fn control_allowed(&self, peer: Peer) -> bool {
        let taken = self.in_all.of(Stage::Control);
        if peer.is_local() {
            return taken < limits::CONTROL_SLOTS;
        }
        taken < limits::CONTROL_SLOTS - limits::CONTROL_SLOTS_LOCAL
            && self.counts(peer).of(Stage::Control) < limits::CONTROL_SLOTS / 2
    }

    fn subscriber_allowed(&self, peer: Peer) -> bool {
        let of_peer = self.counts(peer).of(Stage::Subscriber);
        self.in_all.of(Stage::Subscriber) < limits::SUBSCRIBERS_MAX
            && (peer.is_local() || of_peer < limits::SUBSCRIBERS_PER_ADDRESS_MAX)
    }

    fn listener_allowed(&self, peer: Peer) -> bool {
        let local = self.control_socket.of(Stage::Listener);
        match peer {
            Peer::ControlSocket => local < limits::CONTROL_SLOTS,
            _ if self.in_all.of(Stage::Listener) - local >= self.bounds.listeners => false,
            // The one that asks is counted already.
            _ => peer.is_local() || self.counts(peer).all() <= self.bounds.per_address,
        }
    }
}

/// Accepts a second, in a bucket of one turn's worth.
#[derive(Debug, Clone, Copy)]
pub struct AcceptRate {
    tokens_times_1e9: u64,
    last_ns: u64,
}

impl AcceptRate {
    /// A full bucket.
    pub fn new(now_ns: u64) -> Self {
        Self { tokens_times_1e9: FULL, last_ns: now_ns }
    }

    /// True if one more may be accepted now.
    pub fn take(&mut self, now_ns: u64) -> bool {
        let passed = now_ns.saturating_sub(self.last_ns).min(1_000_000_000);
        self.last_ns = now_ns;
        self.tokens_times_1e9 = (self.tokens_times_1e9 + passed * u64::from(limits::ACCEPTS_PER_SEC)).min(FULL);
        match self.tokens_times_1e9.checked_sub(1_000_000_000) {
            Some(left) => self.tokens_times_1e9 = left,
            None => return false,
        }
        true
    }
}

const FULL: u64 = limits::ACCEPTS_PER_TURN as u64 * 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::of(format!("{text}:5000").parse().expect("address"))
    }

    fn admission() -> Admission {
        Admission::new(Bounds { listeners: 3, per_address: 2, connections: 1000 })
    }

    fn enter_as(admission: &mut Admission, peer: Peer, stage: Stage) -> bool {
        let mut ticket = admission.enter(peer);
        admission.advance(&mut ticket, stage) || {
            admission.leave(ticket);
            false
        }
    }

    #[test]
    fn h9_addresses_that_are_one_peer() {
        assert_eq!(peer("[::ffff:10.0.0.1]"), peer("10.0.0.1"));
        assert_eq!(peer("[2001:db8:1:2::1]"), peer("[2001:db8:1:2:ffff::9]"));
        assert_ne!(peer("[2001:db8:1:2::1]"), peer("[2001:db8:1:3::1]"));
        for local in ["127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"] {
            assert!(peer(local).is_local(), "{local}");
        }
        assert!(!peer("10.0.0.1").is_local() && Peer::ControlSocket.is_local());
    }

    #[test]
    fn h9_listeners_in_all_and_per_address_as_a_table() {
        let mut admission = admission();
        let table = [
            ("10.0.0.1", true),
            ("10.0.0.1", true),
            ("10.0.0.1", false), // its third
            ("10.0.0.2", true),
            ("10.0.0.3", false), // the fourth in all
            ("127.0.0.1", false),
        ];
        for (address, allowed) in table {
            assert_eq!(enter_as(&mut admission, peer(address), Stage::Listener), allowed, "{address}");
        }
        // The health monitor hears the stream whatever the crowd.
        assert!(enter_as(&mut admission, Peer::ControlSocket, Stage::Listener));
        assert_eq!(admission.count(Stage::Listener), 4);
    }

    #[test]
    fn h9_loopback_is_exempt_per_address_and_not_in_all() {
        let mut admission = admission();
        for allowed in [true, true, true, false] {
            assert_eq!(enter_as(&mut admission, peer("127.0.0.1"), Stage::Listener), allowed);
        }
    }

    #[test]
    fn h9_the_oldest_headless_connection_makes_room() {
        let mut admission = admission();
        let tickets: Vec<_> =
            (0..limits::HEADLESS_PER_ADDRESS_MAX).map(|_| admission.enter(peer("10.0.0.1"))).collect();
        assert_eq!(admission.newcomer(peer("10.0.0.1")), Newcomer::InsteadOfOldest(Some(peer("10.0.0.1"))));
        assert_eq!(admission.newcomer(peer("10.0.0.2")), Newcomer::Welcome);
        tickets.into_iter().for_each(|ticket| admission.leave(ticket));
        assert!(admission.by_address.is_empty(), "nobody is remembered who is not in");
        for _ in 0..limits::HEADLESS_MAX {
            admission.enter(peer("127.0.0.1"));
        }
        assert_eq!(admission.newcomer(peer("127.0.0.1")), Newcomer::InsteadOfOldest(None));
        assert_eq!(admission.newcomer(peer("10.0.0.2")), Newcomer::InsteadOfOldest(None));
    }

    #[test]
    fn h9_without_descriptors_newcomers_are_refused() {
        let mut admission = Admission::new(Bounds { listeners: 9, per_address: 9, connections: 2 });
        let mut first = admission.enter(peer("10.0.0.1"));
        assert!(admission.advance(&mut first, Stage::Listener));
        let mut second = admission.enter(peer("10.0.0.2"));
        assert_eq!(admission.newcomer(peer("10.0.0.3")), Newcomer::InsteadOfOldest(None));
        assert!(admission.advance(&mut second, Stage::Listener));
        assert_eq!(admission.newcomer(peer("10.0.0.3")), Newcomer::Refused);
        admission.leave(second);
        assert_eq!(admission.newcomer(peer("10.0.0.3")), Newcomer::Welcome);
    }

    #[test]
    fn h9_control_slots_that_strangers_cannot_take() {
        let mut admission = admission();
        let one = (0..100).filter(|_| enter_as(&mut admission, peer("10.0.0.1"), Stage::Control)).count();
        assert_eq!(one, 32);
        let strangers = (0..100).filter(|_| enter_as(&mut admission, peer("10.0.0.2"), Stage::Control));
        assert_eq!(strangers.count(), 24);
        let local = (0..100).filter(|_| enter_as(&mut admission, Peer::ControlSocket, Stage::Control));
        assert_eq!(local.count(), limits::CONTROL_SLOTS_LOCAL);
    }

    #[test]
    fn h9_accepts_are_2000_a_second_in_turns_of_256() {
        let mut rate = AcceptRate::new(0);
        let taken = |rate: &mut AcceptRate, now_ns| (0..1000).filter(|_| rate.take(now_ns)).count();
        assert_eq!(taken(&mut rate, 0), 256);
        assert_eq!(taken(&mut rate, 24_000_000), 48);
        let second: usize = (2..=43).map(|tick| taken(&mut rate, tick * 24_000_000)).sum();
        assert!((1990..=2020).contains(&second), "{second} in 1.008 s");
    }
}
