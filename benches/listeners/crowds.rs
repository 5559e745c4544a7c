//! A crowd in a process of its own, told what to do line by line.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use crate::common::crowd::{Crowd, Heard, Look};

/// So many come in a second.
pub const PER_SEC: usize = 1000;
/// Icecast lets some wait for a long time.
const COMING: Duration = Duration::from_secs(12);

/// That process, from outside.
pub struct CrowdProcess {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl CrowdProcess {
    /// `look`: at frames; else bytes are counted.
    pub fn start(port: u16, look: bool) -> Self {
        let program = std::env::current_exe().expect("our own name");
        let mut child = Command::new(program)
            .args(["crowd", &port.to_string(), if look { "frames" } else { "bytes" }])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a crowd");
        let orders = child.stdin.take().expect("stdin");
        let answers = BufReader::new(child.stdout.take().expect("stdout"));
        Self { child, orders, answers }
    }

    /// Grows to so many, who all hear something then, or do not for a long time.
    pub fn grow_to(&mut self, count: usize) -> Heard {
        self.order(&format!("grow {count}"));
        self.answer()
    }

    /// What it hears while `what` happens.
    pub fn during<T>(&mut self, what: impl FnOnce() -> T) -> (T, Heard) {
        self.order("mark");
        self.answer();
        let result = what();
        self.order("heard");
        (result, self.answer())
    }

    fn order(&mut self, line: &str) {
        writeln!(self.orders, "{line}").expect("the crowd lives");
    }

    fn answer(&mut self) -> Heard {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).expect("what was heard")
    }
}

impl Drop for CrowdProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process itself; ends with its orders.
pub fn run(port: &str, look: &str) {
    let look = if look == "frames" { Look::Frames } else { Look::Bytes };
    let mut crowd = Crowd::new(port.parse().expect("a port"), look);
    // A crowd that others keep from looking would see gaps that are none.
    let _ = retrowaves::sys::thread::set_fifo(1);
    let (orders, ordered) = mpsc::channel();
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| orders.send(line).map_err(drop))
    });
    loop {
        match ordered.try_recv() {
            Ok(line) => {
                obey(&mut crowd, &line);
                println!("{}", serde_json::to_string(&crowd.heard()).expect("JSON"));
            }
            Err(mpsc::TryRecvError::Empty) => crowd.look(),
            Err(mpsc::TryRecvError::Disconnected) => return,
        }
    }
}

fn obey(crowd: &mut Crowd, line: &str) {
    match line.split_once(' ') {
        Some(("grow", count)) => {
            crowd.grow_to(count.parse().expect("a number"), PER_SEC);
            crowd.until_all_hear(COMING);
        }
        _ if line == "mark" => crowd.mark(),
        _ => {}
    }
}
