//! `FrameRingBuffer`: the bounded queue of whole frames between two threads.
//!
//! One side may be a real-time thread, so no operation ever waits for the other
//! side: there is no lock, and a thread that was preempted in the middle of a
//! push or a pop makes others see "full" or "empty", never spin. (A queue that
//! insists on replacing the oldest element spins there, and on one core under
//! SCHED_FIFO it would spin for ever.)
//!
//! Each slot carries a stamp that says whose turn it is; the payload is stored
//! as relaxed atomic words, so the whole file is safe code. Memory is taken at
//! start and never again.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::limits::WhenFull;

const WORD_BYTES: usize = 8;

/// A bounded queue of frames of at most `frame_bytes_max` bytes, each with a tag.
pub struct FrameRingBuffer {
    slots: Box<[Slot]>,
    words_per_slot: usize,
    words: Box<[AtomicU64]>,
    when_full: WhenFull,
    /// Position of the next push. Positions only grow; the slot is `position % capacity`.
    tail: AtomicU64,
    /// Position of the next pop.
    head: AtomicU64,
    /// Frames before this position were cleared and are passed over by `pop_frame`.
    cleared_below: AtomicU64,
    overflow_count: AtomicU64,
}

struct Slot {
    /// `position`: free for the push at that position. `position + 1`: holds it.
    stamp: AtomicU64,
    tag: AtomicU64,
    len: AtomicU64,
}

/// What became of a pushed frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// It is in the queue.
    Taken,
    /// It is in the queue, and the oldest frame is not any more.
    DroppedOldest,
    /// The queue was full and kept what it had.
    DroppedNewest,
    /// An empty frame, or one that is longer than a slot: not a frame of this queue.
    Refused,
}

/// A popped frame: how many bytes were written to the caller's buffer, and its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Popped {
    /// What the pusher attached: the frame's number, for MP3.
    pub tag: u64,
    /// Bytes of the frame.
    pub len: usize,
}

/// A look at the queue. Each figure was true at some moment during the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingStats {
    /// Frames waiting, never more than `capacity`.
    pub count: usize,
    /// Frames that fit.
    pub capacity: usize,
    /// Frames lost because the queue was full, since start.
    pub overflow_count: u64,
}

impl FrameRingBuffer {
    /// A queue of `capacity` frames of at most `frame_bytes_max` bytes.
    ///
    /// # Panics
    /// If `capacity` is below 2 (the stamps of one slot could not be told apart)
    /// or `frame_bytes_max` is 0. Configuration checks both before.
    pub fn new(capacity: usize, frame_bytes_max: usize, when_full: WhenFull) -> Self {
        assert!(capacity >= 2, "a ring holds at least 2 frames");
        assert!(frame_bytes_max > 0, "a frame holds at least 1 byte");
        let words_per_slot = frame_bytes_max.div_ceil(WORD_BYTES);
        let slot = |i: usize| Slot { stamp: AtomicU64::new(i as u64), tag: AtomicU64::new(0), len: AtomicU64::new(0) };
        Self {
            slots: (0..capacity).map(slot).collect(),
            words_per_slot,
            words: (0..capacity * words_per_slot).map(|_| AtomicU64::new(0)).collect(),
            when_full,
            tail: AtomicU64::new(0),
            head: AtomicU64::new(0),
            cleared_below: AtomicU64::new(0),
            overflow_count: AtomicU64::new(0),
        }
    }

    /// Adds a frame, or says why not. Never blocks.
    pub fn push_frame(&self, tag: u64, frame: &[u8]) -> Push {
        if frame.is_empty() || frame.len() > self.words_per_slot * WORD_BYTES {
            return Push::Refused;
        }
        if self.try_push(tag, frame) {
            return Push::Taken;
        }
        // One attempt to make room, no more: if another thread holds the oldest
        // slot half-read, the new frame is what has to go.
        let oldest =
            if self.when_full == WhenFull::DropOldest || self.has_cleared() { self.drop_oldest() } else { None };
        let taken = oldest.is_some() && self.try_push(tag, frame);
        let live_dropped = oldest.is_some_and(|position| position >= self.cleared_below.load(Acquire));
        self.overflow_count.fetch_add(u64::from(live_dropped) + u64::from(!taken), Relaxed);
        match (taken, live_dropped) {
            (true, false) => Push::Taken,
            (true, true) => Push::DroppedOldest,
            (false, _) => Push::DroppedNewest,
        }
    }

    /// Takes the oldest frame into `buffer`; `None` when there is none, which is
    /// normal. A frame longer than `buffer` is cut to it. Never blocks.
    pub fn pop_frame(&self, buffer: &mut [u8]) -> Option<Popped> {
        loop {
            let position = self.claim_oldest()?;
            if position < self.cleared_below.load(Acquire) {
                self.release(position);
                continue;
            }
            let popped = self.read(position, buffer);
            self.release(position);
            return Some(popped);
        }
    }

