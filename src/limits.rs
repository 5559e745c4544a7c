//! Every bound there is, with what happens at the bound.
//!
//! A queue without a bound is a leak that waits for a bad day; a bound without a
//! policy is a crash. So each queue is named here, and the relations between the
//! bounds are checked by the compiler. What a user may change is a default in
//! `config`, and this file holds how far it may go.

use crate::frame::{CHANNELS, MP3_FRAME_BYTES_MAX, STATION_FRAME_SAMPLES, TICK_MS};

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
/// PCM of the stream that is pulled, on its way to the pump: 6 s. What waits here is what the network may
/// stand still for. FFmpeg is not read beyond `PULL_FULL_MS`, so nothing is ever dropped.
pub const RELAY_PCM: QueueLimit = QueueLimit { frames_max: 250, when_full: WhenFull::DropNewest };
/// A pulled stream is heard when this much of it waits: a network that stands still for two seconds is not heard.
pub const PULL_BEGIN_MS: u64 = 3000;
/// While between this …
pub const PULL_LOW_MS: u64 = 2500;
/// … and this waits, nothing is stretched: the network moves it more than two clocks do.
pub const PULL_HIGH_MS: u64 = 4000;
/// Beyond the band by this, it is stretched by `PULL_PPM_MAX`; by less, in proportion.
pub const PULL_SLOPE_MS: u64 = 500;
/// How far a pulled stream may be stretched: a fortieth of a semitone, and more than clocks differ.
pub const PULL_PPM_MAX: u32 = 1500;
/// With this much waiting FFmpeg is not read; what is behind it waits in the network.
pub const PULL_FULL_MS: u64 = 5000;
/// From FFmpeg's start to its first sound: a name, a connection, TLS, a stream that comes slowly.
pub const PULL_START_MS: u64 = 15_000;
/// An FFmpeg that gives nothing for so long, though it is read, is ended: its source stands still.
pub const PULL_STALL_MS: u64 = 5000;
/// Between two attempts at a source at most.
pub const PULL_RETRY_SEC_MAX: u64 = 10;
/// Characters of a pulled stream's title; the rest is cut.
pub const PULL_TITLE_CHARS_MAX: usize = 200;
/// Address space of the process that speaks mDNS; it dies at the bound and is started again.
pub const ANNOUNCER_BYTES_MAX: u64 = 256 << 20;
/// After so long it is started again, and the port is asked for again that another program had.
pub const ANNOUNCE_RETRY_MS: u64 = 60_000;
/// At a stop it has this long for its goodbye.
pub const ANNOUNCE_GOODBYE_MS: u64 = 1000;
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

