//! `tower devices`: which sound cards there are, what to write into `live.device`, and
//! what the tower would make of them.
//!
//! A card is opened for a moment, to ask it; one that is in use is left alone.

use std::fmt::Write;

use crate::{
    cli::plain,
    config::{LiveConfig, LiveLatency},
    input::live::{
        card::{CardError, Offer, Setup, look},
        device::{self, Capture, Card, Roots},
    },
};

/// Names of ALSA that are shown; the rest is counted.
const KNOWN_MAX: usize = 30;

const NO_CARD: &str = "\
no sound card was found
  Plug one in (most USB cards need no driver), wait a moment and ask again.
  `dmesg | tail` shows what the kernel makes of it.

";

/// All of it as text: the cards, the configured device, and what else ALSA knows.
pub fn devices(live: &LiveConfig, roots: &Roots) -> String {
    let cards = device::cards(roots);
    let mut out = if cards.is_empty() { NO_CARD.to_owned() } else { String::new() };
    for card in &cards {
        out += &card_text(card);
        for capture in &card.captures {
            out += &capture_text(capture, look(&capture.pcm, live.latency));
        }
        out.push('\n');
    }
    out += &configured(live, roots);
    out += &known(&device::known_pcms());
    out
}

/// A card, with the names that stay.
fn card_text(card: &Card) -> String {
    let usb = card.usb_path.as_ref().map(|path| format!(" or \"usb:{path}\"")).unwrap_or_default();
    let mut out = format!("{}: {}\n", card.id, card.name);
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  {}", card.long_name);
    let _ = match card.captures.is_empty() {
        true => writeln!(out, "  captures nothing: it can only play"),
        false => writeln!(out, "  live.device = \"{}\"{usb}", card.id),
    };
    out
}

fn capture_text(capture: &Capture, looked: Result<(Offer, Setup), CardError>) -> String {
    let mut out = format!("  {}  {}\n", capture.pcm, capture.name);
    match looked {
        Ok((offer, setup)) => out += &format!("    has        {}\n    would use  {setup}\n", offer_text(&offer)),
        Err(error) => out += &format!("    {}\n", trouble(&error)),
    }
    out
}

/// What it has, in a line.
fn offer_text(offer: &Offer) -> String {
    let formats: Vec<&str> = offer.formats.iter().map(|format| format.name()).collect();
    let rates: Vec<String> = offer.rates_hz.iter().map(u32::to_string).collect();
    let channels = match offer.channels {
        (1, 1) => "1 channel".to_owned(),
        (least, most) if least == most => format!("{most} channels"),
        (least, most) => format!("{least} to {most} channels"),
    };
    let formats = if formats.is_empty() { "no format that the tower knows".to_owned() } else { formats.join(" ") };
    format!("{formats}; {} Hz; {channels}", rates.join(" "))
}

/// For somebody who looks, a card that is in use is no trouble.
fn trouble(error: &CardError) -> String {
    match error {
        CardError::Busy { .. } => "is in use, by the tower or by another program; ask again when it is free".into(),
        other => other.to_string(),
    }
}

fn configured(live: &LiveConfig, roots: &Roots) -> String {
    let Some(written) = &live.device else {
        return "live.device is not set: there is no live input\n".into();
    };
    format!("live.device = \"{}\"\n  {}\n", plain(written), would_use(written, live.latency, roots))
}

fn would_use(written: &str, latency: LiveLatency, roots: &Roots) -> String {
    match device::resolve(written, roots) {
        Err(error) => error.to_string(),
        Ok(pcm) => match look(&pcm, latency) {
            Ok((_, setup)) => format!("{}would use {setup}", if pcm == written { String::new() } else { pcm + ": " }),
            Err(CardError::NotThere { pcm, words }) => {
                device::explained(written, roots, CardError::NotThere { pcm, words }).to_string()
            }
            Err(error) => trouble(&error),
        },
    }
}

/// What else may be written into `live.device`: not the cards' own names again, nor the flood
/// of zeros that ALSA always has.
fn known(names: &[(String, String)]) -> String {
    let others: Vec<_> = names.iter().filter(|(name, _)| !name.starts_with("hw:") && name != "null").collect();
    if others.is_empty() {
        return String::new();
    }
    let mut out = "\nother names that ALSA knows for capture:\n".to_owned();
    for (name, what) in others.iter().take(KNOWN_MAX) {
        let _ = writeln!(out, "  {:<30} {}", plain(name), plain(what));
    }
    if others.len() > KNOWN_MAX {
        let _ = writeln!(out, "  and {} more: `arecord -L`", others.len() - KNOWN_MAX);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::live::convert::SampleFormat;

    fn card(captures: Vec<Capture>) -> Card {
        Card {
            index: 1,
            id: "CODEC".into(),
            name: "USB Audio CODEC".into(),
            long_name: "BurrBrown USB Audio CODEC at usb-0000:00:14.0-1.2, full speed".into(),
            usb_path: Some("1-1.2".into()),
            captures,
        }
    }

    fn capture() -> Capture {
        Capture { device: 0, pcm: "hw:CARD=CODEC,DEV=0".into(), name: "USB Audio".into() }
    }

    #[test]
    fn a_card_is_told_with_what_to_write() {
        let text = card_text(&card(vec![capture()]));
        assert!(text.starts_with("CODEC: USB Audio CODEC\n"), "{text}");
        assert!(text.ends_with("  live.device = \"CODEC\" or \"usb:1-1.2\"\n"), "{text}");
        assert!(card_text(&card(Vec::new())).contains("captures nothing"));
    }

    #[test]
    fn what_a_card_has_and_what_would_be_used_are_told() {
        let offer = Offer {
            formats: vec![SampleFormat::S24Le3, SampleFormat::S16Le],
            channels: (1, 2),
            rates_hz: vec![44_100, 48_000],
        };
        let setup = Setup {
            rate_hz: 48_000,
            channels: 2,
            format: SampleFormat::S24Le3,
            period_frames: 480,
            buffer_frames: 19_200,
        };
        assert_eq!(
            capture_text(&capture(), Ok((offer, setup))),
            "  hw:CARD=CODEC,DEV=0  USB Audio\n    has        S24_3LE S16_LE; 44100 48000 Hz; 1 to 2 channels\n    \
             would use  48000 Hz, 2 channels, S24_3LE, period 480, buffer 19200 frames\n"
        );
        let busy = capture_text(&capture(), Err(CardError::Busy { pcm: "hw:CARD=CODEC,DEV=0".into() }));
        assert!(busy.contains("    is in use, by the tower or"), "{busy}");
    }

    #[test]
    fn names_of_alsa_are_told_briefly() {
        let left_out = ["hw:CARD=CODEC,DEV=0", "null"].map(|name| (name.to_owned(), "What it is".to_owned()));
        assert_eq!(known(&left_out), "");
        let many: Vec<_> = (0..40).map(|n| (format!("pcm{n}"), "What it is".to_owned())).collect();
        let text = known(&many);
        assert!(text.contains("  pcm0 ") && text.ends_with("  and 10 more: `arecord -L`\n"), "{text}");
    }
}
