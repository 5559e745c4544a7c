//! The loop of the `tower:http` thread: one epoll for everybody.
//!
//! The tick comes first: before events, between them, and before accepting. Nothing
//! here waits for anyone but epoll itself, and no event's work grows with what a stranger
//! sends. Visitors' deadlines are looked at every `SWEEP_NS`; there are few visitors,
//! and listeners have none.

use std::{
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixListener,
    },
    sync::{Arc, mpsc::Receiver},
};

use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
        eventfd::EventFd,
        socket::{MsgFlags, SockaddrStorage, UnixAddr, getsockname, send, setsockopt, sockopt},
    },
};

use super::{
    accept::{Came, Entrance, Pace},
    admission::{Admission, Newcomer, Peer, Stage, Ticket},
    bind::{Door, DoorError, refused},
    events::{Announcements, Served},
    head::Request,
    playlist::authority,
    relay_to_web::{Origin, Progress, Relay, passed_on, rebuilt},
    reply::{Reply, stream_head, stream_options},
    routes::{Route, route},
    visitor::{Doing, Need, ReplyTo, Visitor},
    wishes::Wishes,
};
use crate::{
    broadcast::{Broadcaster, connections::Arrival, slab::KEY_BITS, slab::Slab},
    config::{StreamConfig, TowerConfig},
    control::{FOREIGN_HOST, events::Said, hosts::HostRules},
    limits::{
        DRIP_DEADLINE_MS, HEAD_BYTES_MAX, HEAD_DEADLINE_MS, LINGER_MS, SUBSCRIBER_SEND_BYTES, WEB_REPLY_DEADLINE_MS,
    },
    pump::clock::OnAirClock,
    router::{AudioInputRouter, InputId},
    stats::{EventStats, ListenerStats},
    sys::{socket::reset_on_close, time::now_ns},
    unix_socket::BoundSocket,
};

const SWEEP_NS: u64 = 100_000_000;
const EVENTS: usize = 256;
/// Descriptors that a relay takes here and in the control plane, which must never find none.
const RELAY_DESCRIPTORS: usize = 4;
const MS: u64 = 1_000_000;

/// What an epoll token names, in its upper bits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tick = 1,
    Stop,
    Tcp,
    ControlSocket,
    Visitor,
    Relay,
    Listener,
}

fn token(kind: Kind, key: u64) -> u64 {
    (kind as u64) << KEY_BITS | key
}

/// What the thread owns.
pub(super) struct Doorkeeper {
    epoll: Epoll,
    /// The tower's own port and those that were handed over; the place is the token's key.
    tcp: Vec<Entrance<TcpListener>>,
    control: Entrance<UnixListener>,
    /// Dropped at the end: it removes the socket's file.
    _control_socket: BoundSocket,
    accepting: Pace,
    admission: Admission,
    visitors: Slab<Visitor>,
    broadcaster: Broadcaster<Ticket>,
    router: Arc<AudioInputRouter>,
    stats: Arc<ListenerStats>,
    announcements: Announcements,
    events: Receiver<Said>,
    event_stats: Arc<EventStats>,
    hosts: HostRules,
    web: UnixAddr,
    stream: StreamConfig,
    bitrate_kbps: u32,
    swept_ns: u64,
    scratch: Vec<u8>,
}

/// What the door takes from the rest of the tower.
pub(super) struct Inside {
    pub(super) clock: Arc<OnAirClock>,
    pub(super) broadcaster: Broadcaster<Ticket>,
    pub(super) router: Arc<AudioInputRouter>,
    pub(super) stats: Arc<ListenerStats>,
    pub(super) events: Receiver<Said>,
    pub(super) event_stats: Arc<EventStats>,
    pub(super) stop: Arc<EventFd>,
}

