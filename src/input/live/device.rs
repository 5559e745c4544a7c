//! From what a person wrote in `live.device` to a name that ALSA opens, and which cards
//! there are.
//!
//! A card's number changes with the order in which cards are found, so nobody writes it.
//! What stays is the card's id, and the USB socket that it is plugged into.

use std::{
    fs,
    path::{Path, PathBuf},
};

use alsa::{Direction, Output, device_name::HintIter};

use super::card::{AlsaCard, CardError};
use crate::config::LiveLatency;

const USB: &str = "usb:";

/// Where the kernel tells of its sound cards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// Has `cards` and `pcm`.
    pub proc_asound: PathBuf,
    /// Has `card0`, `card1`, …, each with the link `device`.
    pub sys_class_sound: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc_asound: "/proc/asound".into(), sys_class_sound: "/sys/class/sound".into() }
    }
}

/// A sound card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Its number until it is pulled out.
    pub index: u32,
    /// Its id, at most 15 characters: the stable name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its name with where it is.
    pub long_name: String,
    /// The USB socket it is plugged into, such as 1-1.2; none: it is no USB card.
    pub usb_path: Option<String>,
    /// What it captures from, by number.
    pub captures: Vec<Capture>,
}

impl Card {
    /// For ALSA, what its stable names mean: its first PCM that captures.
    pub fn pcm(&self) -> String {
        match self.captures.first() {
            Some(capture) if capture.device > 0 => capture.pcm.clone(),
            _ => format!("hw:CARD={}", self.id),
        }
    }
}

/// A PCM of a card that captures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// Its number within the card.
    pub device: u32,
    /// For ALSA: `hw:CARD=id,DEV=n`.
    pub pcm: String,
    /// What the driver calls it.
    pub name: String,
}

/// Why what was written names no card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Nothing, or no sound card, is plugged in there.
    #[error("{USB}{path}: no sound card is plugged in there; {there_are}")]
    NoUsb {
        /// The USB path.
        path: String,
        /// The cards, in words.
        there_are: String,
    },
    /// A word that is neither a card's id nor a PCM.
    #[error("{word}: no sound card has this id and ALSA has no PCM of this name ({alsa_says}); {there_are}")]
    NoCard {
        /// As it was written.
        word: String,
        /// What ALSA said when it was opened as a PCM.
        alsa_says: String,
        /// The cards, in words.
        there_are: String,
    },
    /// It is there, or nobody can say, but cannot be opened.
    #[error(transparent)]
    Card(#[from] CardError),
}

/// The name for ALSA of what was written: a card by its id or its USB path; anything else
/// is a PCM's name already, and only opening it tells whether there is one.
///
/// # Errors
/// When nothing is plugged in at the USB path.
pub fn resolve(written: &str, roots: &Roots) -> Result<String, DeviceError> {
    let cards = cards(roots);
    if let Some(path) = written.strip_prefix(USB) {
        let card = cards.iter().find(|card| card.usb_path.as_deref() == Some(path));
        return card
            .map(Card::pcm)
            .ok_or_else(|| DeviceError::NoUsb { path: path.to_owned(), there_are: there_are(&cards) });
    }
    Ok(cards.iter().find(|card| card.id == written).map_or_else(|| written.to_owned(), Card::pcm))
}

/// The name of the card that a PCM is on, if that says so (`hw:CARD=id`).
pub fn name_of(pcm: &str, roots: &Roots) -> Option<String> {
    let (_, behind) = pcm.split_once("CARD=")?;
    let id = behind.split(',').next().unwrap_or(behind);
    cards(roots).into_iter().find(|card| card.id == id).map(|card| card.name)
}

/// Opens what was written.
///
/// # Errors
/// When there is no such card, or it cannot be opened; the error says which cards there are.
pub fn open(written: &str, roots: &Roots, latency: LiveLatency) -> Result<AlsaCard, DeviceError> {
    let pcm = resolve(written, roots)?;
    AlsaCard::open(&pcm, latency).map_err(|error| explained(written, roots, error))
}

/// The error of opening what was written, with the cards there are if it could have been an id.
pub fn explained(written: &str, roots: &Roots, error: CardError) -> DeviceError {
    match error {
        // A name with a colon was meant for ALSA, and ALSA's words are the best.
        CardError::NotThere { pcm, words } if pcm == written && !written.contains(':') => {
            DeviceError::NoCard { word: pcm, alsa_says: words, there_are: there_are(&cards(roots)) }
        }
        other => other.into(),
    }
}

/// Names under which ALSA knows PCMs that capture, each with what it is, in a line.
/// None of them is opened.
pub fn known_pcms() -> Vec<(String, String)> {
    let _quiet = Output::local_error_handler();
    let Ok(hints) = HintIter::new(None, c"pcm") else {
        return Vec::new();
    };
    // A hint without a direction is good for both.
    let captures = hints.filter(|hint| hint.direction.is_none_or(|direction| direction == Direction::Capture));
    captures.filter_map(|hint| Some((hint.name?, hint.desc.unwrap_or_default().replace('\n', ", ")))).collect()
}

