//! What is left after a stop (I1): nothing. In a process of its own, since threads are counted.

mod door_rig;

use std::time::{Duration, Instant};

use door_rig::*;

fn entries(path: &str) -> usize {
    std::fs::read_dir(path).expect(path).count()
}

#[test]
fn i1_no_thread_no_descriptor_and_no_socket_file_is_left() {
    let (threads, descriptors) = (entries("/proc/self/task"), entries("/proc/self/fd"));
    let mut rig = Rig::start();
    let listeners: Vec<_> = (0..5).map(|_| rig.listen()).collect();
    assert!(rig.status()["version"].is_string());
    assert!(entries("/proc/self/task") >= threads + 5);
    let start = Instant::now();
    rig.stop();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    for path in [rig.control_socket(), &rig.config.control.web_socket] {
        assert!(!path.exists(), "{}", path.display());
    }
    drop(listeners);
    // tiny_http's idle threads end by themselves, 5 s after the last request.
    wait_until("no thread is left", Duration::from_secs(7), || entries("/proc/self/task") <= threads);
    assert_eq!(entries("/proc/self/fd"), descriptors);
}
