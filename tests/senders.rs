//! Senders that misbehave, in front of a whole tower: what is heard is theirs or
//! silence, and nothing else notices.

mod common;

use std::{
    io::Write,
    os::unix::net::UnixStream,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use common::{
    Tower,
    listener::{Recorder, Recording},
    programme::quiet_tower,
    sender::Sender,
};
use retrowaves::frame::{CHANNELS, PUMP_FRAME_SAMPLES, PumpFrame, SAMPLE_RATE_HZ};

const SOON: Duration = Duration::from_secs(60);
/// Bytes of one second of PCM.
const BYTES_PER_SEC: usize = SAMPLE_RATE_HZ as usize * CHANNELS * 2;
const STATION_FRAME_BYTES: usize = 4096;
/// What is heard is judged in pieces of 48 ms: two frames.
const PIECE: usize = 2 * PUMP_FRAME_SAMPLES;

/// A tower on air with an encoder, and a listener.
struct Stage {
    tower: Tower,
    recorder: Recorder,
    late: u64,
    fillers: u64,
}

impl Stage {
    fn set() -> Self {
        let tower = quiet_tower().start();
        tower.wait_until("on air", SOON, |status| {
            status["encoder"]["spare_ready"] == true && status["ticks"]["count"].as_u64() > Some(60)
        });
        let (late, fillers) = (tower.figure("ticks/late"), tower.figure("encoder/fillers"));
        Self { recorder: Recorder::start(tower.port), tower, late, fillers }
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.tower.pcm_socket()).expect("the tower listens")
    }

    /// Nothing but the input has noticed. Gives what was heard.
    fn nothing_else_noticed(self) -> (Recording, Vec<i16>) {
        // What is in the queue and the cushion is heard to the end.
        self.tower.wait_until("the queue is empty", SOON, |status| status["pcm_buffer"]["count"] == 0);
        sleep(Duration::from_millis(1500));
        let status = self.tower.status();
        self.recorder.witness.assert_ticks(&self.tower, self.late);
        let recording = self.recorder.stop();
        for (figure, wanted) in [("encoder/fillers", self.fillers), ("encoder/failures", 0), ("encoder/pcm_dropped", 0)]
        {
            assert_eq!(self.tower.figure(figure), wanted, "{figure}\n{status:#}\n{}", self.tower.log());
        }
        println!("lateness {}; the machine's {:?}", status["ticks"]["lateness_us"], recording.stalls);
        recording.assert_no_break();
        recording.assert_decoders_are_content(&self.tower.dir);
        let left = recording.decoded(&self.tower.dir).into_iter().step_by(2).collect();
        assert_eq!(self.tower.stop().0.code(), Some(0));
        (recording, left)
    }
}

/// A tone; the whole of it is known by its pitch.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn tone(hz: u64) -> impl Fn(u64) -> PumpFrame + Send + 'static {
    move |number| {
        let mut frame = PumpFrame::SILENCE;
        for (i, pair) in frame.values.chunks_exact_mut(CHANNELS).enumerate() {
            let t = (number * PUMP_FRAME_SAMPLES as u64 + i as u64) as f64 / f64::from(SAMPLE_RATE_HZ);
            pair.fill((8000.0 * (t * hz as f64 * std::f64::consts::TAU).sin()) as i16);
        }
        frame
    }
}

/// What is heard in a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Silence,
    /// Whole periods.
    Tone(usize),
}

/// Piece by piece, and how long each lasts; a piece of change is neither.
fn heard(left: &[i16]) -> Vec<(Heard, usize)> {
    let mut runs: Vec<(Heard, usize)> = Vec::new();
    for piece in left.chunks_exact(PIECE) {
        let loudest = piece.iter().map(|value| value.saturating_abs()).max().unwrap_or(0);
        let rises = piece.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
        let what = if loudest < 200 { Heard::Silence } else { Heard::Tone(rises) };
        match runs.last_mut() {
            Some((last, count)) if *last == what => *count += 1,
            _ => runs.push((what, 1)),
        }
    }
    runs
}

/// Periods of a pitch in a piece, give or take the one at its border.
fn is_tone(what: Heard, hz: usize) -> bool {
    let periods = hz * PIECE / SAMPLE_RATE_HZ as usize;
    matches!(what, Heard::Tone(rises) if rises.abs_diff(periods) <= 1)
}

