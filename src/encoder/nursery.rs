//! The `tower:child` thread: starts FFmpeg children and reads what they say.
//!
//! Starting a process waits for the disk, so a real-time thread must not do it;
//! and a child dies with the thread that started it, so that thread must live as
//! long as the tower. Nobody waits for this thread: requests and children go
//! through wait-free queues, and a child that writes megabytes to its stderr
//! costs log lines, rate-limited, and nothing else.

use std::{
    io,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::JoinHandle,
};

use heapless::spsc::{Consumer, Producer, Queue};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

use super::{
    child::Spawned,
    command::EncoderCommand,
    launch::launch,
    stderr::{LineRate, StderrLines, StderrTails},
};
use crate::sys;

/// Children wanted at once: an active one and a spare, each perhaps twice.
const REQUESTS: usize = 9;
/// While lines were kept from the log, how often it is looked whether to say so.
const RATE_LOOK_MS: u16 = 250;

/// A child that could not be started.
#[derive(Debug)]
pub struct SpawnFailed {
    /// The request's generation.
    pub generation: u64,
    /// Why; `io::ErrorKind::NotFound` when there is no such program.
    pub error: io::Error,
}

/// The encoder thread's end.
pub struct Nursery {
    requests: Producer<'static, u64>,
    replies: Consumer<'static, Result<Spawned, SpawnFailed>>,
    shared: Arc<Shared>,
}

struct Shared {
    wake: EventFd,
    stop: AtomicBool,
}

/// To end the thread.
pub struct NurseryHandle {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl NurseryHandle {
    /// Ends the thread. Children that still run die with it.
    pub fn stop(self) {
        self.shared.stop.store(true, SeqCst);
        let _ = self.shared.wake.write(1);
        let _ = self.thread.join();
    }
}

/// Starts the thread. `encoder_wake` is written when a reply waits.
///
/// # Errors
/// When there is no descriptor or thread to be had.
pub fn start(
    command: EncoderCommand,
    encoder_wake: Arc<EventFd>,
    tails: Arc<StderrTails>,
) -> io::Result<(Nursery, NurseryHandle)> {
    let requests: &'static mut Queue<u64, REQUESTS> = Box::leak(Box::new(Queue::new()));
    let replies: &'static mut Queue<Result<Spawned, SpawnFailed>, REQUESTS> = Box::leak(Box::new(Queue::new()));
    let (requests_in, requests_out) = requests.split();
    let (replies_in, replies_out) = replies.split();
    let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
    let shared = Arc::new(Shared { wake, stop: AtomicBool::new(false) });
    let mut body = Body {
        command,
        requests: requests_out,
        replies: replies_in,
        encoder_wake,
        shared: shared.clone(),
        tails,
        children: Vec::new(),
        rate: LineRate::default(),
    };
    let thread = sys::thread::spawn("tower:child", move || body.run())?;
    let nursery = Nursery { requests: requests_in, replies: replies_out, shared: shared.clone() };
    Ok((nursery, NurseryHandle { shared, thread }))
}

impl Nursery {
    /// Asks for a child. Never blocks. False if too many are asked for.
    pub fn ask(&mut self, generation: u64) -> bool {
        let taken = self.requests.enqueue(generation).is_ok();
        let _ = self.shared.wake.write(1);
        taken
    }

    /// A child that was asked for, or why there is none.
    pub fn reply(&mut self) -> Option<Result<Spawned, SpawnFailed>> {
        self.replies.dequeue()
    }
}

struct Body {
    command: EncoderCommand,
    requests: Consumer<'static, u64>,
    replies: Producer<'static, Result<Spawned, SpawnFailed>>,
    encoder_wake: Arc<EventFd>,
    shared: Arc<Shared>,
    tails: Arc<StderrTails>,
    /// By generation.
    children: Vec<(u64, StderrLines)>,
    rate: LineRate,
}

impl Body {
    fn run(&mut self) {
        while !self.shared.stop.load(SeqCst) {
            self.wait();
            let _ = self.shared.wake.read();
            while let Some(generation) = self.requests.dequeue() {
                let reply = self.spawn(generation);
                // There is a place for each request's reply; a stopped tower may not take it.
                let _ = self.replies.enqueue(reply);
                let _ = self.encoder_wake.write(1);
            }
            self.read_stderr();
            self.rate.tick();
        }
        self.rate.say_dropped();
    }

    fn wait(&self) {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds: Vec<PollFd<'_>> = std::iter::once(readable(self.shared.wake.as_fd()))
            .chain(self.children.iter().map(|(_, lines)| readable(lines.pipe().as_fd())))
            .collect();
        let timeout = if self.rate.owes_a_word() { PollTimeout::from(RATE_LOOK_MS) } else { PollTimeout::NONE };
        // A poll that fails (a signal, no memory) only makes the loop go round.
        let _ = poll(&mut fds, timeout);
    }

    fn spawn(&mut self, generation: u64) -> Result<Spawned, SpawnFailed> {
        let (spawned, stderr) = launch(&self.command, generation).map_err(|error| SpawnFailed { generation, error })?;
        self.tails.open(generation);
        self.children.push((generation, StderrLines::new(stderr)));
        Ok(spawned)
    }

    fn read_stderr(&mut self) {
        let Self { children, command, tails, rate, .. } = self;
        children.retain_mut(|(generation, lines)| {
            let open = lines.read(|line| {
                tails.add(*generation, line);
                rate.log(line);
                if command.learn_from(line) {
                    log::warn!("this FFmpeg refuses -frame_size 1152 (which changes nothing): left out from now on");
                }
            });
            if !open {
                tails.close(*generation);
            }
            open
        });
    }
}
