//! From the callers to the writer: bounded, never waiting.

use std::{
    fmt::Write,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::SystemTime,
};

use super::{
    Shared,
    line::{BoundedText, Entry},
};
use crate::limits::LOG_LINES_MAX;

/// What the writer gets.
#[derive(Debug)]
pub enum Message {
    /// A line.
    Line(Entry),
    /// Nothing but a reason to look at `Shared`.
    Wake,
}

/// The callers' end.
#[derive(Debug, Clone)]
pub struct Queue {
    sender: SyncSender<Message>,
    shared: Arc<Shared>,
}

/// Both ends.
pub fn queue(shared: Arc<Shared>) -> (Queue, Receiver<Message>) {
    let (sender, receiver) = sync_channel(LOG_LINES_MAX);
    (Queue { sender, shared }, receiver)
}

impl Queue {
    /// Hands over a record, cut to its bound. The newest goes when there is no room.
    pub fn push(&self, record: &log::Record<'_>) {
        let mut text = BoundedText::default();
        // It takes what fits and never fails.
        let _ = text.write_fmt(*record.args());
        let thread = std::thread::current();
        let entry = Entry {
            at: SystemTime::now(),
            level: record.level(),
            origin: thread.name().unwrap_or_else(|| record.target()).to_owned(),
            text: text.finish(),
        };
        if !self.send(Message::Line(entry)) {
            self.shared.stats.dropped.add(1);
        }
    }

    /// False: there was no room. A `Wake` without room is not needed: the writer is awake.
    pub fn send(&self, message: Message) -> bool {
        self.sender.try_send(message).is_ok()
    }

    /// What callers and writer share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Both are ends of the same queue.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}
