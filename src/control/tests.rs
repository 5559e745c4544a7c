//! The control plane without its sockets: routes, status, who may change what.

use std::sync::{Arc, atomic::Ordering::Relaxed, mpsc::Receiver};

use super::*;
use crate::{
    input::live::{LiveState, convert::SampleFormat},
    limits::{INPUT_PCM, MP3, TITLES_WAITING_MAX},
    meter::{Alarm, judge::AlarmName},
    pump::presence::Standing,
    relay::target::Target,
    ring::FrameRingBuffer,
    router::AudioInputRouter,
    stats::LiveWords,
};

fn plane(loopback_may_change: bool) -> ControlPlane {
    announcing(loopback_may_change).0
}

/// And what it announces.
fn announcing(loopback_may_change: bool) -> (ControlPlane, Receiver<Announcement>) {
    let sources = StatusSources {
        pump: Arc::default(),
        encoder: Arc::default(),
        listeners: Arc::default(),
        ingest: Arc::default(),
        router: Arc::new(AudioInputRouter::new(INPUT_PCM.frames_max)),
        mp3: Arc::new(FrameRingBuffer::new(MP3.frames_max, 960, MP3.when_full)),
        live: Arc::default(),
        live_device: None,
        meter: Default::default(),
        relay: None,
        box_report: None,
        started_ns: crate::sys::time::now_ns(),
    };
    let (titles, announced) = std::sync::mpsc::sync_channel(TITLES_WAITING_MAX);
    let plane = ControlPlane {
        health: Monitor::new("/nowhere".into(), sources.clone(), 384).board(),
        sources,
        hosts: HostRules::new("radio", &[]),
        loopback_may_change,
        playing: Mutex::default(),
        titles,
        frame_samples: 1024,
    };
    (plane, announced)
}

/// `/status` with no figure missing: a card runs, a relay pushes, an encoder and its spare live.
pub(super) fn full_status() -> serde_json::Value {
    let mut plane = plane(true);
    let sources = &mut plane.sources;
    sources.relay = Target::parse("http://source:x@host/mount").map(|target| (target, Arc::default()));
    let live = &sources.live;
    live.state.store(LiveState::Running as u8, Relaxed);
    for (figure, value) in [(&live.ppm, -12.0), (&live.queue_ms, 50.0), (&live.latency_ms, 185.0)] {
        figure.set(Some(value));
    }
    for sound in [&sources.meter.on_air, &sources.meter.live] {
        let loudness = [&sound.lufs_momentary, &sound.lufs_short, &sound.lufs_integrated];
        sound.peak_dbfs.iter().chain(&sound.rms_dbfs).chain(loudness).for_each(|figure| figure.set(Some(-20.0)));
    }
    sources.encoder.pid.store(1, Relaxed);
    sources.encoder.spare_pid.store(2, Relaxed);
    json(&plane.answer(get("/status")))
}

fn get(path: &str) -> Asked<'_> {
    Asked { method: "GET", path, from: Origin::Remote, host: Some("radio.local:8000"), origin: None, body: b"" }
}

fn json(answer: &Answer) -> serde_json::Value {
    serde_json::from_str(&answer.body).expect("JSON")
}

#[test]
fn k2_status_has_everything_that_is_promised() {
    let answer = plane(true).answer(get("/status"));
    assert_eq!(answer.status, 200);
    let status = json(&answer);
    for pointer in [
        "/version",
        "/uptime_sec",
        "/mode",
        "/source",
        "/reason",
        "/title",
        "/artist",
        "/alarms",
        "/levels/peak_dbfs/1",
        "/levels/rms_dbfs/1",
        "/levels/lufs_momentary",
        "/levels/lufs_short",
        "/levels/lufs_integrated",
        "/levels/clipped",
        "/live/state",
        "/encoder/state",
        "/encoder/pid",
        "/encoder/restarts",
        "/encoder/stalls",
        "/encoder/desyncs",
        "/encoder/fillers",
        "/encoder/late_frames",
        "/encoder/recovery_ms/median",
        "/encoder/recovery_ms/worst",
        "/pcm_buffer/fill",
        "/pcm_buffer/capacity",
        "/pcm_buffer/count",
        "/pcm_buffer/overflow_count",
        "/pcm_buffer/ratio",
        "/mp3_buffer/count",
        "/mp3_buffer/capacity",
        "/listeners/now",
        "/listeners/peak",
        "/listeners/total",
        "/listeners/dropped_slow",
        "/listeners/rejected",
        "/ticks/count",
        "/ticks/late",
        "/ticks/skipped",
        "/ticks/underruns",
        "/ticks/lateness_us/p50",
        "/ticks/lateness_us/p99",
        "/ticks/lateness_us/p999",
        "/ticks/lateness_us/max",
        "/worst_gap_ms",
    ] {
        assert!(status.pointer(pointer).is_some(), "{pointer} is missing");
    }
    assert_eq!((&status["encoder"]["state"], &status["encoder"]["pid"]), (&"STOPPED".into(), &serde_json::Value::Null));
}

