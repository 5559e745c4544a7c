//! What the box did with the owner's files, for `/status`, for the log, and for `REPORT.txt` on the card.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{atomic_file, limits::BOX_REPORT_BYTES_MAX};

/// A file of the owner's can have thousands of mistakes; the first ones do.
const TEXT_CHARS_MAX: usize = 2000;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Done.
    Done,
    /// Done, and worth knowing.
    Note,
    /// Wrong: not done; the default, or what was there before, counts.
    Mistake,
}

/// One thing that is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The owner's file it is about; none: the box.
    pub file: Option<String>,
    /// How bad it is.
    pub kind: Kind,
    /// In words; never with a password.
    pub text: String,
}

/// All of it: `report.json`, and `box` in `/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Of the image.
    pub version: String,
    /// The slot that runs; none: not told.
    pub slot: Option<String>,
    /// It had yet to show that it is good when it started.
    pub on_trial: bool,
    /// In the order of the files.
    pub findings: Vec<Finding>,
}

impl Finding {
    /// Something about `file`.
    pub fn about(file: &str, kind: Kind, text: impl Into<String>) -> Self {
        let mut text: String = text.into();
        if let Some((at, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
            text.truncate(at);
            text.push_str(" … and more");
        }
        Self { file: Some(file.to_owned()), kind, text }
    }

    /// Something about the box.
    pub fn of_the_box(kind: Kind, text: impl Into<String>) -> Self {
        Self { file: None, kind, text: text.into() }
    }

    /// In a line of the log.
    pub fn line(&self) -> String {
        self.file.as_ref().map_or_else(|| self.text.clone(), |file| format!("{file}: {}", self.text))
    }
}

impl Report {
    /// The report of the last `tower box apply` in `run`; none: this is not the box.
    pub fn read(run: &Path) -> Option<Self> {
        let bytes = atomic_file::read(&run.join("report.json"), BOX_REPORT_BYTES_MAX).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// `REPORT.txt`. It has no time in it, so that it is written anew only when there is something new.
    /// Its lines end as Windows' Notepad has them.
    pub fn words(&self) -> String {
        let mistakes = self.findings.iter().filter(|finding| finding.kind == Kind::Mistake).count();
        let mut lines = vec![
            "What the Retrowaves box found in this folder when it was last started.".to_owned(),
            match mistakes {
                0 => "Everything is in order.".to_owned(),
                1 => "ONE THING IS WRONG; look for WRONG below.".to_owned(),
                count => format!("{count} THINGS ARE WRONG; look for WRONG below."),
            },
            String::new(),
        ];
        for finding in &self.findings {
            let word = match finding.kind {
                Kind::Done => "ok    ",
                Kind::Note => "note  ",
                Kind::Mistake => "WRONG ",
            };
            lines.extend(finding.line().lines().enumerate().map(|(at, line)| match at {
                0 => format!("{word} {line}"),
                _ => format!("       {line}"),
            }));
        }
        let slot = self.slot.as_deref().unwrap_or("?");
        let trial = if self.on_trial { ", on trial" } else { "" };
        lines.extend([String::new(), format!("Version {}, slot {slot}{trial}.", self.version), String::new()]);
        lines.join("\r\n")
    }
}