/// The largest batch that may be configured: 288 ms.
pub const BATCH_FRAMES_MAX: u64 = 12;
/// Up to so many listeners get so many frames in one send, as measured (ARCHITECTURE.md, "Fan-out"): the cost is per
/// send, not per byte. Each number of frames divides the next one.
pub const BATCH_BY_LISTENERS: [(usize, u64); 2] = [(50, 2), (150, 4)];
/// More listeners get this many: 192 ms, which leaves 58 for whatever keeps us before a gap has 250.
pub const BATCH_FRAMES_AUTO_MAX: u64 = 8;
/// Who is told what happens (`/events`), in all and of one address; one more gets 503.
pub const SUBSCRIBERS_MAX: usize = 64;
/// The same, of one address.
pub const SUBSCRIBERS_PER_ADDRESS_MAX: usize = 8;
/// Messages that a subscriber may be behind; then it is let go.
pub const EVENTS_PER_SUBSCRIBER_MAX: usize = 64;
/// What the kernel may hold for a subscriber, beside its own overhead.
pub const SUBSCRIBER_SEND_BYTES: usize = 16 << 10;
/// Messages on their way to the door; one more is dropped.
pub const EVENTS_TO_DOOR_MAX: usize = 64;
/// Things that happened which are remembered for who comes later; the oldest is forgotten.
pub const TOLD_KEPT: usize = 100;
/// Titles that were said and not yet heard; one more is dropped.
pub const TITLES_WAITING_MAX: usize = 64;
/// Titles on their way to the relay's server; only the newest is told, so one more is dropped.
pub const RELAY_TITLES_MAX: usize = 8;
/// A new listener gets at most this much of what was just on air.
pub const BURST_SEC_MAX: u64 = 6;
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
/// Of the card's sound, this waits between the card and the pump: 4 frames.
pub const LIVE_TARGET_MS: u64 = 96;
/// The same with `live.latency = "low"`: 2 frames, as few as a tick can be served from
/// with a period on its way.
pub const LIVE_TARGET_LOW_MS: u64 = 48;
/// More than this beyond its target is not stretched away, which would take minutes: the
/// machine has stood still, and the stream begins anew.
pub const LIVE_TOO_MUCH_MS: u64 = 200;
/// A pump whose last tick is this many ticks ago stands still; what waits is not reckoned then.
pub const LIVE_LATE_TICKS_MAX: u64 = 3;
/// A stream does not begin nearer than this to a tick of the pump, in which its first frames might
/// be only half there…
pub const LIVE_BEGIN_MS: u64 = 8;
/// … but for a card whose periods keep step with the ticks: then it does after so many tries.
pub const LIVE_PUT_OFF_MAX: u32 = 8;
/// A stream that the pump began to take in another tick is off by one, 24 ms, and begins again.
pub const LIVE_MISSED_MS: u64 = 8;
/// A stream of the card's begins and ends over this: 5 ms.
pub const LIVE_FADE_SAMPLES: usize = 240;
/// What `live.limiter` keeps true peaks below.
pub const LIVE_LIMITER_DBTP: f64 = -1.0;
/// How far the card's sound may be stretched to keep it in its place: three times what
/// two bad crystals differ. A sixtieth of a semitone.
pub const LIVE_PPM_MAX: u32 = 1500;
/// The published difference of the crystals is measured over this long…
pub const PPM_WINDOW_SEC: usize = 8;
/// … around so long ago.
pub const PPM_LAG_SEC: usize = 30;
/// A card gives its sound in periods of about this length.
pub const LIVE_PERIOD_MS: u64 = 10;
/// The same with `live.latency = "low"`.
pub const LIVE_PERIOD_LOW_MS: u64 = 5;
/// What a card keeps for us if we are late; then it overruns.
pub const LIVE_BUFFER_MS: u64 = 400;
/// Periods of a card's buffer, if it has so many: fewer leave no time to be late in.
pub const LIVE_PERIODS_MIN: u32 = 4;
/// Rates that a card may have: below, it is a telephone; above, nothing more is heard.
pub const LIVE_RATE_HZ_MIN: u32 = 8000;
/// The highest of them.
pub const LIVE_RATE_HZ_MAX: u32 = 192_000;
/// Channels that a card may have; the first two are used.
pub const LIVE_CHANNELS_MAX: u32 = 64;
/// How long the capture thread waits for a card before it looks at the clock.
pub const CARD_WAIT_MS: u16 = 100;
/// From before to after a look at how much a card holds; one that took longer says nothing.
pub const CARD_LOOK_US_MAX: u64 = 500;
/// A card that was opened is heard from then on, if it is no flood.
pub const CARD_PROBATION_MS: u64 = 300;
/// Turns in a row in which a card is ready and has nothing, or has overrun; then it is broken.
pub const CARD_EMPTY_TURNS_MAX: u32 = 1000;
/// A card that gives nothing for so long is closed, and opened again.
pub const CARD_QUIET_MS: u64 = 1500;
/// A card that went is looked for after so long, then after twice as long each time…
pub const CARD_RETRY_MS: u64 = 250;
/// … up to this: as long as somebody waits who has just plugged it in.
pub const CARD_RETRY_MS_MAX: u64 = 2000;
/// A card that ran for so long works; when it goes it is looked for at once.
pub const CARD_SETTLED_MS: u64 = 5000;
/// At a stop a card's driver has this long to let the thread go; it may be in the opening of a card.
pub const CARD_LET_GO_MS: u64 = 1000;
/// Descriptors that a card may want to be waited for by; one that wants more is refused.
pub const CARD_DESCRIPTORS_MAX: usize = 8;
/// Priority of the capture thread under SCHED_FIFO: below the pump, above the encoder.
pub const CAPTURE_PRIORITY: i32 = 55;
/// The meter comes round this often: what it publishes is never older, and a wake-up is cheap.
pub const METER_ROUND_MS: u64 = 100;
/// Loudness is integrated over the last hour: 288 KB.
pub const LOUDNESS_HISTORY_MS: u32 = 3_600_000;
/// PCM for the meter: 768 ms.
pub const METER_PCM: QueueLimit = QueueLimit { frames_max: 32, when_full: WhenFull::DropNewest };
/// The card's sound is made louder or quieter by this at most, in dB.
pub const LIVE_GAIN_DB_MAX: i32 = 24;
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
/// The fallback file's decoder is ended when it gives nothing for this long.
pub const DECODER_SILENT_SEC_MAX: u64 = 60;
/// A segment's decoder is ended when it gives nothing for this long while there
/// is room: longer than a disk takes to wake, shorter than anybody listens to silence.
pub const DECODER_STALL_MS: u64 = 10_000;
/// After its last sample a decoder has this long to end by itself.
pub const DECODER_EXIT_MS: u64 = 1000;
/// Bytes of a decoder's stderr that are kept for the log: the first and the last
/// half of it; what lies between is counted.
pub const DECODER_WORDS_BYTES_MAX: usize = 1024;
/// Samples that may be decoded ahead of what is played: 0.5 s, wherever they wait.
pub const DECODER_AHEAD_SAMPLES_MAX: usize = 24_000;
/// Station frames decoded ahead: 213 ms. Full, the decoder waits; nothing is dropped.
pub const DECODER_AHEAD_FRAMES: usize = 10;
/// Bytes in the pipe from a decoder (the default of 64 KiB is 341 ms): one page
/// where pages are 16 KiB. Full, FFmpeg waits.
pub const DECODER_PIPE_BYTES: usize = 16 << 10;
/// Bytes that FFmpeg gathers before it writes (libavformat's IO_BUFFER_SIZE).
pub const DECODER_FFMPEG_BYTES: usize = 32 << 10;