    /// Forgets what waits. The slots come free as later pushes and pops need them.
    pub fn clear(&self) {
        self.cleared_below.fetch_max(self.tail.load(Acquire), AcqRel);
    }

    /// Position of the next pop and of the next push: how many frames ever left, and ever came.
    pub fn positions(&self) -> (u64, u64) {
        let tail = self.tail.load(Acquire);
        (self.head.load(Acquire).max(self.cleared_below.load(Acquire)), tail)
    }

    /// Count, capacity and overflows: three atomic loads and one more.
    pub fn stats(&self) -> RingStats {
        let first = self.head.load(Acquire).max(self.cleared_below.load(Acquire));
        let count = usize::try_from(self.tail.load(Acquire).saturating_sub(first)).unwrap_or(usize::MAX);
        RingStats {
            count: count.min(self.slots.len()),
            capacity: self.slots.len(),
            overflow_count: self.overflow_count.load(Relaxed),
        }
    }

    fn slot(&self, position: u64) -> (usize, &Slot) {
        let index = usize::try_from(position % self.slots.len() as u64).unwrap_or(0);
        (index, &self.slots[index])
    }

    fn try_push(&self, tag: u64, frame: &[u8]) -> bool {
        let mut position = self.tail.load(Relaxed);
        loop {
            let (index, slot) = self.slot(position);
            let stamp = slot.stamp.load(Acquire);
            if stamp < position {
                return false;
            }
            // A failed exchange means that another thread has pushed: progress, not waiting.
            if stamp == position {
                match self.tail.compare_exchange_weak(position, position + 1, Relaxed, Relaxed) {
                    Ok(_) => {
                        self.write(index, slot, tag, frame);
                        slot.stamp.store(position + 1, Release);
                        return true;
                    }
                    Err(now) => position = now,
                }
            } else {
                position = self.tail.load(Relaxed);
            }
        }
    }

    fn claim_oldest(&self) -> Option<u64> {
        let mut position = self.head.load(Relaxed);
        loop {
            let stamp = self.slot(position).1.stamp.load(Acquire);
            if stamp < position + 1 {
                return None;
            }
            if stamp == position + 1 {
                match self.head.compare_exchange_weak(position, position + 1, AcqRel, Relaxed) {
                    Ok(_) => return Some(position),
                    Err(now) => position = now,
                }
            } else {
                position = self.head.load(Relaxed);
            }
        }
    }

    fn has_cleared(&self) -> bool {
        self.head.load(Acquire) < self.cleared_below.load(Acquire)
    }

    fn drop_oldest(&self) -> Option<u64> {
        self.claim_oldest().inspect(|position| self.release(*position))
    }

    fn release(&self, position: u64) {
        self.slot(position).1.stamp.store(position + self.slots.len() as u64, Release);
    }

    fn write(&self, index: usize, slot: &Slot, tag: u64, frame: &[u8]) {
        let words = &self.words[index * self.words_per_slot..][..self.words_per_slot];
        for (word, chunk) in words.iter().zip(frame.chunks(WORD_BYTES)) {
            let mut bytes = [0; WORD_BYTES];
            bytes[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_le_bytes(bytes), Relaxed);
        }
        slot.tag.store(tag, Relaxed);
        slot.len.store(frame.len() as u64, Relaxed);
    }

    fn read(&self, position: u64, buffer: &mut [u8]) -> Popped {
        let (index, slot) = self.slot(position);
        let stored = usize::try_from(slot.len.load(Relaxed)).unwrap_or(0);
        let len = stored.min(buffer.len());
        let words = &self.words[index * self.words_per_slot..][..self.words_per_slot];
        for (word, chunk) in words.iter().zip(buffer[..len].chunks_mut(WORD_BYTES)) {
            chunk.copy_from_slice(&word.load(Relaxed).to_le_bytes()[..chunk.len()]);
        }
        Popped { tag: slot.tag.load(Relaxed), len }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicBool};

    use super::*;

    fn ring(capacity: usize, when_full: WhenFull) -> FrameRingBuffer {
        FrameRingBuffer::new(capacity, 16, when_full)
    }

    fn pop(ring: &FrameRingBuffer) -> Option<(u64, Vec<u8>)> {
        let mut buffer = [0; 16];
        ring.pop_frame(&mut buffer).map(|p| (p.tag, buffer[..p.len].to_vec()))
    }

    #[test]
    fn b1_frames_come_out_whole_and_in_order() {
        let ring = ring(4, WhenFull::DropOldest);
        assert_eq!(ring.push_frame(7, b"one"), Push::Taken);
        assert_eq!(ring.push_frame(8, b"and sixteen byte"), Push::Taken);
        assert_eq!(pop(&ring), Some((7, b"one".to_vec())));
        assert_eq!(pop(&ring), Some((8, b"and sixteen byte".to_vec())));
    }

