//! `HttpConnectionManager`: every listener's socket, and the fan-out to them.
//!
//! A listener costs a cursor into the ring and no thread, no copy and no queue of
//! its own. The price of fan-out is per `send`, not per byte, so each is
//! served once a batch (`batch`); which of the batch's ticks is its phase, and phases hold
//! equally many, so no tick has a burst of work. Nothing here waits: a socket that takes
//! nothing now is looked at again in its next turn, and `listener` says when that has
//! been so for too long.
//!
//! A peer that has only shut down its sending side (`nc -N`, `socat`) still
//! listens, and one that has closed altogether answers the next batch by a reset; so a FIN
//! is no reason to leave, and only HUP, ERR or a failed send is.

use std::{
    io::IoSlice,
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, sendmsg},
};

use super::{
    batch::Batch,
    icy::{Cursor, PIECES_MAX, Titles},
    listener::{Act, Bound, Pace, Seen, next_bound},
    on_air::OnAirRing,
    slab::Slab,
};
use crate::{
    config::{Slow, StreamConfig},
    frame::{TICK_MS, TICK_NS},
    limits::{BACKLOG_SEC_MIN, BATCH_FRAMES_MAX, UNACKNOWLEDGED_BYTES_MAX},
    stats::ListenerStats,
    sys::socket::{reset_on_close, unacknowledged_bytes},
};

/// What a listener is to the door, which hears of its departure by it.
pub struct Arrival<P> {
    /// Non-blocking, connected.
    pub socket: OwnedFd,
    /// The response head, sent before any audio.
    pub response_head: Vec<u8>,
    /// Of what was just on air, this much is wanted at once.
    pub burst_ms: u64,
    /// Titles are wanted, so many audio bytes apart.
    pub metaint: Option<u32>,
    /// The door's note, given back at departure.
    pub note: P,
    /// From `control.sock`: not counted among the listeners, and judged by what
    /// its socket takes, since a Unix socket tells no acknowledged bytes (SIOCOUTQ counts its own overhead).
    pub local: bool,
}

/// All listeners.
pub struct HttpConnectionManager<P> {
    listeners: Slab<Listener<P>>,
    /// Keys by phase.
    phases: Vec<Vec<u64>>,
    batch: Batch,
    bound: Bound,
    bound_bytes_full: u64,
    bound_bytes_min: u64,
    slow: Slow,
    unacknowledged: u64,
    departed: Vec<P>,
    stats: Arc<ListenerStats>,
}

struct Listener<P> {
    socket: OwnedFd,
    note: P,
    local: bool,
    phase: usize,
    /// Index in `phases[phase]`.
    place: usize,
    /// What is sent next.
    cursor: Cursor,
    /// What goes before that: the response head, or the rest of a frame begun before a skip.
    pending: Vec<u8>,
    /// Bytes of `pending` that are response head and no audio.
    pending_head: usize,
    /// Audio bytes, and titles between them, given to the kernel.
    sent: u64,
    /// Of these, bytes of its burst.
    burst: u64,
    /// Bytes of `sent` that the kernel held when last asked, and what it was given since.
    unacknowledged: u64,
    sent_at_skip: u64,
    pace: Pace,
}

/// What became of a listener in its turn.
enum Turn {
    Stays,
    Gone,
    TooSlow,
}

impl<P> HttpConnectionManager<P> {
    /// No listeners yet. `frame_bytes` gives the bytes per second on air.
    pub fn new(config: &StreamConfig, frame_bytes: usize, stats: Arc<ListenerStats>) -> Self {
        let bytes_of = |sec: u32| u64::from(sec) * 1_000_000_000 * frame_bytes as u64 / TICK_NS;
        let full = bytes_of(config.backlog_sec);
        let batch = Batch::new(config.batch_ms);
        Self {
            listeners: Slab::default(),
            phases: (0..batch.phases()).map(|_| Vec::new()).collect(),
            batch,
            bound: Bound {
                bytes: full,
                timeout_ns: config.client_timeout_ms * 1_000_000,
                byte_ns_times_1024: (TICK_NS << 10) / frame_bytes as u64,
            },
            bound_bytes_full: full,
            bound_bytes_min: bytes_of(BACKLOG_SEC_MIN).min(full),
            slow: config.slow,
            unacknowledged: 0,
            departed: Vec::new(),
            stats,
        }
    }

    /// The key that the next `join` will give.
    pub fn next_key(&self) -> u64 {
        self.listeners.next_key()
    }

