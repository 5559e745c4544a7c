//! `AudioInputRouter`: one bounded queue of pump frames per input.
//!
//! Each input has its own pushing thread; the pump alone pops. Nothing here
//! blocks a sender, and the pump's wait for a frame is a futex, not a lock.
//! Which input is on air is not decided here but in `pump/selector.rs`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use crate::{
    frame::{PUMP_FRAME_BYTES, PumpFrame},
    limits::{INPUT_PCM, RELAY_PCM},
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
    /// Another radio's stream, pulled from the network.
    Relay,
}

impl InputId {
    /// Every input, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Live, Self::Station, Self::Relay];

    /// As it is written in configuration and status.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Station => "station",
            Self::Relay => "relay",
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
    /// Counts the streams of this input: each `open` begins one.
    stream: AtomicU64,
    /// Position in the queue of the first frame of that stream.
    stream_from: AtomicU64,
}

/// A frame of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputFrame {
    /// Frames of two streams come from two senders: they do not join by themselves.
    pub stream: u64,
    /// What is heard.
    pub pcm: PumpFrame,
}

impl AudioInputRouter {
    /// Queues of `buffer_frames` for every input; all are closed.
    pub fn new(buffer_frames: usize) -> Self {
        Self::with_relay(buffer_frames, buffer_frames)
    }

    /// The same, but for the relay: its queue is its cushion against the network and holds `relay_frames`.
    pub fn with_relay(buffer_frames: usize, relay_frames: usize) -> Self {
        let input = |input| Input {
            queue: match input {
                InputId::Live | InputId::Station => {
                    FrameRingBuffer::new(buffer_frames, PUMP_FRAME_BYTES, INPUT_PCM.when_full)
                }
                InputId::Relay => FrameRingBuffer::new(relay_frames, PUMP_FRAME_BYTES, RELAY_PCM.when_full),
            },
            pushed: Futex::default(),
            closed: AtomicBool::new(true),
            stream: AtomicU64::new(0),
            stream_from: AtomicU64::new(0),
        };
        Self { inputs: InputId::ALL.map(input) }
    }

    /// Says that the input has a sender, or another one: what is pushed from now
    /// on is a stream of its own. Called by the input's pushing thread only.
    pub fn open(&self, input: InputId) {
        let input = &self.inputs[input as usize];
        input.stream.fetch_add(1, SeqCst);
        input.stream_from.store(input.queue.positions().1, SeqCst);
        input.closed.store(false, SeqCst);
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
        let push = input.queue.push_frame(input.stream.load(SeqCst), &frame.to_le_bytes());
        input.pushed.wake();
        push
    }

    /// Takes the oldest frame of an input: at once, or within `wait_ns` if one
    /// comes in time. A closed input is not waited for. Called by the pump only.
    pub fn pop_frame(&self, input: InputId, wait_ns: Option<u64>) -> Option<InputFrame> {
        let input = &self.inputs[input as usize];
        let deadline_ns = wait_ns.map_or(0, |wait_ns| now_ns() + wait_ns);
        let mut bytes = [0; PUMP_FRAME_BYTES];
        loop {
            let seen = input.pushed.sequence();
            // Read before the queue: whoever closes has pushed its last frame before.
            let closed = input.closed.load(SeqCst);
            if let Some(popped) = input.queue.pop_frame(&mut bytes) {
                return Some(InputFrame { stream: popped.tag, pcm: PumpFrame::from_le_bytes(&bytes) });
            }
            if wait_ns.is_none() || closed || now_ns() >= deadline_ns {
                return None;
            }
            input.pushed.wait(seen, deadline_ns);
        }
    }

    /// Position in the queue of a frame of the input's stream, by its place among the stream's frames.
    pub fn position_of(&self, input: InputId, frame: u64) -> u64 {
        self.inputs[input as usize].stream_from.load(SeqCst).saturating_add(frame)
    }

    /// Position in the queue of the frame that is pushed next.
    pub fn next_position(&self, input: InputId) -> u64 {
        self.inputs[input as usize].queue.positions().1
    }

    /// Frames that ever left an input's queue: a frame at a lower position was heard, or dropped.
    pub fn popped(&self, input: InputId) -> u64 {
        self.inputs[input as usize].queue.positions().0
    }

    /// Count, capacity and overflows of an input's queue. Atomic loads only.
    pub fn get_stats(&self, input: InputId) -> RingStats {
        self.inputs[input as usize].queue.stats()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn frame(value: i16) -> PumpFrame {
        PumpFrame { values: [value; crate::frame::PUMP_FRAME_VALUES] }
    }

    #[test]
    fn r1_r5_each_input_has_its_own_bounded_queue() {
        let router = AudioInputRouter::new(100);
        for value in 0..100 {
            assert_eq!(router.push_frame(InputId::Station, &frame(value)), Push::Taken);
        }
        assert_eq!(router.push_frame(InputId::Station, &frame(100)), Push::DroppedNewest);
        let stats = router.get_stats(InputId::Station);
        assert_eq!((stats.count, stats.capacity, stats.overflow_count), (100, 100, 1));
        assert_eq!(router.get_stats(InputId::Live).count, 0);
        let first = router.pop_frame(InputId::Station, None).expect("oldest");
        assert_eq!(first.pcm, frame(0));
    }

    #[test]
    fn r3_no_wait_returns_at_once_and_a_wait_ends_after_5_ms() {
        let router = AudioInputRouter::new(4);
        router.open(InputId::Live);
        // The best of some, since the machine may be busy with others.
        let quickest_ns = (0..20).map(|_| {
            let start = now_ns();
            assert_eq!(router.pop_frame(InputId::Live, None), None);
            now_ns() - start
        });
        assert!(quickest_ns.min().is_some_and(|ns| ns < 1_000_000));
        let start = now_ns();
        assert_eq!(router.pop_frame(InputId::Live, Some(5_000_000)), None);
        assert!(now_ns() - start >= 5_000_000);
    }

    #[test]
    fn r3_a_frame_or_a_close_ends_the_wait() {
        let router = Arc::new(AudioInputRouter::new(4));
        for closes in [false, true] {
            router.open(InputId::Live);
            let other = router.clone();
            let thread = std::thread::spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                if closes {
                    other.close(InputId::Live);
                } else {
                    other.push_frame(InputId::Live, &frame(7));
                }
            });
            let start = now_ns();
            let popped = router.pop_frame(InputId::Live, Some(20_000_000_000));
            assert_eq!(popped.map(|f| f.pcm), (!closes).then(|| frame(7)));
            assert!(now_ns() - start < 10_000_000_000);
            thread.join().expect("other side");
        }
    }

    #[test]
    fn frames_say_which_stream_they_belong_to() {
        let router = AudioInputRouter::new(4);
        router.open(InputId::Station);
        router.push_frame(InputId::Station, &frame(1));
        router.open(InputId::Station);
        router.push_frame(InputId::Station, &frame(2));
        let streams: Vec<_> =
            std::iter::from_fn(|| router.pop_frame(InputId::Station, None)).map(|f| f.stream).collect();
        assert_eq!(streams, [1, 2]);
    }
}
