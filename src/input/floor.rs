//! The floor: which of several senders is heard (N4).
//!
//! The newest has it; the others are read and discarded. Senders are kept in the
//! order in which they came, so the floor always belongs to the last one, and
//! nothing can disagree about it. A sender that is not heard keeps its frame
//! borders, so that it can have the floor back at any moment.

use std::{
    fmt,
    io::{self, Read},
    sync::Arc,
};

use crate::{
    limits::SENDERS_MAX,
    reblock::Reblocker,
    router::{AudioInputRouter, InputId},
    stats::IngestStats,
};

/// The senders, and the way of the one that is heard.
pub struct Floor<S> {
    /// In the order in which they came; the last one has the floor.
    senders: Vec<Sender<S>>,
    frame_samples: usize,
    router: Arc<AudioInputRouter>,
    stats: Arc<IngestStats>,
}

struct Sender<S> {
    serial: u64,
    stream: S,
    reblocker: Reblocker,
}

impl<S: Read> Floor<S> {
    /// Nobody is there yet.
    pub fn new(frame_samples: usize, router: Arc<AudioInputRouter>, stats: Arc<IngestStats>) -> Self {
        Self { senders: Vec::with_capacity(SENDERS_MAX), frame_samples, router, stats }
    }

    /// True if one more would be too many.
    pub fn is_full(&self) -> bool {
        self.senders.len() >= SENDERS_MAX
    }

    /// A newcomer was turned away.
    pub fn refuse(&self, why: &dyn fmt::Display) {
        self.stats.refused.add(1);
        log::warn!("a sender was refused: {why}");
    }

    /// A newcomer takes the floor.
    pub fn join(&mut self, serial: u64, stream: S) {
        if let Some(before) = self.senders.last_mut() {
            end_stream(&self.router, &mut before.reblocker);
        }
        self.router.open(InputId::Station);
        self.senders.push(Sender { serial, stream, reblocker: Reblocker::new(self.frame_samples) });
        self.stats.connections.add(1);
        self.count();
    }

    /// Everybody goes, one by one, so that what the last one left is still played.
    pub fn leave_all(&mut self) {
        while let Some(serial) = self.senders.last().map(|sender| sender.serial) {
            self.leave(serial);
        }
    }

    /// Reads one sender, once: a flood gets no more than its turn.
    pub fn read(&mut self, serial: u64, buffer: &mut [u8]) {
        let Some(index) = self.senders.iter().position(|sender| sender.serial == serial) else {
            return;
        };
        let has_floor = index + 1 == self.senders.len();
        let sender = &mut self.senders[index];
        match sender.stream.read(buffer) {
            Ok(0) => self.leave(serial),
            Ok(count) if has_floor => sender.reblocker.feed(&buffer[..count], |frame| {
                // What a full queue drops is counted there.
                let _ = self.router.push_frame(InputId::Station, frame);
            }),
            Ok(count) => {
                sender.reblocker.discard(count);
                self.stats.bytes_without_floor.add(count as u64);
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                log::debug!("a sender broke off: {error}");
                self.leave(serial);
            }
        }
    }

    /// A sender has gone. If it had the floor, the one that came before it has it.
    fn leave(&mut self, serial: u64) {
        let Some(index) = self.senders.iter().position(|sender| sender.serial == serial) else {
            return;
        };
        let mut gone = self.senders.remove(index);
        if gone.reblocker.is_mid_frame() {
            self.stats.partial_frames.add(1);
            log::debug!("a sender left in the middle of a frame; the partial frame is discarded");
        }
        if index == self.senders.len() {
            end_stream(&self.router, &mut gone.reblocker);
            match self.senders.is_empty() {
                true => self.router.close(InputId::Station),
                false => self.router.open(InputId::Station),
            }
        }
        self.count();
    }

    fn count(&self) {
        let now = self.senders.len();
        self.stats.senders.set(now as u64);
        log::info!("senders on the PCM socket: {now}");
    }
}

/// What waits in the reblocker is played before anything of another sender.
fn end_stream(router: &AudioInputRouter, reblocker: &mut Reblocker) {
    if let Some(rest) = reblocker.finish() {
        let _ = router.push_frame(InputId::Station, &rest);
    }
}
