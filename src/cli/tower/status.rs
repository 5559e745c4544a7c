//! `tower status`: asks a running tower over HTTP and says how it is.
//!
//! Time and size of every answer are bounded: it may be any server at all.

use std::{fmt::Write, net::IpAddr, time::Duration};

use serde_json::Value;
use ureq::Agent;

use crate::{
    cli::{Exit, plain},
    config::HttpConfig,
    limits::WEB_REPLY_BYTES_MAX,
};

const TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Port 0: only the log knows.
    #[error("http.port is 0 (any free port): say --url URL; the tower's log has the port")]
    NoPort,
    /// No answer.
    #[error("{url}: no answer: {source}; is the tower running?")]
    NoAnswer {
        /// What was asked.
        url: String,
        /// Why not.
        source: ureq::Error,
    },
    /// An answer, but not a tower's.
    #[error("{url}: answers with {status} and no status; is that a tower?")]
    NotATower {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
    },
}

/// The tower of this machine.
///
/// # Errors
/// When any free port is configured, so that nobody but the tower knows it.
pub fn local_url(http: &HttpConfig) -> Result<String, StatusError> {
    let port = Some(http.port).filter(|port| *port != 0).ok_or(StatusError::NoPort)?;
    Ok(match http.host.parse::<IpAddr>() {
        Ok(IpAddr::V4(host)) if !host.is_unspecified() => format!("http://{host}:{port}"),
        Ok(IpAddr::V6(host)) if !host.is_unspecified() => format!("http://[{host}]:{port}"),
        _ => format!("http://127.0.0.1:{port}"),
    })
}

/// Asks the tower at `url`: the summary, and `Exit::Ok` only if it is healthy.
///
/// # Errors
/// When it does not answer, or is no tower.
pub fn status(url: &str) -> Result<(String, Exit), StatusError> {
    let agent = agent(TIMEOUT);
    let base = url.trim_end_matches('/');
    let (health_code, health) = get(&agent, &format!("{base}/healthz"))?;
    let (status_code, status) = get(&agent, &format!("{base}/status"))?;
    match status {
        Some(status) if status.get("mode").is_some() => {
            let healthy = health_code == 200;
            let exit = if healthy { Exit::Ok } else { Exit::Failure };
            Ok((summary(base, &status, healthy, health.as_ref()), exit))
        }
        _ => Err(StatusError::NotATower { url: base.to_owned(), status: status_code }),
    }
}

/// The tower at `url` answers, and is healthy (K2).
pub(super) fn is_healthy(url: &str) -> bool {
    let url = format!("{}/healthz", url.trim_end_matches('/'));
    get(&agent(TIMEOUT), &url).is_ok_and(|(code, _)| code == 200)
}

/// What asks: a whole answer takes this long at most.
pub(super) fn agent(timeout: Duration) -> Agent {
    Agent::config_builder()
        .timeout_global(Some(timeout))
        .timeout_resolve(Some(CONNECT_TIMEOUT))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(timeout))
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into()
}

/// The HTTP status, and the body if it is JSON.
pub(super) fn get(agent: &Agent, url: &str) -> Result<(u16, Option<Value>), StatusError> {
    let no_answer = |source| StatusError::NoAnswer { url: url.to_owned(), source };
    let mut response = agent.get(url).call().map_err(no_answer)?;
    let limit = u64::try_from(WEB_REPLY_BYTES_MAX).unwrap_or(u64::MAX);
    let body = response.body_mut().with_config().limit(limit).read_to_vec().map_err(no_answer)?;
    Ok((response.status().as_u16(), serde_json::from_slice(&body).ok()))
}

