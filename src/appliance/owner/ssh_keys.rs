//! `authorized_keys`: who may log in by SSH. Each line is looked at by its form; private keys are refused.

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SshKeys {
    /// Lines that were taken, as they were.
    pub lines: Vec<String>,
    /// What is wrong with others.
    pub mistakes: Vec<String>,
    /// There is a private key in it, which must not stay on the card.
    pub private: bool,
}

const TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];
/// Keys in one file; a person has a handful.
const KEYS_MAX: usize = 100;

/// Reads it.
pub fn parse(text: &str) -> SshKeys {
    let mut keys = SshKeys::default();
    let mut inside_a_block = false;
    for (at, line) in text.lines().map(str::trim).enumerate() {
        let number = at + 1;
        let mut mistake = |what: &str| keys.mistakes.push(format!("line {number}: {what}"));
        if line.starts_with("-----BEGIN") || line.starts_with("---- BEGIN") {
            inside_a_block = true;
            if is_private(line) {
                keys.private = true;
            } else {
                mistake(
                    "is a public key in a form that is not read here; it has to be one line, such as \"ssh-ed25519 AAAA… name\"",
                );
            }
        } else if line.starts_with("-----END") || line.starts_with("---- END") {
            inside_a_block = false;
        } else if line.starts_with("PuTTY-User-Key-File") {
            (keys.private, inside_a_block) = (true, true);
        } else if line.is_empty() || line.starts_with('#') || inside_a_block {
        } else if keys.lines.len() == KEYS_MAX {
            mistake("is one key too many; 100 are read");
            break;
        } else {
            match check(line) {
                Ok(()) => keys.lines.push(line.to_owned()),
                Err(why) => mistake(why),
            }
        }
    }
    if keys.private {
        keys.mistakes.insert(0, PRIVATE.to_owned());
    }
    keys
}

const PRIVATE: &str = "holds a PRIVATE key. It belongs on your own computer and nowhere else, and anybody who had \
    this card may have copied it: make a new pair of keys. The file was moved off the card, into the box \
    (ssh/private-key-of-the-owner on the data partition), as it may be your only copy. What belongs here is the public key, \
    from the file that ends in .pub";

fn is_private(line: &str) -> bool {
    line.contains("PRIVATE KEY")
}

/// `[options] type base64 [comment]`
fn check(line: &str) -> Result<(), &'static str> {
    let words = words(line).ok_or("has a quote that is not closed")?;
    let at = words.iter().take(2).position(|word| TYPES.contains(word));
    let Some(at) = at else {
        return Err(match words.first() {
            Some(&"ssh-dss") => "is a DSA key, which is not taken any more; make a new one with ssh-keygen -t ed25519",
            _ => "is not a public key; one begins with ssh-ed25519, ssh-rsa or ecdsa-sha2-nistp256",
        });
    };
    let blob = words.get(at + 1).and_then(|word| base64(word)).ok_or("the key is cut off or damaged")?;
    let named = blob.split_first_chunk::<4>().and_then(|(length, rest)| {
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        rest.get(..length)
    });
    if named == Some(words[at].as_bytes()) && blob.len() > 4 + words[at].len() + 32 {
        Ok(())
    } else {
        Err("the key is cut off or damaged")
    }
}

/// Split at spaces, but not within the quotes of an option.
fn words(line: &str) -> Option<Vec<&str>> {
    let (mut quoted, mut escaped) = (false, false);
    let words = line.split(|letter: char| {
        match letter {
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = letter == '\\' && !escaped;
        letter.is_whitespace() && !quoted
    });
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    // A comment may have a quote (O'Neill's "phone).
    (!quoted || words.iter().take(2).any(|word| TYPES.contains(word))).then_some(words)
}

/// Bytes of a base64 text with its padding; none: it is none.
fn base64(text: &str) -> Option<Vec<u8>> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let (mut out, mut bits, mut count) = (Vec::with_capacity(text.len()), 0u32, 0);
    for digit in digits.bytes() {
        let value = LETTERS.iter().position(|letter| *letter == digit)?;
        bits = (bits << 6 | u32::try_from(value).ok()?) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `ssh-keygen`; their private halves were never kept.
    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEkAq6NajLX/0j4IGnIjOasgjwS+OmJ8VOWIAQ7zYwZF me@home";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBAT/WnLa0vjujbsrRN4YQc5sB3hq/AO8HuH28uP1r99+x4fPV5Y7F7Bq7Jt546q6UIIXXt/6tvcVtmDonIaVKi4= me@home";

    #[test]
    fn w3_public_keys_are_taken_with_options_and_comments() {
        let rows = [
            ED25519.to_owned(),
            ECDSA.to_owned(),
            format!("no-pty,command=\"echo \\\"a b\\\"\" {ED25519}"),
            format!("from=\"10.0.0.0/8\" {ED25519} with \" a quote"),
        ];
        let text = format!("# mine\n\n{}\n", rows.join("\n"));
        let keys = parse(&text);
        assert_eq!((keys.lines, keys.mistakes, keys.private), (rows.to_vec(), vec![], false));
    }

    #[test]
    fn w3_what_is_no_public_key_is_said_and_private_ones_are_refused() {
        let cut = &ED25519[..50];
        let rows = [
            ("hello", "line 1: is not a public key"),
            (cut, "cut off"),
            ("ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIEkAq6NajLX/0j4IGnIjOasgjwS+OmJ8VOWIAQ7zYwZF", "damaged"),
            ("ssh-ed25519", "cut off"),
            ("ssh-dss AAAA me", "DSA"),
            ("command=\"x ssh-ed25519 AAAA", "not closed"),
            ("---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"x\"\nAAAA\n---- END SSH2 PUBLIC KEY ----", "one line"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n-----END OPENSSH PRIVATE KEY-----", "PRIVATE"),
            ("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n", "PRIVATE"),
        ];
        for (text, why) in rows {
            let keys = parse(text);
            assert!(keys.lines.is_empty() && keys.mistakes.iter().any(|said| said.contains(why)), "{text}: {keys:?}");
            assert_eq!(keys.private, why == "PRIVATE", "{text}");
        }
        let both = format!("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n{ED25519}\n");
        let keys = parse(&both);
        assert_eq!((keys.lines, keys.private), (vec![ED25519.to_owned()], true));
    }
}