    /// A new listener: it gets the head, its burst and the newest whole frame at once, and
    /// everything since in its phase.
    pub fn join(&mut self, arrival: Arrival<P>, ring: &OnAirRing, titles: &Titles) -> u64 {
        // Where memory is short for all, newcomers get no burst.
        let short = self.unacknowledged > UNACKNOWLEDGED_BYTES_MAX;
        let burst_ns = if short { 0 } else { arrival.burst_ms * 1_000_000 };
        let burst = burst_ns / TICK_NS * ring.frame_bytes() as u64;
        let from = ring.newest_frame().saturating_sub(burst).max(ring.oldest());
        let phase = (0..self.phases.len()).min_by_key(|p| self.phases[*p].len()).unwrap_or(0);
        let key = self.listeners.insert(Listener {
            socket: arrival.socket,
            note: arrival.note,
            local: arrival.local,
            phase,
            place: self.phases[phase].len(),
            cursor: Cursor::new(from, arrival.metaint),
            pending_head: arrival.response_head.len(),
            pending: arrival.response_head,
            sent: 0,
            burst: ring.newest_frame() - from,
            unacknowledged: 0,
            sent_at_skip: 0,
            pace: Pace::default(),
        });
        self.phases[phase].push(key);
        if !arrival.local {
            self.count_in();
        }
        if let Some(listener) = self.listeners.get_mut(key) {
            let sent = listener.send_batch(ring, titles, ring.head() - from);
            self.unacknowledged += listener.unacknowledged;
            if sent.is_err() {
                self.leave(key, false);
            }
        }
        key
    }

    /// Ticks in which every listener has a turn.
    pub fn batch_frames(&self) -> u64 {
        self.batch.frames()
    }

    /// Serves the listeners whose turn is in this tick.
    pub fn serve_tick(&mut self, tick: u64, ring: &OnAirRing, titles: &Titles, now_ns: u64) {
        if self.batch.is_round(tick) {
            self.set_bound();
            self.batch.suit(self.listeners.len());
            self.stats.batch_ms.set(self.batch.frames() * TICK_MS);
        }
        for phase in self.batch.due(tick) {
            self.serve_phase(phase, ring, titles, now_ns);
        }
    }

    fn serve_phase(&mut self, phase: usize, ring: &OnAirRing, titles: &Titles, now_ns: u64) {
        let mut place = 0;
        while let Some(&key) = self.phases[phase].get(place) {
            match self.serve(key, ring, titles, now_ns) {
                Turn::Stays => place += 1,
                // The last listener of the phase has taken the place.
                Turn::Gone => self.leave(key, false),
                Turn::TooSlow => {
                    self.stats.dropped_slow.add(1);
                    self.leave(key, true);
                }
            }
        }
    }

    /// The peer is gone (HUP, ERR).
    pub fn hang_up(&mut self, key: u64) {
        self.leave(key, false);
    }

    /// The notes of those that have left since the last call.
    pub fn departed(&mut self) -> impl Iterator<Item = P> + '_ {
        self.departed.drain(..)
    }

    /// Listeners now, local ones included.
    pub fn len(&self) -> usize {
        self.listeners.len()
    }

    /// True without any listener.
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    fn serve(&mut self, key: u64, ring: &OnAirRing, titles: &Titles, now_ns: u64) -> Turn {
        let Some(listener) = self.listeners.get_mut(key) else {
            return Turn::Gone;
        };
        let before = listener.unacknowledged;
        let turn = listener.turn((ring, titles), (self.bound, self.slow), now_ns, &self.stats);
        self.unacknowledged = self.unacknowledged + listener.unacknowledged - before;
        turn
    }

    fn set_bound(&mut self) {
        self.stats.unacknowledged_bytes.set(self.unacknowledged);
        self.bound.bytes = next_bound(
            self.bound.bytes,
            self.unacknowledged,
            UNACKNOWLEDGED_BYTES_MAX,
            self.bound_bytes_min,
            self.bound_bytes_full,
        );
    }

    fn count_in(&self) {
        let now = self.stats.now.get() + 1;
        self.stats.now.set(now);
        self.stats.peak.raise(now);
        self.stats.total.add(1);
    }

    fn leave(&mut self, key: u64, reset: bool) {
        let Some(listener) = self.listeners.remove(key) else {
            return;
        };
        let phase = &mut self.phases[listener.phase];
        phase.swap_remove(listener.place);
        if let Some(moved) = phase.get(listener.place).and_then(|moved| self.listeners.get_mut(*moved)) {
            moved.place = listener.place;
        }
        self.unacknowledged -= listener.unacknowledged;
        if !listener.local {
            self.stats.now.set(self.stats.now.get() - 1);
        }
        if reset {
            // A refusal would only make it an ordinary close.
            let _ = reset_on_close(&listener.socket);
        }
        self.departed.push(listener.note);
    }
}

