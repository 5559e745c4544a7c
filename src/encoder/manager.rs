//! Building, starting and ending the encoder.

use std::{
    io,
    sync::PoisonError,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::JoinHandle,
    time::Duration,
};

use heapless::spsc::{Producer, Queue};
use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
    eventfd::{EfdFlags, EventFd},
};

use super::{
    command::EncoderCommand,
    drive::{Children, Drive, Feed, end_processes},
    events::EncoderEvent,
    filler::filler,
    header::Header,
    nursery::{self, Nursery, NurseryHandle},
    outlet::OnAirOutlet,
    replay::Replay,
    spare::SpareKeeper,
    state::EncoderState,
    stderr::StderrTails,
    supervisor::{Policy, Supervisor},
    tone_loop,
};
use crate::{
    config::TowerConfig,
    frame::{MP3_FRAME_BYTES_MAX, PumpFrame},
    journal::{Journal, journal},
    limits::{MP3, PUMP_TO_ENCODER},
    pump::{PcmSink, clock::OnAirClock},
    ring::FrameRingBuffer,
    stats::EncoderStats,
    sys,
};

/// heapless keeps one slot free to tell full from empty.
const PCM_SLOTS: usize = PUMP_TO_ENCODER.frames_max + 1;
/// How long a failure's log line waits for the child's last words.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Why there is no encoder.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// Configuration checks it before.
    #[error("MPEG-1 Layer III has no bitrate of {0} kbit/s")]
    Bitrate(u32),
    /// Descriptors or threads have run out.
    #[error("cannot set up the encoder: {0}")]
    System(#[from] io::Error),
}

impl From<nix::errno::Errno> for EncoderError {
    fn from(errno: nix::errno::Errno) -> Self {
        Self::System(errno.into())
    }
}

/// The pump's end: PCM goes in here.
pub struct PcmInlet {
    queue: Option<Producer<'static, (u64, PumpFrame)>>,
    wake: Arc<EventFd>,
    stats: Arc<EncoderStats>,
}

impl PcmSink for PcmInlet {
    /// Hands a frame on. Never blocks; one that cannot be taken is counted.
    fn write_pcm(&mut self, number: u64, frame: &PumpFrame) {
        let Some(queue) = &mut self.queue else { return };
        if queue.enqueue((number, *frame)).is_err() {
            self.stats.pcm_dropped.add(1);
        }
        // A failed write means that the counter is full, so the encoder is awake anyway.
        let _ = self.wake.write(1);
    }
}

/// The two ends that other threads own.
pub struct Ends {
    /// For the pump.
    pub inlet: PcmInlet,
    /// For the broadcaster.
    pub outlet: OnAirOutlet,
    /// The queue between, for `/status`.
    pub mp3: Arc<FrameRingBuffer>,
}

/// The service's end: starts, logs and stops the encoder.
pub struct EncoderManager {
    command: EncoderCommand,
    header: Header,
    tone_hz: u32,
    debug: bool,
    stats: Arc<EncoderStats>,
    wake: Arc<EventFd>,
    stop: Arc<AtomicBool>,
    /// None: disabled, or already started.
    drive: Option<Box<Drive>>,
    journal: Journal<EncoderEvent>,
    tails: Arc<StderrTails>,
    tone_loop: Arc<OnceLock<Box<[u8]>>>,
    tone_thread: Option<JoinHandle<()>>,
    nursery: Option<NurseryHandle>,
    thread: Option<JoinHandle<Nursery>>,
}

