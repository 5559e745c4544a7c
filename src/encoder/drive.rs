//! The `tower:encoder` thread: carries out what the supervisor decides.
//!
//! One epoll over the children's stdin, stdout and pidfds and one wake-up for
//! PCM, new children and the wish to stop. It never waits for a listener, reads
//! at most 64 KiB of a child in one go, and logs through the journal only.

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

use heapless::spsc::Consumer;
use nix::sys::{
    epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout},
    eventfd::EventFd,
    socket::{Shutdown, shutdown},
};

use super::{
    child::{Child, Desync, LOOK_AHEAD_FRAMES, Owed, Read, Spawned, Write},
    events::{EncoderEvent, FailureKind},
    header::Header,
    nursery::{Nursery, SpawnFailed},
    replay::Replay,
    spare::{PRIMING_FRAMES, SpareKeeper},
    supervisor::{Action, Event, State, Supervisor},
};
use crate::{
    frame::PumpFrame,
    journal::Reporter,
    pump::clock::OnAirClock,
    ring::FrameRingBuffer,
    stats::EncoderStats,
    sys::{child::Ended, thread::set_fifo, time::now_ms},
};

/// Below the pump and the capture, above everything else.
const FIFO_PRIORITY: i32 = 50;
/// Two MP3 frames further apart than this are counted (one and a half ticks).
const SLOW_FRAME_MS: u64 = 36;
/// A child that closed its stdout is about to exit; then it is helped.
const EXIT_GRACE_MS: u64 = 50;
/// How long a killed child may take to be gone before it is forgotten.
const REAP_MS: u64 = 5000;
/// How long children have to end by themselves when the tower stops.
const TERM_GRACE_MS: u64 = 300;
/// The wake-up's token; children have their generation (from 1) and an end.
const WAKE: u64 = 0;
/// Events taken per wake-up.
const EVENTS_PER_WAKEUP: usize = 16;

/// What the thread works with.
pub struct Drive {
    pub(super) header: Header,
    pub(super) stall_ms: u64,
    pub(super) startup_timeout_ms: u64,
    pub(super) clock: Arc<OnAirClock>,
    pub(super) stats: Arc<EncoderStats>,
    pub(super) mp3: Arc<FrameRingBuffer>,
    pub(super) pcm: Consumer<'static, (u64, PumpFrame)>,
    pub(super) wake: Arc<EventFd>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) nursery: Nursery,
    pub(super) reporter: Reporter<EncoderEvent>,
    pub(super) supervisor: Supervisor,
    pub(super) keeper: SpareKeeper,
    pub(super) epoll: Epoll,
    pub(super) replay: Replay,
    pub(super) children: Children,
    pub(super) feed: Feed,
    /// When the failure was seen that is being mended.
    pub(super) failed_at_ms: Option<u64>,
}

/// The children there are.
#[derive(Default)]
pub struct Children {
    last_generation: u64,
    active: Option<Child>,
    /// Asked for, to be the encoder; with whether it is fed what is owed.
    wanted: Option<(u64, bool)>,
    spare: Option<Child>,
    spare_wanted: Option<u64>,
    dying: Vec<Dying>,
}

/// Where the active child is in the PCM.
#[derive(Default)]
pub struct Feed {
    /// The position in the replay window that is written next.
    position: u64,
    /// Numbers below this are nobody's: lead-in.
    owed_from: u64,
    /// Numbers below this were delivered or given up.
    delivered_below: u64,
    /// MP3 frames in a row that came after their tick.
    late_in_row: u32,
}

/// After a second of nothing but late frames the encoder is behind for good: it keeps up, and does not catch up.
const BEHIND_AFTER_FRAMES: u32 = 42;
/// What is skipped then, beyond what the encoder has in hand: for the way through it.
const BEHIND_MARGIN_FRAMES: u64 = 4;

impl Feed {
    /// True: the frame is left out, since it would be late as well. That goes on until what the encoder has in hand is so
    /// little that a new frame comes in time. One that has nothing in hand is given what there is: with a small cushion
    /// nothing could be sooner.
    fn skips(&self, number: u64, aired: u64, in_hand: usize) -> bool {
        let is_late = number < aired + in_hand as u64 + BEHIND_MARGIN_FRAMES;
        self.late_in_row >= BEHIND_AFTER_FRAMES && in_hand > LOOK_AHEAD_FRAMES && is_late
    }
}

