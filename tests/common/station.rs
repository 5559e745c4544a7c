//! A real station under test: started as a user would start it, in a folder of its own, with or
//! without a tower; asked over its control socket.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use super::{
    processes::{Process, children_of},
    temp_dir,
};

/// Where nobody listens: a station without a tower.
pub const NO_TOWER: &str = "http://127.0.0.1:9";

/// How a station is to be started.
#[derive(Default, Clone)]
pub struct StationSetup {
    pub music: Vec<PathBuf>,
    pub sets: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Folder of state, socket and log; none: a new one, removed with the station.
    pub dir: Option<PathBuf>,
}

/// A running station.
pub struct Station {
    child: Option<Child>,
    pub dir: PathBuf,
    dir_is_ours: bool,
}

impl StationSetup {
    pub fn music(mut self, folder: &Path) -> Self {
        self.music.push(folder.to_owned());
        self
    }

    pub fn set(mut self, key_value: &str) -> Self {
        self.sets.push(key_value.to_owned());
        self
    }

    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.push((name.to_owned(), value.to_string()));
        self
    }

    /// State survives there: for a station that is started again.
    pub fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// The command line, without starting it.
    pub fn command(&self, dir: &Path, pcm_socket: &Path, tower_url: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_station"));
        command.arg("run");
        for folder in &self.music {
            command.arg("--music").arg(folder);
        }
        command
            .env("TOWER_SOCKET_PATH", pcm_socket)
            .env("TOWER_URL", tower_url)
            .env("STATION_STATE_DIR", dir.join("state"))
            .env("STATION_SOCKET_PATH", dir.join("station.sock"))
            .env("STATION_LOG_FILE", dir.join("station.log"))
            .envs(self.env.iter().cloned())
            .args(["--set", "log.syslog=false"])
            .args(self.sets.iter().flat_map(|set| ["--set", set]))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }

    /// Starts it and waits until it says that it plays.
    pub fn start(&self, pcm_socket: &Path, tower_url: &str) -> Station {
        let dir = self.dir.clone().unwrap_or_else(temp_dir);
        std::fs::create_dir_all(&dir).expect("folder");
        let mut child = self.command(&dir, pcm_socket, tower_url).spawn().expect("the station starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let plays = lines.by_ref().map_while(Result::ok).any(|line| line.contains("is playing"));
        // What else it prints is not lost to a broken pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let station = Station { child: Some(child), dir, dir_is_ours: self.dir.is_none() };
        assert!(plays, "the station did not say that it plays; its log:\n{}", station.log());
        station
    }
}

impl Station {
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.as_ref().expect("running").id()).expect("pid"))
    }

    /// Its FFmpegs.
    pub fn decoders(&self) -> Vec<Process> {
        children_of(self.pid()).into_iter().filter(Process::is_decoder).collect()
    }

    pub fn control_socket(&self) -> PathBuf {
        self.dir.join("station.sock")
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.join("station.log")).unwrap_or_default()).into_owned()
    }

    /// Lines of the log with all of these words.
    pub fn lines_with(&self, words: &[&str]) -> Vec<String> {
        let log = self.log();
        let lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word)));
        lines.map(str::to_owned).collect()
    }

    pub fn wait_for_log(&self, text: &str, within: Duration) {
        let start = Instant::now();
        while !self.log().contains(text) {
            assert!(start.elapsed() < within, "not logged within {within:?}: {text}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// One line of JSON to the control socket, one back.
    pub fn ask(&self, command: &Value) -> Value {
        let mut stream = UnixStream::connect(self.control_socket()).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
        stream.write_all(format!("{command}\n").as_bytes()).expect("asked");
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply).expect("answered");
        serde_json::from_str(&reply).unwrap_or_else(|error| panic!("{command}: {error}: {reply:?}"))
    }

    pub fn now(&self) -> Value {
        self.ask(&json!({"command": "now"}))
    }

    pub fn skip(&self) -> Value {
        self.ask(&json!({"command": "skip"}))
    }

    pub fn next(&self, file: &Path) -> Value {
        self.ask(&json!({"command": "next", "file": file.to_str().expect("UTF-8")}))
    }

    /// Waits until `now` satisfies `what`, and gives it.
    pub fn wait_until(&self, what: &str, within: Duration, mut done: impl FnMut(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let now = self.now();
            if done(&now) {
                return now;
            }
            assert!(start.elapsed() < within, "not within {within:?}: {what}\n{now:#}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the station lives");
    }

    pub fn lives(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("wait").is_none())
    }

    /// Sends a signal that ends it, and waits.
    pub fn end(&mut self, signal: Signal) -> (ExitStatus, Duration) {
        self.signal(signal);
        self.wait_for_its_end()
    }

    /// How it ended, and after how long a wait.
    pub fn wait_for_its_end(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        let mut child = self.child.take().expect("running");
        loop {
            if let Some(status) = child.try_wait().expect("wait") {
                return (status, start.elapsed());
            }
            if start.elapsed() > Duration::from_secs(40) {
                let _ = child.kill();
                panic!("it does not stop:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if self.dir_is_ours && !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
