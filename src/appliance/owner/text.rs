//! From a file's bytes to text, for files that come from anybody's editor.
//!
//! What can be read in one way only is read, and the owner is told; what is a guess is refused with what would be right.

/// A text, and what was done to get it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// Lines end with `\n`; no byte order mark.
    pub text: String,
    /// What was strange about it.
    pub notes: Vec<String>,
}

/// Reads it.
///
/// # Errors
/// In words: what it is, and how to save it.
pub fn read(bytes: &[u8]) -> Result<Text, String> {
    let mut notes = Vec::new();
    let text = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => {
            notes.push("begins with a byte order mark, which was left out".to_owned());
            utf8(rest)?
        }
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes, &mut notes)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes, &mut notes)?,
        _ => utf8(bytes)?,
    };
    if text.contains('\0') {
        return Err("holds NUL characters: it is damaged, or no text; write it anew".into());
    }
    if !text.contains('\r') {
        return Ok(Text { text, notes });
    }
    notes.push("has the line ends of Windows or an old Mac, which is fine".to_owned());
    Ok(Text { text: text.replace("\r\n", "\n").replace('\r', "\n"), notes })
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    if bytes.starts_with(b"{\\rtf") {
        return Err("is an RTF document; save it as plain text (TextEdit: Format, Make Plain Text)".into());
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\xd0\xcf\x11\xe0") {
        return Err("is a document of a word processor; save it as plain text".into());
    }
    if bytes.contains(&0) {
        let zeros = bytes.iter().filter(|byte| **byte == 0).count();
        return Err(match zeros * 5 > bytes.len() * 2 && zeros < bytes.len() {
            true => "seems to be UTF-16 without a byte order mark; save it as UTF-8".into(),
            false => "holds NUL bytes: it is damaged, or no text; write it anew".into(),
        });
    }
    String::from_utf8(bytes.to_vec()).map_err(|error| {
        let good = &bytes[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        format!("line {line} is not UTF-8; save it as UTF-8 (Notepad: Save as, Encoding)")
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16, notes: &mut Vec<String>) -> Result<String, String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    let text = String::from_utf16(&units).ok().filter(|_| rest.is_empty());
    notes.push("is UTF-16, and was read as that".to_owned());
    text.ok_or_else(|| "is UTF-16, and broken; save it as UTF-8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16le(text: &str) -> Vec<u8> {
        [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
    }

    #[test]
    fn w3_what_can_be_read_in_one_way_only_is_read() {
        let be: Vec<u8> = [0xfe, 0xff].into_iter().chain("a=ü\n".encode_utf16().flat_map(u16::to_be_bytes)).collect();
        let rows: [(&[u8], &str, usize); 7] = [
            (b"a = 1\n", "a = 1\n", 0),
            (b"", "", 0),
            (b"\xef\xbb\xbfa = 1\r\n", "a = 1\n", 2),
            (b"a\r\nb\rc\n", "a\nb\nc\n", 1),
            (&utf16le("a=ü\r\n"), "a=ü\n", 2),
            (&be, "a=ü\n", 1),
            (b"\xff\xfe", "", 1),
        ];
        for (bytes, text, notes) in rows {
            let read = read(bytes).expect("readable");
            assert_eq!((read.text.as_str(), read.notes.len()), (text, notes), "{bytes:?}");
        }
    }

    #[test]
    fn w3_what_is_a_guess_is_refused_with_what_would_be_right() {
        let unmarked: Vec<u8> = "a=1\r\nb=2\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let half = &utf16le("abc")[..7];
        let rows: [(&[u8], &str); 9] = [
            (&unmarked, "UTF-16 without a byte order mark"),
            (half, "UTF-16, and broken"),
            (b"\xff\xfe\x00\xd8", "UTF-16, and broken"),
            (b"a=1\n\xe4=2\n", "line 2 is not UTF-8"),
            (b"a=1\0\n", "NUL bytes"),
            (&[0; 64], "NUL bytes"),
            (&utf16le("a\0b"), "NUL characters"),
            (b"{\\rtf1 a}", "RTF"),
            (b"PK\x03\x04....", "word processor"),
        ];
        for (bytes, why) in rows {
            let error = read(bytes).expect_err(why);
            assert!(error.contains(why), "{error}");
        }
    }
}
