//! What an update says of itself, and whether it may replace what runs.

use semver::Version;
use serde::Deserialize;

use super::UpdateError;

/// What `rauc info --output-format=json` says; its signature was good.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Bundle {
    /// For which board.
    pub compatible: String,
    /// Which version.
    #[serde(default)]
    pub version: String,
}

impl Bundle {
    /// It is for this board, and newer than what runs.
    ///
    /// # Errors
    /// When it is not, or cannot be compared.
    pub fn may_replace(&self, compatible: &str, running: &str) -> Result<(), UpdateError> {
        if self.compatible != compatible {
            return Err(UpdateError::OtherBoard { found: self.compatible.clone(), ours: compatible.to_owned() });
        }
        if version("this update's", &self.version)?.cmp_precedence(&version("the running", running)?).is_gt() {
            return Ok(());
        }
        Err(UpdateError::NotNewer { found: self.version.clone(), running: running.to_owned() })
    }
}

fn version(whose: &'static str, text: &str) -> Result<Version, UpdateError> {
    let plain = text.strip_prefix('v').unwrap_or(text);
    Version::parse(plain).map_err(|_| UpdateError::Version { whose, found: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w5_only_a_newer_version_for_this_board_is_taken() {
        let rows = [
            ("0.2.0", "0.1.0", "taken"),
            ("0.10.0", "0.9.9", "taken"),
            ("1.0.0", "1.0.0-rc.1", "taken"),
            ("v1.0.1", "1.0.0", "taken"),
            ("1.0.0-rc.10", "1.0.0-rc.9", "taken"),
            ("0.1.0", "0.1.0", "only a newer one"),
            ("0.1.0+build9", "0.1.0+build1", "only a newer one"),
            ("0.1.0", "0.2.0", "only a newer one"),
            ("1.0.0-rc.1", "1.0.0", "only a newer one"),
            ("0.9.9", "0.10.0", "only a newer one"),
            ("", "0.1.0", "cannot be compared"),
            ("newest", "0.1.0", "cannot be compared"),
            ("0.2.0", "unknown", "the running version"),
        ];
        for (found, running, expected) in rows {
            let bundle = Bundle { compatible: "retrowaves-rpi4".into(), version: found.into() };
            let said = bundle
                .may_replace("retrowaves-rpi4", running)
                .map_or_else(|error| error.to_string(), |()| "taken".into());
            assert!(said.contains(expected), "{found} over {running}: {said}");
            let other = bundle.may_replace("retrowaves-rpi3", running).expect_err("another board").to_string();
            assert_eq!(other, "this update is for retrowaves-rpi4, and this box is retrowaves-rpi3");
        }
    }
}
