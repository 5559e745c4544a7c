//! `AudioInputRouter`: one bounded queue of pump frames per input.
//!
//! Each input has its own pushing thread; the pump alone pops. Nothing here
//! blocks a sender, and the pump's wait for a frame is a futex, not a lock.
//! Which input is on air is not decided here but in `pump/selector.rs`.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::{
    frame::{PUMP_FRAME_BYTES, PumpFrame},
    limits::INPUT_PCM,
    ring::{FrameRingBuffer, Push, RingStats},
    sys::{futex::Futex, time::now_ns},
};

/// An input by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputId {
    /// A sound card.
    Live,
    /// The player on the PCM socket.
    Station,
}

impl InputId {
    /// Every input, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Live, Self::Station];

    /// As it is written in configuration and status.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Station => "station",
        }
    }
}

/// The queues of all inputs.
pub struct AudioInputRouter {
    inputs: [Input; InputId::ALL.len()],
}

struct Input {
    queue: FrameRingBuffer,
    pushed: Futex,
    /// Its sender has gone. What waits is still played.
    closed: AtomicBool,
}

impl AudioInputRouter {
    /// Queues of `buffer_frames` for every input; all are closed.
    pub fn new(buffer_frames: usize) -> Self {
        let input = || Input {
            queue: FrameRingBuffer::new(buffer_frames, PUMP_FRAME_BYTES, INPUT_PCM.when_full),
            pushed: Futex::default(),
            closed: AtomicBool::new(true),
        };
        Self {
            inputs: [input(), input()],
        }
    }

    /// Says that the input has a sender.
    pub fn open(&self, input: InputId) {
        self.inputs[input as usize].closed.store(false, SeqCst);
    }

    /// Says that the input's sender has gone.
    pub fn close(&self, input: InputId) {
        let input = &self.inputs[input as usize];
        input.closed.store(true, SeqCst);
        input.pushed.wake();
    }

    /// True while the input has no sender.
    pub fn is_closed(&self, input: InputId) -> bool {
        self.inputs[input as usize].closed.load(SeqCst)
    }

    /// Adds a frame. A full queue drops it (the newest) and counts it. Never blocks.
    pub fn push_frame(&self, input: InputId, frame: &PumpFrame) -> Push {
        let input = &self.inputs[input as usize];
        let push = input.queue.push_frame(0, &frame.to_le_bytes());
        input.pushed.wake();
        push
    }

    /// Takes the oldest frame of an input: at once, or within `wait_ns` if one
    /// comes in time. A closed input is not waited for. Called by the pump only.
    pub fn pop_frame(&self, input: InputId, wait_ns: Option<u64>) -> Option<PumpFrame> {
        let input = &self.inputs[input as usize];
        let deadline_ns = now_ns() + wait_ns.unwrap_or(0);
        let mut bytes = [0; PUMP_FRAME_BYTES];
        loop {
            let seen = input.pushed.sequence();
            if input.queue.pop_frame(&mut bytes).is_some() {
                return Some(PumpFrame::from_le_bytes(&bytes));
            }
            if wait_ns.is_none() || now_ns() >= deadline_ns || input.closed.load(SeqCst) {
                return None;
            }
            input.pushed.wait(seen, deadline_ns);
        }
    }

    /// Count, capacity and overflows of an input's queue. Atomic loads only.
    pub fn get_stats(&self, input: InputId) -> RingStats {
        self.inputs[input as usize].queue.stats()
    }
}
