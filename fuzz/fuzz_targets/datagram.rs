//! What a member can put into a sealed datagram, and the carrier's messages.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    mesherd::gossip::fuzzing::datagram(data);
    mesherd::gossip::fuzzing::carrier(data);
});
