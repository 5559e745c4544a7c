//! What a value may be, how it is read, and how it is written.
//!
//! A value in the file must have the type that TOML gives it; a word from the
//! environment or from `--set` has no type, so the key's kind reads it.

use std::{fmt, net::IpAddr};

use toml::de::DeValue;

/// What values a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// true or false.
    Bool,
    /// A whole number within bounds.
    Integer {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// One of a few whole numbers.
    IntegerOf(&'static [u64]),
    /// Seconds, fractions allowed; below zero counts as zero. Held in milliseconds.
    Seconds {
        /// The most.
        max: u64,
    },
    /// A pitch that can be heard, or 0.
    ToneHz,
    /// A bit rate of MPEG-1 Layer III. Held in kbit/s.
    Bitrate,
    /// One of a few words; capitals do not matter.
    Choice(&'static [&'static str]),
    /// A line of text.
    Text {
        /// Of UTF-8.
        bytes_max: usize,
    },
    /// An IP address.
    Address,
    /// A file; may be empty where `none` is set.
    File {
        /// Empty means none.
        none: bool,
    },
    /// A file that we create: `{runtime}/…` and `{log}/…` stand for our folders.
    Place,
    /// Waits in milliseconds, each within bounds.
    Millis {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// Host names.
    Hosts,
    /// Names of inputs, none twice.
    Inputs,
}

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
    /// For all that is one text.
    Text(String),
    /// For `Millis`.
    Integers(Vec<u64>),
    /// For `Hosts` and `Inputs`.
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

/// The bit rates of the stream (C4).
pub const BITRATES_KBPS: [u64; 10] = [64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const WAITS_MAX: usize = 16;
const HOSTS_MAX: usize = 64;
const PATH_BYTES_MAX: usize = 4096;

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

    fn text(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn integer(&self) -> Option<i64> {
        match self {
            Self::Word(text) => text.parse().ok(),
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    fn unsigned(&self) -> Option<u64> {
        self.integer().and_then(|number| u64::try_from(number).ok())
    }

    fn items(&self) -> Option<Vec<Self>> {
        match self {
            Self::Word(text) if text.is_empty() => Some(Vec::new()),
            Self::Word(text) => Some(text.split(',').map(|item| Self::Word(item.trim().to_owned())).collect()),
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

impl Kind {
    /// Reads and checks a value; `None` when it is not allowed.
    pub fn read(&self, raw: &Raw) -> Option<Value> {
        match *self {
            Self::Bool => read_bool(raw).map(Value::Bool),
            Self::Integer { min, max } => {
                let number = raw.unsigned()?;
                (min..=max).contains(&number).then_some(Value::Integer(number))
            }
            Self::IntegerOf(allowed) => {
                let number = raw.unsigned()?;
                allowed.contains(&number).then_some(Value::Integer(number))
            }
            Self::Seconds { max } => read_seconds(raw, max).map(Value::SecondsInMs),
            Self::ToneHz => {
                let number = raw.unsigned()?;
                (number == 0 || (20..=20_000).contains(&number)).then_some(Value::Integer(number))
            }
            Self::Bitrate => read_bitrate(raw).map(Value::Kbps),
            Self::Choice(words) => {
                let text = raw.text()?;
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(text))?;
                Some(Value::Text((*word).to_owned()))
            }
            Self::Text { bytes_max } => {
                read_line(raw, bytes_max).filter(|line| !line.trim().is_empty()).map(Value::Text)
            }
            Self::Address => {
                let text = raw.text()?;
                text.parse::<IpAddr>().ok().map(|address| Value::Text(address.to_string()))
            }
            Self::File { none } => {
                read_line(raw, PATH_BYTES_MAX).filter(|path| none || !path.is_empty()).map(Value::Text)
            }
            Self::Place => read_line(raw, PATH_BYTES_MAX).filter(|path| is_place(path)).map(Value::Text),
            Self::Millis { min, max } => read_waits(raw, min, max).map(Value::Integers),
            Self::Hosts => read_texts(raw, is_host).filter(|hosts| hosts.len() <= HOSTS_MAX).map(Value::Texts),
            Self::Inputs => read_inputs(raw).map(Value::Texts),
        }
    }

    /// What is allowed, as the end of the sentence "allowed is …".
    pub fn allowed(&self) -> String {
        match *self {
            Self::Bool => "true or false (in the environment also 1/0, yes/no, on/off)".into(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::IntegerOf(allowed) => join(allowed.iter()),
            Self::Seconds { max } => format!("seconds, with or without a fraction, up to {max}"),
            Self::ToneHz => "0, or a whole number from 20 to 20000".into(),
            Self::Bitrate => format!("a bit rate such as \"128k\": {} kbit/s", join(BITRATES_KBPS.iter())),
            Self::Choice(words) => join(words.iter().map(|word| format!("{word:?}"))),
            Self::Text { bytes_max } => format!("one line of text, 1 to {bytes_max} bytes"),
            Self::Address => "an IP address, such as \"::\", \"0.0.0.0\" or \"127.0.0.1\"".into(),
            Self::File { none: true } => "a path, or \"\" for none".into(),
            Self::File { none: false } => "the name or path of a program".into(),
            Self::Place => "a path of a file; it may start with {runtime}/ or {log}/".into(),
            Self::Millis { min, max } => {
                format!("a list of 1 to {WAITS_MAX} whole numbers from {min} to {max}, such as [1000, 2000]")
            }
            Self::Hosts => format!("a list of at most {HOSTS_MAX} host names, such as [\"radio.lan\"]"),
            Self::Inputs => "a list of \"live\" and \"station\", each at most once".into(),
        }
    }

    /// The type, in a word.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Integer { .. } | Self::IntegerOf(_) | Self::ToneHz => "integer",
            Self::Seconds { .. } => "number",
            Self::Bitrate | Self::Choice(_) | Self::Text { .. } | Self::Address => "text",
            Self::File { .. } | Self::Place => "path",
            Self::Millis { .. } => "list of integers",
            Self::Hosts | Self::Inputs => "list of texts",
        }
    }
}

fn join(items: impl Iterator<Item = impl fmt::Display>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    match items.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn read_bool(raw: &Raw) -> Option<bool> {
    match raw {
        Raw::Bool(truth) => Some(*truth),
        Raw::Word(word) => match word.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Some(true),
            "0" | "false" | "no" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn read_seconds(raw: &Raw, max: u64) -> Option<u64> {
    let seconds = match raw {
        Raw::Word(word) => word.parse::<f64>().ok().filter(|number| number.is_finite())?,
        Raw::Float(number) => *number,
        Raw::Integer(number) => f64::from(i32::try_from(*number).ok()?),
        _ => return None,
    };
    let bound = std::time::Duration::from_secs(max);
    let time = std::time::Duration::try_from_secs_f64(seconds.max(0.0)).ok().filter(|time| *time <= bound)?;
    u64::try_from(time.as_micros().div_ceil(1000)).ok()
}

fn read_bitrate(raw: &Raw) -> Option<u64> {
    let kbps = match raw {
        Raw::Integer(_) => raw.unsigned()?,
        _ => {
            let text = raw.text()?.to_ascii_lowercase();
            let digits =
                ["kbit/s", "kbps", "kbit", "k"].iter().find_map(|unit| text.strip_suffix(unit)).unwrap_or(&text);
            digits.trim_end().parse().ok()?
        }
    };
    BITRATES_KBPS.contains(&kbps).then_some(kbps)
}

fn read_line(raw: &Raw, bytes_max: usize) -> Option<String> {
    let line = raw.text()?;
    // U+FFFD stands for bytes that were no UTF-8 in the environment.
    let strange = |c: char| c.is_control() || c == '\u{fffd}';
    (line.len() <= bytes_max && !line.contains(strange)).then(|| line.to_owned())
}

fn is_place(path: &str) -> bool {
    !path.is_empty() && !path.ends_with('/')
}

fn read_waits(raw: &Raw, min: u64, max: u64) -> Option<Vec<u64>> {
    let waits: Option<Vec<u64>> =
        raw.items()?.iter().map(|item| item.unsigned().filter(|wait| (min..=max).contains(wait))).collect();
    waits.filter(|waits| (1..=WAITS_MAX).contains(&waits.len()))
}

fn read_texts(raw: &Raw, good: fn(&str) -> bool) -> Option<Vec<String>> {
    let items = raw.items()?;
    items.iter().map(|item| item.text().filter(|text| good(text)).map(str::to_owned)).collect()
}

fn is_host(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    (1..=253).contains(&name.len()) && name.chars().all(letter)
}

fn read_inputs(raw: &Raw) -> Option<Vec<String>> {
    let known = |name: &str| crate::router::InputId::ALL.iter().any(|input| input.name() == name);
    let inputs = read_texts(raw, known)?;
    let once = inputs.iter().enumerate().all(|(at, name)| !inputs[..at].contains(name));
    (once && !inputs.is_empty()).then_some(inputs)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::SecondsInMs(ms) if ms % 1000 == 0 => write!(f, "{}", ms / 1000),
            Self::SecondsInMs(ms) => write!(f, "{}.{:03}", ms / 1000, ms % 1000),
            Self::Kbps(kbps) => write!(f, "\"{kbps}k\""),
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
