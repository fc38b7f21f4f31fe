//! The gossip port of this machine.

use super::{Finding, Machine};

/// Whether somebody receives what is sent to the gossip port.
pub(super) fn check(machine: &Machine<'_>) -> Option<Finding> {
    const CHECK: &str = "gossip port";
    let port = machine.config.as_ref()?.cluster.port;
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let open = [read("/proc/net/udp"), read("/proc/net/udp6")].iter().any(|table| is_open(table, port));
    Some(if open {
        Finding::ok(CHECK, format!("UDP port {port} is open on this machine"))
    } else {
        Finding::wrong(
            CHECK,
            format!(
                "nobody listens on UDP port {port}, which cluster.port names (data-mesher.socket must name it too)"
            ),
            "systemctl cat data-mesher.socket",
        )
    })
}

/// Whether a table of `/proc/net` (proc(5)) has a socket bound to the port.
fn is_open(table: &str, port: u16) -> bool {
    let local = |line: &str| {
        line.split_whitespace().nth(1).and_then(|local| local.rsplit(':').next().map(str::to_owned))
    };
    table.lines().skip(1).filter_map(local).any(|hex| u16::from_str_radix(&hex, 16) == Ok(port))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn the_kernels_table_tells_an_open_port() {
        let table = "  sl  local_address                         remote_address\n  \
                     512: 00000000000000000000000000000000:1F0A 00000000000000000000000000000000:0000 07\n";
        assert!(is_open(table, 7946));
        assert!(!is_open(table, 1));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert!(is_open(&std::fs::read_to_string("/proc/net/udp").unwrap(), port));
    }
}