impl EncoderManager {
    /// Builds everything; nothing runs before `start` but the thread that will
    /// start children. `journal_wake` becomes readable when `log_events` has work.
    ///
    /// # Errors
    /// When the system has no descriptors or threads.
    pub fn new(
        config: &TowerConfig,
        clock: Arc<OnAirClock>,
        stats: Arc<EncoderStats>,
        journal_wake: Arc<EventFd>,
    ) -> Result<(Self, Ends), EncoderError> {
        let kbps = config.encoder.bitrate_kbps;
        let (Some(header), Some(filler)) = (Header::on_air(kbps), filler(kbps)) else {
            return Err(EncoderError::Bitrate(kbps));
        };
        let wake = Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let mp3 = Arc::new(FrameRingBuffer::new(config.encoder.mp3_buffer_frames, MP3_FRAME_BYTES_MAX, MP3.when_full));
        let tone_loop = Arc::new(OnceLock::new());
        let (reporter, journal) = journal(journal_wake);
        let command = EncoderCommand::new(&config.encoder);
        let mut manager = Self {
            command,
            header,
            tone_hz: config.fallback.tone_hz,
            debug: config.encoder.debug,
            stats: stats.clone(),
            wake: wake.clone(),
            stop: Arc::default(),
            drive: None,
            journal,
            tails: Arc::default(),
            tone_loop: tone_loop.clone(),
            tone_thread: None,
            nursery: None,
            thread: None,
        };
        let mut queue = None;
        if config.encoder.enabled {
            let pcm: &'static mut Queue<(u64, PumpFrame), PCM_SLOTS> = Box::leak(Box::new(Queue::new()));
            let (producer, consumer) = pcm.split();
            queue = Some(producer);
            let (nursery, handle) = nursery::start(manager.command.clone(), wake.clone(), manager.tails.clone())?;
            manager.nursery = Some(handle);
            let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
            epoll.add(&*wake, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
            manager.drive = Some(Box::new(Drive {
                header,
                stall_ms: config.encoder.stall_ms,
                startup_timeout_ms: config.encoder.startup_timeout_ms,
                clock,
                stats: stats.clone(),
                mp3: mp3.clone(),
                pcm: consumer,
                wake: wake.clone(),
                stop: manager.stop.clone(),
                nursery,
                reporter,
                supervisor: Supervisor::new(Policy::from(&config.encoder)),
                keeper: SpareKeeper::new(config.encoder.spare, config.encoder.backoff_ms.clone()),
                epoll,
                replay: Replay::new(),
                children: Children::default(),
                feed: Feed::default(),
                failed_at_ms: None,
            }));
        }
        let inlet = PcmInlet { queue, wake, stats: stats.clone() };
        let outlet = OnAirOutlet::new(mp3.clone(), stats, filler, tone_loop);
        Ok((manager, Ends { inlet, outlet, mp3 }))
    }

    /// Starts the encoder. Returns in BOOTING at the latest, without waiting for a frame.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(&mut self) -> io::Result<()> {
        if self.debug {
            log::info!("encoder command: {}", self.command);
        }
        if let Some(drive) = self.drive.take() {
            self.stats.state.store(EncoderState::Starting as u8, Relaxed);
            self.thread = Some(sys::thread::spawn("tower:encoder", move || drive.run())?);
        }
        Ok(())
    }

    /// Writes what the encoder thread reported. Called by the main thread; waits
    /// a little for the last words of a child that failed.
    pub fn log_events(&mut self) {
        while let Some(event) = self.journal.take() {
            log::log!(event.level(), "{event}");
            match event {
                EncoderEvent::Failed { generation, kind, ended, spare, .. } => {
                    if !spare {
                        let ended = ended.map_or_else(|| kind.to_string(), |ended| format!("{kind}, {ended}"));
                        *self.stats.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = ended;
                    }
                    for line in self.tails.wait_for(generation, LAST_WORDS) {
                        log::warn!("its last words: {line}");
                    }
                }
                EncoderEvent::State { new: EncoderState::Running, .. } => self.encode_tone_loop(),
                _ => {}
            }
        }
    }

    /// Ends the children and joins every thread. No restart follows.
    pub fn stop(&mut self) {
        self.stop.store(true, SeqCst);
        let _ = self.wake.write(1);
        let nursery = self.thread.take().and_then(|thread| thread.join().ok());
        if let Some(handle) = self.nursery.take() {
            handle.stop();
        }
        // A child that was asked for and never taken.
        if let Some(mut nursery) = nursery {
            end_processes(&mut std::iter::from_fn(|| nursery.reply()).flatten().collect());
        }
        if let Some(thread) = self.tone_thread.take() {
            let _ = thread.join();
        }
        self.log_events();
        self.stats.state.store(EncoderState::Stopped as u8, Relaxed);
    }

    /// While the encoder works, some tone is encoded for the day when it does not.
    fn encode_tone_loop(&mut self) {
        let busy = self.tone_thread.as_ref().is_some_and(|thread| !thread.is_finished());
        if self.tone_hz == 0 || busy || self.tone_loop.get().is_some() || self.stop.load(SeqCst) {
            return;
        }
        let (command, header, tone_hz) = (self.command.clone(), self.header, self.tone_hz);
        let (stop, tone_loop) = (self.stop.clone(), self.tone_loop.clone());
        let thread =
            sys::thread::spawn("tower:tone", move || match tone_loop::encode(&command, header, tone_hz, &stop) {
                Ok(frames) => drop(tone_loop.set(frames)),
                Err(error) if stop.load(SeqCst) => log::debug!("tone loop: {error}"),
                Err(error) => log::warn!("no tone loop for DEGRADED, silence will serve: {error}"),
            });
        self.tone_thread = thread.inspect_err(|error| log::warn!("no tone loop: {error}")).ok();
    }
}