/// A child that has failed and is not yet gone.
struct Dying {
    process: Spawned,
    spare: bool,
    kind: FailureKind,
    frames: u64,
    owed: usize,
    kill_at_ms: Option<u64>,
    forget_at_ms: u64,
}

/// Which end of a child an event is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Stdin = 1,
    Stdout = 2,
    Process = 3,
}

/// That it broke is reported always, and once.
const STDIN_FLAGS: EpollFlags = EpollFlags::EPOLLET;

fn token(generation: u64, end: End) -> u64 {
    generation << 2 | end as u64
}

impl Drive {
    /// The thread's body. Gives the nursery back, for its last replies.
    pub fn run(mut self) -> Nursery {
        if set_fifo(FIFO_PRIORITY).is_err() {
            self.reporter.report(EncoderEvent::NotRealTime);
        }
        self.step(Event::Start, now_ms());
        while !self.stop.load(SeqCst) {
            self.turn();
        }
        self.step(Event::Stop, now_ms());
        self.publish();
        self.nursery
    }

    fn turn(&mut self) {
        let mut events = [EpollEvent::empty(); EVENTS_PER_WAKEUP];
        let count = self.epoll.wait(&mut events, self.timeout()).unwrap_or(0);
        let now_ms = now_ms();
        // Reading it only clears it: what it stands for is looked at in any case.
        let _ = self.wake.read();
        self.take_replies(now_ms);
        for event in &events[..count] {
            self.on_event(event.data(), event.events(), now_ms);
        }
        self.take_pcm(now_ms);
        self.on_deadlines(now_ms);
        self.publish();
    }

    /// Milliseconds to the next thing that is due without an event.
    fn timeout(&self) -> EpollTimeout {
        let stall =
            self.children.active.as_ref().filter(|_| self.is_running()).and_then(|c| c.stalled_at_ms(self.stall_ms));
        let dying = self.children.dying.iter().map(|d| d.kill_at_ms.unwrap_or(d.forget_at_ms)).min();
        let spare = match &self.children.spare {
            Some(spare) if spare.frames_out() == 0 => Some(spare.last_frame_ms() + self.startup_timeout_ms),
            None if self.children.spare_wanted.is_none() => self.keeper.due_ms(),
            _ => None,
        };
        let due = [self.supervisor.deadline_ms(), stall, dying, spare].into_iter().flatten().min();
        let wait_ms = due.map(|due| due.saturating_sub(now_ms()));
        wait_ms.map_or(EpollTimeout::NONE, |ms| EpollTimeout::try_from(ms.min(60_000)).unwrap_or(EpollTimeout::ZERO))
    }

    fn is_running(&self) -> bool {
        matches!(self.supervisor.state(), State::Running { .. })
    }

    /// Writes what others read.
    fn publish(&mut self) {
        let pid = |child: &Option<Child>| child.as_ref().map_or(0, |c| c.process.pid);
        self.stats.pid.store(pid(&self.children.active), Relaxed);
        self.stats.spare_pid.store(pid(&self.children.spare), Relaxed);
        let ready = self.children.spare.as_ref().is_some_and(|spare| spare.frames_out() > 0);
        self.stats.spare_ready.store(ready, Relaxed);
    }

    // ---- PCM in ----

    fn take_pcm(&mut self, now_ms: u64) {
        while let Some((number, frame)) = self.pcm.dequeue() {
            self.replay.push(number, &frame);
            if let Some(active) = &mut self.children.active {
                active.note_tick();
            }
        }
        self.feed(now_ms);
    }

    /// Writes to the active child what it has not had, as fast as it takes it.
    fn feed(&mut self, now_ms: u64) {
        let Self { replay, feed, children, clock, stats, .. } = self;
        let Some(active) = &mut children.active else { return };
        feed.position = feed.position.max(replay.oldest());
        while let Some((number, frame)) = replay.get(feed.position) {
            if feed.skips(number, clock.aired(), active.in_hand()) {
                feed.position += 1;
                stats.pcm_dropped.add(1);
                continue;
            }
            let owed = if number < feed.owed_from { Owed::Nobody } else { Owed::Number(number) };
            match active.write(frame, owed, now_ms) {
                Write::Taken => feed.position += 1,
                Write::Full => return self.want_room(true),
                Write::Broken => return self.fail(FailureKind::StdinBroken, now_ms),
            }
        }
    }

