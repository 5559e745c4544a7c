//! Where the box's files lie. Tests put them elsewhere.

use std::path::PathBuf;

/// Folders and files of the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoxPlaces {
    /// The card's first FAT partition: `autoboot.txt`, and the owner's folder `retrowaves`.
    pub card: PathBuf,
    /// The data partition.
    pub data: PathBuf,
    /// What lives until the next start: settings that passed, the report.
    pub run: PathBuf,
    /// The kernel's command line.
    pub cmdline: PathBuf,
    /// Says which version this image is.
    pub os_release: PathBuf,
    /// The kernel's file of this machine's name.
    pub hostname: PathBuf,
    /// RAUC's configuration: for which board updates have to be.
    pub rauc_conf: PathBuf,
}

impl Default for BoxPlaces {
    fn default() -> Self {
        Self {
            card: "/boot/owner".into(),
            data: "/data".into(),
            run: run_dir(),
            cmdline: "/proc/cmdline".into(),
            os_release: "/etc/os-release".into(),
            hostname: "/proc/sys/kernel/hostname".into(),
            rauc_conf: "/etc/rauc/system.conf".into(),
        }
    }
}

impl BoxPlaces {
    /// The owner's folder.
    pub fn owner(&self) -> PathBuf {
        self.card.join("retrowaves")
    }

    /// The card's partition could be mounted: its folder is not empty.
    pub fn card_is_there(&self) -> bool {
        std::fs::read_dir(&self.card).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// The version of the image that runs: `IMAGE_VERSION` of os-release; without it, our own.
    pub fn version(&self) -> String {
        let text = crate::atomic_file::read(&self.os_release, 64 << 10).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let version = text.lines().find_map(|line| line.strip_prefix("IMAGE_VERSION="));
        version.map_or(env!("CARGO_PKG_VERSION"), |version| version.trim().trim_matches('"')).to_owned()
    }
}

/// What lives until the next start: `/run/retrowaves-box`, or `$RETROWAVES_BOX_DIR`.
fn run_dir() -> PathBuf {
    let dir = std::env::var_os("RETROWAVES_BOX_DIR").filter(|dir| !dir.is_empty());
    dir.map_or_else(|| "/run/retrowaves-box".into(), PathBuf::from)
}
