//! One FFmpeg, as the encoder thread sees it: frames in, frames out, counted.
//!
//! Whole frames go in and numbers are kept of what really went in; each MP3
//! frame that comes out takes its number from there, never from arithmetic. A
//! byte that does not belong is a failure, since counting on would shift the
//! stream for ever.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, killpg},
        socket::{MsgFlags, send},
    },
    unistd::Pid,
};

use super::{header::Header, packetizer::Mp3Packetizer};
use crate::{
    frame::{MP3_FRAME_BYTES_MAX, PumpFrame},
    limits::{REPLAY, STDOUT_BYTES_PER_WAKEUP},
    sys::child::PidFd,
};

/// LAME looks one frame ahead, so one is always owed.
pub const LOOK_AHEAD_FRAMES: usize = 1;
/// Owing the same through this many ticks (2 s), and more than the look-ahead, the encoder has lost a frame.
const MISSING_AFTER_STEADY_TICKS: u32 = 84;
/// Owing more than the look-ahead through this many ticks (30 s) it has lost one as well.
const MISSING_AFTER_TICKS: u32 = 1250;
/// Owing more than this it is behind, whatever it has lost: its stdin is full, and the count stands for that reason.
const MISSING_FRAMES_MAX: usize = 8;

/// A child that was just started.
pub struct Spawned {
    /// Counts the children of this tower.
    pub generation: u64,
    /// Its process id.
    pub pid: u32,
    /// Its nice value, for the log.
    pub nice: Option<i32>,
    /// To see it end, and to end it.
    pub pidfd: PidFd,
    /// Our end of its stdin: a Unix stream socket, non-blocking.
    pub stdin: OwnedFd,
    /// Our end of its stdout: a pipe, non-blocking.
    pub stdout: OwnedFd,
}

impl Spawned {
    /// Signals the child and what it may have started: a script around FFmpeg has
    /// the same process group. Not for a child that was reaped: its id, which names
    /// the group, may be another's by then.
    pub fn signal(&self, signal: i32) {
        self.pidfd.signal(signal);
        if let (Ok(pid), Ok(signal)) = (i32::try_from(self.pid), Signal::try_from(signal)) {
            // A group that is gone already is as it should be.
            let _ = killpg(Pid::from_raw(pid), signal);
        }
    }
}

/// A running child and what it owes.
pub struct Child {
    pub(super) process: Spawned,
    header: Header,
    packetizer: Mp3Packetizer,
    /// What was written and has not come out, oldest first. Bounded by what the
    /// child and its socket hold.
    owed: VecDeque<Owed>,
    frames_out: u64,
    last_frame_ms: u64,
    /// Since when more than the look-ahead is owed.
    owing_since_ms: Option<u64>,
    owing: Owing,
}

/// Tells a frame that was lost from frames that come late. One that was lost is owed for good, whatever comes: the
/// count of what is owed stands. On a machine that is short of time the count goes up and down, and an
/// encoder that is only starved must not be killed for it: its successor would have no more time.
#[derive(Debug, Default)]
struct Owing {
    owed: usize,
    steady_ticks: u32,
    ticks: u32,
}

impl Owing {
    /// A tick, before its frame is written, with this many frames owed.
    fn note_tick(&mut self, owed: usize) {
        if owed <= LOOK_AHEAD_FRAMES || owed > MISSING_FRAMES_MAX {
            *self = Self::default();
            return;
        }
        self.ticks += 1;
        self.steady_ticks = if owed == self.owed { self.steady_ticks + 1 } else { 1 };
        self.owed = owed;
    }

    fn has_lost_one(&self) -> bool {
        self.steady_ticks > MISSING_AFTER_STEADY_TICKS || self.ticks > MISSING_AFTER_TICKS
    }
}

/// What becomes of the MP3 frame of a PCM frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owed {
    /// Lead-in or priming: thrown away.
    Nobody,
    /// Goes on air under this number.
    Number(u64),
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// The child has it, or will.
    Taken,
    /// Its socket is full: try again when it is writable.
    Full,
    /// It reads no more.
    Broken,
}

/// What reading found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// All there was.
    Drained,
    /// 64 KiB; there may be more.
    More,
    /// The end.
    Eof,
    /// Something that does not belong.
    Desync(Desync),
}

/// What did not belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desync {
    /// A byte that is no part of an expected frame.
    ForeignByte,
    /// A header of another class than that of the frames on air.
    OtherHeader,
    /// A frame that needs bytes of earlier ones.
    BitReservoir,
    /// More frames out than were written.
    TooManyFrames,
    /// A frame has been owed for 2 s while others came.
    MissingFrame,
}

impl std::fmt::Display for Desync {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ForeignByte => "a byte that belongs to no frame",
            Self::OtherHeader => "a frame of another format",
            Self::BitReservoir => "a frame that does not stand alone",
            Self::TooManyFrames => "more frames out than were written",
            Self::MissingFrame => "a frame never came",
        })
    }
}

impl Child {
    /// Takes charge of a new process, whose frames will have this header.
    pub fn new(process: Spawned, header: Header, now_ms: u64) -> Self {
        Self {
            process,
            header,
            packetizer: Mp3Packetizer::expecting(header),
            owed: VecDeque::with_capacity(REPLAY.frames_max),
            frames_out: 0,
            last_frame_ms: now_ms,
            owing_since_ms: None,
            owing: Owing::default(),
        }
    }

