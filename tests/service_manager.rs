//! What systemd hears from the two programs, and what it hands over: READY, the watchdog, STOPPING,
//! and ports that it has bound. Here the test is systemd.

mod common;

use std::{
    fs,
    io::ErrorKind,
    net::TcpListener,
    os::{fd::AsRawFd, unix::net::UnixDatagram},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use common::{
    Setup, Tower,
    listener::Recorder,
    station::{NO_TOWER, StationSetup},
    temp_dir,
};
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::{
        signal::Signal,
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};

/// Starting an encoder, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// The watchdog is fed about twice a second: WatchdogSec= is 10 s and more.
const FED_WITHIN: Duration = Duration::from_secs(2);

/// Where the programs notify.
struct Systemd {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Systemd {
    fn new(dir: &Path) -> Self {
        let path = dir.join("notify.sock");
        Self { socket: UnixDatagram::bind(&path).expect("a socket"), path }
    }

    /// The next message, if one comes in time.
    fn hears(&self, within: Duration) -> Option<String> {
        let mut bytes = [0; 256];
        self.socket.set_read_timeout(Some(within)).expect("a time limit");
        match self.socket.recv(&mut bytes) {
            Ok(length) => Some(String::from_utf8_lossy(&bytes[..length]).trim().to_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn waits_for(&self, message: &str, within: Duration) {
        let start = Instant::now();
        while let Some(heard) = self.hears(within.saturating_sub(start.elapsed()).max(Duration::from_millis(1))) {
            if heard == message {
                return;
            }
        }
        panic!("{message} was not heard within {within:?}");
    }

    /// Fed; then, while `thread` of `pid` stands still, no more; then again.
    fn watches(&self, pid: Pid, thread: &str) {
        self.waits_for("WATCHDOG=1", FED_WITHIN);
        let held = Held::new(pid, thread);
        // What was on its way, one look that saw it move still, and then nothing for three looks.
        while let Some(heard) = self.hears(Duration::from_millis(1600)) {
            assert_eq!(heard, "WATCHDOG=1");
            assert!(held.since.elapsed() < Duration::from_millis(2500), "fed while {thread} stands still");
        }
        drop(held);
        self.waits_for("WATCHDOG=1", FED_WITHIN);
    }
}

/// One thread of a process that stands still, as in a hang, while the others go on.
struct Held {
    thread: Pid,
    since: Instant,
}

impl Held {
    fn new(pid: Pid, name: &str) -> Self {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
        let found = tasks
            .map(|task| task.expect("a task").path())
            .find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name));
        let path = found.unwrap_or_else(|| panic!("{name} is no thread of {pid}"));
        let id = path.file_name().and_then(|id| id.to_str()).and_then(|id| id.parse().ok()).expect("a number");
        let thread = Pid::from_raw(id);
        ask_of(libc::PTRACE_SEIZE, thread);
        ask_of(libc::PTRACE_INTERRUPT, thread);
        waitpid(thread, Some(WaitPidFlag::__WALL)).expect("it stops");
        Self { thread, since: Instant::now() }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        ask_of(libc::PTRACE_DETACH, self.thread);
    }
}

fn ask_of(request: libc::c_uint, thread: Pid) {
    // SAFETY: these requests take no pointers.
    let rc = unsafe { libc::ptrace(request, thread.as_raw(), 0usize, 0usize) };
    assert_eq!(rc, 0, "ptrace: {}", std::io::Error::last_os_error());
}

#[test]
fn i3_the_tower_is_ready_when_on_air_and_feeds_the_watchdog_only_while_it_ticks_on_air() {
    let dir = temp_dir();
    let systemd = Systemd::new(&dir);
    let tower = Setup::default().env("NOTIFY_SOCKET", systemd.path.display()).start();
    // The first message of all.
    assert_eq!(systemd.hears(SOON).as_deref(), Some("READY=1"));
    let recorder = Recorder::start(tower.port);
    systemd.watches(tower.pid(), "tower:pump");
    systemd.watches(tower.pid(), "tower:http");
    tower.signal(Signal::SIGTERM);
    systemd.waits_for("STOPPING=1", FED_WITHIN);
    assert!(!recorder.stop().frames().is_empty(), "nothing was on air");
    fs::remove_dir_all(&dir).expect("removed");
}

#[test]
fn w4_the_station_is_ready_and_feeds_the_watchdog_only_while_it_plays() {
    let dir = temp_dir();
    let systemd = Systemd::new(&dir);
    let setup = StationSetup::default().env("NOTIFY_SOCKET", systemd.path.display());
    let station = setup.start(&dir.join("pcm.sock"), NO_TOWER);
    assert_eq!(systemd.hears(SOON).as_deref(), Some("READY=1"));
    systemd.watches(station.pid(), "station:do");
    station.signal(Signal::SIGTERM);
    systemd.waits_for("STOPPING=1", FED_WITHIN);
    fs::remove_dir_all(&dir).expect("removed");
}

/// A port that is bound and listens, for the tower to find as descriptor 3, as systemd does it.
struct HandedOver {
    socket: TcpListener,
    port: u16,
}

impl HandedOver {
    fn new() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("an address").port();
        // Inherited by the next program that is started: tests of this file run one after the other.
        fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty())).expect("inherited");
        Self { socket, port }
    }

    /// Under a shell that puts it in place. `exec` keeps the process, which is the one that is meant.
    fn to(&self, setup: Setup) -> Setup {
        let fd = self.socket.as_raw_fd();
        let close = if fd == 3 { String::new() } else { format!("exec 3<&{fd} {fd}<&-; ") };
        let script = format!("{close}LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http exec \"$0\" \"$@\"");
        setup.under(&["bash", "-c", &script])
    }
}

