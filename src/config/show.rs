//! What `tower config` prints: every value, where it came from, and where things lie.

use std::fmt::Write;

use super::{keys::KEYS, load::Loaded};

/// As lines that `tower.toml` would take. The reader sees what would run, and why.
pub fn show(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = match &loaded.file {
        Some(file) => writeln!(out, "# file: {}", file.display()),
        None => writeln!(out, "# file: none (looked for {})", super::SYSTEM_FILE),
    };
    let _ = writeln!(out, "# PCM in: {}", config.ingest.socket.display());
    let _ = writeln!(out, "# control: {}", config.control.socket.display());
    let _ = writeln!(out, "# log: {}", config.log.file.display());
    let mut table = "";
    for (key, setting) in KEYS.iter().zip(loaded.layers.settings()) {
        let (its_table, name) = key.table_and_name();
        if its_table != table {
            table = its_table;
            let _ = writeln!(out, "\n[{table}]");
        }
        let line = format!("{name} = {}", setting.value);
        let _ = writeln!(out, "{line:<40}  # from {}", setting.origin);
    }
    out
}
