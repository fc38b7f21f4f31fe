//! A sequence of datagrams, a member's and a stranger's, into a running wire.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| mesherd::gossip::fuzzing::wire(data));
