//! Without descriptors (H9): newcomers are refused, listeners hear on. In a process of
//! its own, since the limit holds for all of it.

mod door_rig;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use door_rig::*;
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    time::TimeValLike,
};

fn cpu_ms() -> i64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).expect("usage");
    usage.user_time().num_milliseconds() + usage.system_time().num_milliseconds()
}

#[test]
fn h9_out_of_descriptors_refuses_the_newcomer_and_never_the_listeners() {
    let rig = Rig::start();
    let mut listener = rig.listen();
    let mut newcomers: Vec<TcpStream> = (0..30).map(|_| rig.connect()).collect();
    std::thread::sleep(Duration::from_millis(200));
    // What is open stays open; nothing more can be opened but by closing something.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limit");
    let open = std::fs::read_dir("/proc/self/fd").expect("descriptors").count() as u64;
    newcomers.truncate(28); // two for this test's own connections
    setrlimit(Resource::RLIMIT_NOFILE, open - 3, hard).expect("lowered");
    let (cpu_before, start) = (cpu_ms(), Instant::now());
    let mut refused = 0;
    while start.elapsed() < Duration::from_secs(1) {
        if let Ok(mut stream) = TcpStream::connect(rig.address) {
            stream.set_read_timeout(Some(Duration::from_millis(200))).expect("timeout");
            let _ = stream.write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let mut reply = String::new();
            let end = stream.read_to_string(&mut reply);
            refused += u32::from(!matches!(end, Ok(n) if n > 0) || reply.contains(" 503 "));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let heard = numbers(&read_frames(&mut listener, 80));
    let cpu_used = cpu_ms() - cpu_before;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("raised");
    assert_gapless(&heard);
    assert!(refused > 0, "the limit was never felt");
    assert!(cpu_used < 700, "{cpu_used} ms of CPU: it loops");
    drop(newcomers);
    assert!(rig.status()["version"].is_string(), "the control plane has survived");
    assert_gapless(&numbers(&read_frames(&mut rig.listen(), 20)));
}