    /// Whether to be woken when the active child's stdin has room again. Else
    /// every frame that it reads would be a wake-up.
    fn want_room(&self, wanted: bool) {
        let Some(active) = &self.children.active else { return };
        let flags = if wanted { EpollFlags::EPOLLOUT | STDIN_FLAGS } else { STDIN_FLAGS };
        let token = token(active.process.generation, End::Stdin);
        let _ = self.epoll.modify(&active.process.stdin, &mut EpollEvent::new(flags, token));
    }

    // ---- MP3 out ----

    fn on_event(&mut self, token_: u64, flags: EpollFlags, now_ms: u64) {
        if token_ == WAKE {
            return;
        }
        let generation = token_ >> 2;
        let is = |child: &Option<Child>| child.as_ref().is_some_and(|c| c.process.generation == generation);
        let gone = token_ & 3 == End::Process as u64;
        let broken = token_ & 3 == End::Stdin as u64 && flags.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
        let has_room = token_ & 3 == End::Stdin as u64 && !broken;
        if is(&self.children.active) && has_room {
            self.want_room(false);
        } else if is(&self.children.active) {
            self.on_active(gone, broken, now_ms);
        } else if is(&self.children.spare) {
            self.on_spare(gone || broken, now_ms);
        } else {
            self.bury(now_ms);
        }
    }

    fn on_active(&mut self, gone: bool, broken: bool, now_ms: u64) {
        match self.read_active(gone || broken, now_ms) {
            Read::Desync(what) => self.fail(FailureKind::Desync(what), now_ms),
            Read::Eof => self.fail(FailureKind::Eof, now_ms),
            Read::Drained | Read::More if gone => self.fail(FailureKind::Exit, now_ms),
            Read::Drained | Read::More if broken => self.fail(FailureKind::StdinBroken, now_ms),
            Read::Drained | Read::More => {}
        }
    }

    /// Reads the active child: once, or to the end if it is on its way out.
    fn read_active(&mut self, to_the_end: bool, now_ms: u64) -> Read {
        // A pipe holds 64 KiB and more only if it was enlarged, so a few rounds are all.
        let rounds = if to_the_end { 32 } else { 1 };
        let mut outcome = Read::Drained;
        for _ in 0..rounds {
            let Some(mut active) = self.children.active.take() else {
                return Read::Drained;
            };
            let frames_before = active.frames_out();
            let since_last_ms = now_ms.saturating_sub(active.last_frame_ms());
            outcome = active.read(now_ms, |owed, frame| self.deliver(owed, frame, now_ms));
            let frames = active.frames_out() - frames_before;
            self.children.active = Some(active);
            if frames > 0 {
                self.on_frames(since_last_ms, now_ms);
            }
            if outcome != Read::More {
                break;
            }
        }
        outcome
    }

    fn on_frames(&mut self, since_last_ms: u64, now_ms: u64) {
        if self.is_running() && since_last_ms > SLOW_FRAME_MS {
            self.stats.slow_frames.add(1);
        }
        self.step(Event::FrameSeen, now_ms);
    }

    /// An MP3 frame goes to the broadcaster, unless it is nobody's or past.
    fn deliver(&mut self, owed: Owed, frame: &[u8], now_ms: u64) {
        let Owed::Number(number) = owed else { return };
        self.feed.delivered_below = self.feed.delivered_below.max(number + 1);
        if number < self.clock.aired() {
            self.stats.late_frames.add(1);
            self.feed.late_in_row = self.feed.late_in_row.saturating_add(1);
            return;
        }
        self.feed.late_in_row = 0;
        self.mp3.push_frame(number, frame);
        self.stats.frames.add(1);
        if let Some(failed_at_ms) = self.failed_at_ms.take() {
            let after_ms = now_ms - failed_at_ms;
            self.stats.recovery_ms.record(after_ms);
            self.reporter.report(EncoderEvent::Recovered { after_ms });
        }
    }

