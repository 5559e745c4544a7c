//! `AudioPump`: the tower's sole metronome.
//!
//! Each tick it wakes the broadcaster, takes a frame from every input that
//! flows, has the selector decide, joins, and hands exactly one frame to the
//! encoder. It never allocates, locks, logs or does I/O other than waking
//! others, and waits for nothing but the next tick and, for 5 ms at most, the
//! input on air. So nothing that happens elsewhere can make it late.

pub mod clock;
pub mod event;
pub mod fade;
pub mod level;
pub mod metronome;
pub mod position;
pub mod presence;
pub mod selector;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    },
    thread::JoinHandle,
};

use self::{
    clock::OnAirClock,
    event::{Change, PumpEvent},
    fade::{Joiner, Lane},
    metronome::{Beat, Metronome},
    position::{Position, PumpPosition},
    presence::Presence,
    selector::{Mode, Reason, Seen, Situation, Source, State},
};
use crate::{
    config::{InputConfig, LiveConfig},
    fallback::FallbackGenerator,
    frame::PumpFrame,
    input::live,
    journal::Reporter,
    limits::{INPUT_WAIT_MS, LATE_TICK_MS, PUMP_PRIORITY},
    meter::tap::MeterTap,
    router::{AudioInputRouter, InputFrame, InputId},
    stats::PumpStats,
    sys::{
        thread,
        time::{now_ns, sleep_until},
    },
};

const INPUTS: usize = InputId::ALL.len();

/// Who takes the frames: the encoder.
pub trait PcmSink: Send {
    /// Takes the frame of `number`; numbers have no gaps. Never blocks.
    fn write_pcm(&mut self, number: u64, frame: &PumpFrame);
}

/// The input that a person chose (Q7). Written by the control plane, read by the pump.
#[derive(Debug)]
pub struct ForcedInput(AtomicU8);

impl Default for ForcedInput {
    /// Nobody chose.
    fn default() -> Self {
        Self(AtomicU8::new(u8::MAX))
    }
}

impl ForcedInput {
    /// Chooses an input, or takes the choice back.
    pub fn set(&self, input: Option<InputId>) {
        self.0.store(input.map_or(u8::MAX, |input| input as u8), Relaxed);
    }

    /// The choice.
    pub fn get(&self) -> Option<InputId> {
        InputId::ALL.get(usize::from(self.0.load(Relaxed))).copied()
    }
}

/// What the pump works with.
pub struct PumpDeps<S> {
    /// Where frames come from.
    pub router: Arc<AudioInputRouter>,
    /// What everybody else's time is.
    pub clock: Arc<OnAirClock>,
    /// What is on air when nobody sends.
    pub fallback: FallbackGenerator,
    /// Where frames go.
    pub sink: S,
    /// Where events go.
    pub reporter: Reporter<PumpEvent>,
    /// What is published.
    pub stats: Arc<PumpStats>,
    /// The input that a person chose.
    pub forced: Arc<ForcedInput>,
    /// How far the sound card's input is taken, for its thread.
    pub live_position: Arc<PumpPosition>,
    /// What is on air, for the meter; a full one keeps what it has.
    pub tap: Arc<MeterTap>,
}

/// The pump. `tick` is its whole work; `start` gives it a thread and the time.
pub struct AudioPump<S> {
    deps: PumpDeps<S>,
    order: Box<[InputId]>,
    grace_ns: u64,
    start_in_grace: bool,
    presence: [Presence; INPUTS],
    frames: [Option<InputFrame>; INPUTS],
    state: State,
    reason: Reason,
    on_air: (Mode, Source),
    joiner: Joiner,
    /// Frames taken from the sound card.
    live_taken: u64,
    /// Of the next frame.
    number: u64,
}

