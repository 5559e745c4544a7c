//! `station` as a person meets it: output, exit codes, and what it asks of the station that runs.

mod common;

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        ffi::OsStrExt,
        net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    process::Command,
    thread::JoinHandle,
};

use common::command::{bare, said};

use retrowaves::station::{
    control::protocol::{Answer, FileName, HistoryEntry, Request, reply_to_line},
    track::TrackKind,
};

/// A folder of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("retrowaves-station-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("folder");
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("station.sock")
    }

    /// The program, with everything of it in this folder.
    fn station(&self, args: &[&str]) -> Command {
        let mut command = bare(env!("CARGO_BIN_EXE_station"), args);
        command
            .env("STATION_SOCKET_PATH", self.socket())
            .env("STATION_STATE_DIR", self.0.join("state"))
            .env("STATION_LOG_FILE", self.0.join("station.log"))
            .env("TOWER_SOCKET_PATH", self.0.join("pcm.sock"))
            .current_dir(&self.0);
        command
    }

    fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        said(&self.station(args).output().expect("station"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Answers one question at the socket; gives the question.
fn answering(folder: &Folder, answer: impl FnOnce(&mut UnixStream) + Send + 'static) -> JoinHandle<String> {
    let _ = fs::remove_file(folder.socket());
    let listener = UnixListener::bind(folder.socket()).expect("bound");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepted");
        let mut line = String::new();
        BufReader::new(stream.try_clone().expect("clone")).read_line(&mut line).expect("a line");
        answer(&mut stream);
        line
    })
}

/// A station that gives this reply.
fn station(folder: &Folder, reply: Result<Answer, String>) -> JoinHandle<String> {
    answering(folder, move |stream| stream.write_all(reply_to_line(&reply).as_bytes()).expect("taken"))
}

#[test]
fn i2_wrong_arguments_are_exit_code_2_and_help_is_0() {
    let folder = Folder::new("arguments");
    for args in [vec!["fly"], vec!["run", "--port", "1"], vec!["next"], vec!["history", "--count", "0"]] {
        let (code, out, err) = folder.run(&args);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}");
        assert!(err.starts_with("station: "), "{err}");
    }
    let commands = ["run", "scan", "now", "skip", "next", "history", "config"];
    for args in commands.map(|command| vec![command, "--help"]).into_iter().chain([vec![], vec!["--help"]]) {
        let (code, out, err) = folder.run(&args);
        let usage = format!("Usage: station {}", if args.len() == 2 { args[0] } else { "run" });
        assert!(code == Some(0) && out.contains(&usage) && err.is_empty(), "{args:?}: {err}");
    }
    assert_eq!(folder.run(&["--version"]).1, concat!("station ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn i4_config_prints_every_value_with_its_origin_and_can_be_read_again() {
    let folder = Folder::new("config");
    let args = ["config", "--music", "a b", "--music", "/c:d", "--set", "rotation.weights=Rock=3;Jazz=0"];
    let (code, out, err) = folder.run(&args);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let line = |key: &str| out.lines().find(|line| line.starts_with(key)).unwrap_or("").to_owned();
    assert!(line("folders").contains("[\"a b\", \"/c:d\"]") && line("folders").ends_with("# from --set"), "{out}");
    assert!(line("weights").contains("[\"Rock=3\", \"Jazz=0\"]"), "{out}");
    assert!(line("rescan_sec").ends_with("# from default"), "{out}");
    assert!(line("dir").ends_with("# from environment STATION_STATE_DIR"), "{out}");
    // Where the station runs must not matter, so what is meant is shown whole.
    assert_eq!(line("# music: "), format!("# music: {}, /c:d", folder.0.join("a b").display()));
    assert_eq!(line("# control: "), format!("# control: {}", folder.socket().display()));
    let again = folder.0.join("again.toml");
    fs::write(&again, &out).expect("written");
    let (code, out, err) = folder.run(&["config", "--check", "again.toml"]);
    assert_eq!((code, out.as_str()), (Some(0), "again.toml: ok\n"), "{err}");
    assert!(!folder.0.join("state").exists(), "looking makes no folder");
}

#[test]
fn i2_a_bad_configuration_is_exit_code_2_with_every_error() {
    let folder = Folder::new("bad");
    fs::write(folder.0.join("s.toml"), "[music]\nrescan_sec = 0\n[rotation]\nweights = [\"Rock\"]\n").expect("written");
    let calls: [&[&str]; 3] =
        [&["config", "--check", "s.toml"], &["run", "--config", "s.toml"], &["now", "--config", "s.toml"]];
    for args in calls {
        let (code, out, err) = folder.run(args);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}: {err}");
        assert!(err.contains("s.toml:2: music.rescan_sec is 0") && err.contains("s.toml:4: rotation.weights"), "{err}");
    }
}

