//! DO with its real thread, its real socket and a tower that is played: what comes when, what is
//! reported, and that nothing stops it. Segments are lists, so nothing here waits for FFmpeg.

mod common;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use common::{
    material::Folder,
    pcm_sink::{FakeTower, PcmSink},
    station::NO_TOWER,
};
use retrowaves::{
    decoder::Decoded,
    frame::{STATION_FRAME_BYTES, STATION_FRAME_SAMPLES, StationFrame},
    limits::STATION_STARVED_MS,
    station::{
        deck::{Deck, DeckEvent, Outcome, Segment, Source},
        playout::{self, Order, PlayoutDeps, Report},
        sink::TowerSink,
        sound::chain::SoundChain,
        stats::StationStats,
        tower_link::TowerLink,
        track::TrackKind,
    },
};

/// A busy machine may need so long for what takes no time.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the limiter holds back.
const LIMITER_SAMPLES: usize = 240;

/// Says these things one after the other; then it ends, or has nothing for ever.
struct List {
    said: VecDeque<Decoded>,
    hangs: bool,
}

impl Source for List {
    fn try_frame(&mut self) -> Decoded {
        self.said.pop_front().unwrap_or(if self.hangs { Decoded::NotYet } else { Decoded::End })
    }
}

/// So many samples, all of this value.
fn segment(id: u64, samples: usize, value: i16) -> Box<Segment> {
    let bytes = [value.to_le_bytes(); 2].concat().repeat(samples);
    let said = bytes.chunks(STATION_FRAME_BYTES).map(|bytes| Decoded::Frame(StationFrame::from_le_bytes(bytes)));
    let source = Box::new(List { said: said.collect(), hangs: false });
    Box::new(Segment { id, kind: TrackKind::Jingle, source, gain: 1.0, cues: None })
}

fn hanging(id: u64, samples: usize, value: i16) -> Box<Segment> {
    let Segment { mut source, .. } = *segment(id, samples, value);
    let said = (0..samples.div_ceil(STATION_FRAME_SAMPLES)).map(|_| source.try_frame()).collect();
    Box::new(Segment { source: Box::new(List { said, hangs: true }), ..*segment(id, 0, 0) })
}

/// A running DO.
struct Do {
    orders: Option<Sender<Order>>,
    reports: Receiver<Report>,
    stats: Arc<StationStats>,
    thread: JoinHandle<()>,
    link: TowerLink,
}

impl Do {
    fn start(sink: &PcmSink, url: &str, level: bool) -> Self {
        let stats = Arc::<StationStats>::default();
        let link = TowerLink::start(url, stats.link.clone()).expect("link");
        let ((orders, obeyed), (told, reports)) = (channel(), channel());
        let thread = playout::start(PlayoutDeps {
            deck: Deck::new(SoundChain::new(level, -1.0), 0),
            sink: TowerSink::new(&sink.path, stats.sink.clone()),
            orders: obeyed,
            reports: Box::new(move |report| drop(told.send(report))),
            looker: link.looker(),
            stats: stats.clone(),
        });
        let playout = Self { orders: Some(orders), reports, stats, thread: thread.expect("DO"), link };
        assert_eq!(playout.next_report(), "connected");
        playout
    }

    fn order(&self, order: Order) {
        self.orders.as_ref().expect("not closed").send(order).expect("DO lives");
    }

    fn queue(&self, segment: Box<Segment>) {
        self.order(Order::Queue(segment));
    }

    fn next_report(&self) -> String {
        short(&self.reports.recv_timeout(PATIENCE).expect("a report"))
    }

    fn no_report_for(&self, span: Duration) {
        let report = self.reports.recv_timeout(span);
        assert!(report.is_err(), "{report:?}");
    }

    /// Closes the orders; DO ends.
    fn end(mut self) {
        self.orders = None;
        self.join();
    }

