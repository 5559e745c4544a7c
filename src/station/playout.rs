//! DO: plays exactly what THINK has queued, in the station's own time.
//!
//! One thread takes blocks from the deck, waits for their deadline, and hands
//! them to the tower's socket. It chooses nothing, opens nothing, and waits for
//! nobody: not for a decoder, the tower, THINK or the log. A decoder that is
//! behind has the tower's queue as its reserve; what is late is made up.

use std::{
    io,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{
    deck::{Deck, DeckEvent, END_FADE_SAMPLES, Fill, SKIP_FADE_SAMPLES, Segment},
    pace::Pace,
    sink::TowerSink,
    stats::StationStats,
    tower_link::Looker,
};
use crate::{
    frame::STATION_FRAME_BYTES,
    limits::{
        STATION_CATCH_UP_SPACING_MS, STATION_DRY_MS, STATION_STARVED_FIRST_MS, STATION_STARVED_MS,
        STATION_UNOBSERVED_MS,
    },
    sys::{
        thread,
        time::{now_ns, sleep_until},
    },
};

/// Above other programs, where it may be: a deadline is 21 ms away.
const NICE: i32 = -10;
/// A decoder that has nothing yet is asked again after this.
const ASK_AGAIN_MS: u64 = 2;
/// What is faded out when the time for the sign-off is over may take this long.
const HURRY_MS: u64 = 1000;
/// A block that waits this long for a decoder counts as an underrun.
const UNDERRUN_MS: u64 = 100;
/// With nothing to play, the tower is looked for this often.
const IDLE_MS: u64 = 50;

/// What THINK wants of DO.
pub enum Order {
    /// Play this behind all that is queued.
    Queue(Box<Segment>),
    /// Give back what has not begun: answered with [`Report::Cleared`].
    Clear,
    /// On to the next segment, if it is this one that plays.
    Skip {
        /// Of the segment that is to end.
        id: u64,
    },
    /// Fade out, play the sign-off if there is one, and end.
    End {
        /// The sign-off.
        segment: Option<Box<Segment>>,
        /// It is faded out after this.
        within_ms: u64,
    },
}

/// What DO tells THINK.
#[derive(Debug)]
pub enum Report {
    /// A segment began or ended. `at_frame`: station frames sent on this
    /// connection when the block goes out in which it happens.
    Deck {
        /// What.
        event: DeckEvent,
        /// Where.
        at_frame: u64,
    },
    /// These segments will not be played.
    Cleared(Vec<u64>),
    /// There is a new connection to the tower: it knows nothing of what plays.
    Connected,
}

/// What DO works with.
pub struct PlayoutDeps {
    /// Segments into blocks.
    pub deck: Deck,
    /// Blocks to the tower.
    pub sink: TowerSink,
    /// From THINK. Its end ends DO, at once.
    pub orders: Receiver<Order>,
    /// To THINK; never waited for.
    pub reports: Box<dyn Fn(Report) + Send>,
    /// Asks for a look at it.
    pub looker: Looker,
    /// What is published, and the tower's queue.
    pub stats: Arc<StationStats>,
}

/// Starts DO. It ends after [`Order::End`], or when nobody gives orders any more.
///
/// # Errors
/// Without a thread.
pub fn start(deps: PlayoutDeps) -> io::Result<JoinHandle<()>> {
    thread::spawn("station:do", move || {
        if let Err(error) = thread::set_nice(NICE) {
            log::info!("playing at normal priority: {error}");
        }
        thread::tighten_timer_slack();
        let now = now_ns();
        let mut playout = Playout {
            deps,
            pace: Pace::new(now),
            seen_looks: 0,
            seen_ns: now,
            end_by_ns: None,
            seen_dropped: 0,
            skip_wanted: None,
            waits_since_ns: None,
            counted: false,
            hurried: false,
            dry_since: None,
            draining: false,
        };
        while playout.turn() {}
    })
}

struct Playout {
    deps: PlayoutDeps,
    pace: Pace,
    /// Looks at the tower's queue that were taken into account, and when the last one was.
    seen_looks: u32,
    seen_ns: u64,
    /// By then it is over; none: nobody wants it to end.
    end_by_ns: Option<u64>,
    /// Frames that the tower had not taken, when its queue was looked at.
    seen_dropped: u64,
    /// This segment is to be skipped.
    skip_wanted: Option<u64>,
    /// Since when the block that is being filled waits for a decoder.
    waits_since_ns: Option<u64>,
    /// It has been counted as late.
    counted: bool,
    /// The sign-off has had its time.
    hurried: bool,
    /// Since when a block has stood unfinished.
    dry_since: Option<u64>,
    /// The last of the sound goes out behind a song that nothing follows.
    draining: bool,
}

impl Playout {
    /// One block, or one wait. False: it is over.
    fn turn(&mut self) -> bool {
        self.deps.stats.playout.turns.add(1);
        if !self.take_orders() {
            return false;
        }
        let now = now_ns();
        self.look_after_tower(now);
        self.skip_when_ready();
        if self.end_by_ns.is_some_and(|end| now > end) && !self.hurry_up(now) {
            return false;
        }
        match self.deps.deck.fill() {
            Fill::Whole => {
                self.draining = false;
                self.hand_over();
            }
            Fill::Waiting => {
                self.tell_events();
                self.starve(now);
            }
            Fill::Dry(_) => {
                self.tell_events();
                let holds_sound = self.deps.deck.holds_sound();
                if self.end_by_ns.is_some() && !holds_sound {
                    return false;
                }
                self.dry(now, holds_sound);
            }
        }
        true
    }

    /// False: nobody is there to give orders.
    fn take_orders(&mut self) -> bool {
        loop {
            match self.deps.orders.try_recv() {
                Ok(order) => self.obey(order),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Queue(segment) => self.deps.deck.push(*segment),
            Order::Clear => {
                let cleared = self.deps.deck.clear();
                (self.deps.reports)(Report::Cleared(cleared));
            }
            Order::Skip { id } => self.skip_wanted = Some(id),
            Order::End { segment, within_ms } => {
                self.deps.deck.clear();
                self.deps.deck.skip(END_FADE_SAMPLES);
                if let Some(segment) = segment {
                    self.deps.deck.push(*segment);
                }
                self.end_by_ns = Some(now_ns() + within_ms * 1_000_000);
            }
        }
    }

    /// Skips when the next segment has its first samples: FFmpeg takes a moment to start.
    fn skip_when_ready(&mut self) {
        // Another one has begun meanwhile: what was wanted has happened.
        self.skip_wanted = self.skip_wanted.filter(|id| self.deps.deck.current_id() == Some(*id));
        if self.skip_wanted.is_some() && self.deps.deck.next_is_ready() {
            self.skip_wanted = None;
            self.deps.deck.skip(SKIP_FADE_SAMPLES);
        }
    }

    fn look_after_tower(&mut self, now: u64) {
        if self.deps.sink.connect_if_due(now) {
            self.seen_dropped = self.deps.stats.sink.dropped.get();
            self.deps.looker.look_now();
            (self.deps.reports)(Report::Connected);
        }
        let (looks, filling) = self.deps.stats.link.tower_queue.last();
        if looks != self.seen_looks {
            (self.seen_looks, self.seen_ns) = (looks, now);
            // What does not come from us, or does not arrive, says nothing about our pace.
            let dropped = self.deps.stats.sink.dropped.get();
            let arrives = std::mem::replace(&mut self.seen_dropped, dropped) == dropped;
            if self.dry_since.is_none() && arrives && self.deps.stats.sink.connected.get() == 1 {
                self.pace.observe(now, filling);
            }
        } else if now > self.seen_ns + STATION_UNOBSERVED_MS * 1_000_000 {
            self.seen_ns = now;
            self.pace.unobserved();
        }
        #[allow(clippy::cast_possible_truncation)] // within ± 10 000
        self.deps.stats.playout.pace_ppm.store(self.pace.ppm() as i32, Relaxed);
    }

    /// The time for the sign-off is over: what plays fades out. False: that is over, too.
    fn hurry_up(&mut self, now: u64) -> bool {
        let end = self.end_by_ns.unwrap_or(now);
        if !self.hurried {
            self.hurried = true;
            self.deps.deck.clear();
            self.deps.deck.skip(SKIP_FADE_SAMPLES);
        }
        now < end + HURRY_MS * 1_000_000
    }

    /// A decoder has nothing yet. The tower's queue covers for it; before that is
    /// empty, the next segment takes over from a decoder that gives nothing.
    fn starve(&mut self, now: u64) {
        let since = *self.waits_since_ns.get_or_insert(now);
        // A refill is due in the past: a decoder cannot be blamed for that.
        let late_since = since.max(self.pace.due_ns());
        if now > late_since + UNDERRUN_MS * 1_000_000 && !std::mem::replace(&mut self.counted, true) {
            self.deps.stats.playout.underruns.add(1);
        }
        // Where nothing plays there is nothing to save: FFmpeg may need its time to start.
        let starved_ms = if self.dry_since.is_some() { STATION_STARVED_FIRST_MS } else { STATION_STARVED_MS };
        if now > late_since + starved_ms * 1_000_000 && self.deps.deck.abandon() {
            self.waits_since_ns = None;
            return;
        }
        self.wait_ms(ASK_AGAIN_MS);
    }

    /// Waits for the block's deadline and sends it.
    fn hand_over(&mut self) {
        let now = now_ns();
        if self.dry_since.take().is_some() && now > self.pace.due_ns() {
            // After a pause time begins anew; the tower's queue is filled up again.
            self.pace.restart(now);
            self.deps.looker.look_now();
        } else if self.pace.give_up_if_too_late(now) {
            self.deps.stats.playout.gaps.add(1);
            self.deps.looker.look_now();
        }
        let behind = self.pace.due_ns() < now;
        // A clock that cannot be slept on shows as a burst, which the tower bounds.
        let _ = sleep_until(if behind { now + STATION_CATCH_UP_SPACING_MS * 1_000_000 } else { self.pace.due_ns() });
        (self.waits_since_ns, self.counted) = (None, false);
        self.tell_events();
        let mut bytes = [0; STATION_FRAME_BYTES];
        self.deps.deck.take(&mut bytes);
        self.deps.sink.send(&bytes);
        self.pace.advance();
        self.deps.stats.playout.position.set(self.deps.deck.position());
    }

    /// Nothing follows. For a moment THINK may only be late; then the begun block is
    /// completed, and one more if that did not bring out the last of the sound.
    fn dry(&mut self, now: u64, holds_sound: bool) {
        let since = *self.dry_since.get_or_insert(now.max(self.pace.due_ns()));
        self.draining &= holds_sound;
        let waited = self.draining || self.end_by_ns.is_some() || now > since + STATION_DRY_MS * 1_000_000;
        if holds_sound && waited {
            self.draining = true;
            self.deps.deck.pad();
            return self.hand_over();
        }
        self.wait_ms(if holds_sound { ASK_AGAIN_MS } else { IDLE_MS });
    }

    /// Waits, but not longer than for the next order.
    fn wait_ms(&mut self, ms: u64) {
        match self.deps.orders.recv_timeout(Duration::from_millis(ms)) {
            Ok(order) => self.obey(order),
            Err(RecvTimeoutError::Timeout) => {}
            // `take_orders` ends the thread.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_millis(ms)),
        }
    }

    fn tell_events(&mut self) {
        while let Some(event) = self.deps.deck.next_event() {
            (self.deps.reports)(Report::Deck { event, at_frame: self.deps.sink.connection_frames() });
        }
    }
}
