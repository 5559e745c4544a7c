//! What the pump tells the rest about time.
//!
//! Each tick hands on one frame, and frames are numbered without gaps: a tick
//! that never happened (A4) has no number and puts nothing on air, while the
//! tick count, which names deadlines, advances over it. So "number − 2 − cushion"
//! is always a frame that exists.

use std::{
    os::fd::{AsFd, BorrowedFd},
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Release},
    },
};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::limits::ENCODER_LAG_FRAMES;

/// Written by the pump, read by the broadcaster and the encoder.
pub struct OnAirClock {
    cushion_frames: u64,
    /// Ticks that happened. Written by the pump.
    ticks: AtomicU64,
    /// Frames below this number have been on air. Written by the broadcaster.
    aired: AtomicU64,
    tick_wake: EventFd,
}

impl OnAirClock {
    /// A clock at tick 0. `cushion_frames` is fixed for the life of the program.
    ///
    /// # Errors
    /// When there is no descriptor to be had.
    pub fn new(cushion_frames: u64) -> nix::Result<Self> {
        Ok(Self {
            cushion_frames,
            ticks: AtomicU64::new(0),
            aired: AtomicU64::new(0),
            tick_wake: EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?,
        })
    }

    /// The pump's tick: counts it and wakes the broadcaster. Never blocks.
    pub fn tick(&self) {
        self.ticks.fetch_add(1, Release);
        // A failed write means that the counter is full, so the broadcaster is awake anyway.
        let _ = self.tick_wake.write(1);
    }

    /// Ticks that have happened.
    pub fn ticks(&self) -> u64 {
        self.ticks.load(Acquire)
    }

    /// How far frame numbers on air trail the ticks: 2 + cushion.
    pub fn lag_frames(&self) -> u64 {
        ENCODER_LAG_FRAMES + self.cushion_frames
    }

    /// Frames due on air: at tick n (the n + 1st) the numbers up to n − lag.
    pub fn due(&self) -> u64 {
        self.ticks().saturating_sub(self.lag_frames())
    }

    /// The broadcaster says how far it has come.
    pub fn set_aired(&self, below: u64) {
        self.aired.store(below, Release);
    }

    /// Frames below this number are past: their MP3 would come too late.
    pub fn aired(&self) -> u64 {
        self.aired.load(Acquire)
    }

    /// Readable after each tick. Read it to clear it.
    pub fn tick_wake(&self) -> &EventFd {
        &self.tick_wake
    }

    /// The same, to wait on.
    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.tick_wake.as_fd()
    }
}
