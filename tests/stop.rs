//! How a tower ends: cleanly and soon when it is told to, and with its children
//! when it is killed.

mod common;

use std::{
    fs,
    io::Write,
    net::TcpStream,
    os::unix::net::UnixStream,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use common::{Setup, Tower, listener::Recorder, material::music, sender::Sender, stand_in::StandIn};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const SOON: Duration = Duration::from_secs(60);
/// `service.shutdown_timeout_sec`
const STOP_MAX: Duration = Duration::from_secs(5);

/// A tower with an encoder and a spare.
fn complete(setup: &Setup) -> Tower {
    let tower = setup.start();
    tower.wait_until("encoder and spare", SOON, |status| status["encoder"]["spare_ready"] == true);
    tower
}

/// The processes that `pid` has started and that are not yet reaped.
fn children_of(pid: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
    let lists = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    let all: String = lists.collect::<Vec<_>>().join(" ");
    all.split_whitespace().map(|pid| Pid::from_raw(pid.parse().expect("a pid"))).collect()
}

/// Gone, or at least dead and not yet reaped by whoever inherited it.
fn is_gone(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| {
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        matches!(state, Some('Z' | 'X'))
    })
}

fn wait_until_gone(pids: &[Pid]) {
    let start = Instant::now();
    while let Some(left) = pids.iter().find(|pid| !is_gone(**pid)) {
        let what = fs::read_to_string(format!("/proc/{left}/cmdline")).unwrap_or_default();
        assert!(start.elapsed() < Duration::from_secs(2), "{left} is left: {what}");
        sleep(Duration::from_millis(10));
    }
}

/// What is left in the tower's folder but the log.
fn left_in_folder(tower: &Tower) -> Vec<String> {
    let entries = fs::read_dir(&tower.dir).expect("folder").map(|e| e.expect("entry").file_name());
    entries.map(|name| name.to_string_lossy().into_owned()).filter(|name| !name.starts_with("tower.log")).collect()
}

/// Ends a tower with everybody connected that there can be.
fn stops_cleanly_on(signal: Signal) {
    let mut tower = complete(&Setup::default());
    let children = children_of(tower.pid());
    let (encoder, spare) = (tower.encoder_pid(), tower.figure("encoder/spare_pid"));
    assert!(children.contains(&encoder) && children.len() >= 2, "{children:?}, spare {spare}");
    let listeners: Vec<Recorder> = (0..50).map(|_| Recorder::start(tower.port)).collect();
    let sender = Sender::start(&tower.pcm_socket(), 50, music);
    let idle = TcpStream::connect(("127.0.0.1", tower.port)).expect("connect");
    let mut begun = TcpStream::connect(("127.0.0.1", tower.port)).expect("connect");
    begun.write_all(b"GET /status HT").expect("sent");
    let control = UnixStream::connect(tower.control_socket()).expect("connect");
    tower.wait_until("all are there", SOON, |s| s["listeners"]["now"] == 50 && s["source"] == "station");
    sleep(Duration::from_secs(1));
    let (status, took) = tower.end(signal);
    println!("{signal}: stopped in {took:?}");
    assert_eq!(status.code(), Some(0), "{}", tower.log());
    assert!(took < STOP_MAX, "{took:?}");
    wait_until_gone(&children);
    assert_eq!(left_in_folder(&tower), [""; 0]);
    assert!(tower.log().contains(&format!("stopping on {signal}")), "{}", tower.log());
    assert!(!tower.log().contains("ending by force") && !tower.log().contains("ERROR"), "{}", tower.log());
    for listener in listeners {
        let recording = listener.stop();
        assert!(recording.disconnected, "told that it is over");
        assert!(!recording.frames().is_empty());
    }
    drop((sender.stop(), idle, begun, control));
}

#[test]
fn i1_sigterm_stops_everything_with_listeners_a_sender_and_idle_connections() {
    stops_cleanly_on(Signal::SIGTERM);
}

#[test]
fn i1_sigint_does_the_same() {
    stops_cleanly_on(Signal::SIGINT);
}

#[test]
fn i1_a_second_sigterm_changes_nothing() {
    let mut tower = complete(&Setup::default());
    let children = children_of(tower.pid());
    let start = Instant::now();
    tower.signal(Signal::SIGTERM);
    sleep(Duration::from_millis(3));
    tower.signal(Signal::SIGTERM);
    let (status, took) = tower.wait_for_its_end(start);
    assert!(status.code() == Some(0) && took < STOP_MAX, "{status} after {took:?}\n{}", tower.log());
    wait_until_gone(&children);
    assert_eq!(left_in_folder(&tower), [""; 0]);
}

#[test]
fn i1_s11_sigterm_while_the_encoder_boots() {
    let stand_in = StandIn::new("slow");
    let mut tower = Setup::default().env("TOWER_FFMPEG", stand_in.path().display()).start();
    tower.wait_until("it boots", Duration::from_millis(500), |status| status["encoder"]["state"] == "BOOTING");
    let children = children_of(tower.pid());
    assert!(!children.is_empty());
    let (status, took) = tower.end(Signal::SIGTERM);
    assert!(status.code() == Some(0) && took < STOP_MAX, "{status} after {took:?}\n{}", tower.log());
    wait_until_gone(&children);
    assert_eq!(left_in_folder(&tower), [""; 0]);
    assert_eq!(stand_in.starts(), ["slow"], "no restart follows");
}

