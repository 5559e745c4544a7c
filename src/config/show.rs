//! What `… config` prints: every value, where it came from, and where things lie.

use std::fmt::Write;

use super::{build::Settings, load::Loaded, value::Value};
use crate::{input::pull::source::Source, relay::target::Target};

/// As lines that the file would take. The reader sees what would run, and why.
pub fn show<C: Settings>(loaded: &Loaded<C>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    if let Some(vendor) = &loaded.vendor {
        let _ = writeln!(out, "# vendor's file: {}", vendor.display());
    }
    let _ = match &loaded.file {
        Some(file) => writeln!(out, "# file: {}", file.display()),
        None => writeln!(out, "# file: none (looked for {})", C::SCHEMA.system_file),
    };
    for (what, place) in loaded.config.landmarks() {
        let _ = writeln!(out, "# {what}: {}", place.escape_debug());
    }
    let mut table = "";
    for (key, setting) in C::SCHEMA.keys.iter().zip(loaded.layers.settings()) {
        let (its_table, name) = key.table_and_name();
        if its_table != table {
            table = its_table;
            let _ = writeln!(out, "\n[{table}]");
        }
        // What is shown is shown to others too: where to, and not with which password.
        let line = if key.kind.is_secret() {
            format!("{name} = {:?}", without_password(&setting.value))
        } else {
            format!("{name} = {}", setting.value)
        };
        let _ = writeln!(out, "{line:<40}  # from {}", setting.origin);
    }
    out
}

fn without_password(url: &Value) -> String {
    match url {
        Value::Text(url) => {
            let target = Target::parse(url).map(|target| target.to_string());
            target.or_else(|| Source::parse(url).map(|source| source.to_string())).unwrap_or_default()
        }
        _ => String::new(),
    }
}
