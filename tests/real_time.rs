//! The tick beside the kernel's own measure of what is possible (A1, A3, A5), and
//! what happens without real-time rights and after a standstill (A4).
//!
//! `cyclictest` sleeps as the pump does, with the same priority and period, in the same
//! minutes, so what the machine does to one it does to the other. Its histogram has buckets of
//! 1 µs and rounds down; the tower's says up to 6.25 % too much, never too little. Both are
//! allowed for, once, and nothing else is.

mod common;

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use common::{
    Setup, Tower,
    listener::{Recorder, Recording},
    programme::length,
};
use nix::sys::signal::Signal;
use retrowaves::{
    frame::{TICK_MS, TICK_NS},
    limits::BATCH_FRAMES_AUTO_MAX,
    sys::time::now_ns,
};

/// Frames that a recording may have more or less than there were ticks: the batch in which it
/// begins, the one in which it ends, and the moment between two questions.
const SLACK_FRAMES: u64 = 2 * BATCH_FRAMES_AUTO_MAX + 2;
/// Ten of them lie above p99.9: four minutes.
const JUDGED_WAKE_UPS: u64 = 10_000;

#[test]
#[ignore = "ten minutes: make soak"]
fn a1_a5_idle_lateness_is_that_of_cyclictest() {
    compare_with_cyclictest("idle", 0);
}

#[test]
#[ignore = "ten minutes: make soak"]
fn a1_a5_loaded_lateness_is_that_of_cyclictest() {
    compare_with_cyclictest("loaded", 2 * std::thread::available_parallelism().map_or(2, usize::from));
}

fn compare_with_cyclictest(name: &str, busy: usize) {
    let length = length(600);
    let _load = stress(busy, length);
    // The tower counts from its start on, which is itself work for the machine (FFmpeg is
    // started three times). So cyclictest runs when it starts, and both end together.
    let cyclictest = cyclictest(length);
    std::thread::sleep(Duration::from_millis(500));
    let tower = Tower::start();
    let started_ns = now_ns();
    let lateness = tower.status()["ticks"].clone();
    assert_eq!(lateness["real_time"], true, "this needs the right to SCHED_FIFO: run it as root");
    let peer = Latencies::read(cyclictest);
    let (ticks, at_ns) = (tower.status()["ticks"].clone(), now_ns());
    let figure = |path: &str| ticks.pointer(path).and_then(serde_json::Value::as_u64).expect("a figure");
    let tower_us = ["p50", "p99", "p999", "max"].map(|p| figure(&format!("/lateness_us/{p}")));
    println!(
        "\n| {name}, {} s | wake-ups | p50 µs | p99 | p99.9 | max |\n| --- | --- | --- | --- | --- | --- |",
        length.as_secs()
    );
    println!(
        "| tower | {} | {} | {} | {} | {} |",
        figure("/count"),
        tower_us[0],
        tower_us[1],
        tower_us[2],
        tower_us[3]
    );
    println!(
        "| cyclictest | {} | {} | {} | {} | {} |\n",
        peer.count(),
        peer.percentile(500),
        peer.percentile(990),
        peer.percentile(999),
        peer.max_us
    );
    let due = (at_ns - started_ns) / TICK_NS;
    assert_eq!(figure("/skipped"), 0, "ticks were skipped");
    assert!(figure("/count").abs_diff(due) <= 25, "{} ticks in the time of {due}", figure("/count"));
    // Of fewer, it is a few single wake-ups that decide.
    if peer.count() < JUDGED_WAKE_UPS {
        println!("too short to judge p99.9: {JUDGED_WAKE_UPS} wake-ups are needed");
        return;
    }
    // tower / 1.0625 ≤ 1.5 × (cyclictest + 1), in whole numbers.
    let (ours, theirs) = (tower_us[2], peer.percentile(999) + 1);
    assert!(ours * 32 <= theirs * 3 * 17, "p99.9: {ours} µs, and cyclictest has {theirs} µs");
}