/// How far the station's pace may leave its own clock: 1 %.
pub const PACE_PPM_MAX: u32 = 10_000;
/// How much of that may be learned for good: more than two crystals ever differ.
pub const PACE_INTEGRAL_PPM_MAX: u32 = 2_000;
/// A station later than this does not make it up: the tower's queue (half of
/// 100 pump frames) has run dry meanwhile.
pub const STATION_LATE_MS_MAX: u64 = 1200;
/// A station that is behind sends no denser than this.
pub const STATION_CATCH_UP_SPACING_MS: u64 = 2;
/// A decoder that is this late is given up for the next segment: before the
/// tower's queue is empty.
pub const STATION_STARVED_MS: u64 = 800;
/// The same at the start and after a pause, when there is no queue to be emptied.
pub const STATION_STARVED_FIRST_MS: u64 = 4000;
/// A begun block waits this long for a segment that follows before silence completes it.
pub const STATION_DRY_MS: u64 = 400;
/// The tower's queue not seen for this long: on with what was learned of its clock.
pub const STATION_UNOBSERVED_MS: u64 = 10_000;
/// Clients of the station's control socket at a time; one more is closed.
pub const STATION_CLIENTS_MAX: usize = 8;
/// Between two attempts to reach the tower's socket.
pub const TOWER_RETRY_MS: u64 = 200;
/// Between two looks at the tower's queue.
pub const TOWER_LOOK_MS: u64 = 1000;
/// From a question to the tower to its answer.
pub const TOWER_ANSWER_MS_MAX: u64 = 2000;
/// Reports and commands that wait for THINK; the newest goes. DO can have no more
/// to say than what THINK has ordered, so only commands ever fill it.
pub const THINK_INBOX_MAX: usize = 256;
/// A file that was not measured before is measured for this long when nothing is on
/// air; then it is played by its tags. A station that is started again is on air within 2 s.
pub const MEASURE_IDLE_MS_MAX: u64 = 1000;
/// Before the segment on air ends, what follows is opened, measured or not.
pub const OPEN_AHEAD_MS: u64 = 6000;
/// Segments in a row without sound after which the station rests between attempts.
pub const FRUITLESS_MAX: u32 = 8;
/// It rests this long first, then twice as long each time…
pub const FRUITLESS_REST_MS: u64 = 5000;
/// … up to this.
pub const FRUITLESS_REST_MS_MAX: u64 = 60_000;
/// What is decided and not yet opened; more is not taken by hand.
pub const PLANNED_MAX: usize = 100;
/// Station events that wait for the tower; the newest goes.
pub const STATION_EVENTS_MAX: usize = 64;
/// Segments that stand opened behind the one on air; each costs a process.
pub const SEGMENTS_OPENED_MAX: usize = 2;
/// A track is made at most this much louder; a quieter one stays quiet.
pub const TRACK_BOOST_DB_MAX: f64 = 12.0;
/// A track is made at most this much quieter.
pub const TRACK_CUT_DB_MAX: f64 = 24.0;
/// The next song begins at most this long before a song's last audible sample.
pub const FALLING_END_SEC_MAX: usize = 30;

