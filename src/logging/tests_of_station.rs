//! LOG1 to LOG4 as the station meets them over a year: a log that is rotated while lines
//! come, a disk that fills up, a syslogd that hangs.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek},
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::Path,
    time::Instant,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use super::{
    tests::{Folder, lines_of, no_stderr, say, settled, text_of},
    *,
};
use crate::limits::LOG_LINES_MAX;

/// Times that the log is rotated.
const ROUNDS: usize = 25;
const SOON: Duration = Duration::from_secs(20);

fn started(file: &Path, syslog: Option<&Path>) -> LogHandle {
    let syslog = syslog.map(|path| system::SystemLog::at("station", path.to_owned()));
    start_with("station", Sinks::new(file, syslog, no_stderr())).expect("thread")
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let give_up = Instant::now() + SOON;
    while !done() {
        assert!(Instant::now() < give_up, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Numbered lines go to `path` all the while `rotate` is called, round by round, each
/// time with some lines in the file. Gives how many lines there were, none of them dropped.
fn while_lines_come(path: &Path, mut rotate: impl FnMut(usize)) -> usize {
    let handle = started(path, None);
    let (stats, stop) = (handle.stats(), AtomicBool::new(false));
    let pushed = std::thread::scope(|scope| {
        let lines = scope.spawn(|| {
            let mut pushed = 0;
            while !stop.load(SeqCst) {
                say(&handle.queue, &format!("line {pushed}"));
                pushed += 1;
                // Never so many that one is dropped.
                wait_until("room in the queue", || pushed - stats.lines.get() < LOG_LINES_MAX as u64 / 2);
            }
            pushed
        });
        // A rotation that fails must not leave the lines coming for ever.
        let _stops = Stops(&stop);
        for round in 0..ROUNDS {
            wait_until("lines in the file", || text_of(path).lines().count() > 20);
            rotate(round);
        }
        wait_until("lines in the last file", || text_of(path).lines().count() > 20);
        stop.store(true, SeqCst);
        lines.join().expect("joined")
    });
    assert!(handle.stop());
    assert_eq!((stats.lines.get(), stats.dropped.get(), stats.lost.get()), (pushed, 0, 0));
    usize::try_from(pushed).expect("small")
}

struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// The numbers of the lines, each of which is whole.
fn numbers(text: &str) -> Vec<usize> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is torn");
    let number = |line: &str| {
        assert!(line.starts_with("20") && line.contains(" INFO "), "torn: {line:?}");
        line.rsplit_once("line ").and_then(|(_, number)| number.parse().ok()).unwrap_or_else(|| panic!("{line:?}"))
    };
    text.lines().map(number).collect()
}

fn is_consecutive(numbers: &[usize]) -> bool {
    numbers.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

#[test]
fn log1_the_stations_lines_go_to_its_file_and_under_its_name_to_the_systems_log() {
    let folder = Folder::new("station");
    let socket = UnixDatagram::bind(folder.join("syslog")).expect("socket");
    socket.set_read_timeout(Some(SOON)).expect("timeout");
    let path = folder.join("station.log");
    let handle = started(&path, Some(&folder.join("syslog")));
    say(&handle.queue, "plays");
    let mut datagram = [0; 1024];
    let length = socket.recv(&mut datagram).expect("datagram");
    let sent = String::from_utf8_lossy(&datagram[..length]).into_owned();
    assert!(sent.starts_with("<30>") && sent.contains("station[") && sent.ends_with("plays"), "{sent}");
    // The log's own lines are the station's too.
    say(&handle.queue, "plays");
    assert!(handle.stop());
    assert!(text_of(&path).contains(" station:log last line repeated 1 times"), "{}", text_of(&path));
    let mode = fs::metadata(&path).expect("file").permissions().mode() & 0o777;
    assert_eq!((mode & 0o137, mode & 0o040), (0, 0o040), "{mode:o}: the group reads it, the others do not");
}

#[test]
fn log3_no_line_is_lost_or_doubled_when_the_file_is_renamed_while_lines_come() {
    let folder = Folder::new("renamed");
    let path = folder.join("station.log");
    let old = |round: usize| folder.join(&format!("station.log.{round}"));
    let count = while_lines_come(&path, |round| fs::rename(&path, old(round)).expect("renamed"));
    let mut all: String = (0..ROUNDS).map(|round| text_of(&old(round))).collect();
    all += &text_of(&path);
    assert_eq!(numbers(&all), (0..count).collect::<Vec<_>>());
}

#[test]
fn log3_a_file_that_is_truncated_while_lines_come_goes_on_without_a_gap() {
    let folder = Folder::new("truncated");
    let path = folder.join("station.log");
    let mut before: Vec<usize> = Vec::new();
    let count = while_lines_come(&path, |_| {
        // As `copytruncate` does. What comes between the two is its loss.
        let copy = text_of(&path);
        // A line that is being written may be read in part.
        let copy = numbers(&copy[..copy.rfind('\n').map_or(0, |end| end + 1)]);
        OpenOptions::new().write(true).truncate(true).open(&path).expect("truncated");
        assert!(is_consecutive(&copy) && copy.first() > before.last(), "{before:?}\n{copy:?}");
        before = copy;
    });
    let rest = numbers(&text_of(&path));
    assert!(is_consecutive(&rest) && rest.first() > before.last(), "{rest:?}");
    assert_eq!(rest.last(), Some(&(count - 1)));
}

#[test]
fn log3_a_file_that_is_removed_while_lines_come_takes_the_one_in_flight_with_it() {
    let folder = Folder::new("removed");
    let path = folder.join("station.log");
    let mut removed: Vec<(File, u64)> = Vec::new();
    let count = while_lines_come(&path, |_| {
        let file = File::open(&path).expect("open");
        fs::remove_file(&path).expect("removed");
        let bytes = file.metadata().expect("size").len();
        removed.push((file, bytes));
        wait_until("a new file", || path.exists());
    });
    let mut all = String::new();
    for (mut file, bytes) in removed {
        let start = all.len();
        file.read_to_string(&mut all).expect("text");
        let after = &all[start..][usize::try_from(bytes).expect("small")..];
        assert!(after.lines().count() <= 1, "went to a file that nobody sees:\n{after}");
        file.rewind().expect("seekable");
    }
    all += &text_of(&path);
    assert_eq!(numbers(&all), (0..count).collect::<Vec<_>>());
}

/// A disk of 64 KiB, in a namespace of this thread (and of those that it starts).
fn tiny_disk(folder: &Path) -> nix::Result<()> {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some("size=64k,mode=0755"))
}

#[test]
fn log4_a_disk_that_fills_up_costs_lines_until_there_is_room() {
    let folder = Folder::new("tiny");
    let disk = folder.join("disk");
    fs::create_dir(&disk).expect("folder");
    // The thread takes its namespace, and the mount, with it.
    let tried = std::thread::Builder::new().name("disk".into()).spawn(move || {
        if let Err(errno) = tiny_disk(&disk) {
            eprintln!("no disk of its own ({errno}): /dev/full stands in, in another test");
            return;
        }
        fill_and_make_room(&disk);
    });
    tried.expect("thread").join().expect("joined");
}

fn fill_and_make_room(disk: &Path) {
    let (path, ballast) = (disk.join("station.log"), disk.join("ballast"));
    fs::write(&ballast, vec![0; 32 << 10]).expect("ballast");
    let handle = started(&path, None);
    let stats = handle.stats();
    let mut count = 0;
    while stats.lost.get() < 5 {
        say(&handle.queue, &format!("{count} {}", "x".repeat(700)));
        count += 1;
        settled(&handle, count);
        assert!(count < 200, "the disk is never full");
    }
    let written = stats.lines.get();
    assert_eq!(stats.lost.get(), 5, "and all of them after the first");
    fs::remove_file(&ballast).expect("room");
    say(&handle.queue, "room again");
    assert!(handle.stop());
    assert_eq!((stats.lines.get(), stats.lost.get(), stats.dropped.get()), (written + 1, 5, 0));
    let lines = lines_of(&path);
    assert!(lines[lines.len() - 2].starts_with("5 log lines are missing here: No space left"), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("room again"));
    // Those that were taken are whole; the one that was cut short stands on a line of its own.
    let whole = lines.iter().filter(|line| line.ends_with(&"x".repeat(700))).count();
    assert_eq!(u64::try_from(whole), Ok(written));
    assert!(lines.len() - whole <= 3, "{lines:?}");
}

#[test]
fn log4_a_folder_that_is_not_there_yet_is_no_reason_to_wait() {
    let folder = Folder::new("missing");
    let path = folder.join("logs/station.log");
    let handle = started(&path, None);
    for number in 0..50 {
        say(&handle.queue, &format!("nowhere {number}"));
    }
    settled(&handle, 50);
    assert_eq!(handle.stats().lost.get(), 50);
    fs::create_dir(folder.join("logs")).expect("made");
    say(&handle.queue, "somewhere");
    settled(&handle, 51);
    let lines = lines_of(&path);
    assert!(lines[0].starts_with("50 log lines are missing here: No such file"), "{lines:?}");
    assert_eq!(lines[1], "somewhere");
    assert!(handle.stop());
}

/// A syslogd that listens and never reads; its queue is full.
fn hanging_syslogd(path: &Path) -> UnixDatagram {
    let syslogd = UnixDatagram::bind(path).expect("socket");
    let other = UnixDatagram::unbound().expect("socket");
    other.set_nonblocking(true).expect("non-blocking");
    while other.send_to(b"<30>somebody else", path).is_ok() {}
    syslogd
}

#[test]
fn log2_log4_a_syslogd_that_hangs_keeps_no_call_and_no_line_from_the_file() {
    let folder = Folder::new("hangs");
    let path = folder.join("station.log");
    let _syslogd = hanging_syslogd(&folder.join("syslog"));
    let handle = started(&path, Some(&folder.join("syslog")));
    let calls = 3 * LOG_LINES_MAX as u64;
    for number in 0..calls {
        say(&handle.queue, &format!("line {number}"));
    }
    // Every call has returned. What the queue took is in the file, what it did not is counted.
    let stats = handle.stats();
    let dropped = stats.dropped.get();
    assert!(handle.stop());
    let in_file = lines_of(&path);
    let ours = in_file.iter().filter(|line| line.starts_with("line ")).count() as u64;
    assert_eq!((ours + dropped, stats.lost.get()), (calls, 0));
    let said = in_file.iter().filter_map(|line| line.strip_suffix(" log lines were dropped: the queue was full"));
    let said: u64 = said.map(|count| count.parse::<u64>().expect("a count")).sum();
    assert_eq!(said, dropped);
}

#[test]
fn log4_a_syslogd_that_hangs_is_waited_for_once_in_five_seconds_and_comes_back() {
    let folder = Folder::new("awakes");
    let syslogd = hanging_syslogd(&folder.join("syslog"));
    let mut syslog = system::SystemLog::at("station", folder.join("syslog"));
    let (start, now) = (Instant::now(), Instant::now());
    for _ in 0..200 {
        assert!(!syslog.send(log::Level::Info, "nobody reads", now + Duration::from_secs(1)));
    }
    // If each of them waited, it would be ten seconds.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    syslogd.set_nonblocking(true).expect("non-blocking");
    let mut datagram = [0; 1024];
    while syslogd.recv(&mut datagram).is_ok() {}
    assert!(!syslog.send(log::Level::Info, "too early", now + Duration::from_secs(2)));
    assert!(syslog.send(log::Level::Info, "awake", now + Duration::from_secs(7)));
    let length = syslogd.recv(&mut datagram).expect("datagram");
    assert!(String::from_utf8_lossy(&datagram[..length]).contains("station["));
}