impl<S: PcmSink> AudioPump<S> {
    /// A pump before its first tick.
    pub fn new(config: &InputConfig, live: &LiveConfig, deps: PumpDeps<S>) -> Self {
        let presence = |input| match input {
            InputId::Live => Presence::new(config.preroll_frames.min(live::preroll_frames(live.latency)), live.silence),
            InputId::Station | InputId::Relay => Presence::new(config.preroll_frames, None),
        };
        let on_air = (Mode::Fallback, deps.fallback.source());
        Self {
            order: config.order.clone().into(),
            grace_ns: config.grace_ms * 1_000_000,
            start_in_grace: config.start_in_grace,
            presence: InputId::ALL.map(presence),
            frames: [None; INPUTS],
            state: State::Fallback,
            reason: Reason::Start,
            on_air,
            joiner: Joiner::default(),
            live_taken: 0,
            number: 0,
            deps,
        }
    }

    /// One tick, whose time is `now_ns`: its deadline, not when the thread woke up.
    pub fn tick(&mut self, now_ns: u64) {
        self.deps.clock.tick();
        if self.number == 0 && self.start_in_grace {
            self.state = State::Grace { since_ns: now_ns };
            self.on_air = (Mode::Grace, Source::Silence);
        }
        let forced = self.deps.forced.get();
        self.take_frames(now_ns, forced);
        let situation = Situation { now_ns, seen: self.seen(), order: &self.order, forced, grace_ns: self.grace_ns };
        let old = self.state;
        self.state = selector::step(old, &situation);
        self.reason = selector::reason(self.reason, old, self.state, &situation);
        let frame = self.frame_on_air();
        self.deps.sink.write_pcm(self.number, &frame);
        self.deps.tap.push(&frame);
        self.publish();
        self.number += 1;
    }

    /// Takes one frame from every input that flows. Only the one that is on air,
    /// and stays there, is waited for.
    fn take_frames(&mut self, now_ns: u64, forced: Option<InputId>) {
        let router = &self.deps.router;
        let closed = InputId::ALL.map(|input| router.is_closed(input));
        for (input, presence) in InputId::ALL.into_iter().zip(&mut self.presence) {
            presence.look(now_ns, router.get_stats(input).count, closed[input as usize]);
        }
        let present = self.presence.each_ref().map(Presence::is_present);
        let top = selector::first_present(&self.order, forced, present);
        let waited_for = self.state.input().filter(|input| top == Some(*input));
        for input in InputId::ALL {
            let presence = &mut self.presence[input as usize];
            let wait_ns = (waited_for == Some(input)).then_some(INPUT_WAIT_MS * 1_000_000);
            let flows = presence.is_flowing();
            let frame = if flows { router.pop_frame(input, wait_ns) } else { None };
            presence.took(frame.as_ref().map(|frame| &frame.pcm), closed[input as usize]);
            self.frames[input as usize] = frame;
        }
        self.publish_live(now_ns);
    }

    fn publish_live(&mut self, now_ns: u64) {
        let presence = &self.presence[InputId::Live as usize];
        self.live_taken += u64::from(self.frames[InputId::Live as usize].is_some());
        let flowing = presence.is_flowing();
        self.deps.live_position.publish(Position { tick_ns: now_ns, taken: self.live_taken, flowing });
        self.deps.stats.live.store(presence.standing() as u8, Relaxed);
        let relay = self.presence[InputId::Relay as usize].standing();
        self.deps.stats.relay.store(relay as u8, Relaxed);
    }

    fn seen(&self) -> [Seen; INPUTS] {
        InputId::ALL.map(|input| {
            let presence = &self.presence[input as usize];
            Seen {
                present: presence.is_present(),
                has_frame: self.frames[input as usize].is_some(),
                left: presence.left(),
            }
        })
    }

    fn frame_on_air(&mut self) -> PumpFrame {
        let taken = self.state.input().and_then(|input| self.frames[input as usize].map(|f| (input, f)));
        let (lane, frame) = match (self.state, taken) {
            (State::Program { .. }, Some((input, frame))) => (Lane::Input(input, frame.stream), frame.pcm),
            (State::Fallback, _) => (Lane::Fallback, self.deps.fallback.get_frame()),
            (State::Program { .. } | State::Grace { .. }, _) => (Lane::Silence, PumpFrame::SILENCE),
        };
        let outgoing = if lane == self.joiner.lane() { None } else { self.outgoing() };
        self.joiner.join(lane, &frame, outgoing.as_ref())
    }

