//! Tower and station, when one of them is killed, stopped or answers nonsense; and their pace when
//! their clocks differ.

mod common;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use common::{
    Setup, Tower,
    joins::{continuous, write_wav},
    material::Folder,
    pcm_sink::{FakeTower, PcmSink, Queue, Received},
    station::{Station, StationSetup},
    witness::Witness,
};
use nix::sys::signal::Signal;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);
/// How soon tower and station must find each other.
const FOUND_AGAIN: Duration = Duration::from_secs(2);
/// A tower's queue, half full, covers 1.2 s, of which a busy machine may take most to start an
/// FFmpeg. Who waits for an answer waits for 2 s.
const GAP_MAX: Duration = Duration::from_millis(1000);

/// A folder with songs that are never silent.
fn songs(music: &Path) -> PathBuf {
    fs::create_dir_all(music).expect("folder");
    let signal = continuous(20 * 48_000);
    ["One", "Two", "Three"].iter().for_each(|name| write_wav(&music.join(format!("{name}.wav")), 48_000, &signal));
    music.to_owned()
}

fn plays(music: &Path) -> StationSetup {
    StationSetup::default().music(music).set("music.rescan_sec=1")
}

fn ratio(status: &Value) -> f64 {
    status["pcm_buffer"]["ratio"].as_f64().expect("a ratio")
}

/// Waits until the station is on air and the tower's queue about half full; how long that took.
fn settle(tower: &Tower) -> Duration {
    let start = Instant::now();
    tower.wait_until("the station is on air, and the queue filled", SOON, |status| {
        status["mode"] == "PROGRAM" && (0.25..=0.75).contains(&ratio(status))
    });
    start.elapsed()
}

