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
    if let Some(title) = status["title"].as_str() {
        let artist = status["artist"].as_str().map(|artist| format!("{artist}: ")).unwrap_or_default();
        let _ = writeln!(out, "title      {}", plain(&format!("{artist}{title}")));
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
