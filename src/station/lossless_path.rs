//! Paths in JSON: as text where they are text, else as hexadecimal bytes.
//!
//! Linux allows any byte in a name but `/` and zero; a path that came back
//! changed would be another file.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written<'a> {
    Text(std::borrow::Cow<'a, str>),
    Bytes { hex: String },
}

/// For `#[serde(with = "lossless_path")]`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    let written = match path.to_str() {
        Some(text) => Written::Text(text.into()),
        None => Written::Bytes { hex: path.as_os_str().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect() },
    };
    written.serialize(serializer)
}

/// For `#[serde(with = "lossless_path")]`.
///
/// # Errors
/// Those of the deserializer, and when the bytes are no hexadecimal numbers.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    match Written::deserialize(deserializer)? {
        Written::Text(text) => Ok(text.into_owned().into()),
        Written::Bytes { hex } => {
            let pairs = hex.as_bytes().chunks(2);
            let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
            let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
            Ok(OsString::from_vec(bytes.ok_or_else(|| D::Error::custom("a path in hex is not hex"))?).into())
        }
    }
}

/// A path for people: on one line, broken UTF-8 shown as such.
pub fn shown(path: &Path) -> String {
    let lossy = path.to_string_lossy();
    if lossy.contains(char::is_control) { lossy.escape_debug().to_string() } else { lossy.into_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Holder(#[serde(with = "super")] PathBuf);

    proptest! {
        #[test]
        fn st3_every_path_comes_back_as_it_was(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let path = PathBuf::from(OsString::from_vec(bytes));
            let json = serde_json::to_string(&Holder(path.clone())).expect("json");
            prop_assert_eq!(serde_json::from_str::<Holder>(&json).expect("path").0, path.clone());
            prop_assert!(!shown(&path).contains('\n'));
        }
    }

    #[test]
    fn bad_hex_is_an_error() {
        assert!(serde_json::from_str::<Holder>(r#"{"hex":"zz"}"#).is_err());
        assert!(serde_json::from_str::<Holder>(r#"{"hex":"é"}"#).is_err());
    }
}