/// Both ports lead to the same tower.
fn answers_at(tower: &mut Tower, port: u16) {
    let own = std::mem::replace(&mut tower.port, port);
    assert_eq!(tower.status()["mode"], "FALLBACK");
    let recorder = Recorder::start(port);
    std::thread::sleep(Duration::from_millis(600));
    let recording = recorder.stop();
    recording.assert_no_break();
    assert!(recording.frames().len() > 10, "{} frames at port {port}", recording.frames().len());
    tower.port = own;
}

#[test]
fn w3_the_front_door_is_also_at_the_port_that_systemd_hands_over() {
    let extra = HandedOver::new();
    let mut tower = extra.to(Setup::default()).start();
    assert_ne!(tower.port, extra.port);
    tower.wait_until("an encoder", SOON, |status| status["encoder"]["state"] == "RUNNING");
    answers_at(&mut tower, extra.port);
    let own = tower.port;
    answers_at(&mut tower, own);
    // Nobody else inherits the port: an FFmpeg that outlived the tower would hold it.
    let encoder = tower.encoder_pid();
    let open = fs::read_dir(format!("/proc/{encoder}/fd")).expect("it lives").map(|fd| fd.expect("one").path());
    let inherited: Vec<PathBuf> = open.filter(|fd| fd.file_name().is_some_and(|name| name == "3")).collect();
    let sockets = inherited.iter().filter_map(|fd| fs::read_link(fd).ok());
    assert_eq!(sockets.filter(|to| to.to_string_lossy().starts_with("socket:")).count(), 0);
    // It is systemd's still when the tower has gone, and the next tower takes it again.
    assert_eq!(tower.stop().0.code(), Some(0));
    let mut next = extra.to(Setup::default()).start();
    answers_at(&mut next, extra.port);
}

#[test]
fn w3_the_towers_own_port_may_be_handed_over_too() {
    let own = HandedOver::new();
    let mut tower = own.to(Setup::default().env("TOWER_PORT", own.port)).start();
    assert_eq!(tower.port, own.port);
    answers_at(&mut tower, own.port);
}

#[test]
fn w3_what_was_promised_and_not_handed_over_keeps_no_tower_from_the_air() {
    for (count, what) in [("9", "descriptors that are not there"), ("many", "no number")] {
        let script = format!("LISTEN_PID=$$ LISTEN_FDS={count} exec \"$0\" \"$@\"");
        let mut tower = Setup::default().under(&["bash", "-c", &script]).start();
        tower.wait_for_log("the sockets that systemd hands over are not there", SOON);
        let port = tower.port;
        println!("{what}: on air at port {port}");
        answers_at(&mut tower, port);
    }
}