    // ---- deadlines and failures ----

    fn on_deadlines(&mut self, now_ms: u64) {
        self.step(Event::Deadline, now_ms);
        if let Some(active) = self.children.active.as_ref().filter(|_| self.is_running()) {
            if active.misses_a_frame() {
                self.fail(FailureKind::Desync(Desync::MissingFrame), now_ms);
            } else if active.stalled_at_ms(self.stall_ms).is_some_and(|due| now_ms >= due) {
                self.fail(FailureKind::Stall, now_ms);
            }
        }
        self.tend_spare(now_ms);
        self.bury(now_ms);
    }

    /// Tells the supervisor what happened, says what changed, does what it wants.
    fn step(&mut self, event: Event, now_ms: u64) {
        let old = self.supervisor.shown();
        let action = self.supervisor.step(event, now_ms);
        let new = self.supervisor.shown();
        self.stats.state.store(new as u8, Relaxed);
        if new != old {
            self.reporter.report(EncoderEvent::State { old, new });
        }
        self.act(action, now_ms);
    }

    fn act(&mut self, action: Action, now_ms: u64) {
        match action {
            Action::Nothing => {}
            Action::Spawn { replay } => self.start_encoder(replay, now_ms),
            Action::WarnSlowStart => {
                let pid = self.stats.pid.load(Relaxed);
                self.reporter.report(EncoderEvent::SlowStart { pid });
            }
            Action::GiveUp => self.fail(FailureKind::StartupTimeout, now_ms),
            Action::Shutdown => self.end_all(),
        }
        self.keeper.note_running(self.is_running(), now_ms);
    }

    /// The active child is no longer the encoder.
    fn fail(&mut self, kind: FailureKind, now_ms: u64) {
        // What it had finished before is good: nothing that is owed is lost.
        if !matches!(kind, FailureKind::Desync(_)) {
            self.read_active(true, now_ms);
        }
        let Some(active) = self.children.active.take() else {
            return;
        };
        self.stats.failures.add(1);
        match kind {
            FailureKind::Stall => self.stats.stalls.add(1),
            FailureKind::Desync(_) => self.stats.desyncs.add(1),
            _ => {}
        }
        self.failed_at_ms.get_or_insert(now_ms);
        self.let_die(active, kind, false, now_ms);
        self.step(Event::Failed, now_ms);
    }

    // ---- children ----

    fn start_encoder(&mut self, replay: bool, now_ms: u64) {
        if self.failed_at_ms.is_some() {
            self.stats.restarts.add(1);
        }
        if let Some(spare) = self.children.spare.take() {
            self.keeper.note_gone(now_ms);
            return self.put_in_charge(spare, replay, now_ms);
        }
        // A spare that is on its way will be the encoder.
        let generation = self.children.spare_wanted.take().unwrap_or_else(|| self.ask());
        self.children.wanted = Some((generation, replay));
    }

    fn ask(&mut self) -> u64 {
        self.children.last_generation += 1;
        // There are never more requests than places: one encoder and one spare.
        self.nursery.ask(self.children.last_generation);
        self.children.last_generation
    }

    fn take_replies(&mut self, now_ms: u64) {
        while let Some(reply) = self.nursery.reply() {
            match reply {
                Ok(process) => self.on_spawned(process, now_ms),
                Err(failed) => self.on_spawn_failed(&failed, now_ms),
            }
        }
    }

    fn on_spawned(&mut self, process: Spawned, now_ms: u64) {
        let (pid, nice, generation) = (process.pid, process.nice, process.generation);
        let spare = self.children.spare_wanted == Some(generation);
        self.reporter.report(EncoderEvent::Started { pid, nice, spare });
        self.watch(&process);
        let child = Child::new(process, self.header, now_ms);
        match self.children.wanted {
            Some((wanted, replay)) if wanted == generation => {
                self.children.wanted = None;
                self.put_in_charge(child, replay, now_ms);
            }
            _ if spare => {
                self.children.spare_wanted = None;
                self.prime(child, now_ms);
            }
            _ => self.let_die(child, FailureKind::StartupTimeout, false, now_ms),
        }
    }

