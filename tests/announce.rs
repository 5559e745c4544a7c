//! Found on the LAN: what a browser of mDNS sees of a tower, and that nothing else of the tower's depends on it.
//!
//! On a port of the test's own and on loopback, so that no network hears of it, and none is needed.

mod common;

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use common::{Setup, Tower, listener::Recorder};
use mdns_sd::{IfKind, Receiver, ResolvedService, ServiceDaemon, ServiceEvent};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const SOON: Duration = Duration::from_secs(20);
const SERVICE: &str = "_http._tcp.local.";

/// A UDP port that nobody has.
fn free_port() -> u16 {
    UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

fn tower(name: &str, mdns_port: u16) -> Setup {
    Setup::default()
        .env("TOWER_HOST", "0.0.0.0")
        .env("RETROWAVES_MDNS_PORT", mdns_port)
        .set(&format!("stream.name={name:?}"))
        .set("encoder.enabled=false")
}

/// What a browser of this machine sees.
struct Browser {
    daemon: ServiceDaemon,
    events: Receiver<ServiceEvent>,
}

impl Browser {
    fn start(mdns_port: u16) -> Self {
        let daemon = ServiceDaemon::new_with_port(mdns_port).expect("a browser");
        daemon.disable_interface(IfKind::All).expect("asked");
        daemon.enable_interface(IfKind::LoopbackV4).expect("asked");
        let events = daemon.browse(SERVICE).expect("it browses");
        Self { daemon, events }
    }

    fn wait_for<T>(&self, what: &str, is: impl Fn(ServiceEvent) -> Option<T>) -> T {
        let start = Instant::now();
        while start.elapsed() < SOON {
            if let Ok(event) = self.events.recv_timeout(Duration::from_millis(200))
                && let Some(found) = is(event)
            {
                return found;
            }
        }
        panic!("not within {SOON:?}: {what}");
    }

    fn wait_for_one(&self) -> Box<ResolvedService> {
        self.wait_for("a service", |event| match event {
            ServiceEvent::ServiceResolved(service) => Some(service),
            _ => None,
        })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.daemon.shutdown();
    }
}

/// Process ids of the towers' responders that are children of `tower`.
fn responder(tower: &Tower) -> Option<Pid> {
    let children = std::fs::read_dir(format!("/proc/{}/task", tower.pid()))
        .ok()?
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<i32> = children
        .flat_map(|line| line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    let is_responder = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.split(|byte| *byte == 0).nth(1) == Some(b"announce"))
    };
    pids.into_iter().find(is_responder).map(Pid::from_raw)
}

#[test]
fn w3_a_browser_finds_the_stream_by_its_name_and_sees_it_go_at_a_stop() {
    let port = free_port();
    let tower = tower("Radio \"Ü\" 1", port).start();
    tower.wait_for_log("found on the LAN: Radio", SOON);
    let browser = Browser::start(port);
    let found = browser.wait_for_one();
    assert_eq!(found.get_fullname(), format!("Radio \"Ü\" 1.{SERVICE}"));
    assert_eq!((found.get_port(), found.get_property_val_str("path")), (tower.port, Some("/stream")));
    let host = nix::unistd::gethostname().expect("a name").to_string_lossy().into_owned();
    let host = host.split('.').next().unwrap_or("").to_ascii_lowercase();
    assert!(found.get_hostname().to_ascii_lowercase().starts_with(&host), "{} of {host}", found.get_hostname());
    assert!(!found.get_addresses().is_empty());
    assert_eq!(tower.stop().0.code(), Some(0));
    let gone = browser.wait_for("its goodbye", |event| match event {
        ServiceEvent::ServiceRemoved(_, name) => Some(name),
        _ => None,
    });
    assert!(gone.starts_with("Radio"), "{gone}");
}

#[test]
fn w3_where_another_program_speaks_mdns_it_is_left_to_that_and_said_once() {
    let taken = UdpSocket::bind("0.0.0.0:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let tower = tower("Radio 2", port).start();
    tower.wait_for_log(
        &format!("found on the LAN: left to avahi-daemon, systemd-resolved or whoever else has UDP port {port}"),
        SOON,
    );
    assert_eq!(tower.log().matches("found on the LAN").count(), 1, "{}", tower.log());
    assert_eq!(tower.stop().0.code(), Some(0));
}

#[test]
fn w3_a_responder_that_is_killed_is_missed_by_nobody_on_air_and_one_that_hangs_keeps_no_stop() {
    let tower = tower("Radio 3", free_port()).start();
    tower.wait_for_log("found on the LAN: Radio 3", SOON);
    let recorder = Recorder::start(tower.port);
    kill(responder(&tower).expect("a responder"), Signal::SIGKILL).expect("it runs");
    std::thread::sleep(Duration::from_millis(500));
    assert!(responder(&tower).is_none(), "not at once again");
    recorder.stop().assert_no_break();
    drop(tower);

    let tower = self::tower("Radio 4", free_port()).start();
    tower.wait_for_log("found on the LAN: Radio 4", SOON);
    let hung = responder(&tower).expect("a responder");
    kill(hung, Signal::SIGSTOP).expect("it runs");
    let (ended, took) = tower.stop();
    assert!(ended.code() == Some(0) && took < Duration::from_secs(4), "{ended:?} after {took:?}");
    assert!(kill(hung, None).is_err(), "it is left behind");
}

#[test]
fn w3_a_door_that_is_open_to_this_machine_only_and_one_that_is_not_to_be_announced_are_not() {
    let port = free_port();
    for setup in
        [tower("Radio 5", port).env("TOWER_HOST", "127.0.0.1"), tower("Radio 5", port).env("TOWER_ANNOUNCE", "off")]
    {
        let tower = setup.start();
        tower.wait_until("on air", SOON, |status| status["frames_on_air"].as_u64() > Some(20));
        assert!(responder(&tower).is_none() && !tower.log().contains("LAN"), "{}", tower.log());
        assert_eq!(tower.stop().0.code(), Some(0));
    }
}