    /// Frames that came out.
    pub fn frames_out(&self) -> u64 {
        self.frames_out
    }

    /// Frames written that have not come out.
    pub fn owed_frames(&self) -> usize {
        self.owed.len()
    }

    /// When the last frame came out; the start, if none did.
    pub fn last_frame_ms(&self) -> u64 {
        self.last_frame_ms
    }

    /// When the child will have stalled, unless a frame comes.
    pub fn stalled_at_ms(&self, stall_ms: u64) -> Option<u64> {
        self.owing_since_ms.map(|since| since.max(self.last_frame_ms) + stall_ms)
    }

    /// Writes one frame, whole or not at all.
    pub fn write(&mut self, frame: &PumpFrame, owed: Owed, now_ms: u64) -> Write {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.process.stdin.as_raw_fd(), &frame.to_le_bytes(), flags) {
            Ok(_) => {
                self.owed.push_back(owed);
                self.note_owing(now_ms);
                Write::Taken
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Write::Full,
            Err(_) => Write::Broken,
        }
    }

    /// Reads what there is, up to 64 KiB, and gives out each frame with what it
    /// is owed to. The frame right before a foreign byte may hold that byte's
    /// shift in itself, so it is kept back.
    pub fn read(&mut self, now_ms: u64, mut on_frame: impl FnMut(Owed, &[u8])) -> Read {
        let mut bytes = [0; STDOUT_BYTES_PER_WAKEUP / 8];
        let mut total = 0;
        while total < STDOUT_BYTES_PER_WAKEUP {
            let outcome = match nix::unistd::read(self.process.stdout.as_fd(), &mut bytes) {
                Ok(0) => Read::Eof,
                Ok(n) => {
                    total += n;
                    match self.take(&bytes[..n], now_ms, &mut on_frame) {
                        Ok(()) => continue,
                        Err(desync) => Read::Desync(desync),
                    }
                }
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => Read::Drained,
                Err(_) => Read::Eof,
            };
            return outcome;
        }
        Read::More
    }

    fn take(&mut self, bytes: &[u8], now_ms: u64, on_frame: &mut impl FnMut(Owed, &[u8])) -> Result<(), Desync> {
        // One frame is held back until what follows it is known to be in order.
        let mut waiting: Option<(Owed, usize)> = None;
        let mut held = [0; MP3_FRAME_BYTES_MAX];
        let mut wrong = None;
        let (header, owed) = (self.header, &mut self.owed);
        let mut frames = 0;
        self.packetizer.feed(bytes, |packet| {
            let check = match () {
                () if wrong.is_some() => return,
                () if packet.garbage_before > 0 => Err(Desync::ForeignByte),
                () if !packet.header.same_encoder(header) => Err(Desync::OtherHeader),
                () if packet.header.main_data_begin(packet.bytes) != 0 => Err(Desync::BitReservoir),
                () => owed.pop_front().ok_or(Desync::TooManyFrames),
            };
            match check {
                Ok(to) => {
                    if let Some((to, len)) = waiting.replace((to, packet.bytes.len())) {
                        on_frame(to, &held[..len]);
                    }
                    held[..packet.bytes.len()].copy_from_slice(packet.bytes);
                    frames += 1;
                }
                Err(desync) => wrong = Some(desync),
            }
        });
        if wrong.is_none() && self.packetizer.has_foreign_bytes() {
            wrong = Some(Desync::ForeignByte);
        }
        if let Some(desync) = wrong {
            return Err(desync);
        }
        if let Some((to, len)) = waiting {
            on_frame(to, &held[..len]);
        }
        if frames > 0 {
            if self.frames_out == 0 {
                // What was owed while it started says nothing: its first frames are those of the lead-in.
                self.owing = Owing::default();
            }
            self.frames_out += frames;
            self.last_frame_ms = now_ms;
            self.note_owing(now_ms);
        }
        Ok(())
    }

    /// Frames that were written and have not come out.
    pub fn in_hand(&self) -> usize {
        self.owed.len()
    }

    /// True when a frame has been missing for so long that it will never come.
    pub fn misses_a_frame(&self) -> bool {
        self.owing.has_lost_one()
    }

    fn note_owing(&mut self, now_ms: u64) {
        if self.owed.len() <= LOOK_AHEAD_FRAMES {
            self.owing_since_ms = None;
            self.owing = Owing::default();
        } else {
            self.owing_since_ms.get_or_insert(now_ms);
        }
    }

    /// One more tick with something owed before its frame is written.
    pub fn note_tick(&mut self) {
        self.owing.note_tick(self.owed.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is owed at each tick, again and again, and after how many ticks a frame is called lost.
    #[test]
    fn s6_a_lost_frame_is_told_from_late_ones_as_a_table() {
        let table: [(&[usize], Option<u32>); 8] = [
            (&[1], None),
            (&[2], Some(85)),
            (&[5], Some(85)),
            (&[52], None),
            (&[2, 9], None),
            (&[2, 3], Some(1251)),
            (&[4, 2, 2, 3, 8, 2], Some(1251)),
            (&[1, 3, 2], None),
        ];
        for (pattern, expected) in table {
            let mut owing = Owing::default();
            let found = (1..=10_000).find(|tick| {
                owing.note_tick(pattern[(*tick as usize - 1) % pattern.len()]);
                owing.has_lost_one()
            });
            assert_eq!(found, expected, "{pattern:?}");
        }
    }
}
