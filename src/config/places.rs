//! Where our sockets and the log lie when nobody says otherwise.
//!
//! Looking changes nothing on the disk, so `tower config` can say it; the folder
//! is made when the program runs. In a place that everybody can write to, a folder
//! of somebody else's is refused: who owns it could take over our sockets.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, access, geteuid};

const SYSTEM_RUNTIME: &str = "/run/retrowaves";
const SYSTEM_LOG: &str = "/var/log/retrowaves";
const SYSTEM_STATE: &str = "/var/lib/retrowaves";
const VENDOR: &str = "/usr/lib/retrowaves";

/// Our folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// For sockets: `{runtime}`.
    pub runtime: PathBuf,
    /// For the log: `{log}`.
    pub log: PathBuf,
    /// For what is remembered: `{state}`.
    pub state: PathBuf,
}

/// What was found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// Of this process.
    pub uid: u32,
    /// `/run/retrowaves` is there and can be written to, or can be made.
    pub system_runtime: bool,
    /// `$XDG_RUNTIME_DIR`, if it is set to a folder that can be written to.
    pub user_runtime: Option<PathBuf>,
    /// For temporary files.
    pub temporary: PathBuf,
    /// `/var/log/retrowaves` is there and can be written to.
    pub system_log: bool,
    /// `/var/lib/retrowaves` is there and can be written to.
    pub system_state: bool,
    /// `$XDG_STATE_HOME`, or `.local/state` in `$HOME`, if it can be made and written to.
    pub user_state: Option<PathBuf>,
}

/// Why there is no folder for the sockets.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// It cannot be made, looked at or narrowed.
    #[error("{}: the folder for the sockets cannot be used: {source}", path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Something else has the name.
    #[error("{}: must be a folder for the sockets, and is a file or a link; remove it", path.display())]
    NotAFolder {
        /// What is there.
        path: PathBuf,
    },
    /// Somebody else has made it.
    #[error("{}: belongs to user {owner}, not to us (user {uid}); remove it, or set XDG_RUNTIME_DIR, or set \
             {sockets} to a folder of our own", path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Ourselves.
        uid: u32,
        /// Keys that move the sockets.
        sockets: &'static str,
    },
}

impl Places {
    /// Looks at the machine and decides. Changes nothing.
    pub fn find() -> Self {
        Self::choose(&Probed::look())
    }

    /// Decides from what was found.
    pub fn choose(probed: &Probed) -> Self {
        let runtime = match &probed.user_runtime {
            _ if probed.system_runtime => SYSTEM_RUNTIME.into(),
            Some(folder) => folder.join("retrowaves"),
            None => probed.temporary.join(format!("retrowaves-{}", probed.uid)),
        };
        let log = if probed.system_log { SYSTEM_LOG.into() } else { runtime.clone() };
        let state = match &probed.user_state {
            _ if probed.system_state => SYSTEM_STATE.into(),
            Some(folder) => folder.join("retrowaves"),
            None => runtime.clone(),
        };
        Self { runtime, log, state }
    }

    /// Everything in one folder, for tests and for a program that is told where to live.
    pub fn in_folder(folder: &Path) -> Self {
        Self { runtime: folder.to_owned(), log: folder.to_owned(), state: folder.to_owned() }
    }

    /// `path` with `{runtime}`, `{log}` or `{state}` at its start replaced.
    pub fn resolve(&self, path: &str) -> PathBuf {
        let ours = [("{runtime}", &self.runtime), ("{log}", &self.log), ("{state}", &self.state)];
        let resolved = ours.into_iter().find_map(|(mark, folder)| match path.strip_prefix(mark)? {
            "" => Some(folder.clone()),
            rest => rest.strip_prefix('/').map(|rest| folder.join(rest)),
        });
        resolved.unwrap_or_else(|| path.into())
    }
}

impl Probed {
    /// Looks at the machine.
    pub fn look() -> Self {
        let runtime = Path::new(SYSTEM_RUNTIME);
        let can_be_made = || fs::symlink_metadata(runtime).is_err() && is_writable_folder(Path::new("/run"));
        let user_runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        Self {
            uid: geteuid().as_raw(),
            system_runtime: is_writable_folder(runtime) || can_be_made(),
            user_runtime: user_runtime.filter(|folder| folder.is_absolute() && is_writable_folder(folder)),
            temporary: std::env::temp_dir(),
            system_log: is_writable_folder(Path::new(SYSTEM_LOG)),
            system_state: is_writable_folder(Path::new(SYSTEM_STATE)),
            user_state: user_state(),
        }
    }
}

/// Where who built the system has put settings of his own: `/usr/lib/retrowaves`, or
/// `$RETROWAVES_VENDOR_DIR`.
pub fn vendor_dir() -> PathBuf {
    std::env::var_os("RETROWAVES_VENDOR_DIR").filter(|dir| !dir.is_empty()).map_or_else(|| VENDOR.into(), PathBuf::from)
}

