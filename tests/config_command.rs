//! `tower` as a person meets it: output, exit codes, and nothing done by looking.

mod common;

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
    process::{Command, Stdio},
};

use common::command::{bare, said};

/// A folder of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("retrowaves-command-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("folder");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn tower(args: &[&str]) -> Command {
    bare(env!("CARGO_BIN_EXE_tower"), args)
}

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    said(&tower(args).output().expect("tower"))
}

#[test]
fn i4_config_prints_every_value_with_its_origin_and_where_the_sockets_are() {
    let folder = Folder::new("show");
    let file = folder.write("t.toml", "[stream]\nmax_clients = 5\n");
    let args = ["config", "--config", &file, "--set", "encoder.bitrate=64"];
    let (code, out, _) = said(&tower(&args).env("TOWER_PORT", "8123").output().expect("tower"));
    assert_eq!(code, Some(0));
    let line = |key: &str| out.lines().find(|line| line.starts_with(key)).unwrap_or("").to_owned();
    assert!(line("port").ends_with("# from environment TOWER_PORT"), "{out}");
    assert!(line("max_clients ").ends_with(&format!("# from {file}:2")), "{out}");
    assert!(line("bitrate").contains("\"64k\"") && line("bitrate").ends_with("# from --set"), "{out}");
    assert!(line("stall_ms").ends_with("# from default"), "{out}");
    assert!(line("# PCM in: ").ends_with("/pcm.sock") && line("# control: ").ends_with("/control.sock"), "{out}");
    // What is printed is a configuration: the same values again.
    let again = folder.write("again.toml", &out);
    let (code, _, err) = run(&["config", "--check", &again]);
    assert_eq!(code, Some(0), "{err}");
}

#[test]
fn i4_the_vendors_file_lies_between_the_defaults_and_the_file_and_is_named_as_origin() {
    let folder = Folder::new("vendor");
    let vendor =
        folder.write("tower.toml", "[http]\nport = 8001\n[stream]\nmax_clients = 11\n[fallback]\ntone_hz = 500\n");
    let file = folder.write("owner.toml", "[stream]\nmax_clients = 12\n");
    let with_vendor =
        |args: &[&str]| said(&tower(args).env("RETROWAVES_VENDOR_DIR", &folder.0).output().expect("tower"));
    let (code, out, err) = with_vendor(&["config", "--config", &file, "--set", "fallback.tone_hz=600"]);
    assert_eq!(code, Some(0), "{err}");
    let line = |key: &str| out.lines().find(|line| line.starts_with(key)).unwrap_or("").to_owned();
    assert!(line("# vendor's file: ").ends_with(&vendor), "{out}");
    assert!(line("port").contains("8001") && line("port").ends_with(&format!("# from {vendor}:2")), "{out}");
    assert!(line("max_clients ").ends_with(&format!("# from {file}:2")), "{out}");
    assert!(line("tone_hz").ends_with("# from --set") && line("stall_ms").ends_with("# from default"), "{out}");
    // Its errors count like everybody's, also when another file is checked.
    let vendor = folder.write("tower.toml", "[http]\nport = 99999\n");
    for args in [["config", "--config", &file], ["config", "--check", &file]] {
        let (code, _, err) = with_vendor(&args);
        assert!(code == Some(2) && err.contains(&format!("{vendor}:2: http.port is 99999")), "{err}");
    }
    // None is there: the defaults.
    fs::remove_file(&vendor).expect("removed");
    let (code, out, _) = with_vendor(&["config"]);
    assert!(code == Some(0) && !out.contains("vendor"), "{out}");
}

#[test]
fn i4_w3_the_boxs_own_settings_are_accepted_by_both_programs() {
    let vendor = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("board/common");
    for (program, key) in [(env!("CARGO_BIN_EXE_tower"), "start_in_grace"), (env!("CARGO_BIN_EXE_station"), "folders")]
    {
        let mut command = bare(program, &["config"]);
        let (code, out, err) = said(&command.env("RETROWAVES_VENDOR_DIR", &vendor).output().expect("program"));
        assert_eq!((code, err.as_str()), (Some(0), ""));
        let line = out.lines().find(|line| line.starts_with(key)).unwrap_or("");
        assert!(line.contains(&vendor.display().to_string()), "{out}");
    }
}

#[test]
fn i2_a_bad_file_is_exit_code_2_with_every_error() {
    let folder = Folder::new("bad");
    let file = folder.write("t.toml", "[http]\nport = 70000\n[stream]\nslow = 1\n");
    for args in [vec!["config", "--check", &file], vec!["config", "--config", &file], vec!["run", "--config", &file]] {
        let (code, out, err) = run(&args);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}: {err}");
        assert!(err.contains(":2: http.port is 70000") && err.contains(":4: stream.slow is 1"), "{err}");
    }
    let good = folder.write("good.toml", "[http]\nport = 7000\n");
    let (code, out, _) = run(&["config", "--check", &good]);
    assert_eq!((code, out), (Some(0), format!("{good}: ok\n")));
}

#[test]
fn i2_a_file_that_cannot_be_read_is_exit_code_2() {
    let folder = Folder::new("unreadable");
    let missing = folder.0.join("missing.toml").to_string_lossy().into_owned();
    let long = folder.write("long.toml", &"# long\n".repeat(10_000));
    let binary = folder.0.join("binary.toml");
    fs::write(&binary, b"[http]\n\xff\xfe\n").expect("written");
    let rows = [
        (missing.as_str(), "cannot be read: No such file"),
        (&long, "longer than 65536 bytes"),
        (&binary.to_string_lossy(), "line 2 is not UTF-8"),
        (&folder.0.to_string_lossy(), "cannot be read: Is a directory"),
    ];
    for (file, why) in rows {
        for args in [["config", "--config", file], ["config", "--check", file]] {
            let (code, _, err) = run(&args);
            assert!(code == Some(2) && err.contains(why), "{args:?}: {code:?} {err}");
        }
    }
}

