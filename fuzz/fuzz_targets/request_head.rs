//! Whatever a stranger sends (H9): no panic, no request outside its bounds, the same
//! answer however the bytes are cut, and nothing but a well-formed request is relayed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use retrowaves::{
    door::{
        head::{Parsed, parse},
        relay_to_web::{Origin, passed_on, rebuilt},
        routes::{Route, route},
    },
    limits::{BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX},
};

/// Beyond this, trying every cut takes too long.
const CUT_BYTES_MAX: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes, 0);
    if bytes.len() <= CUT_BYTES_MAX {
        let first = (1..=bytes.len()).find_map(|cut| match parse(&bytes[..cut], cut - 1) {
            Parsed::Complete(request, len) => Some((request, len)),
            _ => None,
        });
        if let Parsed::Complete(request, len) = &whole {
            assert_eq!(first.as_ref(), Some(&(request.clone(), *len)), "cut into single bytes");
        }
    }
    if let Parsed::Complete(request, len) = whole {
        assert!(len <= bytes.len().min(HEAD_BYTES_MAX) && request.content_length <= BODY_BYTES_MAX);
        if route(&request) == Route::Relay {
            check_relayed(&rebuilt(&request, Origin::Remote, b"body"));
        }
    }
    // The other way: what the control plane might say.
    let _ = passed_on(bytes, 1);
});

fn check_relayed(bytes: &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let parsed = head.parse(bytes);
    assert!(matches!(parsed, Ok(httparse::Status::Complete(len)) if &bytes[len..] == b"body"));
    assert!(bytes.is_ascii());
    for name in ["X-Tower-From", "Content-Length", "Connection"] {
        let count = head.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).count();
        assert_eq!(count, 1, "{name}");
    }
}
