//! A real tower under test: started as a user would start it, listened to over
//! TCP, fed over its socket, asked over HTTP.
#![allow(dead_code)] // each test binary uses its part

pub mod card;
pub mod command;
pub mod crowd;
pub mod icecast;
pub mod icy;
pub mod joins;
pub mod listener;
pub mod live;
pub mod material;
pub mod pcm_sink;
pub mod processes;
pub mod programme;
pub mod sender;
pub mod sound;
pub mod stand_in;
pub mod station;
pub mod the_box;
pub mod witness;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::{net::UnixStream, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// A running tower with a folder and a port of its own.
pub struct Tower {
    child: Option<Child>,
    pub dir: PathBuf,
    pub port: u16,
}

/// How a tower is to be started.
#[derive(Default, Clone)]
pub struct Setup {
    pub sets: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Run it under this command (`setpriv …`, `prlimit …`).
    pub wrapper: Vec<String>,
    /// Its settings; none: where it looks by itself.
    pub config: Option<PathBuf>,
}

impl Setup {
    pub fn set(mut self, key_value: &str) -> Self {
        self.sets.push(key_value.to_owned());
        self
    }

    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn config(mut self, file: &Path) -> Self {
        self.config = Some(file.to_owned());
        self
    }

    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// The command line, without starting it.
    pub fn command(&self, dir: &Path) -> Command {
        let tower = env!("CARGO_BIN_EXE_tower");
        let mut words = self.wrapper.iter().map(String::as_str).chain([tower, "run"]);
        let mut command = Command::new(words.next().expect("a word"));
        command.args(words);
        command
            .env("TOWER_SOCKET_PATH", dir.join("pcm.sock"))
            .env("TOWER_CONTROL_SOCKET_PATH", dir.join("control.sock"))
            .env("TOWER_LOG_FILE", dir.join("tower.log"))
            .env("TOWER_HOST", "127.0.0.1")
            .env("TOWER_PORT", "0")
            // A stream that begins now, so that what is heard is as old as it seems.
            .env("TOWER_BURST_SEC", "0")
            // Only tests about slow starts are about slow starts: a busy machine is none.
            .env("TOWER_FFMPEG_STARTUP_TIMEOUT_MS", "20000")
            .envs(self.env.iter().cloned())
            .args(["--set", "log.syslog=false"])
            .args(self.sets.iter().flat_map(|set| ["--set", set]))
            .args(self.config.iter().flat_map(|file| ["--config".as_ref(), file.as_os_str()]))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }

    pub fn start(&self) -> Tower {
        self.start_in(temp_dir())
    }

    /// With the sockets and the log of a tower that was there before.
    pub fn start_in(&self, dir: PathBuf) -> Tower {
        let mut child = self.command(&dir).spawn().expect("the tower starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("http://")?.1.split_once("/stream")?.0.rsplit_once(':')?.1.parse().ok());
        // What else it prints is not lost to a broken pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let Some(port) = port else {
            panic!(
                "the tower did not say where to listen; its log:\n{}",
                std::fs::read_to_string(dir.join("tower.log")).unwrap_or_default()
            );
        };
        Tower { child: Some(child), dir, port }
    }
}

pub fn temp_dir() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let dir =
        std::env::temp_dir().join(format!("retrowaves-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed)));
    std::fs::create_dir_all(&dir).expect("temporary folder");
    dir
}

impl Tower {
    pub fn start() -> Self {
        Setup::default().start()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.as_ref().expect("running").id()).expect("pid"))
    }

    pub fn pcm_socket(&self) -> PathBuf {
        self.dir.join("pcm.sock")
    }

    pub fn control_socket(&self) -> PathBuf {
        self.dir.join("control.sock")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("tower.log")).unwrap_or_default()
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the tower lives");
    }

    /// `GET path`: status code and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("request");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("reply");
        let (head, body) = reply.split_once("\r\n\r\n").expect("a head");
        (head[9..12].parse().expect("a status"), body.to_owned())
    }

    /// Tells it what plays, as a station does; `at_frame` none: from now on.
    pub fn say(&self, artist: Option<&str>, title: &str, at_frame: Option<u64>) {
        let event = serde_json::json!({
            "event_type": "song_playing", "at_frame": at_frame, "metadata": {"artist": artist, "title": title}
        })
        .to_string();
        let mut control = UnixStream::connect(self.control_socket()).expect("control socket");
        let head = "POST /tower/events/ingest HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        let request = format!("{head}Content-Length: {}\r\n\r\n{event}", event.len());
        control.write_all(request.as_bytes()).expect("sent");
        let mut reply = String::new();
        control.read_to_string(&mut reply).expect("reply");
        assert!(reply.starts_with("HTTP/1.1 204 "), "{reply}");
    }

    pub fn status(&self) -> Value {
        let (code, body) = self.get("/status");
        assert_eq!(code, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// A number in `/status`, by path: `encoder/fillers`.
    pub fn figure(&self, path: &str) -> u64 {
        let status = self.status();
        status.pointer(&format!("/{path}")).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} in {status:#}"))
    }

    /// Where stations tell and ask.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn encoder_state(&self) -> String {
        self.status()["encoder"]["state"].as_str().expect("a state").to_owned()
    }

    pub fn encoder_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.figure("encoder/pid")).expect("pid"))
    }

    /// Waits until the status satisfies `what`.
    pub fn wait_until(&self, what: &str, within: Duration, mut done: impl FnMut(&Value) -> bool) {
        let start = Instant::now();
        loop {
            let status = self.status();
            if done(&status) {
                return;
            }
            assert!(start.elapsed() < within, "not within {within:?}: {what}\n{status:#}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn wait_for_log(&self, text: &str, within: Duration) {
        let start = Instant::now();
        while !self.log().contains(text) {
            assert!(start.elapsed() < within, "not logged within {within:?}: {text}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGTERM, and how it ended, within the shutdown timeout.
    pub fn stop(mut self) -> (ExitStatus, Duration) {
        self.end(Signal::SIGTERM)
    }

    /// Sends a signal that ends it, and waits; its folder stays until it is dropped.
    pub fn end(&mut self, signal: Signal) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.signal(signal);
        self.wait_for_its_end(start)
    }

    /// How it ended, and when, counted from `start`.
    pub fn wait_for_its_end(&mut self, start: Instant) -> (ExitStatus, Duration) {
        let mut child = self.child.take().expect("running");
        let status = loop {
            if let Some(status) = child.try_wait().expect("wait") {
                break status;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "it does not stop");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_ne!(status.signal(), Some(6), "aborted:\n{}", self.log());
        (status, start.elapsed())
    }
}

impl Drop for Tower {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
