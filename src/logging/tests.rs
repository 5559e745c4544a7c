//! LOG1 to LOG4, with real files, pipes and sockets.

use std::{
    fs,
    io::Read,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, net::UnixDatagram},
    },
    path::{Path, PathBuf},
    time::Instant,
};

use super::*;
use crate::limits::LOG_LINES_MAX;

/// A folder of one test, removed at its end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("retrowaves-log-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("folder");
        Self(path)
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn no_stderr() -> stderr::Stderr {
    stderr::Stderr::from(None)
}

fn started(file: &Path) -> LogHandle {
    start_with("tower", Sinks::new(file, None, no_stderr())).expect("thread")
}

pub(super) fn say(queue: &Queue, text: &str) {
    queue.push(&log::Record::builder().level(log::Level::Info).args(format_args!("{text}")).build());
}

/// Waits until the writer has decided about `count` lines in all.
pub(super) fn settled(handle: &LogHandle, count: u64) {
    let stats = handle.stats();
    let give_up = Instant::now() + Duration::from_secs(5);
    while stats.lines.get() + stats.lost.get() < count {
        assert!(Instant::now() < give_up, "{stats:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(super) fn text_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

pub(super) fn lines_of(path: &Path) -> Vec<String> {
    let last_words = |line: &str| line.splitn(4, ' ').nth(3).unwrap_or("").trim_start().to_owned();
    text_of(path)
        .lines()
        .map(|line| last_words(line).split_once(' ').map_or(last_words(line), |(_, text)| text.to_owned()))
        .collect()
}

#[test]
fn log1_a_line_goes_to_the_file_and_to_the_systems_log() {
    let folder = Folder::new("both");
    let socket = UnixDatagram::bind(folder.join("syslog")).expect("socket");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
    let path = folder.join("tower.log");
    let syslog = system::SystemLog::at("tower", folder.join("syslog"));
    let handle = start_with("tower", Sinks::new(&path, Some(syslog), no_stderr())).expect("thread");
    say(&handle.queue, "on air");
    let mut datagram = [0; 1024];
    let length = socket.recv(&mut datagram).expect("datagram");
    let sent = String::from_utf8_lossy(&datagram[..length]).into_owned();
    // 3 × 8 + 6: daemon, info.
    assert!(sent.starts_with("<30>") && sent.contains("tower[") && sent.contains("on air"), "{sent}");
    assert!(handle.stop());
    let text = text_of(&path);
    assert!(text.contains("INFO") && text.ends_with("on air\n") && text.contains("T") && text.contains("Z "), "{text}");
    assert_eq!(fs::metadata(&path).expect("file").permissions().mode() & 0o137, 0);
}

#[test]
fn log1_a_syslogd_that_was_restarted_gets_the_next_line() {
    let folder = Folder::new("restarted");
    let mut syslog = system::SystemLog::at("tower", folder.join("syslog"));
    let now = Instant::now();
    assert!(!syslog.send(log::Level::Info, "nobody there", now));
    let first = UnixDatagram::bind(folder.join("syslog")).expect("socket");
    assert!(!syslog.send(log::Level::Info, "too early to try again", now + Duration::from_secs(1)));
    assert!(syslog.send(log::Level::Info, "one", now + Duration::from_secs(6)));
    drop(first);
    fs::remove_file(folder.join("syslog")).expect("removed");
    let second = UnixDatagram::bind(folder.join("syslog")).expect("socket");
    assert!(syslog.send(log::Level::Info, "two", now + Duration::from_secs(12)));
    let mut datagram = [0; 1024];
    let length = second.recv(&mut datagram).expect("datagram");
    assert!(String::from_utf8_lossy(&datagram[..length]).contains("two"));
}

#[test]
fn log2_a_full_queue_drops_the_newest_counts_it_and_says_so() {
    let folder = Folder::new("full");
    let path = folder.join("tower.log");
    let (queue, lines) = queue(Arc::new(Shared::default()));
    let start = Instant::now();
    for number in 0..LOG_LINES_MAX + 10 {
        say(&queue, &format!("line {number}"));
    }
    assert!(start.elapsed() < Duration::from_secs(1));
    let shared = queue.shared().clone();
    assert_eq!(shared.stats.dropped.get(), 10);
    shared.stop.store(true, SeqCst);
    Writer::new("tower:log", Sinks::new(&path, None, no_stderr()), shared).run(&lines);
    let written = lines_of(&path);
    assert!(written.contains(&"10 log lines were dropped: the queue was full".to_owned()));
    let ours: Vec<&String> = written.iter().filter(|line| line.starts_with("line ")).collect();
    assert_eq!(ours.len(), LOG_LINES_MAX);
    assert_eq!(ours.last().map(|line| line.as_str()), Some("line 1023"));
}

#[test]
fn log2_repeats_are_folded() {
    let folder = Folder::new("repeats");
    let path = folder.join("tower.log");
    let handle = started(&path);
    for text in ["a", "a", "a", "b", "b"] {
        say(&handle.queue, text);
    }
    assert!(handle.stop());
    assert_eq!(lines_of(&path), ["a", "last line repeated 2 times", "b", "last line repeated 1 times"]);
}

#[test]
fn log3_a_renamed_a_truncated_and_a_removed_file_are_followed() {
    let folder = Folder::new("rotated");
    let (path, old) = (folder.join("tower.log"), folder.join("tower.log.1"));
    let handle = started(&path);
    say(&handle.queue, "before");
    settled(&handle, 1);

    fs::rename(&path, &old).expect("renamed");
    say(&handle.queue, "renamed");
    settled(&handle, 2);
    assert_eq!((lines_of(&old), lines_of(&path)), (vec!["before".into()], vec!["renamed".into()]));

    fs::File::create(&path).expect("truncated");
    say(&handle.queue, "truncated");
    settled(&handle, 3);
    assert_eq!(lines_of(&path), ["truncated"]);
    assert!(!text_of(&path).contains('\0'));

    fs::remove_file(&path).expect("removed");
    say(&handle.queue, "removed");
    settled(&handle, 4);
    assert_eq!(lines_of(&path), ["removed"]);
    assert!(handle.stop());
}

#[test]
fn log3_reopen_makes_the_file_again_at_the_next_line() {
    let folder = Folder::new("reopen");
    let path = folder.join("tower.log");
    let handle = started(&path);
    say(&handle.queue, "one");
    settled(&handle, 1);
    handle.reopen();
    say(&handle.queue, "two");
    assert!(handle.stop());
    assert_eq!(lines_of(&path), ["one", "two"]);
}

#[test]
fn log4_a_full_disk_costs_lines_and_nothing_else() {
    let folder = Folder::new("disk");
    let path = folder.join("tower.log");
    std::os::unix::fs::symlink("/dev/full", &path).expect("link");
    let handle = started(&path);
    say(&handle.queue, "lost 1");
    say(&handle.queue, "lost 2");
    settled(&handle, 2);
    assert_eq!(handle.stats().lost.get(), 2);
    // Somebody makes room.
    fs::remove_file(&path).expect("removed");
    say(&handle.queue, "back");
    assert!(handle.stop());
    let written = lines_of(&path);
    assert!(written[0].starts_with("2 log lines are missing here: No space left"), "{written:?}");
    assert_eq!(written[1], "back");
}

#[test]
fn log4_a_folder_that_is_gone_costs_lines_until_it_is_back() {
    let folder = Folder::new("gone");
    let logs = folder.join("logs");
    fs::create_dir(&logs).expect("logs");
    let path = logs.join("tower.log");
    let handle = started(&path);
    say(&handle.queue, "one");
    settled(&handle, 1);
    fs::remove_dir_all(&logs).expect("gone");
    say(&handle.queue, "two");
    settled(&handle, 2);
    assert!(!logs.exists());
    assert_eq!(handle.stats().lost.get(), 1);
    fs::create_dir(&logs).expect("back");
    say(&handle.queue, "three");
    assert!(handle.stop());
    assert_eq!(lines_of(&path).last().map(String::as_str), Some("three"));
}

#[test]
fn log4_stderr_is_the_last_resort_and_never_blocks() {
    let folder = Folder::new("stderr");
    let (mut reader, writer) = std::io::pipe().expect("pipe");
    let stderr = stderr::Stderr::from(Some(OwnedFd::from(writer)));
    let nowhere = folder.join("missing").join("tower.log");
    let handle = start_with("tower", Sinks::new(&nowhere, None, stderr)).expect("thread");
    // Nobody reads: 64 KiB fit, the rest must be lost and not waited for.
    let long = "x".repeat(1000);
    for number in 0..200 {
        say(&handle.queue, &format!("{number} {long}"));
    }
    settled(&handle, 200);
    let stats = handle.stats();
    assert!(stats.lines.get() >= 30 && stats.lost.get() >= 100, "{stats:?}");
    assert!(handle.stop(), "the thread ended in time");
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("what fitted");
    assert!(text.contains("the log file cannot be written") && text.contains(" 0 xxx"), "{}", &text[..200]);
}
