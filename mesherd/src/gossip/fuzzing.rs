//! The private parsers of this layer, for the fuzz targets. Only compiled for them.

use super::carrier::message::Message;
use super::wire::datagram;
use super::wire::fuzzing;

/// Reads what stands in an opened datagram. One that can be read comes back the same from what is written.
pub fn datagram(plain: &[u8]) {
    let Ok((header, body)) = datagram::decode(plain) else { return };
    let written = datagram::encode(&header, &body);
    let (again, _) = datagram::decode(&written).expect("what is written can be read");
    assert_eq!(
        (again.session, again.counter, again.token, again.grant),
        (header.session, header.counter, header.token, header.grant)
    );
}

/// Reads a carrier's message. One that can be read and is not cut comes back the same.
pub fn carrier(bytes: &[u8]) {
    let Ok(message) = Message::decode(bytes) else { return };
    let (written, cut) = message.encode();
    if !cut {
        assert_eq!(Message::decode(&written).as_ref(), Ok(&message));
    }
}

/// A sequence of datagrams into a running wire.
pub fn wire(data: &[u8]) {
    fuzzing::wire(data);
}

/// Pieces of messages in any order.
pub fn reassembly(data: &[u8]) {
    fuzzing::reassembly(data);
}