/// The queue of a tower stays about half full for a while: the lowest and the highest.
fn assert_stays(tower: &Tower, witness: &Witness, length: Duration) {
    let (start, mut lowest, mut highest) = (Instant::now(), f64::MAX, 0.0);
    while start.elapsed() < length {
        let ratio = ratio(&tower.status());
        (lowest, highest) = (ratio.min(lowest), ratio.max(highest));
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("queue between {:.0} % and {:.0} %", lowest * 100.0, highest * 100.0);
    // What the machine stands still, the queue loses or gains for a moment.
    let excused = witness.stalls().time().as_secs_f64() / 2.4;
    assert!(lowest >= 0.25 - excused && highest <= 0.75 + excused, "{lowest} to {highest}, excused: {excused}");
}

fn elapsed_ms(now: &Value) -> u64 {
    now["elapsed_ms"].as_u64().expect("a time")
}

struct Pair {
    folder: Folder,
    tower: Tower,
    station: Station,
    witness: Witness,
}

fn pair(setup: &Setup) -> Pair {
    let folder = Folder::new();
    let music = songs(&folder.join("music"));
    let tower = setup.start();
    let station = plays(&music).dir(&folder.join("station")).start(&tower.pcm_socket(), &tower.url());
    settle(&tower);
    // What fills the queue up has come by then, and all goes its even way.
    std::thread::sleep(Duration::from_secs(2));
    Pair { folder, tower, station, witness: Witness::start() }
}

#[test]
fn st2_st4_a_killed_tower_is_found_again_and_told_what_plays() {
    let Pair { folder: _folder, mut tower, station, mut witness } = pair(&Setup::default());
    let before = station.now();
    tower.end(Signal::SIGKILL);
    station.wait_until("the tower is missed", SOON, |now| now["tower"]["connected"] == false);
    // It plays on, in its own time.
    let (start, first) = (Instant::now(), station.now());
    std::thread::sleep(Duration::from_secs(2));
    let (span, second) = (start.elapsed(), station.now());
    if second["file"] == first["file"] {
        let played = Duration::from_millis(elapsed_ms(&second) - elapsed_ms(&first));
        let difference = span.abs_diff(played);
        assert!(difference < Duration::from_millis(200) + witness.stalls().time(), "{played:?} within {span:?}");
    }
    let dropped = |now: &Value| now["tower"]["frames_dropped"].as_u64().expect("a count");
    assert!(dropped(&second) > dropped(&before), "what nobody takes is dropped and counted");

    // On the same port and the same sockets, of which the files were left behind.
    witness.mark();
    let again = Setup::default().env("TOWER_PORT", tower.port).start_in(tower.dir.clone());
    let ready = Instant::now();
    station.wait_until("it is found", SOON, |now| now["tower"]["connected"] == true);
    let connected = ready.elapsed();
    again.wait_until("on air", SOON, |status| status["mode"] == "PROGRAM");
    let on_air = ready.elapsed();
    settle(&again);
    println!("found {connected:?} after the tower is ready, on air {on_air:?}, settled {:?}", ready.elapsed());
    assert!(on_air < FOUND_AGAIN + witness.stalls().time(), "{on_air:?}\n{}", station.log());
    again.wait_until("the title is told again", SOON, |status| {
        let title = station.now()["title"].clone();
        title.is_string() && status["title"] == title
    });
    println!("title told {:?} after the tower is ready", ready.elapsed());
    std::thread::sleep(Duration::from_secs(3));
    assert_stays(&again, &witness, Duration::from_secs(3));
}

#[test]
fn st2_a_tower_that_is_stopped_for_three_seconds_loses_what_was_sent_and_nothing_else() {
    let Pair { folder: _folder, tower, station, mut witness } = pair(&Setup::default());
    let before = station.now();
    tower.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_secs(3));
    tower.signal(Signal::SIGCONT);
    witness.mark();
    let woken = Instant::now();
    tower.wait_until("on air", SOON, |status| status["mode"] == "PROGRAM");
    println!("a stopped tower: on air again {:?} after SIGCONT", woken.elapsed());
    assert!(woken.elapsed() < FOUND_AGAIN + witness.stalls().time(), "{:?}", woken.elapsed());
    std::thread::sleep(Duration::from_secs(5));
    settle(&tower);
    println!("settled {:?} after SIGCONT", woken.elapsed());
    assert_stays(&tower, &witness, Duration::from_secs(3));
    let after = station.now();
    let count = |now: &Value, name: &str| now["tower"][name].as_u64().expect("a count");
    let lost = count(&after, "frames_dropped") - count(&before, "frames_dropped");
    println!("{lost} frames dropped by the station, {} by the tower", tower.figure("pcm_buffer/overflow_count"));
    assert!(lost > 0, "the counters tell: {after:#}");
    assert_eq!(tower.figure("ingest/partial_frames"), 0);
    assert!(!station.log().contains("the tower has gone"), "{}", station.log());
}

#[test]
fn st2_a_station_that_is_stopped_for_three_seconds_is_on_air_again_at_once() {
    let Pair { folder: _folder, tower, station, mut witness } = pair(&Setup::default());
    let underruns = tower.figure("ticks/underruns");
    station.signal(Signal::SIGSTOP);
    tower.wait_until("its queue is played to the end", SOON, |status| status["mode"] == "GRACE");
    std::thread::sleep(Duration::from_millis(1500));
    station.signal(Signal::SIGCONT);
    witness.mark();
    let woken = Instant::now();
    tower.wait_until("on air", SOON, |status| status["mode"] == "PROGRAM");
    println!("a stopped station: on air again {:?} after SIGCONT", woken.elapsed());
    assert!(woken.elapsed() < FOUND_AGAIN + witness.stalls().time(), "{:?}", woken.elapsed());
    settle(&tower);
    println!("settled {:?} after SIGCONT", woken.elapsed());
    std::thread::sleep(Duration::from_secs(4));
    assert_stays(&tower, &witness, Duration::from_secs(3));
    println!("underruns {underruns} and {}", tower.figure("ticks/underruns"));
    assert!(!station.log().contains("quarantine"), "{}", station.log());
    assert_eq!(tower.figure("pcm_buffer/overflow_count"), 0);
}

