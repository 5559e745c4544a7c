//! Every bound there is, with what happens at the bound.
//!
//! A queue without a bound is a leak that waits for a bad day; a bound without a
//! policy is a crash. So each queue is named here, and the relations between the
//! bounds are checked by the compiler. What a user may change is a default in
//! `config`, and this file holds how far it may go.

use crate::frame::{MP3_FRAME_BYTES_MAX, TICK_MS};

/// What a full queue does with one more frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest goes: what is played stays close to now.
    DropOldest,
    /// The newest goes: what was promised first is kept.
    DropNewest,
}

/// A bound and its policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimit {
    /// Frames (or lines, or events) that fit.
    pub frames_max: usize,
    /// What happens to one more.
    pub when_full: WhenFull,
}

/// PCM of one input on its way to the pump: 100 frames, 2.4 s. Rides out a busy
/// SD card; a sender that bursts further loses its newest frames.
pub const INPUT_PCM: QueueLimit = QueueLimit { frames_max: 100, when_full: WhenFull::DropNewest };
/// The largest input queue that may be configured: 24 s, 4.6 MB.
pub const INPUT_PCM_FRAMES_MAX: usize = 1000;
/// PCM from the pump to the encoder: 3 s. Only a wedged encoder thread fills it.
pub const PUMP_TO_ENCODER: QueueLimit = QueueLimit { frames_max: 128, when_full: WhenFull::DropNewest };
/// PCM kept for a new encoder: 6 s of lead-in, cushion and start-up.
pub const REPLAY: QueueLimit = QueueLimit { frames_max: 256, when_full: WhenFull::DropOldest };
/// PCM fed to a new encoder before the first frame that is owed. Measured: 2 put
/// the splice in the right place, 64 make it the same bytes.
pub const LEAD_IN_FRAMES: usize = 64;
/// MP3 on its way to the broadcaster: 9.6 s.
pub const MP3: QueueLimit = QueueLimit { frames_max: 400, when_full: WhenFull::DropOldest };
/// The largest MP3 queue that may be configured: 96 s, 4 MB.
pub const MP3_FRAMES_MAX: usize = 4000;
/// MP3 on air, which every listener's cursor points into: 15.4 s. The listener
/// that falls off leaves.
pub const ON_AIR: QueueLimit = QueueLimit { frames_max: 640, when_full: WhenFull::DropOldest };
/// The longest cushion that may be configured.
pub const CUSHION_MS_MAX: u64 = 3000;
/// On air trails the pump by the encoder's look-ahead and the hand-over.
pub const ENCODER_LAG_FRAMES: u64 = 2;

/// Listeners get this many frames in one send: the cost is per send, not per byte.
pub const BATCH_FRAMES: u64 = 6;
/// What the kernel may hold for one listener, in seconds of audio.
pub const BACKLOG_SEC: u32 = 6;
/// What the kernel may hold for all listeners before every bound shrinks.
pub const UNACKNOWLEDGED_BYTES_MAX: u64 = 64 << 20;
/// The largest bound that may be configured.
pub const BACKLOG_SEC_MAX: u32 = 12;
/// The bound never shrinks below this.
pub const BACKLOG_SEC_MIN: u32 = 1;

/// Bytes of a request head.
pub const HEAD_BYTES_MAX: usize = 8 << 10;
/// Header lines of a request.
pub const HEADERS_MAX: usize = 64;
/// Bytes of a request body.
pub const BODY_BYTES_MAX: usize = 64 << 10;
/// From accept to a complete head, and to a complete body.
pub const HEAD_DEADLINE_MS: u64 = 5000;
/// From a relayed request to the whole reply of the control plane.
pub const WEB_REPLY_DEADLINE_MS: u64 = 5000;
/// From a whole reply to its last byte taken by the client.
pub const DRIP_DEADLINE_MS: u64 = 30_000;
/// Bytes of a reply of the control plane.
pub const WEB_REPLY_BYTES_MAX: usize = 1 << 20;
/// Connections without a complete head, in all and per address.
pub const HEADLESS_MAX: usize = 512;
/// Connections without a complete head of one address (loopback exempt).
pub const HEADLESS_PER_ADDRESS_MAX: usize = 32;
/// Slots that listeners can never take from control.
pub const CONTROL_SLOTS: usize = 64;
/// Of these, slots that only this machine takes.
pub const CONTROL_SLOTS_LOCAL: usize = 8;
/// Connections that take a short reply and leave; one more is closed without waiting for it.
pub const LEAVING_MAX: usize = 256;
/// After the last byte of a reply, how long a client may take to close.
pub const LINGER_MS: u64 = 1000;
/// Descriptors left to the encoder, the sockets, the logs and the control plane
/// (which takes four for each of its slots, and must never find none).
pub const DESCRIPTORS_KEPT: usize = 64 + 4 * CONTROL_SLOTS;
/// Accepts between two looks at the tick.
pub const ACCEPTS_PER_TURN: usize = 256;
/// Accepts a second; more wait in the kernel's queue.
pub const ACCEPTS_PER_SEC: u32 = 2000;
/// What the kernel queues for us between two turns.
pub const LISTEN_BACKLOG: u32 = 4096;

