//! Every key there is: one table for each program, which reading, checking,
//! `… config` and the documentation share.
//!
//! A default is written as in the file and read by the same code as a user's
//! value, so a default that its own rule refuses cannot exist.

mod station;
mod tower;

pub use station::STATION;
pub use tower::TOWER;

use super::kind::Kind::{self, Choice, Integer};

/// All that a program can be told, and where it looks for it.
#[derive(Debug)]
pub struct Schema {
    /// Its name, as it is typed.
    pub program: &'static str,
    /// Read when no file is named, if it is there.
    pub system_file: &'static str,
    /// An unknown variable that starts like this is worth a warning.
    pub prefix: &'static str,
    /// Variables of the other program that start so too.
    pub elsewhere: &'static [&'static str],
    /// A `--set` that is right.
    pub example: &'static str,
    /// Keys that move the sockets.
    pub sockets: &'static str,
    /// Table by table.
    pub keys: &'static [Key],
}

/// One thing that can be set.
#[derive(Debug)]
pub struct Key {
    /// Table and key, as after `--set`.
    pub path: &'static str,
    /// The environment variable, where there is one.
    pub env: Option<&'static str>,
    /// What values are allowed.
    pub kind: Kind,
    /// As it would be written in the file.
    pub default: &'static str,
    /// What it does, in a line.
    pub meaning: &'static str,
}

impl Key {
    /// Table and key apart.
    pub fn table_and_name(&self) -> (&'static str, &'static str) {
        self.path.split_once('.').unwrap_or(("", self.path))
    }
}

const fn key(path: &'static str, env: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Key {
    let env = if env.is_empty() { None } else { Some(env) };
    Key { path, env, kind, default, meaning }
}

const fn integer(min: u64, max: u64) -> Kind {
    Integer { min, max }
}

const LEVEL: Kind = Choice(&["off", "error", "warn", "info", "debug", "trace"]);

impl Schema {
    /// The place of `path` in the keys.
    pub fn index_of(&self, path: &str) -> Option<usize> {
        self.keys.iter().position(|key| key.path == path)
    }

    /// A table of that name exists.
    pub fn is_table(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.table_and_name().0 == name)
    }

    /// The key that this variable sets.
    pub fn key_of_variable(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.env == Some(name))
    }

    /// It is this program's business: it sets a key, or may be meant to.
    pub fn concerns(&self, variable: &str) -> bool {
        let ours = variable.starts_with(self.prefix) && !self.elsewhere.contains(&variable);
        ours || self.key_of_variable(variable).is_some()
    }

    /// What somebody who wrote `wrong` may have meant.
    pub fn nearest(&self, wrong: &str) -> Option<&'static str> {
        let name_of = |path: &'static str| path.split_once('.').map_or(path, |(_, name)| name);
        let name = wrong.rsplit_once('.').map_or(wrong, |(_, name)| name);
        let paths = || self.keys.iter().map(|key| key.path);
        let same_name = || paths().find(|path| name_of(path) == name);
        pick(wrong, paths()).or_else(same_name).or_else(|| {
            let near = pick(name, paths().map(name_of))?;
            paths().find(|path| name_of(path) == near)
        })
    }

    /// The table that somebody who wrote `wrong` may have meant.
    pub fn nearest_table(&self, wrong: &str) -> Option<&'static str> {
        pick(wrong, self.keys.iter().map(|key| key.table_and_name().0))
    }

    /// The variable that somebody who wrote `wrong` may have meant.
    pub fn nearest_variable(&self, wrong: &str) -> Option<&'static str> {
        pick(wrong, self.keys.iter().filter_map(|key| key.env))
    }
}

fn pick(wrong: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let near_enough = 1 + wrong.len() / 5;
    known
        .map(|name| (distance(wrong, name), name))
        .filter(|(distance, _)| *distance <= near_enough)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Letters to insert, delete or change between two words (Levenshtein). The
/// words are cut at 64 letters: nothing of ours is longer.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_found() {
        let table = [
            ("http.prot", Some("http.port")),
            ("port", Some("http.port")),
            ("encoder.cushion", Some("encoder.cushion_ms")),
            ("tower.stall_ms", Some("encoder.stall_ms")),
            ("http.bitrat", Some("encoder.bitrate")),
            ("http.xyzzy", None),
        ];
        for (wrong, meant) in table {
            assert_eq!(TOWER.nearest(wrong), meant, "{wrong}");
        }
        assert_eq!(TOWER.nearest_table("encodr"), Some("encoder"));
        assert_eq!(TOWER.nearest_variable("TOWER_PROT"), Some("TOWER_PORT"));
        assert_eq!(STATION.nearest("music.folder"), Some("music.folders"));
        assert_eq!(STATION.nearest_table("rotaton"), Some("rotation"));
        assert_eq!(STATION.nearest_variable("STATION_MUSIK"), Some("STATION_MUSIC"));
    }

    #[test]
    fn keys_and_variables_are_unique() {
        for schema in [&TOWER, &STATION] {
            for (at, key) in schema.keys.iter().enumerate() {
                assert_eq!(schema.index_of(key.path), Some(at), "{} twice", key.path);
                let same = schema.keys.iter().filter(|other| other.env.is_some() && other.env == key.env);
                assert!(same.count() <= 1, "{:?} twice", key.env);
            }
        }
    }

    #[test]
    fn a_variable_concerns_who_reads_it_or_may_have_meant_to() {
        let table = [
            ("TOWER_PORT", true, false),
            ("TOWER_PROT", true, false),
            ("TOWER_SOCKET_PATH", true, true),
            ("TOWER_URL", false, true),
            ("STATION_MUSIC", false, true),
            ("STATION_MUSIK", false, true),
            ("HOME", false, false),
        ];
        for (variable, tower, station) in table {
            assert_eq!((TOWER.concerns(variable), STATION.concerns(variable)), (tower, station), "{variable}");
        }
    }
}
