//! What was written, before and after its key's kind has looked at it.
//!
//! A value in the file has the type that TOML gives it; a word from the
//! environment or from `--set` has none, so the key's kind reads it.

use std::fmt;

use toml::de::DeValue;

/// A checked value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// For `Bool`.
    Bool(bool),
    /// For `Integer`, `IntegerOf` and `ToneHz`.
    Integer(u64),
    /// For `Seconds`.
    SecondsInMs(u64),
    /// For `Bitrate`.
    Kbps(u64),
    /// For `Decimal`, in thousandths.
    Thousandths(i32),
    /// For all that is one text.
    Text(String),
    /// For `Millis`.
    Integers(Vec<u64>),
    /// For all that is a list of texts.
    Texts(Vec<String>),
}

/// What was written, before its key's kind has looked at it.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw {
    /// Without a type: from the environment or the command line.
    Word(String),
    /// TOML types.
    Bool(bool),
    /// Fits 64 bits, or it is `Other`.
    Integer(i64),
    /// Never infinite or NaN.
    Float(f64),
    /// Quoted.
    Text(String),
    /// In brackets.
    List(Vec<Raw>),
    /// What no key takes.
    Other(&'static str),
}

impl Raw {
    /// A value of the file.
    pub fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Self::Other("a number too large"), Self::Integer),
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(finite) if finite.is_finite() => Self::Float(finite),
                _ => Self::Other("not a finite number"),
            },
            DeValue::Boolean(truth) => Self::Bool(*truth),
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Array(items) => Self::List(items.iter().map(|item| Self::from_toml(item.get_ref())).collect()),
            DeValue::Table(_) => Self::Other("a table"),
        }
    }

    /// A word; what starts like a TOML text or list is read as one.
    pub fn from_word(word: &str) -> Self {
        match DeValue::parse(word) {
            Ok(value) if word.starts_with(['"', '\'', '[']) => Self::from_toml(value.get_ref()),
            _ => Self::Word(word.to_owned()),
        }
    }

    /// As a text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As a whole number.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Word(text) => text.parse().ok(),
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// As a whole number that is not negative.
    pub fn unsigned(&self) -> Option<u64> {
        self.integer().and_then(|number| u64::try_from(number).ok())
    }

    /// As a number, with or without a fraction; never infinite or NaN.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Word(word) => word.parse().ok().filter(|number: &f64| number.is_finite()),
            Self::Float(number) => Some(*number),
            Self::Integer(number) => i32::try_from(*number).ok().map(f64::from),
            _ => None,
        }
    }

    /// As a list; in a word, `separator` stands between the items.
    pub fn items(&self, separator: char) -> Option<Vec<Self>> {
        match self {
            Self::Word(text) if text.is_empty() => Some(Vec::new()),
            Self::Word(text) => Some(text.split(separator).map(|item| Self::Word(item.trim().to_owned())).collect()),
            Self::List(items) => Some(items.clone()),
            _ => None,
        }
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Text(text) => write!(f, "{:?}", text.chars().take(200).collect::<String>()),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::List(items) => {
                let items: Vec<String> = items.iter().take(20).map(ToString::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Other(what) => write!(f, "{what}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::SecondsInMs(ms) if ms % 1000 == 0 => write!(f, "{}", ms / 1000),
            Self::SecondsInMs(ms) => write!(f, "{}.{:03}", ms / 1000, ms % 1000),
            Self::Kbps(kbps) => write!(f, "\"{kbps}k\""),
            Self::Thousandths(number) if number % 1000 == 0 => write!(f, "{}", number / 1000),
            Self::Thousandths(number) => write!(f, "{:?}", f64::from(*number) / 1000.0),
            Self::Text(text) => write!(f, "{}", quoted(text)),
            Self::Integers(numbers) => {
                let items: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Texts(texts) => {
                let items: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
                write!(f, "[{}]", items.join(", "))
            }
        }
    }
}

/// As a TOML basic string. Control characters were refused when it was read.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