#[test]
fn k2_v3_the_card_in_the_status_with_and_without_one() {
    let mut plane = plane(true);
    plane.sources.live_device = Some("hw:CARD=Desk".into());
    let live = plane.sources.live.clone();
    *live.words.lock().expect("one thread") =
        LiveWords { pcm: "hw:CARD=Desk,DEV=0".into(), name: "Desk, USB Audio".into(), error: "no such device".into() };
    live.rate_hz.store(44_100, Relaxed);
    live.channels.store(2, Relaxed);
    live.format.store(SampleFormat::S24Le3 as u8, Relaxed);
    live.period_frames.store(256, Relaxed);
    live.buffer_frames.store(2048, Relaxed);
    live.real_time.store(true, Relaxed);
    live.ppm.set(Some(-12.3));
    live.queue_ms.set(Some(96.5));
    live.latency_ms.set(Some(850.0));
    live.xruns.add(3);
    live.losses.add(1);
    live.restarts.add(2);
    live.state.store(LiveState::Waiting as u8, Relaxed);
    let none = serde_json::Value::Null;
    let counted = serde_json::json!({
        "device": "hw:CARD=Desk", "pcm": "hw:CARD=Desk,DEV=0", "name": "Desk, USB Audio", "standing": "absent",
        "real_time": true, "xruns": 3, "losses": 1, "restarts": 2, "overflows": 0,
        "peak_dbfs": [none, none], "rms_dbfs": [none, none],
        "lufs_momentary": none, "lufs_short": none, "lufs_integrated": none, "clipped": 0,
    });
    let mut waiting = serde_json::json!({
        "state": "waiting", "error": "no such device", "rate": none, "channels": none, "format": none,
        "period_frames": none, "buffer_frames": none, "ppm": none, "queue_ms": none, "latency_ms": none,
    });
    waiting.as_object_mut().expect("object").extend(counted.as_object().expect("object").clone());
    assert_eq!(json(&plane.answer(get("/status")))["live"], waiting);

    live.words.lock().expect("one thread").error.clear();
    live.state.store(LiveState::Running as u8, Relaxed);
    plane.sources.pump.live.store(Standing::Present as u8, Relaxed);
    plane.sources.meter.live.peak_dbfs[1].set(Some(-3.25));
    let mut running = serde_json::json!({
        "state": "running", "error": none, "rate": 44_100, "channels": 2, "format": "S24_3LE",
        "period_frames": 256, "buffer_frames": 2048, "ppm": -12.3, "queue_ms": 96.5, "latency_ms": 850.0,
    });
    running.as_object_mut().expect("object").extend(counted.as_object().expect("object").clone());
    running["standing"] = "present".into();
    running["peak_dbfs"][1] = (-3.25).into();
    assert_eq!(json(&plane.answer(get("/status")))["live"], running);
}

#[test]
fn k2_alarms_and_levels_in_the_status() {
    let plane = plane(true);
    let status = json(&plane.answer(get("/status")));
    let none = serde_json::Value::Null;
    assert_eq!(status["alarms"], serde_json::json!([]));
    assert_eq!(
        status["levels"],
        serde_json::json!({
            "peak_dbfs": [none, none], "rms_dbfs": [none, none],
            "lufs_momentary": none, "lufs_short": none, "lufs_integrated": none, "clipped": 0,
        })
    );
    let meter = &plane.sources.meter;
    meter.on_air.rms_dbfs[0].set(Some(-23.01));
    meter.on_air.clipped.add(7);
    let since_ns = crate::sys::time::now_ns().saturating_sub(12_500_000_000);
    meter.alarms.set(&[Alarm { name: AlarmName::OnAirSilence, text: "a sentence".into(), since_ns }]);
    let status = json(&plane.answer(get("/status")));
    assert_eq!(
        status["alarms"],
        serde_json::json!([{"alarm": "on_air_silence", "text": "a sentence", "since_sec": 12}])
    );
    assert_eq!(status["levels"]["rms_dbfs"], serde_json::json!([-23.01, none]));
    assert_eq!(status["levels"]["clipped"], 7);
}

#[test]
fn k2_a_tower_that_was_not_watched_yet_is_not_called_healthy() {
    let answer = plane(true).answer(get("/healthz"));
    assert_eq!(answer.status, 503);
    assert_eq!(json(&answer)["reasons"][0], "not watched yet");
}