    #[test]
    fn b3_full_drops_the_oldest_or_the_newest_and_counts() {
        for (when_full, answer, left) in [
            (WhenFull::DropOldest, Push::DroppedOldest, vec![1, 2]),
            (WhenFull::DropNewest, Push::DroppedNewest, vec![0, 1]),
        ] {
            let ring = ring(2, when_full);
            ring.push_frame(0, b"a");
            ring.push_frame(1, b"b");
            assert_eq!(ring.push_frame(2, b"c"), answer);
            assert_eq!(ring.stats(), RingStats { count: 2, capacity: 2, overflow_count: 1 });
            let tags: Vec<u64> = std::iter::from_fn(|| pop(&ring)).map(|(tag, _)| tag).collect();
            assert_eq!(tags, left);
        }
    }

    #[test]
    fn b4_empty_is_normal_and_an_empty_frame_is_refused() {
        let ring = ring(2, WhenFull::DropNewest);
        assert_eq!(pop(&ring), None);
        assert_eq!(ring.push_frame(0, b""), Push::Refused);
        assert_eq!(ring.push_frame(0, &[0; 17]), Push::Refused);
        assert_eq!(ring.stats(), RingStats { count: 0, capacity: 2, overflow_count: 0 });
    }

    #[test]
    fn b2_clear_forgets_what_waits_and_nothing_else() {
        let ring = ring(3, WhenFull::DropNewest);
        for tag in 0..3 {
            ring.push_frame(tag, b"x");
        }
        ring.clear();
        assert_eq!(ring.stats().count, 0);
        assert_eq!(pop(&ring), None);
        for tag in 10..13 {
            assert_eq!(ring.push_frame(tag, b"y"), Push::Taken);
        }
        assert_eq!(pop(&ring).map(|(tag, _)| tag), Some(10));
    }

    #[test]
    fn b2_b5_many_threads_lose_and_invent_nothing() {
        const PUSHERS: u64 = 3;
        const EACH: u64 = 20_000;
        let ring = Arc::new(ring(32, WhenFull::DropOldest));
        let done = Arc::new(AtomicBool::new(false));
        let poppers: Vec<_> = (0..2)
            .map(|_| {
                let (ring, done) = (ring.clone(), done.clone());
                std::thread::spawn(move || {
                    let mut taken = 0u64;
                    loop {
                        let finished = done.load(Acquire);
                        match pop(&ring) {
                            Some((tag, bytes)) => {
                                assert_eq!(bytes, [tag.to_le_bytes(), (!tag).to_le_bytes()].concat(), "torn frame");
                                taken += 1;
                            }
                            None if finished => return taken,
                            None => std::thread::yield_now(),
                        }
                        assert!(ring.stats().count <= 32);
                    }
                })
            })
            .collect();
        let pushers: Vec<_> = (0..PUSHERS)
            .map(|p| {
                let ring = ring.clone();
                std::thread::spawn(move || {
                    for i in 0..EACH {
                        let tag = p << 32 | i;
                        ring.push_frame(tag, &[tag.to_le_bytes(), (!tag).to_le_bytes()].concat());
                    }
                })
            })
            .collect();
        pushers.into_iter().for_each(|t| t.join().expect("pusher"));
        done.store(true, Release);
        let taken: u64 = poppers.into_iter().map(|t| t.join().expect("popper")).sum();
        assert_eq!(taken + ring.stats().overflow_count, PUSHERS * EACH);
    }

    mod model {
        use std::collections::VecDeque;

        use proptest::prelude::*;

        use super::*;

        #[derive(Debug, Clone)]
        enum Op {
            Push(u8),
            Pop,
            Clear,
        }

        fn op() -> impl Strategy<Value = Op> {
            prop_oneof![5 => any::<u8>().prop_map(Op::Push), 4 => Just(Op::Pop), 1 => Just(Op::Clear)]
        }

        proptest! {
            #[test]
            fn b1_b5_behaves_like_a_bounded_deque_that_drops_the_oldest(
                capacity in 2usize..6,
                ops in proptest::collection::vec(op(), 0..200),
            ) {
                let ring = ring(capacity, WhenFull::DropOldest);
                let mut model = VecDeque::new();
                for op in ops {
                    match op {
                        Op::Push(byte) => {
                            ring.push_frame(u64::from(byte), &[byte]);
                            if model.len() == capacity {
                                model.pop_front();
                            }
                            model.push_back((u64::from(byte), vec![byte]));
                        }
                        Op::Pop => prop_assert_eq!(pop(&ring), model.pop_front()),
                        Op::Clear => {
                            ring.clear();
                            model.clear();
                        }
                    }
                    prop_assert_eq!(ring.stats().count, model.len());
                }
            }
        }
    }
}