/// The cards there are, by number. A kernel without sound has none.
pub fn cards(roots: &Roots) -> Vec<Card> {
    let read = |name: &str| printable(&fs::read(roots.proc_asound.join(name)).unwrap_or_default());
    let mut cards = parse_cards(&read("cards"));
    let pcms = read("pcm");
    for card in &mut cards {
        let device = roots.sys_class_sound.join(format!("card{}/device", card.index));
        card.usb_path = fs::canonicalize(device).ok().and_then(|path| usb_path(&path));
        card.captures = captures(&pcms, card.index, &card.id);
    }
    cards
}

/// Names come from whatever was plugged in: they must not steer a terminal.
fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace(|c: char| c.is_control() && c != '\n', "?")
}

fn there_are(cards: &[Card]) -> String {
    if cards.is_empty() {
        return "no sound card was found".into();
    }
    let one = |card: &Card| {
        let usb = card.usb_path.as_ref().map(|path| format!(", {USB}{path}")).unwrap_or_default();
        format!("{} ({}{usb})", card.id, card.name)
    };
    format!("there are: {}", cards.iter().map(one).collect::<Vec<_>>().join("; "))
}

/// `/proc/asound/cards`: two lines a card.
///
/// ```text
///  1 [CODEC          ]: USB-Audio - USB Audio CODEC
///                       BurrBrown from Texas Instruments USB Audio CODEC at usb-0000:00:14.0-2, full speed
/// ```
fn parse_cards(text: &str) -> Vec<Card> {
    let lines: Vec<&str> = text.lines().collect();
    let card = |(at, line): (usize, &&str)| {
        let (index, rest) = line.split_once('[')?;
        let (id, rest) = rest.split_once("]: ")?;
        let name = rest.split_once(" - ").map_or(rest, |(_driver, name)| name);
        Some(Card {
            index: index.trim().parse().ok()?,
            id: id.trim().to_owned(),
            name: name.trim().to_owned(),
            long_name: lines.get(at + 1).map_or("", |line| line.trim()).to_owned(),
            usb_path: None,
            captures: Vec::new(),
        })
    };
    lines.iter().enumerate().filter_map(card).collect()
}

/// `/proc/asound/pcm`: one line a PCM, `01-00: USB Audio : USB Audio : playback 1 : capture 1`.
fn captures(text: &str, index: u32, id: &str) -> Vec<Capture> {
    let capture = |line: &str| {
        let mut parts = line.split(": ");
        let (card, device) = parts.next()?.split_once('-')?;
        let parts: Vec<&str> = parts.map(str::trim).collect();
        let (card, device): (u32, u32) = (card.parse().ok()?, device.parse().ok()?);
        let name = parts.get(1).filter(|name| !name.is_empty()).or_else(|| parts.first())?;
        let captures = parts.iter().skip(2).any(|part| part.starts_with("capture "));
        let pcm = format!("hw:CARD={id},DEV={device}");
        (card == index && captures).then(|| Capture { device, pcm, name: (*name).to_owned() })
    };
    // The list is in the order in which drivers came.
    let mut captures: Vec<Capture> = text.lines().filter_map(capture).collect();
    captures.sort_unstable_by_key(|capture| capture.device);
    captures
}

/// The USB socket in the path of a device: of several, which are hubs, the last.
fn usb_path(device: &Path) -> Option<String> {
    let names = device.components().rev().filter_map(|component| component.as_os_str().to_str());
    names.map(|name| name.split(':').next().unwrap_or(name)).find(|name| is_usb_path(name)).map(str::to_owned)
}