/// Tracks of the library; more are refused with one line.
pub const LIBRARY_TRACKS_MAX: usize = 100_000;
/// Folders of the library; more are not entered, with one line.
pub const LIBRARY_FOLDERS_MAX: usize = 50_000;
/// Folders within folders; deeper ones are not entered, with one line.
pub const LIBRARY_DEPTH_MAX: usize = 32;
/// Lines about files and folders that one look at the library may write; the rest is counted.
pub const LIBRARY_LINES_PER_LOOK: usize = 20;
/// Characters of a title, artist or album; the rest is cut.
pub const TAG_TEXT_CHARS_MAX: usize = 200;
/// Bytes that one item of a tag may take; a file with a larger one is named by its file name.
pub const TAG_ITEM_BYTES_MAX: usize = 1 << 20;
/// Address space of the process that reads tags; it dies at the bound and is started again.
pub const TAG_READER_BYTES_MAX: u64 = 512 << 20;
/// How long the tags of one file may take; a file that takes longer is named by its file name.
pub const TAG_READ_SEC_MAX: u64 = 10;
/// Bytes of a message to or from the process that reads tags; a larger one is a fault of that process.
pub const TAG_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Bytes of the library's cache; a larger one is ignored, and made anew.
pub const LIBRARY_CACHE_BYTES_MAX: u64 = 256 << 20;
/// Plays that are remembered; the oldest goes.
pub const HISTORY_MAX: usize = 2000;
/// Measured files that are remembered; the least recently used go.
pub const MEASURED_MAX: usize = 100_000;
/// Quarantined files that are remembered; the longest quarantined go.
pub const BAD_FILES_MAX: usize = 10_000;
/// Bytes of a reason why a file is bad; the rest is cut.
pub const BAD_FILE_WHY_BYTES_MAX: usize = 300;
/// Bytes of the state file; a larger one is not read, and never written.
pub const STATE_FILE_BYTES_MAX: usize = 64 << 20;

/// Bytes of a file of the owner of the box; a larger one is not read.
pub const OWNER_FILE_BYTES_MAX: usize = 64 << 10;
/// Names in the owner's folder that are looked at.
pub const OWNER_NAMES_MAX: usize = 1000;
/// Bytes of the box's report that the tower shows.
pub const BOX_REPORT_BYTES_MAX: usize = 256 << 10;
/// Bytes of an update that is downloaded; an image has 200 MB at most.
pub const UPDATE_BYTES_MAX: u64 = 1 << 30;