/// What a person asks first, in a few lines. What a tower does not tell is "?".
fn summary(url: &str, status: &Value, healthy: bool, health: Option<&Value>) -> String {
    let at = |pointer: &str| word(status.pointer(pointer));
    let mut out = String::new();
    let health = if healthy { "healthy".to_owned() } else { format!("NOT HEALTHY: {}", reasons(health)) };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{url}  {health}");
    let _ = writeln!(out, "on air     {}, {} ({})", at("/mode"), at("/source"), at("/reason"));
    for alarm in status["alarms"].as_array().into_iter().flatten() {
        let at = |key: &str| word(alarm.get(key));
        let _ = writeln!(out, "ALARM      {} for {} s: {}", at("alarm"), at("since_sec"), at("text"));
    }
    for mistake in status["box"]["findings"].as_array().into_iter().flatten().filter(|one| one["kind"] == "mistake") {
        let text = mistake["text"].as_str().and_then(|text| text.lines().next()).unwrap_or("?");
        let _ =
            writeln!(out, "BOX        {}", plain(&format!("{}: {text}", mistake["file"].as_str().unwrap_or("box"))));
    }
    if let Some(title) = status["title"].as_str() {
        let artist = status["artist"].as_str().map(|artist| format!("{artist}: ")).unwrap_or_default();
        let _ = writeln!(out, "title      {}", plain(&format!("{artist}{title}")));
    }
    let _ = writeln!(out, "levels     {}", levels(&status["levels"]));
    if status["live"]["device"].is_string() {
        let _ = writeln!(out, "live       {}", live(&status["live"]));
    }
    if status["pull"].is_object() {
        let _ = writeln!(out, "pull       {}", pull(&status["pull"]));
    }
    let _ = writeln!(
        out,
        "encoder    {}, {} restarts, {} stalls, {} desyncs, {} fillers, {} late frames",
        at("/encoder/state"),
        at("/encoder/restarts"),
        at("/encoder/stalls"),
        at("/encoder/desyncs"),
        at("/encoder/fillers"),
        at("/encoder/late_frames"),
    );
    let _ = writeln!(
        out,
        "listeners  {} now, {} peak, {} in all, {} dropped slow, {} rejected",
        at("/listeners/now"),
        at("/listeners/peak"),
        at("/listeners/total"),
        at("/listeners/dropped_slow"),
        at("/listeners/rejected"),
    );
    let _ = writeln!(
        out,
        "ticks      {}, {} late, {} skipped, {} underruns; p99.9 {} us late; worst gap {} ms",
        at("/ticks/count"),
        at("/ticks/late"),
        at("/ticks/skipped"),
        at("/ticks/underruns"),
        at("/ticks/lateness_us/p999"),
        at("/worst_gap_ms"),
    );
    let _ = writeln!(
        out,
        "buffers    PCM {} of {}, MP3 {} of {}",
        at("/pcm_buffer/count"),
        at("/pcm_buffer/capacity"),
        at("/mp3_buffer/count"),
        at("/mp3_buffer/capacity"),
    );
    let _ = writeln!(out, "up         {}, version {}", uptime(status), at("/version"));
    out
}

/// "RMS -23.0 -23.1, peak -20.0 -20.1 dBFS; -20.0 LUFS, -20.1 in the last hour"; what is silent is "-".
fn levels(levels: &Value) -> String {
    let at = |pointer: &str| match levels.pointer(pointer) {
        Some(Value::Number(level)) => format!("{:.1}", level.as_f64().unwrap_or_default()),
        Some(_) => "-".to_owned(),
        None => "?".to_owned(),
    };
    format!(
        "RMS {} {}, peak {} {} dBFS; {} LUFS, {} in the last hour",
        at("/rms_dbfs/0"),
        at("/rms_dbfs/1"),
        at("/peak_dbfs/0"),
        at("/peak_dbfs/1"),
        at("/lufs_short"),
        at("/lufs_integrated"),
    )
}

/// A card that runs, or why none does.
fn live(live: &Value) -> String {
    let at = |key: &str| word(live.get(key));
    if live["state"] != "running" {
        return format!("{}: {}, {}", at("state"), at("device"), at("error"));
    }
    format!(
        "{}, {}: {} Hz, {} ppm, {} ms queued, {} xruns; {}",
        at("standing"),
        at("name"),
        at("rate"),
        at("ppm"),
        at("queue_ms"),
        at("xruns"),
        levels(live),
    )
}

/// The stream that is pulled in as an input: its sound comes, or why it does not.
fn pull(pull: &Value) -> String {
    let at = |key: &str| word(pull.get(key));
    let error = pull["error"].as_str().map(|error| format!(": {}", plain(error))).unwrap_or_default();
    let queue_ms = pull["queue_ms"].as_f64().unwrap_or_default();
    format!(
        "{}, {}, {}: {queue_ms:.0} ms queued, {} restarts{error}",
        at("standing"),
        at("state"),
        at("url"),
        at("restarts")
    )
}