/// However early: before the first thread, before the sockets, before the first frame.
#[test]
fn i1_sigterm_at_any_moment_of_the_start() {
    for delay_ms in [0, 2, 4, 6, 8, 10, 13, 16, 20, 25, 30, 40, 60, 90] {
        let dir = common::temp_dir();
        let mut child = Setup::default().command(&dir).spawn().expect("tower");
        sleep(Duration::from_millis(delay_ms));
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("pid"));
        let children = children_of(pid);
        kill(pid, Signal::SIGTERM).expect("it lives");
        let start = Instant::now();
        let status = loop {
            match child.try_wait().expect("wait") {
                Some(status) => break status,
                None => assert!(start.elapsed() < STOP_MAX, "{delay_ms} ms: it does not stop"),
            }
            sleep(Duration::from_millis(2));
        };
        let by_signal = std::os::unix::process::ExitStatusExt::signal(&status) == Some(15);
        let log = fs::read_to_string(dir.join("tower.log")).unwrap_or_default();
        // Before it has taken signals over, SIGTERM ends it as any program: there is nothing yet.
        assert!(status.code() == Some(0) || (by_signal && log.is_empty()), "{delay_ms} ms: {status}\n{log}");
        wait_until_gone(&children);
        let left = fs::read_dir(&dir).expect("folder").map(|e| e.expect("entry").file_name());
        let left: Vec<_> = left.filter(|name| name != "tower.log").collect();
        assert!(left.is_empty(), "{delay_ms} ms: {left:?}\n{log}");
        fs::remove_dir_all(&dir).expect("folder");
    }
}

#[test]
fn i1_s1_a_killed_tower_takes_its_children_with_it_and_leaves_room_for_the_next() {
    let mut tower = complete(&Setup::default());
    let children = children_of(tower.pid());
    assert!(children.len() >= 2, "{children:?}");
    tower.end(Signal::SIGKILL);
    wait_until_gone(&children);
    assert!(tower.pcm_socket().exists() && tower.control_socket().exists(), "nobody was left to remove them");
    // The next one finds stale sockets, and takes their places.
    let next = Setup::default()
        .env("TOWER_SOCKET_PATH", tower.pcm_socket().display())
        .env("TOWER_CONTROL_SOCKET_PATH", tower.control_socket().display())
        .start();
    let sender = Sender::start(&tower.pcm_socket(), 50, music);
    next.wait_until("the station is on air", SOON, |status| status["source"] == "station");
    UnixStream::connect(tower.control_socket()).expect("control answers");
    sender.stop();
    assert_eq!(next.stop().0.code(), Some(0));
    assert_eq!(left_in_folder(&tower), [""; 0]);
}

#[test]
fn i1_log3_sighup_reopens_the_log_after_a_rename() {
    let mut tower = complete(&Setup::default());
    let (log, old) = (tower.dir.join("tower.log"), tower.dir.join("tower.log.1"));
    fs::rename(&log, &old).expect("rename");
    tower.signal(Signal::SIGHUP);
    kill(tower.encoder_pid(), Signal::SIGKILL).expect("something to log");
    tower.wait_for_log("failed: exit, SIGKILL", SOON);
    assert!(!fs::read_to_string(&old).expect("old").contains("SIGKILL"));
    let status = tower.status();
    assert_eq!(status["encoder"]["failures"], 1, "SIGHUP stops nothing: {status:#}");
    assert_eq!(tower.end(Signal::SIGTERM).0.code(), Some(0));
}

/// Without any right: as `nobody`, who may have neither real time nor a negative nice value.
#[test]
fn a3_another_user_without_rights_runs_and_says_so_once() {
    if !nix::unistd::geteuid().is_root() {
        return println!("only root can become another user: nothing was tested");
    }
    let user_dir = common::temp_dir();
    nix::unistd::chown(&user_dir, Some(65_534.into()), Some(65_534.into())).expect("chown");
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let setup = Setup::default().under(&nobody);
    let mut command: Command = setup.command(&user_dir);
    for name in ["TOWER_SOCKET_PATH", "TOWER_CONTROL_SOCKET_PATH", "TOWER_LOG_FILE"] {
        command.env_remove(name);
    }
    let mut child = command.env("XDG_RUNTIME_DIR", &user_dir).spawn().expect("tower");
    let runtime = user_dir.join("retrowaves");
    let log = || fs::read_to_string(runtime.join("tower.log")).unwrap_or_default();
    let start = Instant::now();
    while !(runtime.join("pcm.sock").exists() && log().contains("encoder BOOTING -> RUNNING")) {
        assert!(start.elapsed() < SOON, "{}", log());
        assert!(child.try_wait().expect("wait").is_none(), "{}", log());
        sleep(Duration::from_millis(20));
    }
    let sender = Sender::start(&runtime.join("pcm.sock"), 50, music);
    sleep(Duration::from_secs(3));
    let text = log();
    for line in [
        "no real-time priority for the pump",
        "tower:encoder runs at normal priority: real time was refused",
        "tower:http runs at normal priority: nice -5 was refused",
        "memory is not locked",
        "(-5 was refused)",
    ] {
        // Each child says its own nice value: the encoder and its spare.
        let times = if line.contains("was refused)") && line.starts_with('(') { 2 } else { 1 };
        assert_eq!(text.matches(line).count(), times, "{line}\n{text}");
    }
    assert!(text.contains("station"), "a sender is heard\n{text}");
    sender.stop();
    kill(Pid::from_raw(i32::try_from(child.id()).expect("pid")), Signal::SIGTERM).expect("it lives");
    assert_eq!(child.wait().expect("wait").code(), Some(0), "{}", log());
    let left: Vec<_> = fs::read_dir(&runtime).expect("folder").map(|e| e.expect("entry").file_name()).collect();
    assert_eq!(left, ["tower.log"]);
    fs::remove_dir_all(&user_dir).expect("folder");
}
