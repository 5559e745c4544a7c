//! LOG through the `log` crate, as the whole program uses it. One test: the
//! logger is the process's own.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use retrowaves::{config::LogConfig, logging};

fn config(file: &Path, level: log::LevelFilter) -> LogConfig {
    LogConfig { file: file.to_owned(), level, syslog: false }
}

fn thread_names() -> Vec<String> {
    let threads = fs::read_dir("/proc/self/task").expect("threads");
    let names = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

#[test]
fn log2_the_log_starts_filters_stops_and_starts_again() {
    let folder = std::env::temp_dir().join(format!("retrowaves-logging-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("folder");
    let (first, second) = (folder.join("first.log"), folder.join("second.log"));
    let text = |path: &Path| fs::read_to_string(path).expect("a log");

    log::error!("before the log: nobody hears it, nothing breaks");
    let handle = logging::start("tower", &config(&first, log::LevelFilter::Info)).expect("started");
    log::info!("on air");
    log::debug!("not at this level");
    let named = std::thread::Builder::new().name("tower:pump".into());
    let thread = named.spawn(|| log::warn!("from a thread\nwith a line break"));
    thread.expect("thread").join().expect("joined");
    let stats = handle.stats();
    assert!(handle.stop());
    assert_eq!((stats.lines.get(), stats.dropped.get(), stats.lost.get()), (2, 0, 0));
    log::info!("after the log");

    let handle = logging::start("station", &config(&second, log::LevelFilter::Debug)).expect("started again");
    log::debug!("at this level");
    // A new thread takes its name itself, a moment after it was started.
    let give_up = Instant::now() + Duration::from_secs(10);
    while !thread_names().contains(&"station:log".to_owned()) {
        assert!(Instant::now() < give_up, "{:?}", thread_names());
    }
    assert!(handle.stop());

    let lines: Vec<String> = text(&first).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with(" on air") && lines[0].contains(" INFO  "), "{lines:?}");
    assert!(lines[1].ends_with(" WARN  tower:pump from a thread\\nwith a line break"), "{lines:?}");
    assert!(text(&second).ends_with(" at this level\n"));
    fs::remove_dir_all(&folder).expect("removed");
}
