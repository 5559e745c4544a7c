//! A tower that cannot start says why, once and clearly, and leaves nothing behind.

mod common;

use std::{
    fs,
    net::TcpListener,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use common::{Setup, temp_dir, witness::Witness};

/// Misuse: the operator has to change something that was written.
const MISUSE: Option<i32> = Some(2);
/// The machine has refused something.
const REFUSED: Option<i32> = Some(1);

/// What came of a start that must fail.
struct Failed {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs it to its end, which must come soon.
fn fails(command: &mut Command) -> Failed {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("tower");
    let start = Instant::now();
    while child.try_wait().expect("wait").is_none() {
        if start.elapsed() > Duration::from_secs(5) {
            child.kill().expect("it lives");
            panic!("it started: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("ended");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Failed { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// What is in a folder, but for the log and what the test itself has put there.
fn left_in(dir: &Path, ours: &[&str]) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("folder").map(|e| e.expect("entry").file_name());
    let names = entries.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name != "tower.log" && !ours.contains(&name.as_str())).collect()
}

/// One line: `tower: …`, with all of these words.
fn says_once(failed: &Failed, words: &[&str]) {
    let told: Vec<&str> = failed.stderr.lines().filter(|line| line.starts_with("tower: ")).collect();
    assert_eq!(told.len(), 1, "one message\n{}", failed.stderr);
    for word in words {
        assert!(told[0].contains(word), "{word:?} is missing: {}", failed.stderr);
    }
    assert_eq!(failed.stdout, "", "nothing is on air");
    assert!(!failed.stderr.contains("panicked"), "{}", failed.stderr);
}

/// For each kind of key: table, line, what is said to be wrong, and what to be allowed.
const BAD_VALUES: [(&str, &str, &str, &str); 24] = [
    ("http", "host = \"radio\"", "http.host is \"radio\"", "an IP address, such as \"::\""),
    ("http", "port = 65536", "http.port is 65536", "a whole number from 0 to 65535"),
    ("http", "port = -1", "http.port is -1", "a whole number from 0 to 65535"),
    ("http", "port = \"8000\"", "http.port is \"8000\"", "a whole number from 0 to 65535"),
    ("http", "port = 8000.5", "http.port is 8000.5", "a whole number from 0 to 65535"),
    ("stream", "slow = \"wait\"", "stream.slow is \"wait\"", "\"drop\" or \"skip\""),
    ("stream", "name = \"\"", "stream.name is \"\"", "one line of text, 1 to 100 bytes"),
    ("http", "prot = 8000", "unknown key http.prot", "did you mean http.port?"),
    ("htp", "port = 8000", "unknown table [htp]", "did you mean [http]?"),
    ("ingest", "socket = \"\"", "ingest.socket is \"\"", "a path of a file"),
    ("ingest", "frame_samples = 1025", "ingest.frame_samples is 1025", "1024 or 1152"),
    ("control", "loopback = 1", "control.loopback is 1", "true or false"),
    ("control", "hosts = [\"a b\"]", "control.hosts is [\"a b\"]", "host names, such as"),
    ("input", "grace_sec = 86401", "input.grace_sec is 86401", "seconds, with or without a fraction, up to 86400"),
    ("input", "grace_sec = nan", "input.grace_sec is not a finite number", "up to 86400"),
    (
        "input",
        "order = [\"station\", \"cd\"]",
        "input.order is [\"station\", \"cd\"]",
        "\"live\", \"station\" and \"relay\"",
    ),
    ("fallback", "tone_hz = 19", "fallback.tone_hz is 19", "0, or a whole number from 20 to 20000"),
    ("fallback", "file = 3", "fallback.file is 3", "a path, or \"\" for none"),
    ("encoder", "ffmpeg = \"\"", "encoder.ffmpeg is \"\"", "the name or path of a program"),
    ("encoder", "bitrate = \"129k\"", "encoder.bitrate is \"129k\"", "128, 160, 192"),
    ("encoder", "backoff_ms = []", "encoder.backoff_ms is []", "from 10 to 3600000"),
    ("encoder", "backoff_ms = [1]", "encoder.backoff_ms is [1]", "from 10 to 3600000"),
    ("log", "level = \"loud\"", "log.level is \"loud\"", "\"error\", \"warn\", \"info\""),
    ("log", "level = loud", "not valid TOML", ":3: "),
];

#[test]
fn i2_a_bad_value_of_each_kind_stops_it_with_file_line_key_and_what_is_allowed() {
    for (table, line, wrong, allowed) in BAD_VALUES {
        let dir = temp_dir();
        let file = dir.join("tower.toml");
        let at = if table == "htp" { 2 } else { 3 };
        fs::write(&file, format!("# a comment\n[{table}]\n{line}\n")).expect("file");
        let mut command = Setup::default().command(&dir);
        let failed = fails(command.arg("--config").arg(&file));
        assert_eq!(failed.code, MISUSE, "{line}: {}", failed.stderr);
        says_once(&failed, &[&format!("{}:{at}: ", file.display()), wrong, allowed]);
        assert_eq!(left_in(&dir, &["tower.toml"]), [""; 0], "{line}");
        assert!(!dir.join("tower.log").exists(), "{line}: it stops before anything starts");
        fs::remove_dir_all(&dir).expect("folder");
    }
}

#[test]
fn i2_i4_a_bad_variable_or_set_is_named_as_such() {
    let rows = [
        (Setup::default().env("TOWER_BITRATE", "13k"), ["environment TOWER_BITRATE", "encoder.bitrate is \"13k\""]),
        (Setup::default().env("TOWER_CUSHION_MS", "-1"), ["environment TOWER_CUSHION_MS", "from 0 to 3000"]),
        (Setup::default().env("TOWER_ENCODER_SPARE", "maybe"), ["environment TOWER_ENCODER_SPARE", "true or false"]),
        (Setup::default().env("TOWER_PCM_GRACE_SEC", "soon"), ["environment TOWER_PCM_GRACE_SEC", "seconds"]),
        (Setup::default().set("http.prot=1"), ["--set: unknown key http.prot", "did you mean http.port?"]),
        (Setup::default().set("http.port=x"), ["--set: http.port is \"x\"", "from 0 to 65535"]),
        (Setup::default().set("http.port"), ["--set http.port: write --set table.key=value", "http.port=8001"]),
    ];
    for (setup, words) in rows {
        let dir = temp_dir();
        let failed = fails(&mut setup.command(&dir));
        assert_eq!(failed.code, MISUSE, "{}", failed.stderr);
        says_once(&failed, &words);
        assert_eq!(left_in(&dir, &[]), [""; 0]);
        fs::remove_dir_all(&dir).expect("folder");
    }
}

/// The machine says no: exit code 1, one message, and the log says it too.
fn refused(setup: &Setup, dir: &Path, ours: &[&str], words: &[&str]) {
    let failed = fails(&mut setup.command(dir));
    assert_eq!(failed.code, REFUSED, "{}", failed.stderr);
    says_once(&failed, words);
    assert_eq!(left_in(dir, ours), [""; 0], "{}", failed.stderr);
    let log = fs::read_to_string(dir.join("tower.log")).unwrap_or_default();
    assert!(!log.contains("on air") && !log.contains("Started ffmpeg"), "{log}");
}

#[test]
fn i2_a_port_in_use_is_named_and_the_sockets_are_removed() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = taken.local_addr().expect("address").port();
    let dir = temp_dir();
    let words = [&*format!("port {port} on 127.0.0.1 is in use"), "http.port or TOWER_PORT"];
    refused(&Setup::default().env("TOWER_PORT", port), &dir, &[], &words);
    let log = fs::read_to_string(dir.join("tower.log")).expect("log");
    assert!(log.contains(&format!("ERROR main port {port} on 127.0.0.1 is in use")), "{log}");
    drop(taken);
    // An address of another machine.
    refused(&Setup::default().env("TOWER_HOST", "192.0.2.1"), &dir, &[], &["192.0.2.1", "no address of this machine"]);
    fs::remove_dir_all(&dir).expect("folder");
}

#[test]
fn i2_a_socket_folder_that_cannot_be_used() {
    let dir = temp_dir();
    fs::write(dir.join("file"), "").expect("file");
    // Not even root makes a folder below a file, or in /proc.
    for folder in [dir.join("file/run"), "/proc/retrowaves".into()] {
        let words = ["cannot make the folder of the socket", &folder.to_string_lossy()];
        for name in ["TOWER_SOCKET_PATH", "TOWER_CONTROL_SOCKET_PATH"] {
            let setup = Setup::default().env(name, folder.join("x.sock").display());
            refused(&setup, &dir, &["file"], &words);
        }
    }
    if nix::unistd::geteuid().is_root() {
        let theirs = temp_dir();
        nix::unistd::chown(&dir, Some(65_534.into()), None).expect("chown");
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        let setup = Setup::default().under(&nobody).env("TOWER_SOCKET_PATH", theirs.join("pcm.sock").display());
        refused(&setup, &dir, &["file"], &["pcm.sock: cannot ", "Permission denied"]);
        assert_eq!(left_in(&theirs, &[]), [""; 0]);
        fs::remove_dir_all(&theirs).expect("folder");
    }
    fs::remove_dir_all(&dir).expect("folder");
}

#[test]
fn i2_a_second_tower_on_the_same_sockets_is_refused_and_the_first_goes_on() {
    let witness = Witness::start();
    let first = Setup::default().start();
    let dir = temp_dir();
    for (name, socket) in
        [("TOWER_SOCKET_PATH", first.pcm_socket()), ("TOWER_CONTROL_SOCKET_PATH", first.control_socket())]
    {
        let words = [&*socket.to_string_lossy(), "somebody else runs and listens on this socket"];
        refused(&Setup::default().env(name, socket.display()), &dir, &[], &words);
        UnixStream::connect(&socket).expect("the first one answers");
    }
    let skipped = first.figure("ticks/skipped");
    assert_eq!(witness.stalls().excuse(0, skipped), Ok(()));
    assert_eq!(first.stop().0.code(), Some(0));
    fs::remove_dir_all(&dir).expect("folder");
}

#[test]
fn i2_a_file_in_the_place_of_a_socket_is_left_alone_and_a_stale_socket_is_replaced() {
    let dir = temp_dir();
    for (name, other) in [("pcm.sock", "control.sock"), ("control.sock", "pcm.sock")] {
        fs::write(dir.join(name), "precious").expect("file");
        refused(&Setup::default(), &dir, &[name], &[name, "this is not a socket; remove it, or choose another path"]);
        assert_eq!(fs::read_to_string(dir.join(name)).expect("it is there"), "precious");
        assert!(!dir.join(other).exists());
        fs::remove_file(dir.join(name)).expect("file");
    }
    // Nobody listens on it any more.
    drop(UnixListener::bind(dir.join("pcm.sock")).expect("bound"));
    assert!(dir.join("pcm.sock").exists());
    let setup = Setup::default().env("TOWER_SOCKET_PATH", dir.join("pcm.sock").display());
    let tower = setup.start();
    UnixStream::connect(dir.join("pcm.sock")).expect("the tower's own");
    assert_eq!(tower.stop().0.code(), Some(0));
    assert!(!dir.join("pcm.sock").exists());
    fs::remove_dir_all(&dir).expect("folder");
}

/// A fault of the log or of the fallback file is no reason to be silent.
#[test]
fn f2_log4_what_is_no_reason_to_stop_is_a_warning() {
    let dir = temp_dir();
    let file = dir.join("file");
    fs::write(&file, "").expect("file");
    let missing = dir.join("missing.mp3");
    let tower = Setup::default().env("TOWER_SILENCE_MP3_PATH", missing.display()).start();
    tower.wait_for_log(&missing.to_string_lossy(), Duration::from_secs(60));
    tower.wait_until("the tone", Duration::from_secs(60), |status| status["source"] == "tone");
    drop(tower);
    // A log that cannot be written: its folder is a file.
    let tower = Setup::default().env("TOWER_LOG_FILE", file.join("tower.log").display()).start();
    tower.wait_until("on air", Duration::from_secs(60), |status| status["encoder"]["state"] == "RUNNING");
    assert_eq!(tower.stop().0.code(), Some(0));
    fs::remove_dir_all(&dir).expect("folder");
}