/// The order of what is heard for long; pieces of change (at most three) are left out.
fn order(left: &[i16], pitches: &[usize]) -> Vec<Option<usize>> {
    let mut order: Vec<Option<usize>> = Vec::new();
    let mut foreign = 0;
    for (what, count) in heard(left) {
        let pitch = pitches.iter().copied().find(|hz| is_tone(what, *hz));
        if what != Heard::Silence && pitch.is_none() {
            foreign += count;
            continue;
        }
        if order.last() != Some(&pitch) {
            order.push(pitch);
        }
    }
    assert!(foreign <= 3 * order.len(), "{foreign} pieces that are nobody's: {:?}", heard(left));
    order
}

/// Paces whatever is written by the clock.
fn send_for(length: Duration, mut write: impl FnMut(usize), bytes_per_sec: usize) {
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < length {
        let micros = usize::try_from(start.elapsed().as_micros()).expect("short");
        let due = micros * (bytes_per_sec / 1000) / 1000;
        write(due - sent);
        sent = due;
        sleep(Duration::from_millis(3));
    }
}

fn noise(bytes: usize, state: &mut u64) -> Vec<u8> {
    let mut next = || {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        state.to_le_bytes()[3]
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn n2_n5_senders_that_die_in_the_middle_of_a_frame() {
    let stage = Stage::set();
    let frame = tone(500);
    for number in 0..5 {
        let mut sender = stage.connect();
        let pcm: Vec<u8> = (0..20).flat_map(|n| frame(n).to_le_bytes()).collect();
        sender.write_all(&pcm[..20 * STATION_FRAME_BYTES + 100 + number * 500]).expect("taken");
        drop(sender);
        sleep(Duration::from_millis(900));
    }
    // A program that is killed, and leaves whatever it was writing.
    let killed = Command::new("ffmpeg")
        .args(["-v", "quiet", "-re", "-f", "lavfi", "-i", "sine=f=500:r=48000", "-ac", "2", "-f", "s16le"])
        .arg(format!("unix:{}", stage.tower.pcm_socket().display()))
        .stdin(Stdio::null())
        .spawn();
    let mut killed = killed.expect("ffmpeg");
    stage.tower.wait_until("it is heard", SOON, |status| status["source"] == "station");
    sleep(Duration::from_millis(700));
    killed.kill().expect("it lives");
    killed.wait().expect("ended");
    stage.tower.wait_until("it is gone", SOON, |status| status["ingest"]["senders"] == 0);
    let partial = stage.tower.figure("ingest/partial_frames");
    assert!((5..=6).contains(&partial), "{partial} partial frames");
    assert_eq!(stage.tower.figure("ticks/underruns"), 0, "one that left is no underrun\n{}", stage.tower.log());
    let (_, left) = stage.nothing_else_noticed();
    let order = order(&left, &[500]);
    assert_eq!(order.iter().filter(|what| what.is_some()).count(), 6, "{order:?}");
}

#[test]
fn n3_n5_a_flood_at_fifty_times_real_time() {
    let stage = Stage::set();
    let mut sender = stage.connect();
    let frame = tone(500);
    // 1.2 s that begin and end at the same phase, over and over.
    let pcm: Vec<u8> = (0..50).flat_map(|n| frame(n).to_le_bytes()).collect();
    let (mut at, mut slowest, mut total) = (0, Duration::ZERO, 0);
    let start = Instant::now();
    send_for(
        Duration::from_secs(4),
        |mut bytes| {
            total += bytes;
            while bytes > 0 {
                let now = bytes.min(pcm.len() - at);
                let begin = Instant::now();
                sender.write_all(&pcm[at..at + now]).expect("taken");
                slowest = slowest.max(begin.elapsed());
                at = (at + now) % pcm.len();
                bytes -= now;
            }
        },
        50 * BYTES_PER_SEC,
    );
    let speed = total as u64 * 1000 / BYTES_PER_SEC as u64 / u64::try_from(start.elapsed().as_millis()).expect("short");
    println!("{speed} × real time; the slowest write took {slowest:?}");
    assert!(speed >= 45, "{speed}");
    let status = stage.tower.status();
    assert_eq!((&status["source"], &status["mode"]), (&"station".into(), &"PROGRAM".into()));
    assert!(stage.tower.figure("pcm_buffer/overflow_count") > 100 * 40, "the newest are dropped and counted");
    assert_eq!(stage.tower.figure("ticks/underruns"), 0);
    drop(sender);
    let (_, left) = stage.nothing_else_noticed();
    // Frames are missing, so the tone breaks; but it is on air all the time.
    let silences = heard(&left).iter().filter(|(what, _)| *what == Heard::Silence).count();
    assert!(silences <= 2, "{:?}", heard(&left));
}

#[test]
fn n5_a_trickle_of_single_bytes() {
    let stage = Stage::set();
    let mut sender = stage.connect();
    let pcm: Vec<u8> = (0..50).flat_map(|n| tone(500)(n).to_le_bytes()).collect();
    let mut bytes = pcm.iter().cycle();
    let mut sent = 0;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        sender.write_all(&[*bytes.next().expect("endless")]).expect("taken");
        sent += 1;
        // Some 10,000 a second: a frame each 0.4 s.
        if sent % 10 == 0 {
            sleep(Duration::from_millis(1));
        }
    }
    println!("{sent} writes of one byte");
    assert!(sent > 5 * STATION_FRAME_BYTES, "{sent}");
    stage.tower.wait_until("it was on air", SOON, |_| stage.tower.log().contains("-> PROGRAM"));
    drop(sender);
    stage.nothing_else_noticed();
}

#[test]
fn n3_n5_noise_in_pieces_of_any_size() {
    let stage = Stage::set();
    let mut sender = stage.connect();
    let mut state = 0x9E37_79B9_7F4A_7C15;
    send_for(
        Duration::from_secs(4),
        |mut bytes| {
            while bytes > 0 {
                let piece = bytes.min(1 + noise(1, &mut state)[0] as usize * 7);
                sender.write_all(&noise(piece, &mut state)).expect("taken");
                bytes -= piece;
            }
        },
        BYTES_PER_SEC,
    );
    assert_eq!(stage.tower.status()["source"], "station");
    drop(sender);
    let (_, left) = stage.nothing_else_noticed();
    let loud = left.iter().filter(|value| value.saturating_abs() > 16_000).count();
    assert!(loud > 48_000, "it is heard as it is: {loud} loud samples");
}

#[test]
fn n4_the_newest_of_two_has_the_floor_and_they_are_never_mixed() {
    let stage = Stage::set();
    let first = Sender::start(&stage.tower.pcm_socket(), 10, tone(500));
    sleep(Duration::from_millis(1500));
    let second = Sender::start(&stage.tower.pcm_socket(), 10, tone(1500));
    sleep(Duration::from_millis(1500));
    let third = Sender::start(&stage.tower.pcm_socket(), 10, tone(2500));
    sleep(Duration::from_millis(1000));
    // One that has not the floor leaves: nobody hears of it.
    second.stop();
    sleep(Duration::from_millis(1000));
    third.stop();
    sleep(Duration::from_millis(1500));
    first.stop();
    let (_, left) = stage.nothing_else_noticed();
    assert_eq!(
        order(&left, &[500, 1500, 2500]),
        [None, Some(500), Some(1500), Some(2500), Some(500), None],
        "{:?}",
        heard(&left)
    );
}

#[test]
fn n4_n5_seventeen_senders() {
    let stage = Stage::set();
    let mut state = 1;
    let crowd: Vec<Sender> = (0..15)
        .map(|_| {
            let bytes = noise(64, &mut state);
            Sender::start(&stage.tower.pcm_socket(), 2, move |number| {
                let mut frame = PumpFrame::SILENCE;
                let seed = usize::try_from(number).expect("small");
                for (i, value) in frame.values.iter_mut().enumerate() {
                    *value = i16::from(bytes[(i * 7 + seed) % 64]) * 100 - 12_800;
                }
                frame
            })
        })
        .collect();
    stage.tower.wait_until("all are there", SOON, |status| status["ingest"]["senders"] == 15);
    let sixteenth = Sender::start(&stage.tower.pcm_socket(), 10, tone(500));
    stage.tower.wait_until("and one", SOON, |status| status["ingest"]["senders"] == 16);
    let seventeenth = Sender::start(&stage.tower.pcm_socket(), 10, tone(1500));
    stage.tower.wait_until("it is refused", SOON, |status| status["ingest"]["refused"] == 1);
    sleep(Duration::from_millis(2500));
    assert_eq!(stage.tower.figure("ingest/senders"), 16);
    assert!(stage.tower.log().contains("a sender was refused: 16 are connected"));
    seventeenth.stop();
    for sender in crowd {
        sender.stop();
    }
    sleep(Duration::from_millis(1000));
    sixteenth.stop();
    let (_, left) = stage.nothing_else_noticed();
    let heard_last: Vec<_> = order(&left[left.len() - 48_000 * 4..], &[500, 1500]);
    assert_eq!(heard_last, [Some(500), None], "{:?}", heard(&left));
    assert!(!heard(&left).iter().any(|(what, _)| is_tone(*what, 1500)), "who was refused is not heard");
}