fn word(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "?".into(),
        Some(Value::String(text)) => plain(text),
        Some(other) => other.to_string(),
    }
}

fn reasons(health: Option<&Value>) -> String {
    let list = health.and_then(|health| health.get("reasons")).and_then(Value::as_array);
    let reasons: Vec<String> = list.into_iter().flatten().map(|reason| word(Some(reason))).collect();
    match health.and_then(|health| health.get("error")) {
        Some(error) if reasons.is_empty() => word(Some(error)),
        None if reasons.is_empty() => "no reason given".into(),
        _ => reasons.join("; "),
    }
}

fn uptime(status: &Value) -> String {
    let Some(seconds) = status["uptime_sec"].as_f64() else {
        return "?".into();
    };
    let Ok(time) = Duration::try_from_secs_f64(seconds) else {
        return "?".into();
    };
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {} s", seconds % 60),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The lines of the summary that begin with one of these words.
    fn lines(status: &Value, words: &[&str]) -> Vec<String> {
        let all = summary("http://tower", status, true, None);
        all.lines().filter(|line| words.iter().any(|word| line.starts_with(word))).map(str::to_owned).collect()
    }

    #[test]
    fn k2_alarms_levels_and_the_card_are_lines_of_the_summary() {
        let levels = json!({"peak_dbfs": [-20.0, null], "rms_dbfs": [-23.01, null],
            "lufs_momentary": -23.0, "lufs_short": -23.04, "lufs_integrated": null, "clipped": 0});
        let mut status = json!({"mode": "PROGRAM", "alarms": [], "levels": levels,
            "live": {"state": "off", "device": null}});
        let words = ["ALARM", "levels", "live"];
        let said = "levels     RMS -23.0 -, peak -20.0 - dBFS; -23.0 LUFS, - in the last hour";
        assert_eq!(lines(&status, &words), [said]);

        status["alarms"] = json!([{"alarm": "live_lost", "text": "it does not run", "since_sec": 7}]);
        status["live"] = json!({"state": "waiting", "device": "hw:CARD=Desk", "error": "no such device"});
        let expected =
            ["ALARM      live_lost for 7 s: it does not run", said, "live       waiting: hw:CARD=Desk, no such device"];
        assert_eq!(lines(&status, &words), expected);

        status["live"] = levels;
        for (key, value) in [
            ("state", json!("running")),
            ("device", json!("hw:1")),
            ("standing", json!("present")),
            ("name", json!("Desk")),
            ("rate", json!(44_100)),
            ("ppm", json!(-12.3)),
            ("queue_ms", json!(96.5)),
            ("xruns", json!(0)),
        ] {
            status["live"][key] = value;
        }
        let expected = "live       present, Desk: 44100 Hz, -12.3 ppm, 96.5 ms queued, 0 xruns; RMS -23.0 -, peak -20.0 - dBFS; -23.0 LUFS, - in the last hour";
        assert_eq!(lines(&status, &["live"]), [expected]);
    }

    #[test]
    fn k2_a_pulled_stream_is_a_line_of_the_summary() {
        let mut status = json!({"mode": "PROGRAM", "pull": null});
        assert_eq!(lines(&status, &["pull"]), [""; 0]);
        status["pull"] = json!({"state": "waiting", "standing": "absent", "url": "http://h/x",
            "error": "Server returned 404 Not Found", "queue_ms": 0.0, "restarts": 3});
        let said = "pull       absent, waiting, http://h/x: 0 ms queued, 3 restarts: Server returned 404 Not Found";
        assert_eq!(lines(&status, &["pull"]), [said]);
    }

    #[test]
    fn k2_a_tower_that_tells_no_levels_has_question_marks() {
        let status = json!({"mode": "PROGRAM"});
        assert_eq!(
            lines(&status, &["ALARM", "levels", "live"]),
            ["levels     RMS ? ?, peak ? ? dBFS; ? LUFS, ? in the last hour"]
        );
    }
}
