//! How a real-time thread says something without saying it.
//!
//! Formatting and logging allocate and wait, so the pump and the encoder report
//! small typed events through a wait-free queue, and the main thread turns them
//! into log lines. The reporter never blocks; what does not fit is counted.

use std::{
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use heapless::spsc::{Consumer, Producer, Queue};
use nix::sys::eventfd::EventFd;

use crate::limits::JOURNAL_MAX;

/// heapless keeps one slot free to tell full from empty.
const QUEUE_SLOTS: usize = JOURNAL_MAX + 1;

/// The real-time side.
pub struct Reporter<E: 'static> {
    queue: Producer<'static, E>,
    wake: Arc<EventFd>,
    dropped: Arc<AtomicU64>,
}

/// The side that logs.
pub struct Journal<E: 'static> {
    queue: Consumer<'static, E>,
    wake: Arc<EventFd>,
    dropped: Arc<AtomicU64>,
}

/// A pair of ends. `wake` becomes readable when there is something to log; one
/// descriptor may serve several journals.
///
/// The queue's memory is taken once and lives as long as the process.
pub fn journal<E: Send + 'static>(wake: Arc<EventFd>) -> (Reporter<E>, Journal<E>) {
    let queue: &'static mut Queue<E, QUEUE_SLOTS> = Box::leak(Box::new(Queue::new()));
    let (producer, consumer) = queue.split();
    let dropped = Arc::new(AtomicU64::new(0));
    (
        Reporter { queue: producer, wake: wake.clone(), dropped: dropped.clone() },
        Journal { queue: consumer, wake, dropped },
    )
}

impl<E> Reporter<E> {
    /// Hands an event over. Never blocks; a full journal counts it as dropped.
    pub fn report(&mut self, event: E) {
        if self.queue.enqueue(event).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
        // A failed write means that the counter is full, so the reader is awake anyway.
        let _ = self.wake.write(1);
    }
}

impl<E> Journal<E> {
    /// The next event, if there is one.
    pub fn take(&mut self) -> Option<E> {
        self.queue.dequeue()
    }

    /// Events that did not fit, since start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// What to wait on.
    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
