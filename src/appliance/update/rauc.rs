//! RAUC's command line: what it says, and what that means in words.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
};

use super::{Bundle, UpdateError};
use crate::{atomic_file, cli::plain};

/// What RAUC may say in all.
const WORDS_BYTES_MAX: u64 = 256 << 10;
const CONF_BYTES_MAX: usize = 64 << 10;

/// RAUC with the box's configuration.
pub struct Rauc<'a> {
    conf: &'a Path,
}

impl<'a> Rauc<'a> {
    /// `conf` is its system.conf.
    pub fn new(conf: &'a Path) -> Self {
        Self { conf }
    }

    /// For which board updates have to be.
    pub fn compatible(&self) -> Result<String, UpdateError> {
        let wrong = |why: String| UpdateError::Source { from: self.conf.display().to_string(), why };
        let text = atomic_file::read(self.conf, CONF_BYTES_MAX).map_err(|error| wrong(error.to_string()))?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().find_map(|line| line.trim().strip_prefix("compatible="));
        line.map(|name| name.trim().to_owned()).ok_or_else(|| wrong("names no board (compatible=)".into()))
    }

    /// What the update says of itself, its signature checked.
    pub fn info(&self, bundle: &str) -> Result<Bundle, UpdateError> {
        let output = self.command(&["info", "--output-format=json", bundle]).output().map_err(UpdateError::NoRauc)?;
        if !output.status.success() {
            return Err(UpdateError::Refused(meaning(&String::from_utf8_lossy(&output.stderr))));
        }
        let said = output.stdout.iter().position(|byte| *byte == b'{').map_or(&[][..], |at| &output.stdout[at..]);
        serde_json::from_slice(said)
            .map_err(|error| UpdateError::Refused(format!("RAUC's answer is not understood: {error}")))
    }

    /// Writes it, by RAUC's service.
    pub fn install(&self, bundle: &str, tell: &mut dyn FnMut(&str)) -> Result<(), UpdateError> {
        // The service has a configuration of its own.
        let mut command = Command::new("rauc");
        command.args(["install", bundle]).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(UpdateError::NoRauc)?;
        // What it says on stderr is little, and read when it has ended.
        let mut last_error = String::new();
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout.take(WORDS_BYTES_MAX)).split(b'\n').map_while(Result::ok) {
                let line = plain(String::from_utf8_lossy(&line).trim_end());
                if let Some(error) = line.trim().strip_prefix("LastError:") {
                    error.trim().clone_into(&mut last_error);
                } else if !line.is_empty() {
                    tell(&line);
                }
            }
        }
        let mut stderr = String::new();
        if let Some(from) = child.stderr.take() {
            let _ = from.take(WORDS_BYTES_MAX).read_to_string(&mut stderr);
        }
        let status = child.wait().map_err(UpdateError::NoRauc)?;
        if status.success() {
            return Ok(());
        }
        Err(UpdateError::Refused(meaning(if last_error.is_empty() { &stderr } else { &last_error })))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("rauc");
        command.arg("--conf").arg(self.conf).args(args).stdin(Stdio::null());
        command
    }
}

/// RAUC's words for what a person meets, and their meaning.
const MEANINGS: [(&str, &str); 8] = [
    (
        "signature verification failed",
        "its signature is not one that this box trusts: it comes from somebody else, or was changed",
    ),
    ("Verify error", "its signature is not one that this box trusts: it comes from somebody else, or was changed"),
    ("certificate has expired", "the certificate of its signature has expired, or this box's clock is wrong"),
    ("certificate is not yet valid", "the certificate of its signature is not valid yet: this box's clock is wrong"),
    ("Invalid bundle format", "it is no complete update: half a file, or something else"),
    ("No space left", "there is not enough room for it"),
    ("Bundle rejected:", "the update itself refuses"),
    ("Error creating proxy", "RAUC's service does not run: is this the box?"),
];

fn meaning(said: &str) -> String {
    let own = |line: &&str| !line.is_empty() && !line.contains("rauc-Message") && !line.starts_with('*');
    let lines: Vec<&str> = said.lines().map(str::trim).filter(own).collect();
    let last = lines.last().map_or("RAUC has not said why", |line| line);
    // Expired comes as a "Verify error": the exact word counts.
    let exact = MEANINGS
        .iter()
        .filter(|(words, _)| said.contains(words))
        .max_by_key(|(words, _)| words.contains("certificate"));
    exact.map_or_else(|| plain(last), |(_, meaning)| format!("{meaning} (RAUC: {})", plain(last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w5_what_rauc_says_is_said_in_words() {
        let rows = [
            (
                "rauc-Message: x\nsignature verification failed: Verify error: unable to get local issuer certificate\n",
                "somebody else",
            ),
            ("signature verification failed: Verify error: certificate has expired", "has expired"),
            ("Invalid bundle format: Signature size (18) exceeds bundle size", "half a file"),
            ("Installation error: Bundle rejected: this update is older", "the update itself refuses"),
            ("failed to write: No space left on device", "room"),
            ("Error creating proxy: Could not connect", "is this the box?"),
            ("something new\x1b[2J", "something new?[2J"),
            ("", "not said why"),
        ];
        for (said, meant) in rows {
            assert!(meaning(said).contains(meant), "{said}: {}", meaning(said));
        }
    }
}