/// A web server that has gone mad: what it answers, it answers to everything.
struct Nonsense {
    url: String,
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Nonsense {
    fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        listener.set_nonblocking(true).expect("non-blocking");
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, count) = (stop.clone(), asked.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(SeqCst) {
                let Ok((mut stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                count.fetch_add(1, SeqCst);
                std::thread::spawn(move || {
                    let _ = stream.set_nonblocking(false);
                    let _ = stream.set_write_timeout(Some(Duration::from_secs(5)));
                    let _ = stream.read(&mut [0; 4096]);
                    answer(&mut stream);
                });
            }
        });
        Self { url, stop, asked, thread: Some(thread) }
    }
}

impl Drop for Nonsense {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sound came all the time, in whole frames: the longest gap between two arrivals.
fn assert_continuous(received: &Received, stalls: Duration, what: &str) {
    received.assert_whole_frames();
    let gaps = received.arrivals.windows(2).map(|pair| (pair[1].at - pair[0].at, pair[0].at));
    let (longest, at) = gaps.max().expect("arrivals");
    println!("{what}: {} arrivals, the longest gap {longest:?} at {at:?}", received.arrivals.len());
    assert!(longest < GAP_MAX + stalls, "{what}: {longest:?}, the machine stood still for {stalls:?}");
    assert_eq!(received.connections, 1, "{what}");
}

/// What it does with a connection, after the request.
type Answer = fn(&mut TcpStream);

const NONSENSE: [(&str, Answer); 8] = [
    ("hangs", |stream| {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
        while stream.read(&mut [0; 512]).is_ok_and(|count| count > 0) {}
    }),
    ("is garbage", |stream| drop(stream.write_all(&[0xff; 4096]))),
    ("is closed at once", |_| {}),
    ("is 500", |stream| {
        drop(stream.write_all(b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"));
    }),
    ("is no JSON", |stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n\xff\xfe{["));
    }),
    ("is absurd", |stream| {
        let body = r#"{"fill":-1,"count":4000000000,"capacity":0,"ratio":"x"}"#;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        drop(stream.write_all(format!("{head}{body}").as_bytes()));
    }),
    ("is endless", |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{\"count\":1,");
        while stream.write_all(&[b' '; 64 << 10]).is_ok() {}
    }),
    ("drips", |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(300));
        }
    }),
];

/// All at the same time, each with a station of its own.
#[test]
fn st4_whatever_the_tower_answers_the_sound_goes_on() {
    let folder = Folder::new();
    let music = songs(&folder.join("music"));
    let witness = Witness::start();
    let stations: Vec<_> = NONSENSE
        .iter()
        .enumerate()
        .map(|(number, (what, answer))| {
            let dir = folder.join(&format!("{number}"));
            fs::create_dir_all(&dir).expect("folder");
            let (sink, nonsense) = (PcmSink::start(&dir.join("pcm.sock")), Nonsense::start(*answer));
            let station = plays(&music).dir(&dir).start(&sink.path, &nonsense.url);
            (*what, sink, nonsense, station)
        })
        .collect();
    for (_, sink, _, _) in &stations {
        sink.wait_for_bytes(192_000, 2 * SOON);
    }
    std::thread::sleep(Duration::from_secs(8));
    for (what, _, nonsense, _) in &stations {
        assert!(nonsense.asked.load(SeqCst) >= 4, "{what}: the events, and the queue more than once");
    }
    for (_, _, _, station) in &stations {
        station.signal(Signal::SIGTERM);
    }
    for (what, sink, nonsense, mut station) in stations {
        // Told first: what is no answer of a tower says nothing about its queue.
        let lines = station.lines_with(&[&nonsense.url, "/tower/buffer", "playing on"]);
        assert_eq!(lines.len(), 1, "{what}:\n{}", station.log());
        let (status, took) = station.wait_for_its_end();
        assert_eq!(status.code(), Some(0), "{what}: {took:?}\n{}", station.log());
        assert_continuous(&sink.received(), witness.stalls().time(), what);
    }
}

