//! The three programs that are compared, each with what it sends and from where.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::unistd::Pid;

use crate::common::{
    Setup, Tower,
    icecast::{Icecast, Source},
    processes::children_of,
};

/// A running server.
pub enum Server {
    Tower(Tower),
    Icecast(Icecast, Source),
    Floor(Child, u16),
}

impl Server {
    /// With its encoder on air; a batch in milliseconds, 0: its own.
    pub fn tower(batch_ms: u64) -> Self {
        let tower = Setup::default().set(&format!("stream.batch_ms={batch_ms}")).start();
        let running = |status: &serde_json::Value| status["encoder"]["spare_ready"] == true;
        tower.wait_until("the encoder and its spare are ready", Duration::from_secs(30), running);
        Self::Tower(tower)
    }

    pub fn icecast() -> Self {
        let icecast = Icecast::start();
        let source = icecast.feed();
        Self::Icecast(icecast, source)
    }

    pub fn floor(batch_ms: u64) -> Self {
        let program = std::env::current_exe().expect("our own name");
        let mut child = Command::new(program)
            .args(["floor", &batch_ms.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a floor");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("a port");
        Self::Floor(child, line.trim().parse().expect("a port"))
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Tower(_) => "tower",
            Self::Icecast(..) => "icecast",
            Self::Floor(..) => "floor",
        }
    }

    pub fn port(&self) -> u16 {
        match self {
            Self::Tower(tower) => tower.port,
            Self::Icecast(icecast, _) => icecast.port,
            Self::Floor(_, port) => *port,
        }
    }

    pub fn pid(&self) -> Pid {
        match self {
            Self::Tower(tower) => tower.pid(),
            Self::Icecast(icecast, _) => icecast.pid(),
            Self::Floor(child, _) => Pid::from_raw(i32::try_from(child.id()).expect("a process id")),
        }
    }

    /// The FFmpegs that encode for it; the tower's children.
    pub fn ffmpegs(&self) -> Vec<Pid> {
        match self {
            Self::Tower(tower) => children_of(tower.pid()).iter().map(|child| child.pid).collect(),
            Self::Icecast(_, source) => vec![source.pid()],
            Self::Floor(..) => Vec::new(),
        }
    }

    /// Its streams begin with a frame; Icecast's begin anywhere.
    pub fn is_framed(&self) -> bool {
        !matches!(self, Self::Icecast(..))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Self::Floor(child, _) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
