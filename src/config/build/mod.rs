//! From settled values to the configuration of a program.
//!
//! Pure: neither disk nor environment is touched. What is wrong between values that
//! are right by themselves is found here too.

mod station;
mod tower;

use std::path::Path;

use super::{
    LogConfig, Schema, StationConfig, TowerConfig,
    error::{ConfigError, ConfigErrors},
    layers::{Layers, Sources},
    places::Places,
    value::Value,
};
use crate::limits::SOCKET_PATH_BYTES_MAX;

/// The checked configuration of a program.
pub trait Settings: Sized {
    /// What it can be told.
    const SCHEMA: &'static Schema;

    /// From settled values.
    fn build(layers: &Layers, places: &Places) -> Self;

    /// What is wrong between them. A key whose value was refused is left out: it
    /// holds what nobody meant.
    fn conflicts(&self, layers: &Layers) -> Vec<ConfigError>;

    /// What a person looks for first, and where it is.
    fn landmarks(&self) -> Vec<(&'static str, String)>;

    /// Our folder for sockets.
    fn runtime_dir(&self) -> &Path;

    /// Files that the program makes.
    fn files(&self) -> Vec<&Path>;

    /// What remains to be done to it once this machine may be looked at.
    fn settle(&mut self) {}

    /// The defaults, with the sockets and the log in `folder`.
    fn in_folder(folder: &Path) -> Self {
        Self::build(&Layers::defaults(Self::SCHEMA), &Places::in_folder(folder))
    }

    /// `sources` over the defaults, checked.
    ///
    /// # Errors
    /// Everything that is wrong.
    fn read(sources: &Sources, places: &Places) -> Result<(Self, Layers), ConfigErrors> {
        let mut layers = Layers::read(Self::SCHEMA, sources);
        let config = Self::build(&layers, places);
        let conflicts = config.conflicts(&layers);
        layers.errors.extend(conflicts);
        if layers.errors.is_empty() { Ok((config, layers)) } else { Err(ConfigErrors(layers.errors)) }
    }
}

impl TowerConfig {
    /// The defaults, with the sockets and the log in `runtime_dir`.
    pub fn with_runtime_dir(runtime_dir: &Path) -> Self {
        Self::in_folder(runtime_dir)
    }

    /// `sources` over the defaults, checked. Touches neither disk nor environment.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn from_sources(sources: &Sources, places: &Places) -> Result<(Self, Layers), ConfigErrors> {
        Self::read(sources, places)
    }
}

impl StationConfig {
    /// The defaults, with the sockets, the log and the memory in `runtime_dir`.
    pub fn with_runtime_dir(runtime_dir: &Path) -> Self {
        Self::in_folder(runtime_dir)
    }

    /// `sources` over the defaults, checked. Touches neither disk nor environment.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn from_sources(sources: &Sources, places: &Places) -> Result<(Self, Layers), ConfigErrors> {
        Self::read(sources, places)
    }
}

fn log_config(layers: &Layers, places: &Places) -> LogConfig {
    LogConfig {
        file: places.resolve(layers.text("log.file")),
        level: layers.text("log.level").parse().unwrap_or(log::LevelFilter::Info),
        syslog: layers.truth("log.syslog"),
    }
}

/// Values in the types of their fields.
impl Layers {
    /// Yes or no.
    pub fn truth(&self, path: &str) -> bool {
        match &self.get(path).value {
            Value::Bool(truth) => *truth,
            other => wrong_kind(path, other),
        }
    }

    /// In the type of the field; its kind has bounded it, and a test tries the bounds.
    pub fn integer<T: TryFrom<u64>>(&self, path: &str) -> T {
        match &self.get(path).value {
            value @ (Value::Integer(number) | Value::SecondsInMs(number) | Value::Kbps(number)) => {
                T::try_from(*number).unwrap_or_else(|_| wrong_kind(path, value))
            }
            other => wrong_kind(path, other),
        }
    }

    /// A text.
    pub fn text(&self, path: &str) -> &str {
        match &self.get(path).value {
            Value::Text(text) => text,
            other => wrong_kind(path, other),
        }
    }

    /// A list of texts.
    pub fn texts(&self, path: &str) -> &[String] {
        match &self.get(path).value {
            Value::Texts(texts) => texts,
            other => wrong_kind(path, other),
        }
    }

    /// A list of whole numbers.
    pub fn integers(&self, path: &str) -> &[u64] {
        match &self.get(path).value {
            Value::Integers(numbers) => numbers,
            other => wrong_kind(path, other),
        }
    }

    /// A number with a fraction.
    pub fn decimal(&self, path: &str) -> f64 {
        match &self.get(path).value {
            Value::Thousandths(number) => f64::from(*number) / 1000.0,
            other => wrong_kind(path, other),
        }
    }
}

/// A mistake in this program, not in the configuration: the first test finds it.
fn wrong_kind(path: &str, value: &Value) -> ! {
    panic!("{path} does not hold what its field takes: {value:?}")
}

/// Collects what does not go together.
struct Conflicts<'a> {
    layers: &'a Layers,
    found: Vec<ConfigError>,
}

impl<'a> Conflicts<'a> {
    fn of(layers: &'a Layers) -> Self {
        Self { layers, found: Vec::new() }
    }

    fn check(&mut self, good: bool, key: &'static str, other: &str, why: String) {
        if !good && !self.layers.is_doubtful(key) && !self.layers.is_doubtful(other) {
            let setting = self.layers.get(key);
            let (value, origin) = (setting.value.to_string(), setting.origin.clone());
            self.found.push(ConfigError::Conflict { key, value, origin, why });
        }
    }

    fn check_socket(&mut self, key: &'static str, path: &Path) {
        let bytes = path.as_os_str().len();
        let why = format!(
            "the path of a Unix socket has at most {SOCKET_PATH_BYTES_MAX} bytes, {} has {bytes}",
            path.display()
        );
        self.check(bytes <= SOCKET_PATH_BYTES_MAX, key, key, why);
    }
}