/// A tower that answers late, and then in time again.
#[test]
fn st2_a_tower_that_hangs_for_a_while_is_asked_again() {
    let folder = Folder::new();
    let music = songs(&folder.join("music"));
    let witness = Witness::start();
    let sink = PcmSink::start(&folder.join("pcm.sock"));
    let tower = FakeTower::start(&sink, 0);
    let station = plays(&music).dir(&folder.join("station")).start(&sink.path, &tower.url);
    sink.wait_for_bytes(2 * 192_000, SOON);
    tower.delay_answers(Duration::from_millis(2500));
    station.wait_for_log("/tower/buffer: timeout", SOON);
    std::thread::sleep(Duration::from_secs(3));
    tower.delay_answers(Duration::ZERO);
    station.wait_for_log("/tower/buffer: answers again", SOON);
    assert_continuous(&sink.received(), witness.stalls().time(), "a tower that hangs");
}

/// Real time, a real station, and towers whose clocks are off; the hour is simulated in `pace`.
#[test]
fn st2_the_pace_follows_the_towers_clock() {
    const SETTLED: Duration = Duration::from_secs(8);
    const LENGTH: Duration = Duration::from_secs(30);
    let folder = Folder::new();
    let music = songs(&folder.join("music"));
    let witness = Witness::start();
    let runs = [300, -300, 6000, -6000].map(|ppm| {
        let dir = folder.join(&format!("{ppm}"));
        fs::create_dir_all(&dir).expect("folder");
        let sink = PcmSink::start(&dir.join("pcm.sock"));
        let tower = FakeTower::start(&sink, ppm);
        let station = plays(&music).dir(&dir).start(&sink.path, &tower.url);
        (ppm, sink, tower, station)
    });
    let start = Instant::now();
    let mut settled: Option<[(usize, Queue); 4]> = None;
    while start.elapsed() < LENGTH {
        std::thread::sleep(Duration::from_millis(100));
        if settled.is_none() && start.elapsed() > SETTLED {
            settled = Some([0, 1, 2, 3].map(|run| (runs[run].2.fills().len(), runs[run].2.queue())));
        }
    }
    let settled = settled.expect("long enough");
    let stalls = witness.stalls().time();
    for ((ppm, sink, tower, station), (looks, before)) in runs.into_iter().zip(settled) {
        let fills = &tower.fills()[looks..];
        let (lowest, highest) = (*fills.iter().min().expect("looks"), *fills.iter().max().expect("looks"));
        let (after, rate_ppm) = (tower.queue(), station.now()["tower"]["rate_ppm"].as_i64().expect("a rate"));
        println!(
            "{ppm} ppm: {lowest} to {highest} of 100, pace {rate_ppm} ppm, overflow {}, dry {}, stalls {stalls:?}",
            after.overflow_frames,
            after.dry_ticks - before.dry_ticks,
        );
        let excused = u64::try_from(stalls.as_millis()).expect("short") / 24;
        assert!(lowest + excused >= 25 && highest <= 75 + excused, "{ppm}: {fills:?}\n{}", station.log());
        assert_eq!((after.overflow_frames, after.dry_ticks - before.dry_ticks), (0, 0), "{ppm}: {fills:?}");
        // A clock that is 300 ppm off needs minutes to be one frame off; the coarse one is met.
        let met = rate_ppm.signum() == ppm.signum() && (500..10_000).contains(&rate_ppm.abs());
        assert!(ppm.abs() < 1000 || met, "{ppm}: the pace is {rate_ppm} ppm");
        sink.received().assert_whole_frames();
    }
}
