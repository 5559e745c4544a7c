use std::{fs, path::Path};

use super::*;

fn repository(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

/// Pointers of all numbers and truths.
fn numbers(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) | Value::Bool(_) => found.push(at.to_owned()),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| numbers(value, &format!("{at}/{key}"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| numbers(value, &format!("{at}/{index}"), found));
        }
        Value::Null | Value::String(_) => {}
    }
}

#[test]
fn k5_every_number_of_the_status_is_a_metric() {
    let status = crate::control::tests::full_status();
    let mut found = Vec::new();
    numbers(&status, "", &mut found);
    assert!(found.len() > 60, "{found:?}");
    for pointer in &found {
        let has_row = TABLE.iter().any(|row| row.pointer == pointer);
        let left_out = table::LEFT_OUT.iter().any(|(known, _)| known == pointer);
        // Since when an alarm stands, and what the box reports, is for people.
        let of_people = pointer.starts_with("/alarms/") || pointer.starts_with("/box/");
        assert!(has_row != (left_out || of_people), "{pointer} needs a row in the table of metrics, or a reason");
    }
    for row in TABLE {
        assert!(found.iter().any(|pointer| pointer == row.pointer), "{} is not in /status", row.pointer);
    }
}

#[test]
fn k5_names_have_their_units_and_each_is_described_once() {
    let status = crate::control::tests::full_status();
    let histogram = Histogram::default();
    histogram.record(70);
    let text = text(&status, &["one", "two"], &histogram);
    for name in names() {
        let helps = text.lines().filter(|line| line.starts_with(&format!("# HELP {name} "))).count();
        assert_eq!(helps, 1, "{name}");
        assert!(!name.contains("_ms") && !name.contains("milli"), "{name}");
    }
    for row in TABLE {
        assert_eq!(row.name.ends_with("_total"), row.kind == Kind::Counter, "{}", row.name);
    }
    for line in [
        "tower_queue_frames{queue=\"station\"} 0",
        "tower_alarm{alarm=\"two\"} 0",
        "tower_tick_lateness_seconds_bucket{le=\"0.00005\"} 0",
        "tower_tick_lateness_seconds_bucket{le=\"0.0001\"} 1",
        "tower_tick_lateness_seconds_sum 0.00007",
        "tower_live_latency_seconds 0.185",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
    }
}

#[test]
fn k5_every_metric_is_in_the_documents_and_the_dashboard_shows_none_that_is_not() {
    let documented = repository("docs/metrics.md");
    let mut rows: Vec<&str> =
        documented.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    rows.sort_unstable();
    let mut known = names();
    known.sort_unstable();
    assert_eq!(rows, known, "docs/metrics.md has other metrics than /metrics");
    let dashboard = repository("docs/grafana.json");
    serde_json::from_str::<Value>(&dashboard).expect("JSON");
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let shown: Vec<&str> = dashboard.split(word).filter(|word| word.starts_with("tower_")).collect();
    assert!(shown.len() > 15, "{shown:?}");
    for name in shown {
        let base = name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count");
        assert!(known.contains(&name) || known.contains(&base), "{name} is no metric");
    }
}
