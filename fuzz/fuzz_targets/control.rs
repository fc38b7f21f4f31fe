//! What a caller can send on the control socket.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| mesherd::control::fuzzing::request(data));