    /// The next frame of what was on air, if it has one.
    fn outgoing(&mut self) -> Option<PumpFrame> {
        match self.joiner.lane() {
            Lane::Silence => None,
            Lane::Fallback => Some(self.deps.fallback.get_frame()),
            Lane::Input(input, stream) => {
                self.frames[input as usize].filter(|frame| frame.stream == stream).map(|frame| frame.pcm)
            }
        }
    }

    fn publish(&mut self) {
        let stats = &self.deps.stats;
        let underrun = self.state.is_underrun();
        stats.ticks.add(1);
        stats.underruns.add(u64::from(underrun));
        let source = match self.state {
            State::Program { input, .. } => Source::from(input),
            State::Grace { .. } => Source::Silence,
            State::Fallback => self.deps.fallback.source(),
        };
        let heard = if underrun { Source::Silence } else { source };
        let new = (self.state.mode(), source);
        stats.mode.store(new.0 as u8, Relaxed);
        stats.on_air.store(heard as u8, Relaxed);
        stats.reason.store(self.reason as u8, Relaxed);
        let old = std::mem::replace(&mut self.on_air, new);
        if old != new {
            self.deps.reporter.report(PumpEvent::Changed(Change {
                old,
                new,
                reason: self.reason,
                number: self.number,
                underruns: stats.underruns.get(),
            }));
        }
    }
}

impl<S: PcmSink + 'static> AudioPump<S> {
    /// Starts the pump on its own thread. It ticks until it is stopped.
    ///
    /// # Errors
    /// When the kernel has no thread to give.
    pub fn start(self) -> io::Result<PumpHandle> {
        let stop = Arc::new(AtomicBool::new(false));
        let wish = stop.clone();
        let thread = thread::spawn("tower:pump", move || self.run(&wish))?;
        Ok(PumpHandle { stop, thread: Some(thread) })
    }

    fn run(mut self, stop: &AtomicBool) {
        self.ask_for_real_time();
        thread::prefault_stack();
        let mut metronome = Metronome::new(now_ns());
        while !stop.load(Relaxed) {
            wait_until(metronome.next_wake_ns());
            let beat = metronome.wake(now_ns());
            self.note(&beat);
            self.tick(beat.deadline_ns);
        }
    }

    fn ask_for_real_time(&mut self) {
        let asked = thread::set_fifo(PUMP_PRIORITY);
        self.deps.stats.real_time.store(asked.is_ok(), Relaxed);
        if let Err(error) = asked {
            thread::tighten_timer_slack();
            let errno = error.raw_os_error().unwrap_or(0);
            self.deps.reporter.report(PumpEvent::RealTimeRefused(errno));
        }
    }

    fn note(&mut self, beat: &Beat) {
        let stats = &self.deps.stats;
        stats.lateness_us.record(beat.overslept_ns / 1000);
        stats.late.add(u64::from(beat.lateness_ns >= LATE_TICK_MS * 1_000_000));
        if beat.skipped > 0 {
            stats.skipped.add(beat.skipped);
            self.deps.reporter.report(PumpEvent::Skipped { ticks: beat.skipped, at_tick: beat.tick });
        }
    }
}

/// A real-time thread that did not sleep would be worse than one that sleeps badly.
fn wait_until(deadline_ns: u64) {
    if sleep_until(deadline_ns).is_err() {
        let left_ns = deadline_ns.saturating_sub(now_ns());
        std::thread::sleep(std::time::Duration::from_nanos(left_ns));
    }
}

/// A pump that runs.
#[derive(Debug)]
pub struct PumpHandle {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PumpHandle {
    /// Ends the pump with the tick it is in, within two ticks. Called again, it
    /// does nothing.
    pub fn stop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for PumpHandle {
    fn drop(&mut self) {
        self.stop();
    }
}
