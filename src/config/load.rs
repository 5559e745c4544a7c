//! Reading the configuration of this process: its files, its environment.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{
    StationConfig,
    build::Settings,
    error::{ConfigError, ConfigErrors},
    keys::Schema,
    layers::{Layers, Sources},
    places::{PlaceError, Places, make_runtime_folder, vendor_dir},
};
use crate::limits::CONFIG_FILE_BYTES_MAX;

/// A checked configuration, and how it came about.
#[derive(Debug)]
pub struct Loaded<C> {
    /// What to run with.
    pub config: C,
    /// Every value with its origin.
    pub layers: Layers,
    /// The vendor's file, if there is one.
    pub vendor: Option<PathBuf>,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
}

/// Reads all layers: the vendor's file, if there is one; the file named, else the program's own if it
/// is there; the environment; `set`.
///
/// # Errors
/// Everything that is wrong.
pub fn load<C: Settings>(file: Option<&Path>, set: &[String]) -> Result<Loaded<C>, ConfigErrors> {
    let system = Path::new(C::SCHEMA.system_file);
    let file = file.or_else(|| system.exists().then_some(system));
    let mut sources = Sources { environment: environment(C::SCHEMA), set: set.to_vec(), ..Sources::default() };
    let mut errors = Vec::new();
    let mut read = |path: Option<&Path>| match path.map(read_file).transpose() {
        Ok(read) => read,
        Err(error) => {
            errors.push(error);
            None
        }
    };
    let vendor = vendor_file(C::SCHEMA);
    sources.vendor = read(vendor.as_deref());
    sources.file = read(file);
    match C::read(&sources, &Places::find()) {
        Ok((mut config, layers)) if errors.is_empty() => {
            config.settle();
            Ok(Loaded { config, layers, vendor, file: file.map(Path::to_owned) })
        }
        Ok(_) => Err(ConfigErrors(errors)),
        Err(more) => {
            errors.extend(more.0);
            Err(ConfigErrors(errors))
        }
    }
}

/// Checks a file by itself: over the defaults and the vendor's file, without the environment.
///
/// # Errors
/// Everything that is wrong.
pub fn check_file<C: Settings>(file: &Path) -> Result<Layers, ConfigErrors> {
    let (path, text) = read_file(file).map_err(|error| ConfigErrors(vec![error]))?;
    check_text::<C>(path, text)
}

/// The same of a text; `path` is what it is called.
///
/// # Errors
/// Everything that is wrong.
pub fn check_text<C: Settings>(path: PathBuf, text: String) -> Result<Layers, ConfigErrors> {
    let vendor = vendor_file(C::SCHEMA).as_deref().map(read_file).transpose();
    let vendor = vendor.map_err(|error| ConfigErrors(vec![error]))?;
    let sources = Sources { vendor, file: Some((path, text)), ..Sources::default() };
    C::read(&sources, &Places::find()).map(|(_, layers)| layers)
}

/// The file of who built the system, if there is one.
fn vendor_file(schema: &Schema) -> Option<PathBuf> {
    let file = vendor_dir().join(schema.program).with_extension("toml");
    file.exists().then_some(file)
}

/// Makes the runtime folder, if anything of `config` lies in it. The rest of the
/// program may then create its sockets.
///
/// # Errors
/// When it cannot be made, or is somebody else's.
pub fn prepare<C: Settings>(config: &C) -> Result<(), PlaceError> {
    if config.files().iter().any(|path| path.starts_with(config.runtime_dir())) {
        make_runtime_folder(config.runtime_dir(), C::SCHEMA.sockets)?;
    }
    Ok(())
}

/// [`prepare`], then the folder that the station remembers in. Gives what is strange
/// but no reason not to play: that folder, and music that is not there (yet).
///
/// # Errors
/// As [`prepare`].
pub fn prepare_station(config: &StationConfig) -> Result<Vec<String>, PlaceError> {
    prepare(config)?;
    let mut warnings = Vec::new();
    let dir = &config.state_dir;
    if let Err(error) = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir) {
        warnings.push(format!("{}: cannot be made, so nothing is remembered: {error}", dir.display()));
    }
    if config.music.folders.is_empty() {
        warnings.push("there is no music: set music.folders, STATION_MUSIC or --music DIR".into());
    }
    let missing = config.music.folders.iter().filter(|folder| !folder.is_dir());
    warnings.extend(missing.map(|folder| format!("{}: no such folder of music; it may come later", folder.display())));
    Ok(warnings)
}

fn read_file(path: &Path) -> Result<(PathBuf, String), ConfigError> {
    let unreadable = |why: String| ConfigError::Unreadable { path: path.to_owned(), why };
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(CONFIG_FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| unreadable(error.to_string()))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > CONFIG_FILE_BYTES_MAX {
        return Err(unreadable(format!("longer than {CONFIG_FILE_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line =
            1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        unreadable(format!("line {line} is not UTF-8"))
    })?;
    Ok((path.to_owned(), text))
}

/// Every variable that concerns the program, in the order of the keys, so that
/// errors come in the same order each time.
fn environment(schema: &Schema) -> Vec<(String, String)> {
    let place = |name: &str| schema.keys.iter().position(|key| key.env == Some(name)).unwrap_or(usize::MAX);
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let mut found: Vec<(String, String)> = std::env::vars_os()
        .map(|(name, value)| (text(name), text(value)))
        .filter(|(name, _)| schema.concerns(name))
        .collect();
    found.sort_by(|(left, _), (right, _)| place(left).cmp(&place(right)).then_with(|| left.cmp(right)));
    found
}