/// The pump's clock, priority and period, for as long.
fn cyclictest(length: Duration) -> Child {
    let loops = length.as_millis() / u128::from(TICK_MS);
    Command::new("cyclictest")
        .args(["-q", "-m", "-t1", "-p", "60", "-i", "24000", "-h", "100000", "-l"])
        .arg(loops.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("cyclictest (Debian: rt-tests)")
}

/// Ordinary programs on every core. `None`: none.
fn stress(processes: usize, length: Duration) -> Option<Stress> {
    let child = (processes > 0).then(|| {
        Command::new("stress-ng")
            .args(["--quiet", "--cpu", &processes.to_string(), "--timeout", &(length.as_secs() + 30).to_string()])
            .spawn()
            .expect("stress-ng")
    });
    child.map(Stress)
}

struct Stress(Child);

impl Drop for Stress {
    fn drop(&mut self) {
        // SIGTERM, so that it ends its own children.
        let pid = i32::try_from(self.0.id()).expect("a process id");
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// What cyclictest counted: wake-ups by whole microseconds.
struct Latencies {
    counts: Vec<(u64, u64)>,
    max_us: u64,
}

impl Latencies {
    fn read(cyclictest: Child) -> Self {
        let output = cyclictest.wait_with_output().expect("cyclictest");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "cyclictest needs the right to SCHED_FIFO: {text}");
        let number = |word: &str| word.trim_start_matches('0').parse().unwrap_or(0);
        let counts = text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
        let counts = counts.filter_map(|line| line.split_once(char::is_whitespace));
        let max = text.lines().find_map(|line| line.strip_prefix("# Max Latencies:")).expect("a histogram");
        Self { counts: counts.map(|(us, n)| (number(us), number(n.trim()))).collect(), max_us: number(max.trim()) }
    }

    fn count(&self) -> u64 {
        self.counts.iter().map(|(_, n)| n).sum()
    }

    fn percentile(&self, per_mille: u64) -> u64 {
        let wanted = (self.count() * per_mille).div_ceil(1000);
        let mut seen = 0;
        let mut reached = |n: u64| {
            seen += n;
            seen >= wanted
        };
        self.counts.iter().find(|(_, n)| reached(*n)).map_or(self.max_us, |(us, _)| *us)
    }
}

/// Threads that use up every core, as ordinary programs do.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(threads: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let busy = |_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                while !stop.load(SeqCst) {
                    (0..10_000u32).for_each(|n| _ = std::hint::black_box(n));
                }
            })
        };
        Self { threads: (0..threads).map(busy).collect(), stop }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A tower without the right to SCHED_FIFO. Root has it whatever the limit says, so root gives it up.
fn without_rights() -> Setup {
    let root = nix::unistd::geteuid().is_root();
    let wrapper: &[&str] = if root {
        &["setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice", "prlimit", "--rtprio=0:0"]
    } else {
        &["prlimit", "--rtprio=0:0"]
    };
    Setup::default().under(wrapper)
}

/// Ticks that happened and ticks that did not, and when that was so.
fn ticks(tower: &Tower) -> (u64, u64, u64) {
    let before_ns = now_ns();
    let status = tower.status();
    let figure = |name: &str| status["ticks"][name].as_u64().expect("a figure");
    (figure("count"), figure("skipped"), before_ns.midpoint(now_ns()))
}

#[test]
fn a4_without_real_time_rights_and_under_load_no_stream_time_is_lost() {
    let tower = without_rights().start();
    assert_eq!(tower.status()["ticks"]["real_time"], false);
    tower.wait_for_log("real-time", Duration::from_secs(2));
    running(&tower);
    let recorder = Recorder::start(tower.port);
    let before = ticks(&tower);
    let load = Load::start(4);
    std::thread::sleep(Duration::from_secs(18));
    drop(load);
    // What was late is made up before it is counted.
    std::thread::sleep(Duration::from_secs(1));
    let after = ticks(&tower);
    let recording = recorder.stop();
    let (happened, skipped) = (after.0 - before.0, after.1 - before.1);
    println!("ticks {happened}, skipped {skipped}; {}", tower.status()["ticks"]);
    let due = (after.2 - before.2) / TICK_NS;
    assert!((happened + skipped).abs_diff(due) <= 2, "{happened} + {skipped} ticks in the time of {due}");
    assert_heard(&recording, happened, &tower);
    // A machine so busy that the tower stood still for half a second is allowed to skip, and only that.
    // Several long sleeps may add up to that, each of them counted from when it was to end.
    let worst_ms = tower.figure("ticks/lateness_us/max") / 1000;
    assert!(skipped == 0 || worst_ms >= 10 * TICK_MS, "{skipped} skipped, and never overslept more than {worst_ms} ms");
}

