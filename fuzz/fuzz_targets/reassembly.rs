//! Pieces of messages in any order, against a model.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| mesherd::gossip::fuzzing::reassembly(data));
