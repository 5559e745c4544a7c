//! `/metrics`: every number of `/status`, as Prometheus reads it.
//!
//! It is made from `/status` itself by a table, so that neither tells what the other does not know: a test finds each
//! number of `/status` that has no row. Units are Prometheus' base units: seconds, bytes, never milliseconds.
//! Nothing here may wait for anybody: what is read has been read for `/status` already, but for one histogram of atomics.

mod table;

use std::fmt::Write;

use serde_json::Value;

use self::table::{Kind, Row, TABLE};
use crate::histogram::Histogram;

/// What the text is, for its header `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper edges of the lateness buckets, in microseconds: 12 ms is what is called late.
const LATENESS_EDGES_US: [u64; 12] =
    [50, 100, 200, 500, 1_000, 2_000, 5_000, 12_000, 24_000, 50_000, 100_000, 1_000_000];

/// The whole text. `alarms` are the names of all there are; `lateness_us` is of every tick.
pub fn text(status: &Value, alarms: &[&str], lateness_us: &Histogram) -> String {
    let mut out = String::with_capacity(16 << 10);
    let mut last = "";
    for row in TABLE {
        let Some(value) = value(status, row) else { continue };
        if row.name != last {
            head(&mut out, row.name, row.help, row.kind.name());
            last = row.name;
        }
        let _ = writeln!(out, "{}{} {value}", row.name, row.labels); // a String takes it
    }
    states(&mut out, status);
    standing(&mut out, status, alarms);
    lateness(&mut out, lateness_us);
    out
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

/// None: `/status` has null there, which Prometheus knows as no sample.
fn value(status: &Value, row: &Row) -> Option<f64> {
    match status.pointer(row.pointer)? {
        Value::Bool(yes) => Some(f64::from(u8::from(*yes))),
        number => number.as_f64().map(|value| value / row.per_unit),
    }
}

/// What `/status` has a word for: the label is the word, the value 1.
fn states(out: &mut String, status: &Value) {
    for (name, pointer, label, help) in table::WORDS {
        if let Some(word) = status.pointer(pointer).and_then(Value::as_str) {
            head(out, name, help, Kind::Gauge.name());
            let _ = writeln!(out, "{name}{{{label}=\"{}\"}} 1", escaped(word));
        }
    }
}

fn standing(out: &mut String, status: &Value, alarms: &[&str]) {
    head(out, table::ALARM.0, table::ALARM.1, Kind::Gauge.name());
    let stands = |name: &str| status["alarms"].as_array().is_some_and(|all| all.iter().any(|one| one["alarm"] == name));
    for name in alarms {
        let _ = writeln!(out, "{}{{alarm=\"{name}\"}} {}", table::ALARM.0, u8::from(stands(name)));
    }
}

#[allow(clippy::cast_precision_loss)] // for people and graphs
fn lateness(out: &mut String, lateness_us: &Histogram) {
    let (name, help) = table::LATENESS;
    head(out, name, help, "histogram");
    let cumulated = lateness_us.cumulated(&LATENESS_EDGES_US);
    for (edge, count) in LATENESS_EDGES_US.iter().zip(&cumulated.counts) {
        let _ = writeln!(out, "{name}_bucket{{le=\"{}\"}} {count}", *edge as f64 / 1e6);
    }
    let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {}", cumulated.count);
    let _ = writeln!(out, "{name}_sum {}", cumulated.sum as f64 / 1e6);
    let _ = writeln!(out, "{name}_count {}", cumulated.count);
}

/// As the text format wants a label's value.
fn escaped(word: &str) -> String {
    word.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Names of all metrics, for the tests of the documents.
#[cfg(test)]
fn names() -> Vec<&'static str> {
    let rows = TABLE.iter().map(|row| row.name);
    let words = table::WORDS.iter().map(|word| word.0);
    let mut names: Vec<&str> = rows.chain(words).chain([table::ALARM.0, table::LATENESS.0]).collect();
    names.dedup();
    names
}

#[cfg(test)]
mod tests;