#[test]
fn where_no_station_runs_that_is_said() {
    let folder = Folder::new("nobody");
    for left_over in [false, true] {
        if left_over {
            drop(UnixListener::bind(folder.socket()).expect("bound"));
        }
        for args in [&["now"][..], &["skip"], &["next", "a.mp3"], &["history"]] {
            let (code, out, err) = folder.run(args);
            assert_eq!((code, out.as_str()), (Some(1), ""), "{args:?}");
            assert!(err.contains("no station is running") && err.lines().count() == 1, "{err}");
        }
    }
}

#[test]
fn what_is_asked_arrives_and_what_is_answered_is_told() {
    let folder = Folder::new("asked");
    let skip = station(&folder, Ok(Answer::Skip));
    assert_eq!(folder.run(&["skip"]), (Some(0), "Skipped.\n".into(), String::new()));
    assert_eq!(skip.join().expect("asked"), "{\"command\":\"skip\"}\n");

    let scan = station(&folder, Ok(Answer::Scan));
    assert_eq!(folder.run(&["scan"]).0, Some(0));
    assert_eq!(Request::from_line(&scan.join().expect("asked")), Ok(Request::Scan));

    let file = FileName("/news.mp3".into());
    let entry = HistoryEntry { at_unix_ms: 0, title: "News".into(), artist: None, kind: TrackKind::Jingle, file };
    let history = Ok(Answer::History { entries: vec![entry] });
    let asked = station(&folder, history.clone());
    let (code, out, _) = folder.run(&["history", "--count", "7"]);
    assert!(code == Some(0) && out.ends_with("  jingle      News\n"), "{out}");
    assert_eq!(Request::from_line(&asked.join().expect("asked")), Ok(Request::History { count: 7 }));
    let asked = station(&folder, history.clone());
    assert_eq!(folder.run(&["history", "--json"]), (Some(0), reply_to_line(&history), String::new()));
    asked.join().expect("asked");

    let refused = station(&folder, Err("there is no music".into()));
    assert_eq!(folder.run(&["skip"]), (Some(1), String::new(), "station: there is no music\n".into()));
    refused.join().expect("asked");
}

/// A path goes out absolute and as it is, whatever its bytes.
#[test]
fn a_file_may_have_any_name() {
    let folder = Folder::new("names");
    for name in [&b"a b.mp3"[..], b"new\nline.mp3", b"broken \xff.mp3", b"-odd"] {
        let asked = station(&folder, Ok(Answer::Next));
        let output = folder.station(&["next", "--"]).arg(OsStr::from_bytes(name)).output().expect("station");
        assert_eq!(said(&output), (Some(0), "It comes next.\n".into(), String::new()));
        let file = FileName(folder.0.join(OsStr::from_bytes(name)));
        assert_eq!(Request::from_line(&asked.join().expect("asked")), Ok(Request::Next { file }));
    }
}

#[test]
fn somebody_else_at_the_socket_harms_nothing() {
    let folder = Folder::new("else");
    let replies: [&[u8]; 4] = [b"", b"hello\n", b"{\"ok\":true}\n", b"\xff\n"];
    for reply in replies {
        let other = answering(&folder, move |stream| stream.write_all(reply).expect("taken"));
        let (code, _, err) = folder.run(&["now"]);
        assert!(code == Some(1) && err.contains("is no station"), "{reply:?}: {err}");
        other.join().expect("asked");
    }
    // More than fits: it is let go, and its endless answer with it.
    let flood = answering(&folder, |stream| while stream.write_all(&[b'x'; 64 << 10]).is_ok() {});
    let (code, _, err) = folder.run(&["now"]);
    assert!(code == Some(1) && err.contains("is no station"), "{err}");
    flood.join().expect("asked");
    // It says nothing, or drips: five seconds in all, and not for each byte.
    let silent = answering(&folder, |stream| {
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
    });
    let (code, _, err) = folder.run(&["now"]);
    assert!(code == Some(1) && err.contains("has not answered within 5 s"), "{err}");
    silent.join().expect("asked");
}
