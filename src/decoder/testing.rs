//! Stand-ins for FFmpeg, for the tests of this module.

use std::{path::PathBuf, process::Command};

use crate::scratch::Scratch;

/// A stand-in decoder: a shell script. A shell writes it: a file that this process
/// had open for writing could be so still in a child that another test just
/// started, and then would not run.
pub(super) fn script(scratch: &Scratch, body: &str) -> PathBuf {
    let path = scratch.join("decoder");
    let status = Command::new("sh")
        .args(["-c", r#"printf '#!/bin/sh\n%s\n' "$1" >"$2" && chmod +x "$2""#, "sh", body])
        .arg(&path)
        .status()
        .expect("sh");
    assert!(status.success(), "no script");
    path
}