/// Senders on the PCM socket; one more is refused.
pub const SENDERS_MAX: usize = 16;
/// Bytes taken from one sender before the others have their turn.
pub const SENDER_BYTES_PER_TURN: usize = 64 << 10;
/// Samples over which the rest of a sender that has gone is faded out: 5 ms.
pub const REST_FADE_SAMPLES: usize = 240;
/// An absent input is present this long after its first frame, preroll or not.
pub const PREROLL_WAIT_MS: u64 = 100;
/// Priority of the pump under SCHED_FIFO: above everything else of ours.
pub const PUMP_PRIORITY: i32 = 60;
/// Ticks in a row without a frame that make an input absent: 96 ms.
pub const MISSES_MAX: u32 = 4;
/// Log lines that wait for the writer. The newest goes; drops are counted and said.
pub const LOG_LINES_MAX: usize = 1024;
/// Bytes of one log line; the rest of the line is cut.
pub const LOG_LINE_BYTES_MAX: usize = 2048;
/// Bytes of a request to the station: a path of 4096 bytes, each as a number.
pub const STATION_REQUEST_BYTES_MAX: usize = 32 << 10;
/// Bytes of the station's reply; the oldest of a history that is longer are left out.
pub const STATION_REPLY_BYTES_MAX: usize = 1 << 20;
/// From the wish to ask the station to its whole reply.
pub const STATION_REPLY_MS: u64 = 5000;
/// Entries that a reply of `history` may have.
pub const STATION_HISTORY_MAX: usize = 1000;
/// Bytes of a configuration file.
pub const CONFIG_FILE_BYTES_MAX: u64 = 64 << 10;
/// Bytes of the path of a Unix socket, as the kernel has it, without the final zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Reports of a real-time thread that wait for the main thread.
pub const JOURNAL_MAX: usize = 256;
/// Bytes of an encoder's stdout taken in one wake-up.
pub const STDOUT_BYTES_PER_WAKEUP: usize = 64 << 10;
/// Bytes that the packetizer holds while it looks for a frame.
pub const PACKETIZER_BYTES_MAX: usize = 64 << 10;
/// Bytes of one line of an encoder's stderr; the rest of the line is cut.
pub const STDERR_LINE_BYTES_MAX: usize = 1024;
/// Lines of an encoder's stderr that are logged a second; the rest is counted.
pub const STDERR_LINES_PER_SEC: u32 = 50;
/// The longest fallback file: 300 s, 58 MB of PCM.
pub const FALLBACK_FILE_SEC_MAX: usize = 300;
/// A decoder that gives nothing for this long is ended.
pub const DECODER_SILENT_SEC_MAX: u64 = 60;
/// Bytes of a decoder's stderr that are kept for the log line.
pub const DECODER_WORDS_BYTES_MAX: usize = 1024;

/// Late by more ticks than this: whole ticks are skipped. Up to it: all are made up.
pub const CATCH_UP_TICKS_MAX: u64 = 20;
/// A tick is late when it wakes this long after its deadline.
pub const LATE_TICK_MS: u64 = 12;
/// While catching up, ticks keep this distance: at most two in 12 ms.
pub const CATCH_UP_SPACING_MS: u64 = 8;
/// How long the pump may wait for a frame of the input on air.
pub const INPUT_WAIT_MS: u64 = 5;

// A replay serves the lead-in, the longest cushion, the look-ahead, and leaves time to start.
const _: () =
    assert!(REPLAY.frames_max as u64 >= LEAD_IN_FRAMES as u64 + CUSHION_MS_MAX / TICK_MS + ENCODER_LAG_FRAMES + 60);
// The longest cushion waits in the MP3 queue, with as much again to spare.
const _: () = assert!(MP3.frames_max as u64 >= 2 * (CUSHION_MS_MAX / TICK_MS + 1));
// A listener at its bound has not yet fallen off the ring.
const _: () = assert!(BACKLOG_SEC_MAX as u64 * 1000 / TICK_MS + 2 * BATCH_FRAMES < ON_AIR.frames_max as u64);
// A second accept of a catch-up pair stays within the wait for an input.
const _: () = assert!(CATCH_UP_SPACING_MS > INPUT_WAIT_MS && 2 * CATCH_UP_SPACING_MS > LATE_TICK_MS);
// A garbage-free packetizer needs room for three frames.
const _: () = assert!(PACKETIZER_BYTES_MAX > 3 * MP3_FRAME_BYTES_MAX);
