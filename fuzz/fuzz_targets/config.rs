//! Arbitrary text as a configuration: an answer for each, and what is accepted is written and read back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesher_config::{parse, parse_duration};

fuzz_target!(|text: &str| {
    let _ = parse_duration(text);
    match parse(text, "alpha") {
        Ok(config) => {
            assert_eq!(parse(&config.to_toml(), "other").as_ref(), Ok(&config), "{}", config.to_toml())
        }
        Err(problems) => {
            for problem in problems.iter() {
                assert!(problem.line >= 1 && !problem.message.is_empty(), "{problem:?}");
            }
        }
    }
});