fn is_writable_folder(path: &Path) -> bool {
    path.is_dir() && access(path, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

/// It may have to be made, so what counts is the nearest folder above that is there.
fn user_state() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = named("XDG_STATE_HOME").or_else(|| named("HOME").map(|home| home.join(".local/state")))?;
    let there = folder.ancestors().find(|above| above.exists())?;
    is_writable_folder(there).then_some(folder)
}

/// Makes the folder for the sockets if it is not there, for us alone (0700; in
/// `/run` 0750, for the group), and sees that it is ours. `sockets` are the keys that
/// would move them elsewhere.
///
/// # Errors
/// When it cannot be made, is no folder, or is somebody else's.
pub fn make_runtime_folder(path: &Path, sockets: &'static str) -> Result<(), PlaceError> {
    let unusable = |source| PlaceError::Unusable { path: path.to_owned(), source };
    let is_system = path == Path::new(SYSTEM_RUNTIME);
    let mode = if is_system { 0o750 } else { 0o700 };
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unusable(error)),
        _ => {}
    }
    let found = fs::symlink_metadata(path).map_err(unusable)?;
    if !found.is_dir() {
        return Err(PlaceError::NotAFolder { path: path.to_owned() });
    }
    // What lies in /run was put there by root, for us: its owner need not be us.
    if is_system {
        return Ok(());
    }
    let uid = geteuid().as_raw();
    if found.uid() != uid {
        return Err(PlaceError::NotOurs { path: path.to_owned(), owner: found.uid(), uid, sockets });
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(unusable)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed() -> Probed {
        Probed {
            uid: 1000,
            system_runtime: false,
            user_runtime: None,
            temporary: "/tmp".into(),
            system_log: false,
            system_state: false,
            user_state: None,
        }
    }

    #[test]
    fn the_first_place_that_can_be_used_is_chosen() {
        let user = Some(PathBuf::from("/run/user/1000"));
        let rows = [
            (true, user.clone(), true, "/run/retrowaves", "/var/log/retrowaves"),
            (false, user.clone(), false, "/run/user/1000/retrowaves", "/run/user/1000/retrowaves"),
            (false, None, false, "/tmp/retrowaves-1000", "/tmp/retrowaves-1000"),
            (true, user, false, "/run/retrowaves", "/run/retrowaves"),
        ];
        for (system_runtime, user_runtime, system_log, runtime, log) in rows {
            let places = Places::choose(&Probed { system_runtime, user_runtime, system_log, ..probed() });
            assert_eq!((places.runtime, places.log), (runtime.into(), log.into()));
        }
    }

    #[test]
    fn our_folders_stand_at_the_start_of_a_path_only() {
        let places = Places::in_folder(Path::new("/x"));
        assert_eq!(places.resolve("{runtime}/a.sock"), Path::new("/x/a.sock"));
        assert_eq!(places.resolve("{log}/a.log"), Path::new("/x/a.log"));
        assert_eq!(places.resolve("{state}"), Path::new("/x"));
        assert_eq!(places.resolve("{state}s"), Path::new("{state}s"));
        assert_eq!(places.resolve("/y/{runtime}/a"), Path::new("/y/{runtime}/a"));
    }

    #[test]
    fn what_is_remembered_lies_where_it_outlives_a_boot_if_it_can() {
        let user = Some(PathBuf::from("/u/.local/state"));
        let rows = [
            (true, user.clone(), "/var/lib/retrowaves"),
            (false, user, "/u/.local/state/retrowaves"),
            (false, None, "/tmp/retrowaves-1000"),
        ];
        for (system_state, user_state, state) in rows {
            let places = Places::choose(&Probed { system_state, user_state, ..probed() });
            assert_eq!(places.state, Path::new(state));
        }
    }

    #[test]
    fn a_folder_is_made_narrowed_and_refused_when_it_is_none() {
        let base = std::env::temp_dir().join(format!("retrowaves-places-{}", std::process::id()));
        fs::create_dir_all(&base).expect("base");
        let folder = base.join("ours");
        make_runtime_folder(&folder, "a.socket").expect("made");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("widened");
        make_runtime_folder(&folder, "a.socket").expect("narrowed");
        assert_eq!(fs::metadata(&folder).expect("there").mode() & 0o777, 0o700);

        let link = base.join("link");
        std::os::unix::fs::symlink(&folder, &link).expect("link");
        assert!(matches!(make_runtime_folder(&link, "a.socket"), Err(PlaceError::NotAFolder { .. })));
        let nowhere = base.join("missing").join("below");
        assert!(matches!(make_runtime_folder(&nowhere, "a.socket"), Err(PlaceError::Unusable { .. })));
        if geteuid().is_root() {
            std::os::unix::fs::chown(&folder, Some(12_345), None).expect("chown");
            let error = make_runtime_folder(&folder, "a.socket").expect_err("somebody else's");
            assert!(error.to_string().contains("belongs to user 12345"), "{error}");
        }
        fs::remove_dir_all(&base).expect("removed");
    }
}
