//! Whatever is written as a weight or a day part: no panic, a sentence for what is refused, and
//! what is taken says the same when it is written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use retrowaves::station::rotation::rules::{DayPart, Weight};

fuzz_target!(|text: &str| {
    match Weight::parse(text) {
        Err(why) => assert!(!why.is_empty()),
        Ok(weight) => assert_eq!(Weight::parse(&weight.to_string()), Ok(weight)),
    }
    match DayPart::parse(text) {
        Err(why) => assert!(!why.is_empty()),
        Ok(part) => assert_eq!(DayPart::parse(&part.to_string()), Ok(part)),
    }
});