#[test]
fn a4_a_standstill_skips_whole_ticks_keeps_the_phase_and_no_listener_is_dropped() {
    let tower = Tower::start();
    running(&tower);
    let (recorder, witness) = (Recorder::start(tower.port), Witness::start(tower.port));
    std::thread::sleep(Duration::from_secs(2));
    let (before, fillers) = (ticks(&tower), tower.figure("encoder/fillers"));
    let started = recorder.so_far().frames().len() as u64;
    tower.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_millis(1000));
    tower.signal(Signal::SIGCONT);
    let continued_ns = now_ns();
    std::thread::sleep(Duration::from_secs(3));
    let after = ticks(&tower);
    let recording = recorder.stop();
    let (happened, skipped) = (after.0 - before.0, after.1 - before.1);
    let phases = witness.stop(continued_ns);
    println!("ticks {happened}, skipped {skipped}, phases {phases:?} µs; {}", tower.status()["encoder"]);
    assert!((40..=43).contains(&skipped), "{skipped} ticks skipped in 1 s");
    let due = (after.2 - before.2) / TICK_NS;
    assert!((happened + skipped).abs_diff(due) <= 2, "{happened} + {skipped} ticks in the time of {due}");
    assert!(phases.0.abs_diff(phases.1) < 3000, "the phase was {} µs and is {} µs", phases.0, phases.1);
    // The skipped ticks put nothing on air: what came is what happened, and none of it is silence.
    let heard = recording.frames().len() as u64 - started;
    assert!(heard.abs_diff(happened) <= SLACK_FRAMES, "{heard} frames for {happened} ticks");
    assert_eq!(tower.figure("encoder/fillers"), fillers, "{}", tower.log());
    assert_eq!((recording.disconnected, tower.figure("listeners/dropped_slow")), (false, 0));
    recording.assert_decoders_are_content(&tower.dir);
}

fn running(tower: &Tower) {
    tower.wait_until("the encoder is on air", Duration::from_secs(60), |status| {
        status["encoder"]["state"] == "RUNNING" && status["ticks"]["count"].as_u64() > Some(100)
    });
}

fn assert_heard(recording: &Recording, ticks: u64, tower: &Tower) {
    let heard = recording.frames().len() as u64;
    assert!(heard.abs_diff(ticks) <= SLACK_FRAMES, "{heard} frames for {ticks} ticks");
    assert!(!recording.disconnected, "{}", tower.log());
    recording.assert_decoders_are_content(&tower.dir);
}

/// A listener that notes when something comes.
struct Witness {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<u64>>,
}

impl Witness {
    fn start(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        stream.write_all(b"GET /stream HTTP/1.0\r\n\r\n").expect("request");
        stream.set_read_timeout(Some(Duration::from_millis(200))).expect("timeout");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let _ = retrowaves::sys::thread::set_fifo(10);
            let (mut at_ns, mut bytes) = (Vec::new(), [0; 32 << 10]);
            // The first bytes come when the listener does, not with a tick.
            let begun = Instant::now();
            while !stopped.load(SeqCst) {
                if stream.read(&mut bytes).is_ok() && begun.elapsed() > Duration::from_millis(100) {
                    at_ns.push(now_ns());
                }
            }
            at_ns
        });
        Self { stop, thread }
    }

    /// Where in the tick's 24 ms its batches came, in microseconds: before `then_ns`, and after
    /// it once all is quiet again: the median.
    fn stop(self, then_ns: u64) -> (u64, u64) {
        self.stop.store(true, SeqCst);
        let at_ns = self.thread.join().expect("witness");
        let (before, after): (Vec<u64>, Vec<u64>) = at_ns.into_iter().partition(|at| *at < then_ns);
        let origin_ns = before[0] - TICK_NS / 2;
        let settled = after.into_iter().filter(|at| *at > then_ns + 1_000_000_000);
        let phase = |at: u64| (at - origin_ns) % TICK_NS / 1000;
        let median = |mut phases: Vec<u64>| {
            phases.sort_unstable();
            phases[phases.len() / 2]
        };
        (median(before.into_iter().map(phase).collect()), median(settled.map(phase).collect()))
    }
}
