//! What a value may be: each kind reads what was written, and says what is allowed.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use super::value::{Raw, Value};
use crate::input::pull::source::Source;
use crate::relay::target::Target;
use crate::station::rotation::rules::{DayPart, Weight};

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
    /// A folder that we create: `{state}` and `{runtime}` stand for ours.
    Folder,
    /// Folders of somebody's; in a word, ":" stands between them.
    Folders,
    /// A number, fractions allowed. Held in thousandths.
    Decimal {
        /// The least.
        min: i32,
        /// The most.
        max: i32,
    },
    /// Where an HTTP server is. Held without a slash at the end.
    Http,
    /// A mount of an Icecast server, with user and password; empty means none.
    Mount,
    /// A stream to be pulled; empty means none.
    StreamUrl,
    /// Weights of rotation; in a word, ";" stands between them.
    Weights,
    /// Day parts of rotation; in a word, ";" stands between them.
    DayParts,
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
    /// A sound card; empty means none.
    Device,
}

/// The bit rates of the stream (C4).
pub const BITRATES_KBPS: [u64; 10] = [64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const WAITS_MAX: usize = 16;
const HOSTS_MAX: usize = 64;
const FOLDERS_MAX: usize = 64;
const RULES_MAX: usize = 256;
const PATH_BYTES_MAX: usize = 4096;
const DEVICE_BYTES_MAX: usize = 200;

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
            Self::Folder => read_line(raw, PATH_BYTES_MAX).filter(|path| !path.is_empty()).map(Value::Text),
            Self::Folders => read_texts(raw, ':', is_folder).filter(|all| all.len() <= FOLDERS_MAX).map(Value::Texts),
            Self::Decimal { min, max } => read_decimal(raw, min, max).map(Value::Thousandths),
            Self::Http => raw.text().and_then(http_server).map(Value::Text),
            Self::Mount => raw
                .text()
                .filter(|url| url.is_empty() || Target::parse(url).is_some())
                .map(|url| Value::Text(url.to_owned())),
            Self::StreamUrl => raw
                .text()
                .filter(|url| url.is_empty() || Source::parse(url).is_some())
                .map(|url| Value::Text(url.to_owned())),
            Self::Weights => read_rules(raw, |text| Weight::parse(text).is_ok()).map(Value::Texts),
            Self::DayParts => read_rules(raw, |text| DayPart::parse(text).is_ok()).map(Value::Texts),
            Self::Millis { min, max } => read_waits(raw, min, max).map(Value::Integers),
            Self::Hosts => read_texts(raw, ',', is_host).filter(|hosts| hosts.len() <= HOSTS_MAX).map(Value::Texts),
            Self::Inputs => read_inputs(raw).map(Value::Texts),
            Self::Device => read_line(raw, DEVICE_BYTES_MAX).map(|name| Value::Text(name.trim().to_owned())),
        }
    }

    /// What exactly is wrong with a value that was refused, where there is more to say.
    pub fn why_refused(&self, raw: &Raw) -> Option<String> {
        let first_error = |parse: fn(&str) -> Option<String>| {
            let items = raw.items(';')?;
            items.iter().filter_map(Raw::text).find_map(parse)
        };
        match self {
            Self::Weights => first_error(|text| Weight::parse(text).err()),
            Self::DayParts => first_error(|text| DayPart::parse(text).err()),
            _ => None,
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
            Self::Folder => "a path of a folder; it may start with {state}, {runtime} or {log}".into(),
            Self::Folders => {
                format!("a list of at most {FOLDERS_MAX} folders, such as [\"/srv/music\"] (in the environment: /a:/b)")
            }
            Self::Decimal { min, max } => format!("a number, with or without a fraction, from {min} to {max}"),
            Self::Http => "a URL of http, a host and perhaps a port, such as \"http://127.0.0.1:8000\"".into(),
            Self::Mount => "\"\" for none, or http://USER:PASSWORD@HOST:PORT/MOUNT of an Icecast server".into(),
            Self::StreamUrl => "\"\" for none, or the URL of a stream, http:// or https://, such as \"http://radio.example:8000/stream\"".into(),
            Self::Weights => {
                format!(
                    "a list of at most {RULES_MAX} weights, such as [\"Rock=3\", \"Jazz=0\"] (after --set: Rock=3;Jazz=0)"
                )
            }
            Self::DayParts => {
                format!("a list of at most {RULES_MAX} day parts, such as [\"mon-fri 06:00-10:00: Rock=3, Jazz=0\"]")
            }
            Self::Millis { min, max } => {
                format!("a list of 1 to {WAITS_MAX} whole numbers from {min} to {max}, such as [1000, 2000]")
            }
            Self::Hosts => format!("a list of at most {HOSTS_MAX} host names, such as [\"radio.lan\"]"),
            Self::Inputs => "a list of \"live\", \"station\" and \"relay\", each at most once".into(),
            Self::Device => {
                "a card's id such as \"CODEC\", usb:PATH such as \"usb:1-1.2\", any ALSA name, or \"\" for none".into()
            }
        }
    }

    /// A value of it is shown to nobody.
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::Mount | Self::StreamUrl)
    }

    /// The type, in a word.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Integer { .. } | Self::IntegerOf(_) | Self::ToneHz => "integer",
            Self::Seconds { .. } | Self::Decimal { .. } => "number",
            Self::Bitrate
            | Self::Choice(_)
            | Self::Text { .. }
            | Self::Address
            | Self::Http
            | Self::Mount
            | Self::StreamUrl
            | Self::Device => "text",
            Self::File { .. } | Self::Place | Self::Folder => "path",
            Self::Folders => "list of paths",
            Self::Millis { .. } => "list of integers",
            Self::Hosts | Self::Inputs | Self::Weights | Self::DayParts => "list of texts",
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
    let seconds = raw.number()?;
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
    (line.len() <= bytes_max && !line.contains(is_strange)).then(|| line.to_owned())
}