/// A slot on trial is good when the box has been healthy for this long.
pub const CONFIRM_HEALTHY_MS: u64 = 60_000;
/// It has this long for that; then the old slot comes back.
pub const CONFIRM_MS_MAX: u64 = 600_000;
/// Between two looks at `/healthz` meanwhile.
pub const CONFIRM_LOOK_MS: u64 = 2000;
/// Looks further apart than this do not make one stretch of health: each speaks for 10 s.
pub const CONFIRM_GAP_MS_MAX: u64 = 10_000;

/// Late by more ticks than this: whole ticks are skipped. Up to it: all are made up.
pub const CATCH_UP_TICKS_MAX: u64 = 20;
/// A tick is late when it wakes this long after its deadline.
pub const LATE_TICK_MS: u64 = 12;
/// While catching up, ticks keep this distance: at most two in 12 ms.
pub const CATCH_UP_SPACING_MS: u64 = 8;
/// How long the pump may wait for a frame of the input on air.
pub const INPUT_WAIT_MS: u64 = 5;

// What FFmpeg has begun to give when it is full fits; the band lies between the beginning and that.
const _: () = assert!(RELAY_PCM.frames_max as u64 * TICK_MS >= PULL_FULL_MS + 500);
const _: () = assert!(PULL_LOW_MS < PULL_BEGIN_MS && PULL_BEGIN_MS < PULL_HIGH_MS && PULL_HIGH_MS < PULL_FULL_MS);
// A replay serves the lead-in, the longest cushion, the look-ahead, and leaves time to start.
const _: () =
    assert!(REPLAY.frames_max as u64 >= LEAD_IN_FRAMES as u64 + CUSHION_MS_MAX / TICK_MS + ENCODER_LAG_FRAMES + 60);
// The longest cushion waits in the MP3 queue, with as much again to spare.
const _: () = assert!(MP3.frames_max as u64 >= 2 * (CUSHION_MS_MAX / TICK_MS + 1));
// A listener keeps its phase when the batch changes.
const _: () = assert!(
    BATCH_BY_LISTENERS[1].1.is_multiple_of(BATCH_BY_LISTENERS[0].1)
        && BATCH_FRAMES_AUTO_MAX.is_multiple_of(BATCH_BY_LISTENERS[1].1)
        && BATCH_FRAMES_AUTO_MAX <= BATCH_FRAMES_MAX
);
// A listener at its bound has not yet fallen off the ring.
const _: () = assert!(BACKLOG_SEC_MAX as u64 * 1000 / TICK_MS + 2 * BATCH_FRAMES_MAX < ON_AIR.frames_max as u64);
// A second accept of a catch-up pair stays within the wait for an input.
const _: () = assert!(CATCH_UP_SPACING_MS > INPUT_WAIT_MS && 2 * CATCH_UP_SPACING_MS > LATE_TICK_MS);
// The meter may be late by some rounds before anything is missing in the levels.
const _: () = assert!(METER_PCM.frames_max as u64 * TICK_MS > 5 * METER_ROUND_MS);
// A garbage-free packetizer needs room for three frames.
const _: () = assert!(PACKETIZER_BYTES_MAX > 3 * MP3_FRAME_BYTES_MAX);
// A card keeps more than what waits behind it: we may be late by that and nothing is lost.
const _: () = assert!(LIVE_BUFFER_MS >= 2 * LIVE_TARGET_MS && LIVE_PERIOD_LOW_MS < LIVE_PERIOD_MS);
// Frames that wait, the one being put together, the pipe and FFmpeg's own buffer, in all.
const _: () = assert!(
    (DECODER_AHEAD_FRAMES + 1) * STATION_FRAME_SAMPLES + (DECODER_PIPE_BYTES + DECODER_FFMPEG_BYTES) / (2 * CHANNELS)
        <= DECODER_AHEAD_SAMPLES_MAX
);
