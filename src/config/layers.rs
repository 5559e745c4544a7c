//! The layers: defaults, then the vendor's file, then the file, then the environment, then `--set`.
//!
//! Pure: texts in, settled values or everything that is wrong out. Every value
//! remembers its layer, and one error never hides the next.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::{
    error::{ConfigError, Origin},
    keys::Schema,
    value::{Raw, Value},
};

/// All that was written, before anything was checked.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file of who built the system, and its text.
    pub vendor: Option<(PathBuf, String)>,
    /// The file and its text.
    pub file: Option<(PathBuf, String)>,
    /// Every variable that concerns the program.
    pub environment: Vec<(String, String)>,
    /// What followed each `--set`.
    pub set: Vec<String>,
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Checked.
    pub value: Value,
    /// Its layer.
    pub origin: Origin,
}

/// One setting for each key of a program, in their order, and what went wrong.
#[derive(Debug)]
pub struct Layers {
    schema: &'static Schema,
    settings: Vec<Setting>,
    /// What is wrong, in the order of reading.
    pub errors: Vec<ConfigError>,
    /// What is strange but does no harm.
    pub warnings: Vec<String>,
}

impl Layers {
    /// The defaults alone.
    pub fn defaults(schema: &'static Schema) -> Self {
        let settings = schema.keys.iter().map(|key| {
            let raw = DeValue::parse(key.default).map(|value| Raw::from_toml(value.get_ref()));
            let value = raw.ok().and_then(|raw| key.kind.read(&raw));
            Setting {
                // Compiled in, and each one is read by the first test of this module.
                value: value.unwrap_or_else(|| panic!("the default of {} is not allowed by its own kind", key.path)),
                origin: Origin::Default,
            }
        });
        Self { schema, settings: settings.collect(), errors: Vec::new(), warnings: Vec::new() }
    }

    /// All layers, the later over the earlier.
    pub fn read(schema: &'static Schema, sources: &Sources) -> Self {
        let mut layers = Self::defaults(schema);
        for (path, text) in [&sources.vendor, &sources.file].into_iter().flatten() {
            layers.read_file(path, text);
        }
        for (name, value) in &sources.environment {
            layers.read_variable(name, value);
        }
        for argument in &sources.set {
            layers.read_set(argument);
        }
        layers
    }

    /// Whose they are.
    pub fn schema(&self) -> &'static Schema {
        self.schema
    }

    /// The setting of a key.
    ///
    /// # Panics
    /// When there is no such key: a mistake in this program.
    pub fn get(&self, path: &str) -> &Setting {
        match self.schema.index_of(path) {
            Some(at) => &self.settings[at],
            None => panic!("{path} is no key of {}", self.schema.program),
        }
    }

    /// Every setting, in the order of the keys.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// A value of this key was refused, so the one it has now was not meant.
    pub fn is_doubtful(&self, path: &str) -> bool {
        self.errors.iter().any(|error| matches!(error, ConfigError::BadValue { key, .. } if *key == path))
    }

    fn read_file(&mut self, path: &Path, text: &str) {
        let origin = |at: usize| Origin::File {
            path: path.to_owned(),
            line: 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count(),
        };
        let (document, syntax_errors) = DeTable::parse_recoverable(text);
        if !syntax_errors.is_empty() {
            // What could be recovered is a guess: complaints about it would mislead.
            let errors = syntax_errors.iter().map(|error| ConfigError::Syntax {
                origin: origin(error.span().map_or(0, |span| span.start)),
                why: error.message().to_owned(),
            });
            self.errors.extend(errors);
            return;
        }
        let (schema, program) = (self.schema, self.schema.program);
        let first_error = self.errors.len();
        let mut values = Vec::new();
        for (name, value) in document.get_ref() {
            let at = name.span().start;
            match value.get_ref() {
                DeValue::Table(keys) if schema.is_table(name.get_ref()) => {
                    let table = name.get_ref();
                    values.extend(
                        keys.iter().map(|(key, value)| (key.span().start, format!("{table}.{}", key.get_ref()), value)),
                    );
                }
                DeValue::Table(_) => self.errors.push(ConfigError::UnknownTable {
                    origin: origin(at),
                    name: name.get_ref().escape_debug().to_string(),
                    nearest: schema.nearest_table(name.get_ref()),
                    program,
                }),
                _ if schema.is_table(name.get_ref()) => {
                    self.errors.push(ConfigError::NotATable { origin: origin(at), name: name.get_ref().to_string() })
                }
                _ => values.push((at, name.get_ref().to_string(), value)),
            }
        }
        // The parser sorts by name; a person reads by line.
        values.sort_by_key(|(at, ..)| *at);
        for (at, key, value) in values {
            self.put(&key, &Raw::from_toml(value.get_ref()), origin(at));
        }
        self.errors[first_error..].sort_by_key(ConfigError::line);
    }

    /// An empty variable counts as none, as elsewhere in Unix. An unknown one may
    /// belong to somebody else, so it is no error.
    fn read_variable(&mut self, name: &str, value: &str) {
        match self.schema.key_of_variable(name) {
            Some(_) if value.is_empty() => {}
            Some(key) => self.put(key.path, &Raw::from_word(value), Origin::Environment(name.to_owned())),
            None => {
                let near = self.schema.nearest_variable(name);
                let meant = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                let (name, program) = (name.escape_debug(), self.schema.program);
                self.warnings.push(format!("environment {name}: not a variable of the {program}{meant}"));
            }
        }
    }

    fn read_set(&mut self, argument: &str) {
        match argument.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                self.put(key.trim(), &Raw::from_word(value.trim()), Origin::Set);
            }
            _ => self.errors.push(ConfigError::BadSet {
                argument: argument.escape_debug().to_string(),
                example: self.schema.example,
            }),
        }
    }

    fn put(&mut self, path: &str, raw: &Raw, origin: Origin) {
        let Some(at) = self.schema.index_of(path) else {
            self.errors.push(ConfigError::UnknownKey {
                origin,
                key: path.escape_debug().to_string(),
                nearest: self.schema.nearest(path),
                program: self.schema.program,
            });
            return;
        };
        let key = &self.schema.keys[at];
        match key.kind.read(raw) {
            Some(value) => self.settings[at] = Setting { value, origin },
            None => self.errors.push(ConfigError::BadValue {
                origin,
                key: key.path,
                // A wrong URL may hold the right password, and this is logged.
                found: if key.kind.is_secret() { "of another form".into() } else { raw.to_string() },
                why: key.kind.why_refused(raw),
                allowed: key.kind.allowed(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{STATION, TOWER};

    #[test]
    fn every_default_is_allowed_and_written_as_it_is_read() {
        for schema in [&TOWER, &STATION] {
            let layers = Layers::defaults(schema);
            for (key, setting) in schema.keys.iter().zip(layers.settings()) {
                assert_eq!(setting.value.to_string(), key.default, "{}", key.path);
            }
        }
    }
}