impl<P> Listener<P> {
    fn turn(
        &mut self,
        (ring, titles): (&OnAirRing, &Titles),
        (bound, slow): (Bound, Slow),
        now_ns: u64,
        stats: &ListenerStats,
    ) -> Turn {
        if !self.local {
            let held = unacknowledged_bytes(&self.socket).unwrap_or(0);
            // The response head went before all audio, so only what exceeds the audio is head.
            self.unacknowledged = held.min(self.sent);
        }
        let seen = Seen {
            unsent: ring.head() - self.cursor.position + (self.pending.len() - self.pending_head) as u64,
            sent: self.sent,
            unacknowledged: self.unacknowledged,
            burst: self.burst,
            overtaken: self.cursor.position < ring.oldest() + overtaking_margin(ring),
        };
        match (self.pace.step(seen, bound, now_ns), slow) {
            (Act::Wait, _) => Turn::Stays,
            (Act::Send(bytes), _) => match self.send_batch(ring, titles, bytes) {
                Ok(()) => Turn::Stays,
                Err(_) => Turn::Gone,
            },
            (Act::Slow, Slow::Drop) => Turn::TooSlow,
            (Act::Slow, Slow::Skip) => self.skip_to_live((ring, titles), now_ns, stats),
        }
    }

    /// The begun frame will be finished; after it comes the newest one.
    fn skip_to_live(&mut self, (ring, titles): (&OnAirRing, &Titles), now_ns: u64, stats: &ListenerStats) -> Turn {
        let border = ring.border_after(self.cursor.position);
        if self.cursor.position != border || self.cursor.is_within_a_block() {
            if self.cursor.position < ring.oldest() {
                // The rest of the frame is gone; what follows could not be understood.
                return Turn::TooSlow;
            }
            self.keep_pending(ring, titles, border);
        }
        self.cursor.position = ring.newest_frame();
        self.pace.moved_to_live(now_ns);
        if self.sent > self.sent_at_skip {
            self.sent_at_skip = self.sent;
            stats.skipped_slow.add(1);
        }
        Turn::Stays
    }

    /// Copies what comes before a position to where the ring cannot take it away.
    fn keep_pending(&mut self, ring: &OnAirRing, titles: &Titles, to: u64) {
        loop {
            let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
            let filled = self.cursor.pieces(to, ring, titles, &mut pieces);
            let before = self.pending.len();
            pieces[..filled].iter().for_each(|piece| self.pending.extend_from_slice(piece));
            match self.pending.len() - before {
                0 => return,
                kept => self.cursor.advance(kept, to, titles),
            }
        }
    }

    /// Sends what is pending and at most `bytes_max` of what is on air, in one call. A full
    /// socket ends it: the rest has its next turn.
    fn send_batch(&mut self, ring: &OnAirRing, titles: &Titles, bytes_max: u64) -> nix::Result<()> {
        let to = self.cursor.position + bytes_max;
        let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
        pieces[0] = IoSlice::new(&self.pending);
        let first = usize::from(!self.pending.is_empty());
        let filled = first + self.cursor.pieces(to, ring, titles, &mut pieces[first..]);
        let sent = send_now(&self.socket, &pieces[..filled])?;
        let pending = sent.min(self.pending.len());
        let head = self.take_pending(pending);
        self.cursor.advance(sent - pending, to, titles);
        self.count_sent(sent - head);
        Ok(())
    }

    /// So many bytes of it were sent; gives how many of these were response head.
    fn take_pending(&mut self, sent: usize) -> usize {
        let head = sent.min(self.pending_head);
        self.pending_head -= head;
        self.pending.drain(..sent);
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
        head
    }

    fn count_sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        if !self.local {
            self.unacknowledged += bytes as u64;
        }
    }
}

/// So near the oldest byte, a listener counts as overtaken: until its next turn the
/// ring moves on by a batch, and the rest of a begun frame must still be there for a skip.
fn overtaking_margin(ring: &OnAirRing) -> u64 {
    if ring.oldest() == 0 { 0 } else { 2 * BATCH_FRAMES_MAX * ring.frame_bytes() as u64 }
}

fn send_now(socket: &OwnedFd, pieces: &[IoSlice<'_>]) -> nix::Result<usize> {
    if pieces.is_empty() {
        return Ok(0);
    }
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), pieces, &[], flags, None) {
            Err(Errno::EINTR) => {}
            // No room, or no memory for it just now: its next turn will tell.
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM) => return Ok(0),
            other => return other,
        }
    }
}