#[test]
fn i2_wrong_arguments_are_exit_code_2_and_help_is_0() {
    for args in [vec!["fly"], vec!["run", "--port", "1"], vec!["probe"], vec!["--what"], vec!["status", "extra"]] {
        let (code, out, err) = run(&args);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}");
        assert!(err.starts_with("tower: ") && err.contains("--help"), "{err}");
    }
    let helps =
        [vec![], vec!["--help"], vec!["run", "-h"], vec!["config", "-h"], vec!["status", "-h"], vec!["probe", "-h"]];
    for args in helps {
        let (code, out, err) = run(&args);
        assert!(code == Some(0) && out.contains("Usage: tower") && err.is_empty(), "{args:?}: {err}");
    }
    assert_eq!(run(&["run", "--version"]).1, concat!("tower ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_reader_that_has_gone_is_no_panic() {
    let mut child = tower(&["config"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("tower");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ended");
    let (code, _, err) = said(&output);
    assert!(code == Some(0) && !err.contains("panicked"), "{code:?} {err}");
}

#[test]
fn looking_makes_no_folder() {
    let folder = Folder::new("look");
    let user = folder.0.join("user");
    fs::create_dir(&user).expect("user");
    let output = tower(&["config"]).env("XDG_RUNTIME_DIR", &user).env("TMPDIR", &user).output().expect("tower");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(fs::read_dir(&user).expect("user").count(), 0);
}

/// A server that gives these answers, one connection each.
fn server(answers: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("accepted");
            let mut head = [0; 2048];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

const STATUS: &str = r#"{"version":"0.1.0","uptime_sec":3725,"mode":"PROGRAM","source":"station","reason":"present",
 "title":"Blue\u001b[31m","artist":"Who","encoder":{"state":"RUNNING","restarts":1,"stalls":0,"desyncs":0,"fillers":7,
 "late_frames":0},"box":{"findings":[{"file":"wifi.txt","kind":"mistake","text":"names no network\nmore"},
 {"file":null,"kind":"note","text":"fine"}]},"listeners":{"now":3,"peak":4,"total":9,"dropped_slow":0,"rejected":0},"worst_gap_ms":30}"#;

#[test]
fn k2_status_is_exit_code_0_only_if_healthy() {
    let url = server(vec![answer("200 OK", "{}"), answer("200 OK", STATUS)]);
    let (code, out, err) = run(&["status", "--url", &url]);
    assert_eq!(code, Some(0), "{out}{err}");
    for part in [
        "healthy",
        "PROGRAM, station (present)",
        "Who: Blue?[31m",
        "7 fillers",
        "3 now",
        "1 h 2 min",
        "BOX        wifi.txt: names no network\n",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let sick = answer("503 Service Unavailable", r#"{"reasons":["encoder is DEGRADED","7 fillers"]}"#);
    let url = server(vec![sick, answer("200 OK", STATUS)]);
    let (code, out, _) = run(&["status", "--url", &url]);
    assert_eq!(code, Some(1));
    assert!(out.contains("NOT HEALTHY: encoder is DEGRADED; 7 fillers"), "{out}");
}

#[test]
fn k2_status_of_nobody_and_of_somebody_else_is_exit_code_1() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("address");
    let (code, _, err) = run(&["status", "--set", &format!("http.port={}", nobody.port())]);
    assert!(code == Some(1) && err.contains("is the tower running?"), "{err}");
    let url = server(vec![answer("200 OK", "hello"), answer("200 OK", "hello")]);
    let (code, _, err) = run(&["status", "--url", &url]);
    assert!(code == Some(1) && err.contains("is that a tower?"), "{err}");
    let flood = answer("200 OK", &"x".repeat(2 << 20));
    let (code, _, err) = run(&["status", "--url", &server(vec![flood])]);
    assert!(code == Some(1) && err.lines().count() == 1, "{err}");
    let (code, _, err) = run(&["status", "--set", "http.port=0"]);
    assert!(code == Some(2) && err.contains("--url"), "{err}");
}

#[test]
fn relay_the_printed_configuration_has_no_password() {
    let (code, out, _) = run(&["config", "--set", "relay.url=http://source:hackme@icecast.lan/live.mp3"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("url = \"http://icecast.lan:8000/live.mp3\"") && !out.contains("hackme"), "{out}");
    let pull =
        ["config", "--set", "pull.url=https://me:hackme@radio.lan/x?t=hidden", "--set", "input.order=station,relay"];
    let (code, out, _) = run(&pull);
    assert_eq!(code, Some(0));
    assert!(
        out.contains("url = \"https://radio.lan/x\"") && !out.contains("hackme") && !out.contains("hidden"),
        "{out}"
    );
    let (code, _, err) = run(&["config", "--set", "pull.url=ftp://me:hackme@radio.lan/x"]);
    assert!(code == Some(2) && err.contains("http:// or https://") && !err.contains("hackme"), "{err}");
    let (code, _, err) = run(&["config", "--set", "relay.url=http://source:hackme@icecast.lan"]);
    assert!(!err.contains("hackme"), "{err}");
    assert!(code == Some(2) && err.contains("http://USER:PASSWORD@HOST:PORT/MOUNT"), "{err}");
}