    fn on_spawn_failed(&mut self, failed: &SpawnFailed, now_ms: u64) {
        let spare = self.children.spare_wanted == Some(failed.generation);
        let errno = failed.error.raw_os_error().unwrap_or(0);
        self.reporter.report(EncoderEvent::SpawnFailed { spare, errno });
        if spare {
            self.children.spare_wanted = None;
            self.keeper.note_failure(now_ms);
        } else if self.children.wanted.is_some_and(|(generation, _)| generation == failed.generation) {
            self.children.wanted = None;
            self.stats.failures.add(1);
            self.failed_at_ms.get_or_insert(now_ms);
            self.step(Event::Failed, now_ms);
        }
    }

    fn put_in_charge(&mut self, child: Child, replay: bool, now_ms: u64) {
        let first_owed = self.feed.delivered_below.max(self.clock.aired());
        self.feed.position = if replay { self.replay.lead_in_to(first_owed) } else { self.replay.end() };
        self.feed.owed_from = first_owed;
        self.feed.late_in_row = 0;
        self.children.active = Some(child);
        self.step(Event::Spawned, now_ms);
        self.feed(now_ms);
    }

    /// Watches a child's three ends. A descriptor that cannot be watched shows as
    /// a child that never answers, and that has its time-out.
    fn watch(&self, process: &Spawned) {
        let ends: [(BorrowedFd<'_>, End, EpollFlags); 3] = [
            (process.stdin.as_fd(), End::Stdin, STDIN_FLAGS),
            (process.stdout.as_fd(), End::Stdout, EpollFlags::EPOLLIN),
            (process.pidfd.as_fd(), End::Process, EpollFlags::EPOLLIN),
        ];
        for (fd, end, flags) in ends {
            let _ = self.epoll.add(fd, EpollEvent::new(flags, token(process.generation, end)));
        }
    }

    // ---- the spare ----

    fn prime(&mut self, mut spare: Child, now_ms: u64) {
        for _ in 0..PRIMING_FRAMES {
            // What does not go in (it always does: the socket is empty) primes nothing.
            let _ = spare.write(&PumpFrame::SILENCE, Owed::Nobody, now_ms);
        }
        self.children.spare = Some(spare);
    }

    fn on_spare(&mut self, gone: bool, now_ms: u64) {
        let Some(mut spare) = self.children.spare.take() else {
            return;
        };
        let was_ready = spare.frames_out() > 0;
        let kind = match spare.read(now_ms, |_, _| {}) {
            Read::Desync(what) => Some(FailureKind::Desync(what)),
            Read::Eof => Some(FailureKind::Eof),
            Read::Drained | Read::More => gone.then_some(FailureKind::Exit),
        };
        if let Some(kind) = kind {
            return self.lose_spare(spare, kind, now_ms);
        }
        if !was_ready && spare.frames_out() > 0 {
            self.keeper.note_ready(now_ms);
            self.reporter.report(EncoderEvent::SpareReady { pid: spare.process.pid });
        }
        self.children.spare = Some(spare);
    }

    fn tend_spare(&mut self, now_ms: u64) {
        match self.children.spare.take() {
            Some(spare) if spare.frames_out() == 0 && now_ms >= spare.last_frame_ms() + self.startup_timeout_ms => {
                self.lose_spare(spare, FailureKind::StartupTimeout, now_ms);
            }
            Some(spare) => self.children.spare = Some(spare),
            None => {
                let due = self.keeper.due_ms().is_some_and(|due| now_ms >= due);
                if due && self.children.spare_wanted.is_none() {
                    self.children.spare_wanted = Some(self.ask());
                }
            }
        }
    }

    fn lose_spare(&mut self, spare: Child, kind: FailureKind, now_ms: u64) {
        self.keeper.note_failure(now_ms);
        self.let_die(spare, kind, true, now_ms);
    }

    // ---- the end of children ----

    fn let_die(&mut self, child: Child, kind: FailureKind, spare: bool, now_ms: u64) {
        let leaving = matches!(kind, FailureKind::Exit | FailureKind::Eof | FailureKind::StdinBroken);
        if !leaving {
            child.process.signal(libc::SIGKILL);
        }
        let (frames, owed) = (child.frames_out(), child.owed_frames().saturating_sub(LOOK_AHEAD_FRAMES));
        let kill_at_ms = leaving.then_some(now_ms + EXIT_GRACE_MS);
        // Its descriptors stay until it is gone: a closed stdin would make it end as if all were well.
        let process = child.process;
        unwatch(&self.epoll, &process.stdin);
        unwatch(&self.epoll, &process.stdout);
        self.children.dying.push(Dying {
            process,
            spare,
            kind,
            frames,
            owed,
            kill_at_ms,
            forget_at_ms: now_ms + REAP_MS,
        });
        self.bury(now_ms);
    }

    /// Reaps what has ended, kills what should have, forgets what cannot.
    fn bury(&mut self, now_ms: u64) {
        let Self { children, reporter, epoll, .. } = self;
        children.dying.retain_mut(|dying| {
            let ended = dying.process.pidfd.try_wait();
            if ended.is_some() || now_ms >= dying.forget_at_ms {
                reporter.report(dying.epitaph(ended));
                unwatch(epoll, &dying.process.pidfd);
                return false;
            }
            if dying.kill_at_ms.is_some_and(|due| now_ms >= due) {
                dying.process.signal(libc::SIGKILL);
                dying.kill_at_ms = None;
            }
            true
        });
    }

    /// Ends every child: TERM, then KILL; all are reaped.
    fn end_all(&mut self) {
        let Self { children, .. } = self;
        let living = [children.active.take(), children.spare.take()].into_iter().flatten().map(|c| c.process);
        let mut left: Vec<Spawned> = living.chain(children.dying.drain(..).map(|d| d.process)).collect();
        end_processes(&mut left);
    }
}

/// Ends and reaps processes: TERM, then KILL. An FFmpeg that waits for PCM sees
/// the signal only when its stdin ends, so that goes first.
pub(super) fn end_processes(left: &mut Vec<Spawned>) {
    for process in left.iter() {
        // One that is gone already has nothing to be told.
        let _ = shutdown(process.stdin.as_raw_fd(), Shutdown::Write);
    }
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        left.iter().for_each(|process| process.signal(signal));
        let until_ms = now_ms() + TERM_GRACE_MS;
        while !left.is_empty() && now_ms() < until_ms {
            left.retain(|process| process.pidfd.try_wait().is_none());
            if !left.is_empty() {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
    }
}

/// Before a descriptor is closed, and not by closing it: while another child is
/// being started, a copy of it lives on between fork and exec, and epoll would go
/// on telling of it. This thread would spin at real-time priority and keep that very
/// exec from happening.
fn unwatch(epoll: &Epoll, fd: impl AsFd) {
    // One that was never watched is as good.
    let _ = epoll.delete(fd);
}

impl Dying {
    fn epitaph(&self, ended: Option<Ended>) -> EncoderEvent {
        // A dying process closes its pipes first: that is an exit, unless we had to help.
        let by_itself = self.kill_at_ms.is_some() && ended.is_some();
        EncoderEvent::Failed {
            generation: self.process.generation,
            pid: self.process.pid,
            spare: self.spare,
            kind: if by_itself { FailureKind::Exit } else { self.kind },
            ended,
            frames: self.frames,
            owed: self.owed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s8_an_encoder_that_is_behind_for_good_is_given_what_can_be_in_time_as_a_table() {
        // Late frames in a row, the number, what is on air, what the encoder has in hand.
        for (late_in_row, number, aired, in_hand, skips) in [
            (0, 5, 100, 50, false),
            (41, 5, 100, 50, false), // a moment of it is no reason: what is owed comes byte for byte
            (42, 5, 100, 50, true),
            (42, 153, 100, 50, true),
            (42, 154, 100, 50, false),
            (9999, 124, 100, 200, true), // nothing until it has less in hand
            (9999, 124, 100, 20, false),
            (9999, 101, 100, 1, false),
            (9999, 101, 100, 2, true),
        ] {
            let feed = Feed { late_in_row, ..Feed::default() };
            assert_eq!(feed.skips(number, aired, in_hand), skips, "{late_in_row} {number} {aired} {in_hand}");
        }
    }
}