#[test]
fn k4_routes_as_a_table() {
    let table = [
        ("GET", "/", 404, None),
        ("POST", "/metrics", 405, Some("GET, HEAD")),
        ("GET", "/events", 404, None),
        ("HEAD", "/status", 200, None),
        ("POST", "/status", 405, Some("GET, HEAD")),
        ("DELETE", "/healthz", 405, Some("GET, HEAD")),
        ("GET", "/tower/events/ingest", 405, Some("POST")),
    ];
    for (method, path, status, allow) in table {
        let answer = plane(true).answer(Asked { method, ..get(path) });
        assert_eq!((answer.status, answer.allow), (status, allow), "{method} {path}");
        assert!(status == 200 || json(&answer)["error"].is_string(), "{}", answer.body);
    }
}

#[test]
fn k3_who_may_send_events_as_a_table() {
    let event = br#"{"event_type":"song_playing","metadata":{"title":"T","artist":"A"}}"#;
    let page = Some("http://radio.local:8000");
    let evil = Some("http://evil.example");
    let table = [
        (Origin::ControlSocket, true, None, 204),
        (Origin::ControlSocket, false, None, 204),
        (Origin::Loopback, true, None, 204),
        (Origin::Loopback, true, page, 204),
        (Origin::Loopback, true, evil, 403),
        (Origin::Loopback, true, Some("null"), 403),
        (Origin::Loopback, false, None, 403),
        (Origin::Remote, true, None, 403),
    ];
    for (from, loopback, origin, status) in table {
        let plane = plane(loopback);
        let answer = plane.answer(Asked { method: "POST", from, origin, body: event, ..get("/tower/events/ingest") });
        assert_eq!(answer.status, status, "{from:?} {loopback} {origin:?}: {}", answer.body);
        let title = json(&plane.answer(get("/status")))["title"].clone();
        assert_eq!(title.as_str(), (status == 204).then_some("T"));
    }
}

#[test]
fn k4_a_foreign_host_name_is_refused_but_on_the_control_socket() {
    let asked = |from, host| Asked { from, host, ..get("/status") };
    let table = [
        (Origin::Remote, Some("evil.example"), 403),
        (Origin::Loopback, Some("evil.example"), 403),
        (Origin::ControlSocket, Some("anything"), 200),
        (Origin::Remote, Some("192.168.1.7:8000"), 200),
        (Origin::Remote, None, 200), // HTTP/1.0: no browser
    ];
    for (from, host, status) in table {
        assert_eq!(plane(true).answer(asked(from, host)).status, status, "{from:?} {host:?}");
    }
}

/// Titles travel with the sound: each is announced for its frame in the station's queue.
#[test]
fn h6_k3_a_title_is_announced_for_the_frame_that_it_begins_with() {
    let (plane, announced) = announcing(true);
    let router = plane.sources.router.clone();
    let says = |event: &str| {
        let asked = Asked {
            method: "POST",
            from: Origin::ControlSocket,
            body: event.as_bytes(),
            ..get("/tower/events/ingest")
        };
        plane.answer(asked).status
    };
    let silence = crate::frame::PumpFrame::SILENCE;
    for _ in 0..10 {
        router.push_frame(InputId::Station, &silence);
    }
    router.open(InputId::Station);
    let both = r#""metadata":{"artist":"A","title":"B"}"#;
    assert_eq!(says(&format!(r#"{{"event_type":"song_playing","at_frame":9,{both}}}"#)), 204);
    assert_eq!(says(&format!(r#"{{"event_type":"song_playing",{both}}}"#)), 204);
    assert_eq!(says(r#"{"event_type":"segment_playing","metadata":{"title":"B"}}"#), 204);
    assert_eq!(says(r#"{"event_type":"segment_playing","metadata":{}}"#), 204);
    assert_eq!(says(r#"{"event_type":"station_shutdown"}"#), 204);
    let said: Vec<_> = announced.try_iter().map(|said| (said.from, said.text)).collect();
    // Nine frames of 1024 samples are eight of 1152, behind the ten of the stream before.
    let expected = [(Some(18), Some("A - B")), (None, Some("A - B")), (None, Some("B")), (None, None)];
    assert_eq!(said, expected.map(|(from, text)| (from, text.map(str::to_owned))));
    for _ in 0..TITLES_WAITING_MAX {
        assert_eq!(says(r#"{"event_type":"segment_playing","metadata":{"title":"flood"}}"#), 204);
    }
    assert_eq!(says(r#"{"event_type":"segment_playing","metadata":{"title":"one more"}}"#), 503);
}
