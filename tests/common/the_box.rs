//! A box in a folder: the card, the data partition, and what the kernel and systemd would be.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use super::{
    Setup,
    command::{bare, said},
    temp_dir,
};

/// Calls that change something on a disk, in the words of all processors.
const CALLS: [&str; 12] = [
    "write",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "chmod",
    "fchmodat",
];

/// Lets `one` be cut before each of the calls that it makes; `one` says whether it was.
pub fn at_every_cut(mut one: impl FnMut(&str, u32) -> bool) {
    for call in CALLS {
        (1..).take_while(|at| one(call, *at)).for_each(drop);
    }
}

/// Its folder goes when it is dropped.
pub struct TheBox {
    pub dir: PathBuf,
}

impl TheBox {
    /// Slot A runs; the owner's folder is empty.
    pub fn new() -> Self {
        let the_box = Self { dir: temp_dir() };
        for folder in ["card/retrowaves", "data/music", "data/state", "data/rauc", "bin"] {
            fs::create_dir_all(the_box.dir.join(folder)).expect("folder");
        }
        the_box.running("A");
        the_box.write("os-release", "NAME=Retrowaves\nIMAGE_VERSION=\"0.2.0\"\n");
        the_box.write("card/autoboot.txt", "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=2\n");
        the_box
    }

    /// What the kernel was started with.
    pub fn running(&self, slot: &str) {
        self.write("cmdline", format!("console=tty1 root=/dev/dm-0 rauc.slot={slot} quiet\n"));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.dir.join(name), content).expect("written");
    }

    /// One of the owner's files.
    pub fn owner(&self, name: &str, content: impl AsRef<[u8]>) {
        self.write(&format!("card/retrowaves/{name}"), content);
    }

    pub fn exists(&self, name: &str) -> bool {
        self.dir.join(name).exists()
    }

    /// Empty when it is not there.
    pub fn read(&self, name: &str) -> String {
        fs::read(self.dir.join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// A program of that name is found before the machine's own.
    pub fn stand_in(&self, name: &str, script: &str) {
        let path = self.dir.join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode");
    }

    /// `tower WORDS…` with this box's places; nothing is done yet.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = bare(env!("CARGO_BIN_EXE_tower"), words);
        let places = [
            ("--card", "card"),
            ("--data", "data"),
            ("--run", "run"),
            ("--cmdline", "cmdline"),
            ("--os-release", "os-release"),
            ("--hostname", "hostname"),
            ("--rauc-conf", "rauc.conf"),
        ];
        for (option, name) in places {
            command.arg(option).arg(self.dir.join(name));
        }
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.dir.join("bin").display()));
        command.env("RETROWAVES_VENDOR_DIR", vendor_dir());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it, and kills it as it is about to make its `at`th call of this kind; false: it had ended before.
    pub fn cut(&self, words: &[&str], call: &str, at: u32) -> bool {
        let whole = self.command(words);
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-o", "/dev/null", "-e", &format!("trace=?{call}"), "-e"]);
        strace.arg(format!("inject=?{call}:signal=SIGKILL:when={at}")).arg(whole.get_program()).args(whole.get_args());
        strace.env("RETROWAVES_VENDOR_DIR", vendor_dir());
        let output = strace.output().expect("strace (scripts/setup.sh test)");
        let killed = output.status.signal() == Some(9);
        assert!(killed || output.status.success(), "{words:?}: {:?}", said(&output));
        killed
    }

    /// Exit code, stdout, stderr.
    pub fn run(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let output: Output = self.command(words).output().expect("tower");
        said(&output)
    }

    /// `tower box apply`, which never fails for an owner's mistake; gives the report.
    pub fn apply(&self) -> Value {
        let (code, out, err) = self.run(&["box", "apply"]);
        assert_eq!(code, Some(0), "{out}{err}");
        serde_json::from_str(&self.read("run/report.json")).expect("report.json")
    }

    /// A tower with the settings that the box would have.
    pub fn tower(&self) -> Setup {
        let setup = Setup::default()
            .env("RETROWAVES_VENDOR_DIR", vendor_dir().display())
            .env("RETROWAVES_BOX_DIR", self.path("run").display());
        let settings = self.path("run/tower.toml");
        if settings.exists() { setup.config(&settings) } else { setup }
    }

    /// Every file below, with its content.
    pub fn snapshot(&self, below: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut open = vec![self.dir.join(below)];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(&path).expect("folder").map(|entry| entry.expect("entry").path()));
            } else {
                found.push((path.clone(), fs::read(&path).expect("file")));
            }
        }
        found.sort();
        found
    }
}

impl Drop for TheBox {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// The vendor's settings as they go into the image.
pub fn vendor_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("board/common")
}

/// What the report says about `file`, all of it; `kind` is "done", "note" or "mistake".
pub fn findings(report: &Value, file: &str, kind: &str) -> String {
    let findings = report["findings"].as_array().expect("findings").iter();
    let about = findings.filter(|finding| finding["file"].as_str().unwrap_or("") == file && finding["kind"] == kind);
    about.map(|finding| finding["text"].as_str().expect("text").to_owned() + "\n").collect()
}
