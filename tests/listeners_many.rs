//! Ten thousand listeners at once (H4): each hears the whole stream, frame after frame, and no tick is late.

mod common;

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use common::{
    Setup,
    crowd::{Crowd, Look},
    material::hiss,
    programme::length,
    sender::Sender,
    witness::Witness,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use retrowaves::{frame::TICK_MS, sys::thread::set_fifo};

const LISTENERS: usize = 10_000;
/// Of every listener; a batch for so many is 192 ms.
const GAP_MS_MAX: u64 = 250;
const FRAME_BYTES: u64 = 384;
/// What a listener may have heard more or less than the time says: a batch at each end, and a frame.
const SLACK_MS: u64 = 2 * 192 + TICK_MS;

/// Each of them hears every frame once, in its place, and none waits for longer than 250 ms for more.
#[test]
#[ignore = "takes both cores for minutes; make soak runs it"]
fn h4_ten_thousand_listeners_hear_a_whole_stream_and_no_tick_is_late() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limit");
    assert!(hard > LISTENERS as u64 + 200, "ulimit -Hn is {hard}: too few descriptors for this test");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("limit");
    let tower = Setup::default().start();
    let _sender = Sender::start(&tower.pcm_socket(), 50, hiss);
    tower.wait_until("the encoder and its spare are ready", Duration::from_secs(60), |status| {
        status["encoder"]["spare_ready"] == true && status["mode"] == "PROGRAM"
    });
    // What came before the noise repeats itself, and is on air for as long as the cushion.
    sleep(Duration::from_secs(3));
    let (witness, of_the_door) = (Witness::start(), Witness::of_the_door());
    let late_before = tower.figure("ticks/late");
    // A crowd that others keep from looking would see gaps that are none.
    let _ = set_fifo(1);
    let mut crowd = Crowd::new(tower.port, Look::Order);
    let start = Instant::now();
    crowd.grow_to(LISTENERS, 2000);
    assert!(crowd.until_all_hear(Duration::from_secs(30)), "{:?}", crowd.heard());
    println!("{LISTENERS} connected after {:?}: {:?}", start.elapsed(), crowd.heard());
    crowd.mark();
    let start = Instant::now();
    crowd.listen(length(20));
    let (heard, listened_ms) = (crowd.heard(), u64::try_from(start.elapsed().as_millis()).expect("short"));
    let (status, stalls) = (tower.status(), of_the_door.stalls());
    println!("{:#}\n{:#}\nworst gap on air {} ms", status["listeners"], status["ticks"], status["worst_gap_ms"]);
    println!("heard {heard:?}\nstalls of a core for the door {stalls:?}");
    assert_eq!((heard.listening, heard.lost, heard.wrong.len()), (LISTENERS, 0, 0), "{heard:?}");
    assert_eq!(status["listeners"]["dropped_slow"], 0);
    witness.assert_ticks(&tower, late_before);
    assert_eq!(tower.figure("encoder/fillers"), 0);
    // A core that the door did not get, and the gap on air that came of it.
    let excused_ms = stalls.longest_ms().min(tower.figure("worst_gap_ms")) + heard.away_ms;
    assert!(heard.gap_ms <= GAP_MS_MAX + excused_ms, "a gap of {} ms; the machine: {stalls:?}", heard.gap_ms);
    let least_ms = heard.bytes_least / FRAME_BYTES * TICK_MS;
    assert!(least_ms + SLACK_MS + excused_ms >= listened_ms, "{least_ms} ms heard of {listened_ms}");
}
