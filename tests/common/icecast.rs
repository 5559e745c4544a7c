//! An Icecast, as a peer to compare with and as the relay's server: one of its own, in a folder of its own, with its ordinary limits
//! but for the number of clients.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::unistd::Pid;

use super::temp_dir;

/// A running Icecast.
pub struct Icecast {
    child: Child,
    dir: PathBuf,
    pub port: u16,
}

/// The FFmpeg that feeds it: paced, and with the tower's options for MP3.
pub struct Source(Child);

impl Icecast {
    pub fn is_installed() -> bool {
        Command::new("icecast2").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    }

    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        Self::start_on(port)
    }

    /// Where another one was before.
    pub fn start_on(port: u16) -> Self {
        let dir = temp_dir();
        // It gives up root, and still has to write its log.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).expect("permissions");
        let config = dir.join("icecast.xml");
        fs::write(&config, configuration(&dir.display().to_string(), port)).expect("write");
        let child = Command::new("icecast2")
            .arg("-c")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("icecast2");
        let icecast = Self { child, dir, port };
        icecast.wait_for("/status.xsl");
        icecast
    }

    pub fn pid(&self) -> Pid {
        pid_of(&self.child)
    }

    /// Puts a tone on air, and waits until it can be heard.
    pub fn feed(&self) -> Source {
        let child = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "sine=f=440:r=48000", "-ac", "2"])
            .args(["-c:a", "libmp3lame", "-b:a", "128k", "-reservoir", "0", "-write_xing", "0"])
            .args(["-id3v2_version", "0", "-flush_packets", "1", "-content_type", "audio/mpeg", "-f", "mp3"])
            .arg(format!("icecast://source:bench@127.0.0.1:{}/stream", self.port))
            .spawn()
            .expect("ffmpeg");
        let source = Source(child);
        self.wait_for("/stream");
        source
    }

    fn wait_for(&self, path: &str) {
        use std::io::{Read, Write};
        let start = Instant::now();
        let is_there = || -> std::io::Result<bool> {
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port))?;
            write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
            let mut head = [0; 12];
            stream.read_exact(&mut head)?;
            Ok(head.ends_with(b"200"))
        };
        while !is_there().unwrap_or(false) {
            assert!(start.elapsed() < Duration::from_secs(10), "icecast2 does not answer for {path}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Icecast {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Source {
    pub fn pid(&self) -> Pid {
        pid_of(&self.0)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a process id"))
}

fn configuration(dir: &str, port: u16) -> String {
    let owner = if nix::unistd::geteuid().is_root() {
        "<changeowner><user>nobody</user><group>nogroup</group></changeowner>"
    } else {
        ""
    };
    format!(
        "<icecast>
  <limits>
    <clients>20000</clients><sources>2</sources><queue-size>524288</queue-size>
    <client-timeout>30</client-timeout><header-timeout>15</header-timeout>
    <source-timeout>10</source-timeout><burst-size>65535</burst-size>
  </limits>
  <authentication><source-password>bench</source-password><admin-user>admin</admin-user><admin-password>bench</admin-password></authentication>
  <hostname>localhost</hostname>
  <listen-socket><port>{port}</port><bind-address>127.0.0.1</bind-address></listen-socket>
  <mount type=\"normal\"><mount-name>/live.mp3</mount-name><charset>UTF-8</charset></mount>
  <fileserve>1</fileserve>
  <paths>
    <basedir>/usr/share/icecast2</basedir><webroot>/usr/share/icecast2/web</webroot>
    <adminroot>/usr/share/icecast2/admin</adminroot><logdir>{dir}</logdir>
  </paths>
  <logging><accesslog>access.log</accesslog><errorlog>error.log</errorlog><loglevel>1</loglevel></logging>
  <security><chroot>0</chroot>{owner}</security>
</icecast>
"
    )
}
