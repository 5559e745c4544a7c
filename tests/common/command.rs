//! A program's command line as a person types it: run to its end, and what it said.

use std::process::{Command, Output, Stdio};

/// `program` (of `env!("CARGO_BIN_EXE_…")`), without the variables of whoever runs the tests.
pub fn bare(program: &str, args: &[&str]) -> Command {
    let ours = |name: &str| name.starts_with("TOWER_") || name.starts_with("STATION_");
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Exit code, stdout, stderr.
pub fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}