/// Bus, dash, and the numbers of the sockets with dots between: 1-1.2.
fn is_usb_path(name: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.split_once('-').is_some_and(|(bus, sockets)| number(bus) && sockets.split('.').all(number))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::scratch::Scratch;

    const CARDS: &str = " 0 [PCH            ]: HDA-Intel - HDA Intel PCH
                      HDA Intel PCH at 0xf7f10000 irq 31
 2 [CODEC          ]: USB-Audio - USB Audio CODEC
                      BurrBrown USB Audio CODEC at usb-0000:00:14.0-1.2, full speed
11 [CODEC_1        ]: USB-Audio - USB Audio - the second [one]: odd\u{1b}
                      BurrBrown USB Audio CODEC at usb-0000:00:14.0-3, full speed
";
    const PCMS: &str = "00-00: ALC887 Analog : ALC887 Analog : playback 1 : capture 1
00-03: HDMI 0 : HDMI 0 : playback 1
00-02: ALC887 Alt Analog : ALC887 Alt Analog : capture 1
02-00: USB Audio : USB Audio : playback 1 : capture 1
11-02: USB Audio #2 : USB Audio #2 : playback 1
11-01: USB Audio :  : capture 2
";

    /// A kernel with a card on its board, one behind a hub, and one in a socket of its own.
    fn kernel(scratch: &Scratch) -> Roots {
        let roots = Roots { proc_asound: scratch.join("asound"), sys_class_sound: scratch.join("class") };
        fs::create_dir_all(&roots.proc_asound).expect("proc");
        fs::write(roots.proc_asound.join("cards"), CARDS).expect("cards");
        fs::write(roots.proc_asound.join("pcm"), PCMS).expect("pcm");
        let usb = "devices/pci0000:00/0000:00:14.0/usb1";
        let devices = [
            (0, "devices/pci0000:00/0000:00:1b.0".to_owned()),
            (2, format!("{usb}/1-1/1-1.2/1-1.2:1.0")),
            (11, format!("{usb}/1-3/1-3:1.1")),
        ];
        for (index, device) in devices {
            let (device, card) = (scratch.join(&device), roots.sys_class_sound.join(format!("card{index}")));
            fs::create_dir_all(&device).expect("device");
            fs::create_dir_all(&card).expect("card");
            symlink(device, card.join("device")).expect("link");
        }
        roots
    }

    #[test]
    fn a_card_is_found_by_its_id_or_its_usb_path() {
        let scratch = Scratch::new();
        let roots = kernel(&scratch);
        let table = [
            ("PCH", "hw:CARD=PCH"),
            ("CODEC", "hw:CARD=CODEC"),
            ("usb:1-1.2", "hw:CARD=CODEC"),
            ("usb:1-3", "hw:CARD=CODEC_1,DEV=1"),
            ("hw:CARD=CODEC,DEV=0", "hw:CARD=CODEC,DEV=0"),
            ("plughw:2", "plughw:2"),
            ("default", "default"),
            ("codec", "codec"),
        ];
        for (written, pcm) in table {
            assert_eq!(resolve(written, &roots).as_deref(), Ok(pcm), "{written}");
        }
        for written in ["usb:1-1", "usb:1-1.20", "usb:1-1.2:1.0", "usb:", "usb:0000", "usb:3"] {
            let error = resolve(written, &roots).expect_err(written).to_string();
            assert!(error.contains("CODEC (USB Audio CODEC, usb:1-1.2)") && error.contains("PCH"), "{error}");
        }
    }

    #[test]
    fn cards_are_listed_with_what_they_capture_from() {
        let scratch = Scratch::new();
        let cards = cards(&kernel(&scratch));
        let told: Vec<_> = cards.iter().map(|card| (card.index, card.id.as_str(), card.usb_path.as_deref())).collect();
        assert_eq!(told, [(0, "PCH", None), (2, "CODEC", Some("1-1.2")), (11, "CODEC_1", Some("1-3"))]);
        assert_eq!(cards[0].long_name, "HDA Intel PCH at 0xf7f10000 irq 31");
        assert_eq!(cards[2].name, "USB Audio - the second [one]: odd?");
        let pcms: Vec<_> = cards[0].captures.iter().map(|c| (c.device, c.pcm.as_str(), c.name.as_str())).collect();
        assert_eq!(pcms, [(0, "hw:CARD=PCH,DEV=0", "ALC887 Analog"), (2, "hw:CARD=PCH,DEV=2", "ALC887 Alt Analog")]);
        assert_eq!(cards[2].captures[0].name, "USB Audio");
    }

    #[test]
    fn a_kernel_without_sound_has_no_cards() {
        let scratch = Scratch::new();
        let roots = Roots { proc_asound: scratch.join("none"), sys_class_sound: scratch.join("none") };
        assert_eq!(cards(&roots), []);
        let error = resolve("usb:1-1", &roots).expect_err("no card").to_string();
        assert_eq!(error, "usb:1-1: no sound card is plugged in there; no sound card was found");
        fs::create_dir_all(scratch.join("none")).expect("folder");
        fs::write(scratch.join("none/cards"), "--- no soundcards ---\n").expect("cards");
        assert_eq!(cards(&roots), []);
    }

    #[test]
    fn a_word_that_names_nothing_is_answered_with_the_cards() {
        let scratch = Scratch::new();
        let roots = kernel(&scratch);
        let not_there = |pcm: &str| CardError::NotThere { pcm: pcm.to_owned(), words: "Unknown PCM x".into() };
        let error = explained("CODEX", &roots, not_there("CODEX")).to_string();
        assert!(error.starts_with("CODEX: no sound card has this id") && error.contains("Unknown PCM x"), "{error}");
        assert!(error.contains("there are: PCH (HDA Intel PCH); CODEC (USB Audio CODEC, usb:1-1.2)"), "{error}");
        assert_eq!(explained("hw:X", &roots, not_there("hw:X")), DeviceError::Card(not_there("hw:X")));
        assert_eq!(
            explained("CODEC", &roots, not_there("hw:CARD=CODEC")).to_string(),
            not_there("hw:CARD=CODEC").to_string()
        );
    }
}
