//! What a process uses, as the kernel counts it.
#![allow(dead_code)] // each bench uses its part

use std::{collections::BTreeMap, fs, thread::sleep, time::Duration, time::Instant};

use nix::unistd::Pid;

/// A process in a window of time.
pub struct Usage {
    /// Of one core: 0.01 is one per cent. Every thread that lived through the window.
    pub cpu: f64,
    pub rss_kib: u64,
    pub pss_kib: u64,
    /// Of its own, and of no file.
    pub anonymous_kib: u64,
    pub threads: Vec<Thread>,
}

/// One thread of it.
pub struct Thread {
    pub name: String,
    pub cpu: f64,
    /// Each time it slept and was woken.
    pub wakeups: f64,
}

impl Usage {
    /// Watches the process for as long as `window`.
    #[allow(clippy::cast_precision_loss)] // nanoseconds of a minute
    pub fn of(pid: Pid, window: Duration) -> Self {
        let (before, start) = (threads(pid), Instant::now());
        sleep(window);
        let (after, seconds) = (threads(pid), start.elapsed().as_secs_f64());
        let mut threads: Vec<Thread> = after
            .into_iter()
            .map(|(tid, (name, cpu_ns, wakeups))| {
                let (_, cpu_before, wakeups_before) = before.get(&tid).cloned().unwrap_or_default();
                Thread {
                    name,
                    cpu: (cpu_ns - cpu_before) as f64 / 1e9 / seconds,
                    wakeups: (wakeups - wakeups_before) as f64 / seconds,
                }
            })
            .collect();
        threads.sort_by(|a, b| b.cpu.total_cmp(&a.cpu));
        let memory = read(&format!("/proc/{pid}/smaps_rollup"));
        Self {
            cpu: threads.iter().map(|thread| thread.cpu).sum(),
            rss_kib: field(&memory, "Rss:"),
            pss_kib: field(&memory, "Pss:"),
            anonymous_kib: field(&memory, "Anonymous:"),
            threads,
        }
    }
}

/// CPU seconds of a process so far; none of one that has ended.
#[allow(clippy::cast_precision_loss)]
pub fn cpu_of(pid: Pid) -> f64 {
    threads(pid).values().map(|(_, cpu_ns, _)| *cpu_ns as f64 / 1e9).sum()
}

/// Name, nanoseconds on a core and voluntary switches of each thread.
fn threads(pid: Pid) -> BTreeMap<String, (String, u64, u64)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let figures = tasks.into_iter().flatten().filter_map(|task| {
        let path = task.ok()?.path();
        let file = |name: &str| fs::read_to_string(path.join(name)).ok();
        let cpu_ns = file("schedstat")?.split(' ').next()?.parse().ok()?;
        let wakeups = field(&file("status")?, "voluntary_ctxt_switches:");
        let tid = path.file_name()?.to_string_lossy().into_owned();
        Some((tid, (file("comm")?.trim().to_owned(), cpu_ns, wakeups)))
    });
    figures.collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let words = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
    words.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}