/// U+FFFD stands for bytes that were no UTF-8 in the environment.
fn is_strange(c: char) -> bool {
    c.is_control() || c == '\u{fffd}'
}

fn is_place(path: &str) -> bool {
    !path.is_empty() && !path.ends_with('/')
}

fn read_waits(raw: &Raw, min: u64, max: u64) -> Option<Vec<u64>> {
    let waits: Option<Vec<u64>> =
        raw.items(',')?.iter().map(|item| item.unsigned().filter(|wait| (min..=max).contains(wait))).collect();
    waits.filter(|waits| (1..=WAITS_MAX).contains(&waits.len()))
}

fn read_texts(raw: &Raw, separator: char, good: impl Fn(&str) -> bool) -> Option<Vec<String>> {
    let items = raw.items(separator)?;
    items.iter().map(|item| item.text().filter(|text| good(text)).map(str::to_owned)).collect()
}

fn read_rules(raw: &Raw, good: fn(&str) -> bool) -> Option<Vec<String>> {
    read_texts(raw, ';', good).filter(|rules| rules.len() <= RULES_MAX)
}

fn is_folder(path: &str) -> bool {
    !path.is_empty() && path.len() <= PATH_BYTES_MAX && !path.contains(is_strange)
}

#[expect(clippy::cast_possible_truncation, reason = "within bounds that fit")]
fn read_decimal(raw: &Raw, min: i32, max: i32) -> Option<i32> {
    let number = raw.number()?;
    (f64::from(min)..=f64::from(max)).contains(&number).then(|| (number * 1000.0).round() as i32)
}

/// Without the slash at the end: paths are put behind it.
fn http_server(text: &str) -> Option<String> {
    let url = text.trim_end_matches('/');
    let authority = url.strip_prefix("http://")?;
    // An IPv6 address has its colons in brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let good_host = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok(),
        None => (1..=253).contains(&host.len()) && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)),
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let good_port = port.is_none_or(|port| digits(port) && port.parse::<u16>().is_ok_and(|port| port > 0));
    (good_host && good_port).then(|| url.to_owned())
}

fn is_host(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    (1..=253).contains(&name.len()) && name.chars().all(letter)
}

fn read_inputs(raw: &Raw) -> Option<Vec<String>> {
    let known = |name: &str| crate::router::InputId::ALL.iter().any(|input| input.name() == name);
    let inputs = read_texts(raw, ',', known)?;
    let once = inputs.iter().enumerate().all(|(at, name)| !inputs[..at].contains(name));
    (once && !inputs.is_empty()).then_some(inputs)
}