impl Doorkeeper {
    pub(super) fn new(door: Door, config: &TowerConfig, inside: Inside) -> Result<Self, DoorError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(refused("make an epoll"))?;
        let web = UnixAddr::new(&config.control.web_socket).map_err(refused("name the control plane's socket"))?;
        let control = door
            .control
            .listener()
            .try_clone()
            .map_err(|source| DoorError::Refused { doing: "duplicate the control socket", source })?;
        let edge = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        let add = |fd: &dyn AsFd, kind, key| epoll.add(fd.as_fd(), EpollEvent::new(edge, token(kind, key)));
        add(&inside.clock.wake_fd(), Kind::Tick, 0)
            .and_then(|()| add(&inside.stop.as_fd(), Kind::Stop, 0))
            .and_then(|()| (0..).zip(&door.tcp).try_for_each(|(key, tcp)| add(tcp, Kind::Tcp, key)))
            .and_then(|()| add(&control, Kind::ControlSocket, 0))
            .map_err(refused("watch the listening sockets"))?;
        let now_ns = now_ns();
        Ok(Self {
            epoll,
            tcp: door.tcp.into_iter().map(|listener| Entrance { listener, waiting: true }).collect(),
            control: Entrance { listener: control, waiting: true },
            _control_socket: door.control,
            accepting: Pace::new(now_ns),
            admission: Admission::new(door.bounds),
            visitors: Slab::default(),
            broadcaster: inside.broadcaster,
            router: inside.router,
            stats: inside.stats,
            announcements: Announcements::default(),
            events: inside.events,
            event_stats: inside.event_stats,
            hosts: HostRules::of_this_machine(&config.control.hosts),
            web,
            stream: config.stream.clone(),
            bitrate_kbps: config.encoder.bitrate_kbps,
            swept_ns: now_ns,
            scratch: vec![0; 2 * HEAD_BYTES_MAX],
        })
    }

    /// Serves until told to stop.
    pub(super) fn run(mut self) {
        let mut events = [EpollEvent::empty(); EVENTS];
        loop {
            let count = match self.epoll.wait(&mut events, self.timeout_ms()) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(errno) => {
                    log::error!("the front door cannot wait for events: {errno}");
                    return;
                }
            };
            self.keep_up();
            for event in &events[..count] {
                if event.data() == token(Kind::Stop, 0) {
                    return;
                }
                self.on_event(*event);
                self.keep_up();
            }
            self.pass_on_events();
            self.accept_newcomers();
            self.sweep();
            self.settle_departures();
        }
    }

    /// The tick comes first, always.
    fn keep_up(&mut self) {
        self.broadcaster.keep_up(now_ns());
    }

    fn timeout_ms(&self) -> u16 {
        let waiting = self.control.waiting || self.tcp.iter().any(|tcp| tcp.waiting);
        match (waiting, self.accepting.is_paused(now_ns())) {
            (true, false) => 0,
            (true, true) => 10,
            (false, _) if self.visitors.is_empty() => 1000,
            (false, _) => 100,
        }
    }

    fn on_event(&mut self, event: EpollEvent) {
        let key = event.data() & ((1 << KEY_BITS) - 1);
        let over = event.events().intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
        match event.data() >> KEY_BITS {
            kind if kind == Kind::Tcp as u64 => {
                // Only places that are there were registered.
                let tcp = usize::try_from(key).ok().and_then(|key| self.tcp.get_mut(key));
                tcp.into_iter().for_each(|tcp| tcp.waiting = true);
            }
            kind if kind == Kind::ControlSocket as u64 => self.control.waiting = true,
            kind if kind == Kind::Visitor as u64 && over => self.remove(key, false),
            kind if kind == Kind::Visitor as u64 || kind == Kind::Relay as u64 => self.serve(key),
            kind if kind == Kind::Listener as u64 && over => self.broadcaster.connections().hang_up(key),
            _ => {}
        }
    }

    fn accept_newcomers(&mut self) {
        self.accepting.new_turn();
        loop {
            let now_ns = now_ns();
            let mut came = self.accepting.accept(&self.control.listener, &mut self.control.waiting, now_ns);
            for tcp in &mut self.tcp {
                if matches!(came, Came::Nobody) {
                    came = self.accepting.accept(&tcp.listener, &mut tcp.waiting, now_ns);
                }
            }
            match came {
                Came::Nobody => return,
                Came::SentAway => self.stats.rejected.add(1),
                Came::Somebody(socket, peer) => self.let_in(socket, peer, now_ns),
            }
            self.keep_up();
        }
    }

    fn let_in(&mut self, socket: OwnedFd, peer: Peer, now_ns: u64) {
        match self.admission.newcomer(peer) {
            Newcomer::Welcome => {}
            Newcomer::InsteadOfOldest(of) => {
                self.stats.rejected.add(1);
                self.remove_oldest_headless(of);
            }
            Newcomer::Refused => {
                self.stats.rejected.add(1);
                // A close that says so: the newcomer need not wait for an answer.
                let _ = reset_on_close(&socket);
                return;
            }
        }
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        let event = EpollEvent::new(flags, token(Kind::Visitor, self.visitors.next_key()));
        if self.epoll.add(&socket, event).is_err() {
            self.stats.rejected.add(1);
            return;
        }
        let key = self.visitors.insert(Visitor {
            socket,
            ticket: self.admission.enter(peer),
            accepted_ns: now_ns,
            deadline_ns: now_ns + HEAD_DEADLINE_MS * MS,
            doing: Doing::ReadingHead { bytes: Vec::new() },
        });
        self.serve(key);
    }

    fn remove_oldest_headless(&mut self, of: Option<Peer>) {
        let oldest = self
            .visitors
            .iter()
            .filter(|(_, v)| v.ticket.stage() == Stage::Headless && of.is_none_or(|peer| v.ticket.peer == peer))
            .min_by_key(|(_, v)| v.accepted_ns)
            .map(|(key, _)| key);
        if let Some(key) = oldest {
            self.remove(key, true);
        }
    }

    /// Moves a visitor on until it has to wait for an event.
    fn serve(&mut self, key: u64) {
        while let Some(visitor) = self.visitors.get_mut(key) {
            match visitor.step(&mut self.scratch) {
                Need::Nothing => return,
                Need::Answer(request, rest) => self.answer(key, request, rest),
                Need::Relay(request, body) => self.relay(key, &request, &body),
                Need::Refusal(bad) => {
                    self.stats.bad_requests.add(1);
                    self.reply(key, &Reply::error(bad.status, bad.why), ReplyTo::default());
                }
                Need::WebReply(progress, to) => self.web_reply(key, &progress, to),
                Need::Events => return self.tell(key),
                Need::Linger => self.linger(key),
                Need::Removal => self.remove(key, false),
            }
        }
    }

    fn answer(&mut self, key: u64, request: Box<Request>, rest: Vec<u8>) {
        let to = ReplyTo::of(&request);
        let reply = match route(&request) {
            Route::Listen => return self.listen(key, &request),
            Route::Events => return self.subscribe(key, &request),
            Route::Relay => return self.take_body(key, request, rest),
            Route::StreamHead => {
                let head = self.stream_head(key, &request);
                return self.reply_bytes(key, head);
            }
            Route::StreamOptions => stream_options(),
            Route::Playlist(playlist) => {
                playlist.reply(request.host.as_deref(), self.local_address(key), &self.stream.name)
            }
            Route::Buffer => self.buffer(),
            Route::Refuse(reply) => {
                self.stats.bad_requests.add(1);
                reply
            }
        };
        self.reply(key, &reply, to);
    }

    fn wishes(&self, request: &Request) -> Wishes {
        Wishes::of(request, self.stream.burst_ms, self.bitrate_kbps)
    }

    fn stream_head(&mut self, key: u64, request: &Request) -> Vec<u8> {
        let authority = authority(request.host.as_deref(), self.local_address(key));
        stream_head(request.minor, &self.stream, &authority, self.bitrate_kbps, self.wishes(request).metaint)
    }

    fn listen(&mut self, key: u64, request: &Request) {
        let Some(visitor) = self.visitors.get_mut(key) else {
            return;
        };
        if !self.admission.advance(&mut visitor.ticket, Stage::Listener) {
            self.stats.rejected.add(1);
            let reply = Reply::error(503, "every listener's place is taken; try again soon");
            return self.reply(key, &reply.with("Retry-After", "10").open_to_all(), ReplyTo::of(request));
        }
        let (response_head, wishes) = (self.stream_head(key, request), self.wishes(request));
        let Some(visitor) = self.visitors.remove(key) else {
            return;
        };
        // HUP and ERR are always told; nothing else of a listener is of interest.
        let listener = token(Kind::Listener, self.broadcaster.connections().next_key());
        let watched = self.epoll.modify(&visitor.socket, &mut EpollEvent::new(EpollFlags::EPOLLET, listener));
        if watched.is_err() {
            return self.admission.leave(visitor.ticket);
        }
        self.broadcaster.join(Arrival {
            socket: visitor.socket,
            response_head,
            burst_ms: wishes.burst_ms,
            metaint: wishes.metaint,
            local: visitor.ticket.peer == Peer::ControlSocket,
            note: visitor.ticket,
        });
    }

    fn subscribe(&mut self, key: u64, request: &Request) {
        let to = ReplyTo::of(request);
        let Some(visitor) = self.visitors.get_mut(key) else {
            return;
        };
        let browser = visitor.ticket.peer != Peer::ControlSocket;
        if browser && !request.host.as_deref().is_none_or(|host| self.hosts.allows_host(host)) {
            return self.reply(key, &Reply::error(403, FOREIGN_HOST), to);
        }
        if !self.admission.advance(&mut visitor.ticket, Stage::Subscriber) {
            self.stats.rejected.add(1);
            let reply = Reply::error(503, "too many are told already; try again later").with("Retry-After", "10");
            return self.reply(key, &reply, to);
        }
        // Or the kernel would hold megabytes for one who does not read, and hide that it does not.
        let _ = setsockopt(&visitor.socket, sockopt::SndBuf, &SUBSCRIBER_SEND_BYTES);
        visitor.deadline_ns = u64::MAX;
        visitor.doing = Doing::Subscribed(self.announcements.subscribe(to.minor));
        self.event_stats.total.add(1);
        self.event_stats.subscribers.set(self.admission.count(Stage::Subscriber) as u64);
    }

    fn pass_on_events(&mut self) {
        let mut anything = false;
        while let Ok(said) = self.events.try_recv() {
            anything |= self.announcements.take(said);
        }
        if !anything || self.admission.count(Stage::Subscriber) == 0 {
            return;
        }
        let subscribed = |(key, visitor): (u64, &Visitor)| matches!(visitor.doing, Doing::Subscribed(_)).then_some(key);
        let keys: Vec<u64> = self.visitors.iter().filter_map(subscribed).collect();
        keys.into_iter().for_each(|key| self.tell(key));
        self.keep_up();
    }

    fn tell(&mut self, key: u64) {
        let Some(Visitor { socket, doing: Doing::Subscribed(subscription), .. }) = self.visitors.get_mut(key) else {
            return;
        };
        match self.announcements.serve(socket, subscription) {
            Served::Waits => {}
            Served::Gone => self.remove(key, false),
            Served::TooSlow => {
                self.event_stats.dropped_slow.add(1);
                self.remove(key, true);
            }
        }
    }

    /// A request for the control plane takes a slot, then its body is read.
    fn take_body(&mut self, key: u64, request: Box<Request>, rest: Vec<u8>) {
        let Some(visitor) = self.visitors.get_mut(key) else {
            return;
        };
        if !self.admission.advance(&mut visitor.ticket, Stage::Control) {
            self.stats.rejected.add(1);
            let reply = Reply::error(503, "too many requests at once; try again soon").with("Retry-After", "1");
            return self.reply(key, &reply, ReplyTo::of(&request));
        }
        if request.expects_continue && rest.len() < request.content_length {
            // If it does not fit now, the client sends its body a moment later anyway.
            let _ = send(
                visitor.socket.as_raw_fd(),
                b"HTTP/1.1 100 Continue\r\n\r\n",
                MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
            );
        }
        visitor.doing = Doing::ReadingBody { request, bytes: rest };
    }

    fn relay(&mut self, key: u64, request: &Request, body: &[u8]) {
        let Some(visitor) = self.visitors.get_mut(key) else {
            return;
        };
        let origin = match visitor.ticket.peer {
            _ if request.forwarded => Origin::Remote,
            Peer::ControlSocket => Origin::ControlSocket,
            peer if peer.is_local() => Origin::Loopback,
            Peer::Address(_) => Origin::Remote,
        };
        let started = self.start_relay(key, rebuilt(request, origin, body));
        match (started, self.visitors.get_mut(key)) {
            (Ok(relay), Some(visitor)) => {
                visitor.deadline_ns = now_ns() + WEB_REPLY_DEADLINE_MS * MS;
                visitor.doing = Doing::Relaying { relay, to: ReplyTo::of(request) };
            }
            (Err(errno), _) => {
                log::warn!("the control plane cannot be reached: {errno}");
                let reply = Reply::error(503, "the control plane cannot be reached just now");
                self.reply(key, &reply.with("Retry-After", "1"), ReplyTo::of(request));
            }
            (Ok(_), None) => {}
        }
    }

    /// The control plane's accept thread does not survive a want of descriptors, so
    /// it is not asked when there are none to spare.
    fn start_relay(&self, key: u64, request: Vec<u8>) -> nix::Result<Relay> {
        let spare: Result<Vec<OwnedFd>, _> = (0..RELAY_DESCRIPTORS).map(|_| self.epoll.0.try_clone()).collect();
        drop(spare.map_err(|_| Errno::EMFILE)?);
        let relay = Relay::start(&self.web, request)?;
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        self.epoll.add(&relay, EpollEvent::new(flags, token(Kind::Relay, key)))?;
        Ok(relay)
    }

    fn web_reply(&mut self, key: u64, progress: &Progress, to: ReplyTo) {
        let passed = match progress {
            Progress::Whole(bytes) => passed_on(bytes, to.minor),
            _ => None,
        };
        match passed {
            Some(bytes) => self.reply_bytes(key, bytes),
            None => {
                log::warn!("the control plane gave no usable reply: {}", unusable(progress));
                let reply = Reply::error(502, "the control plane gave no usable reply");
                self.reply(key, &reply, to);
            }
        }
    }

    fn reply(&mut self, key: u64, reply: &Reply, to: ReplyTo) {
        self.reply_bytes(key, reply.to_bytes(to.minor, to.head_only));
    }

    fn reply_bytes(&mut self, key: u64, bytes: Vec<u8>) {
        let Some(visitor) = self.visitors.get_mut(key) else {
            return;
        };
        // A request that holds a control slot keeps it until its reply is out.
        if visitor.ticket.stage() == Stage::Headless && !self.admission.advance(&mut visitor.ticket, Stage::Leaving) {
            let _ = send(visitor.socket.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT);
            return self.remove(key, false);
        }
        visitor.deadline_ns = now_ns() + DRIP_DEADLINE_MS * MS;
        visitor.doing = Doing::Replying { bytes, sent: 0 };
    }

    fn linger(&mut self, key: u64) {
        let Some(visitor) = self.visitors.get_mut(key) else {
            return;
        };
        let leaving =
            visitor.ticket.stage() == Stage::Leaving || self.admission.advance(&mut visitor.ticket, Stage::Leaving);
        if leaving {
            visitor.linger(now_ns() + LINGER_MS * MS);
        } else {
            self.remove(key, false);
        }
    }

    fn remove(&mut self, key: u64, reset: bool) {
        if let Some(visitor) = self.visitors.remove(key) {
            self.admission.leave(visitor.ticket);
            self.event_stats.subscribers.set(self.admission.count(Stage::Subscriber) as u64);
            if reset {
                let _ = reset_on_close(&visitor.socket);
            }
        }
    }

    fn sweep(&mut self) {
        let now_ns = now_ns();
        if now_ns - self.swept_ns < SWEEP_NS {
            return;
        }
        self.swept_ns = now_ns;
        let due = |(key, visitor): (u64, &Visitor)| (visitor.deadline_ns <= now_ns).then_some(key);
        let overdue: Vec<u64> = self.visitors.iter().filter_map(due).collect();
        for key in overdue {
            self.overdue(key);
            self.serve(key);
            self.keep_up();
        }
    }

    fn overdue(&mut self, key: u64) {
        let Some(visitor) = self.visitors.get_mut(key) else {
            return;
        };
        match &visitor.doing {
            // Browsers open connections for what they may ask later, and would take a 408 for its answer.
            Doing::ReadingHead { bytes } if bytes.is_empty() => self.remove(key, false),
            Doing::ReadingHead { .. } | Doing::ReadingBody { .. } => {
                self.stats.bad_requests.add(1);
                let reply = Reply::error(408, "the request was not complete within 5 seconds");
                self.reply(key, &reply, ReplyTo::default());
            }
            Doing::Relaying { to, .. } => {
                let to = *to;
                let reply = Reply::error(504, "the control plane did not answer within 5 seconds");
                self.reply(key, &reply, to);
            }
            Doing::Replying { .. } => self.remove(key, true),
            Doing::Lingering | Doing::Subscribed(_) => self.remove(key, false),
        }
    }

    fn settle_departures(&mut self) {
        for ticket in self.broadcaster.connections().departed() {
            self.admission.leave(ticket);
        }
    }

    /// K1: the station queue, from atomics.
    fn buffer(&self) -> Reply {
        let stats = self.router.get_stats(InputId::Station);
        let json = crate::control::status::BufferStatus::of(stats);
        match serde_json::to_vec(&json) {
            Ok(body) => Reply::new(200, "application/json", body),
            Err(error) => Reply::error(503, &error.to_string()),
        }
    }

    fn local_address(&mut self, key: u64) -> Option<SocketAddr> {
        let socket = self.visitors.get_mut(key)?.socket.as_raw_fd();
        let address: SockaddrStorage = getsockname(socket).ok()?;
        let v4 = address.as_sockaddr_in().map(|a| SocketAddr::from((a.ip(), a.port())));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| SocketAddr::from((a.ip(), a.port()))))
    }
}

fn unusable(progress: &Progress) -> &'static str {
    match progress {
        Progress::TooLong => "it is longer than 1 MiB",
        Progress::Broken => "it hung up",
        Progress::Whole(_) | Progress::Waiting => "it is not HTTP",
    }
}
