//! Whatever is said on the station's control socket: no panic, one line of sentence for what is
//! refused, and what is taken says the same when it is written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use retrowaves::{limits::STATION_REQUEST_BYTES_MAX, station::control::protocol::Request};

fuzz_target!(|line: &str| {
    if line.len() > STATION_REQUEST_BYTES_MAX {
        return;
    }
    match Request::from_line(line) {
        Err(why) => assert!(!why.is_empty() && !why.contains('\n')),
        Ok(request) => assert_eq!(Request::from_line(&request.to_line()), Ok(request)),
    }
});