    fn join(self) {
        let start = Instant::now();
        while !self.thread.is_finished() {
            assert!(start.elapsed() < PATIENCE, "DO does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.thread.join().expect("DO");
        assert!(self.link.stop());
    }
}

fn short(report: &Report) -> String {
    match report {
        Report::Connected => "connected".into(),
        Report::Cleared(ids) => format!("cleared {ids:?}"),
        Report::Deck { event: DeckEvent::Started { id }, .. } => format!("{id} starts"),
        Report::Deck { event: DeckEvent::Ended { id, outcome, .. }, .. } => match outcome {
            Outcome::Finished => format!("{id} finished"),
            Outcome::Skipped => format!("{id} skipped"),
            Outcome::Failed(_) => format!("{id} failed"),
            Outcome::Starved => format!("{id} starved"),
        },
    }
}

fn setup() -> (Folder, PcmSink) {
    let folder = Folder::new();
    let sink = PcmSink::start(&folder.join("pcm.sock"));
    (folder, sink)
}

fn frames(sink: &PcmSink) -> u64 {
    sink.bytes() / STATION_FRAME_BYTES as u64
}

fn wait_for_frames(sink: &PcmSink, count: u64) {
    sink.wait_for_bytes(count * STATION_FRAME_BYTES as u64, PATIENCE);
}

/// The left channel of all that came.
fn left(sink: &PcmSink) -> Vec<i16> {
    let received = sink.received();
    received.assert_whole_frames();
    received.samples().into_iter().step_by(2).collect()
}

#[test]
fn fd2_2_frames_come_at_their_deadlines() {
    let (_folder, sink) = setup();
    let playout = Do::start(&sink, NO_TOWER, false);
    playout.queue(segment(1, 300 * STATION_FRAME_SAMPLES, 9));
    wait_for_frames(&sink, 300);
    let received = sink.received();
    received.assert_whole_frames();
    let (mut bytes, begin) = (0, received.arrivals[0].at);
    for arrival in &received.arrivals {
        bytes += arrival.bytes;
        let due = (arrival.at - begin).as_secs_f64() * 46.875 + 1.0;
        let came = f64::from(u32::try_from(bytes / STATION_FRAME_BYTES).expect("few"));
        // Late is the machine; early by more than a late first frame explains is DO.
        assert!(came < due + 8.0, "{came} frames came when {due:.1} were due");
    }
    let took = (received.arrivals.last().expect("frames").at - begin).as_secs_f64();
    assert!(took < 299.0 / 46.875 + 1.0, "300 frames took {took} s: what is late is made up");
    playout.end();
}

#[test]
fn st2_an_empty_queue_is_filled_to_half_and_then_kept_there() {
    let (_folder, sink) = setup();
    let tower = FakeTower::start(&sink, 0);
    let playout = Do::start(&sink, &tower.url, false);
    playout.queue(segment(1, 400 * STATION_FRAME_SAMPLES, 9));
    wait_for_frames(&sink, 330);
    let received = sink.received();
    let took = (received.arrivals.last().expect("frames").at - received.arrivals[0].at).as_secs_f64();
    // 330 frames last 7.04 s, of which half a queue (50 pump frames, 1.2 s) comes at once.
    assert!(took > 5.0, "330 frames within {took} s: more than half a queue came at once");
    let fills = tower.fills();
    let settled = &fills[fills.len() - 2..];
    assert!(settled.iter().all(|fill| (25..=75).contains(fill)), "{fills:?}");
    assert_eq!(tower.queue().overflow_frames, 0);
    playout.end();
}

#[test]
fn fd1_3_the_last_block_is_completed_and_then_nothing_comes() {
    for level in [false, true] {
        let (_folder, sink) = setup();
        let playout = Do::start(&sink, NO_TOWER, level);
        // Levelled, the last sound is 240 samples late: with 1000 of 1024 it does not fit.
        playout.queue(segment(1, 2 * STATION_FRAME_SAMPLES + 1000, 500));
        assert_eq!([playout.next_report(), playout.next_report()], ["1 starts", "1 finished"]);
        let expected = if level { 4 } else { 3 };
        wait_for_frames(&sink, expected);
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(frames(&sink), expected, "nothing is sent when there is nothing to play");
        let heard = left(&sink);
        let delay = if level { LIMITER_SAMPLES } else { 0 };
        let sound = 2 * STATION_FRAME_SAMPLES + 1000;
        assert!(heard[..delay].iter().all(|value| *value == 0));
        assert!(heard[delay..delay + sound].iter().all(|value| *value == 500));
        assert!(heard[delay + sound..].iter().all(|value| *value == 0));
        // And on, when there is something again.
        playout.queue(segment(2, STATION_FRAME_SAMPLES, 700));
        assert_eq!(playout.next_report(), "2 starts");
        wait_for_frames(&sink, expected + 1);
        playout.end();
    }
}

#[test]
fn st1_orders_are_obeyed_in_turn_and_the_sign_off_is_the_end() {
    let (_folder, sink) = setup();
    let playout = Do::start(&sink, NO_TOWER, false);
    for id in 1..=3 {
        playout.queue(segment(id, 100_000, 1000));
    }
    assert_eq!(playout.next_report(), "1 starts");
    playout.order(Order::Clear);
    playout.order(Order::Clear);
    assert_eq!([playout.next_report(), playout.next_report()], ["cleared [2, 3]", "cleared []"]);
    playout.queue(segment(4, 100_000, 2000));
    playout.order(Order::Skip { id: 3 });
    playout.no_report_for(Duration::from_millis(300));
    playout.order(Order::Skip { id: 1 });
    // The same wish twice is one wish.
    playout.order(Order::Skip { id: 1 });
    assert_eq!([playout.next_report(), playout.next_report()], ["4 starts", "1 skipped"]);
    playout.queue(segment(5, 100_000, 30_000));
    playout.order(Order::End { segment: Some(segment(6, 10_000, 4000)), within_ms: 20_000 });
    let mut said: Vec<String> = (0..3).map(|_| playout.next_report()).collect();
    said.sort();
    assert_eq!(said, ["4 skipped", "6 finished", "6 starts"]);
    playout.join();
    let heard = left(&sink);
    assert_eq!(heard.last(), Some(&0));
    assert!(heard.iter().all(|value| *value <= 6000), "what was queued and had not begun is not played");
}

#[test]
fn st3_a_sign_off_that_hangs_or_never_ends_is_bounded() {
    for (samples, within_ms) in [(2000, 300), (48_000 * 60, 300)] {
        let (_folder, sink) = setup();
        let playout = Do::start(&sink, NO_TOWER, false);
        playout.order(Order::End { segment: Some(hanging(1, samples, 100)), within_ms });
        assert_eq!(playout.next_report(), "1 starts");
        playout.join();
    }
}

#[test]
fn fd2_1_a_source_that_gives_nothing_is_given_up_only_for_another() {
    let (_folder, sink) = setup();
    let playout = Do::start(&sink, NO_TOWER, false);
    playout.queue(hanging(1, 5 * STATION_FRAME_SAMPLES, 100));
    assert_eq!(playout.next_report(), "1 starts");
    playout.no_report_for(Duration::from_millis(3 * STATION_STARVED_MS));
    assert_eq!(frames(&sink), 5);
    playout.queue(hanging(2, 10 * STATION_FRAME_SAMPLES, 100));
    playout.queue(segment(3, 10 * STATION_FRAME_SAMPLES, 100));
    assert_eq!([playout.next_report(), playout.next_report()], ["1 starved", "2 starts"]);
    let start = Instant::now();
    assert_eq!(playout.next_report(), "2 starved");
    assert!(start.elapsed() >= Duration::from_millis(STATION_STARVED_MS), "after {:?}", start.elapsed());
    assert_eq!(playout.next_report(), "3 starts");
    assert_eq!(playout.stats.playout.underruns.get(), 2);
    // A skip to one that gives nothing leaves what plays on air, to its end.
    playout.queue(hanging(4, 0, 0));
    playout.order(Order::Skip { id: 3 });
    playout.queue(segment(5, STATION_FRAME_SAMPLES, 100));
    let said: Vec<String> = (0..4).map(|_| playout.next_report()).collect();
    assert_eq!(said, ["3 finished", "4 starved", "5 starts", "5 finished"]);
    // The last one may still be on its way to the sink.
    wait_for_frames(&sink, 5 + 10 + 10 + 1);
    playout.end();
    assert_eq!(frames(&sink), 5 + 10 + 10 + 1);
}

#[test]
fn st2_a_tower_that_does_not_read_stops_nothing() {
    let (_folder, sink) = setup();
    let playout = Do::start(&sink, NO_TOWER, false);
    playout.queue(segment(1, 250 * STATION_FRAME_SAMPLES, 100));
    assert_eq!(playout.next_report(), "1 starts");
    wait_for_frames(&sink, 10);
    sink.pause(true);
    let start = Instant::now();
    assert_eq!(playout.next_report(), "1 finished");
    // 240 frames last 5.1 s, read or not.
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    let stats = &playout.stats.sink;
    assert!(stats.dropped.get() > 50, "{} dropped", stats.dropped.get());
    sink.pause(false);
    playout.queue(segment(2, 20 * STATION_FRAME_SAMPLES, 200));
    assert_eq!([playout.next_report(), playout.next_report()], ["2 starts", "2 finished"]);
    wait_for_frames(&sink, stats.frames.get());
    assert_eq!(stats.frames.get() + stats.dropped.get(), 270, "each frame was taken or dropped");
    let heard = left(&sink);
    assert_eq!(heard.iter().filter(|value| **value == 200).count(), 20 * STATION_FRAME_SAMPLES);
    playout.end();
}

#[test]
fn st2_a_tower_that_comes_back_is_found_and_told() {
    let (_folder, mut sink) = setup();
    let playout = Do::start(&sink, NO_TOWER, false);
    playout.queue(segment(1, 300 * STATION_FRAME_SAMPLES, 100));
    assert_eq!(playout.next_report(), "1 starts");
    wait_for_frames(&sink, 10);
    sink.vanish();
    playout.no_report_for(Duration::from_millis(300));
    sink.come_back();
    assert_eq!(playout.next_report(), "connected");
    let (before, came) = (playout.stats.sink.frames.get(), frames(&sink));
    assert!(playout.stats.sink.dropped.get() > 0 && before >= came);
    wait_for_frames(&sink, came + 20);
    left(&sink);
    playout.end();
}

/// Segments of all lengths, each of its own level: each begins in the frame that was told.
#[test]
fn k3_at_frame_is_where_the_segment_begins() {
    let lengths = [1usize, 30_000, 10, 1023, 480, 9600, 1024, 5000, 1, 1, 7777];
    for level in [false, true] {
        let (_folder, sink) = setup();
        let playout = Do::start(&sink, NO_TOWER, level);
        // Silence before, so that the count is not that of the queue.
        playout.queue(segment(99, 10_000, 0));
        for (id, length) in (1..).zip(lengths) {
            playout.queue(segment(id, length, i16::try_from(id).expect("small") * 100));
        }
        let mut told = Vec::new();
        let mut last = 0;
        while last < lengths.len() as u64 {
            match playout.reports.recv_timeout(PATIENCE).expect("a report") {
                Report::Deck { event: DeckEvent::Started { id }, at_frame } => told.push((id, at_frame)),
                Report::Deck { event: DeckEvent::Ended { id, outcome: Outcome::Finished, samples }, .. } => {
                    let length = if id == 99 { 10_000 } else { lengths[usize::try_from(id).expect("small") - 1] };
                    assert_eq!(samples, length as u64);
                    last = if id == 99 { 0 } else { id };
                }
                other => panic!("{other:?}"),
            }
        }
        let total = (10_000 + lengths.iter().sum::<usize>()).div_ceil(STATION_FRAME_SAMPLES);
        wait_for_frames(&sink, total as u64);
        let heard = left(&sink);
        let delay = if level { LIMITER_SAMPLES } else { 0 };
        let mut begin = 10_000;
        assert_eq!(told.remove(0), (99, 0));
        for ((id, at_frame), length) in told.into_iter().zip(lengths) {
            assert_eq!(at_frame, (begin / STATION_FRAME_SAMPLES) as u64, "segment {id}");
            let value = i16::try_from(id).expect("small") * 100;
            let sound = &heard[begin + delay..begin + delay + length];
            assert!(sound.iter().all(|heard| *heard == value), "segment {id} is heard from there on");
            begin += length;
        }
        playout.end();
    }
}
