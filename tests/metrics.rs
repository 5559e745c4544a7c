//! K5: `/metrics` of a real tower, judged by Prometheus' own tool.

mod common;

use std::{
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use common::Setup;

#[test]
fn k5_prometheus_own_tool_finds_nothing_wrong_and_the_figures_are_those_of_the_status() {
    let tower = Setup::default().start();
    tower.wait_until("frames go on air", Duration::from_secs(60), |status| {
        status["frames_on_air"].as_u64() > Some(50) && status["encoder"]["state"] == "RUNNING"
    });
    let before = tower.figure("frames_on_air");
    let (code, text) = tower.get("/metrics");
    let after = tower.figure("frames_on_air");
    assert_eq!(code, 200, "{text}");
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_else(|| panic!("{name} in\n{text}"))
    };
    #[allow(clippy::cast_precision_loss)] // a few hundred
    let (before, after) = (before as f64, after as f64);
    assert!((before..=after).contains(&value("tower_frames_on_air_total")), "{text}");
    assert!(value("tower_tick_lateness_seconds_count") >= before, "{text}");
    assert!(text.contains("tower_source{source=\"tone\"} 1\n"), "{text}");

    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    promtool.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
    let judged = promtool.wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&judged.stdout).into_owned() + &String::from_utf8_lossy(&judged.stderr);
    assert!(judged.status.success() && said.is_empty(), "{said}");
}
