//! The way to the others: the bootstrap nodes.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::time::Instant;

use mesher_config::BootstrapNode;
use mesher_control::types::{Peer, PeerState};

use super::probe::{Probe, is_own, probe, refusal};
use super::{Finding, Machine};
use crate::output::span;

/// A finding for each bootstrap node.
pub(super) fn check(machine: &Machine<'_>) -> Vec<Finding> {
    const CHECK: &str = "bootstrap";
    let Some(config) = &machine.config else { return Vec::new() };
    let peers = machine.status().map(|status| status.peers.as_slice()).unwrap_or_default();
    let nodes = &config.cluster.bootstrap_nodes;
    if expects_nobody(nodes) {
        let text = "cluster.bootstrap_nodes names no other machine: this one waits for others to find it";
        return if peers.is_empty() {
            vec![Finding::unclear(
                CHECK,
                text,
                format!("mesherctl config check --print {}", machine.config_file.display()),
            )]
        } else {
            vec![Finding::ok(CHECK, text)]
        };
    }
    let begun = Instant::now();
    // Those that the service cannot reach are not asked: from outside its sandbox they may well answer.
    let isolated = !nodes.iter().all(is_address) && is_isolated();
    let (shut, open): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| isolated && !is_address(node));
    let sent: Vec<_> = open
        .into_iter()
        .map(|node| (node, addresses_of(node).map(|found| found.into_iter().map(probe).collect::<Vec<_>>())))
        .collect();
    let seen = match machine.status() {
        None => Seen::Unasked,
        Some(_) if peers.iter().any(|peer| peer.state == PeerState::Alive) => Seen::Peers,
        Some(_) => Seen::Nobody,
    };
    let mut findings: Vec<Finding> = shut.into_iter().map(out_of_reach).collect();
    let domain = machine.status().and_then(|status| status.network.domain.as_deref());
    findings.extend(sent.into_iter().map(|(node, probes)| match (node, domain) {
        (BootstrapNode::Name { name, .. }, Some(domain)) if probes.is_err() && is_below(name, domain) => {
            of_the_mesh(node, domain)
        }
        _ => judge(node, probes, peers, seen, begun),
    }));
    findings
}

/// Whether a name is one under a domain.
fn is_below(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.trim_end_matches('.').to_ascii_lowercase(), domain.to_ascii_lowercase());
    name.strip_suffix(&domain).is_some_and(|above| above.ends_with('.'))
}

fn of_the_mesh(node: &BootstrapNode, domain: &str) -> Finding {
    let text = format!(
        "{node} is a name of the mesh itself ({domain}), which cannot lead to the mesh: give an address, or a name that DNS has"
    );
    Finding::wrong("bootstrap", text, "mesherctl peers")
}

/// Whether the list leads to nobody but this machine itself: then nobody is waited for.
pub(super) fn expects_nobody(nodes: &[BootstrapNode]) -> bool {
    nodes.iter().all(|node| matches!(node, BootstrapNode::Address(address) if is_own(address)))
}

/// Whether the service runs without a network of its own, with the sockets that systemd hands in (docs/sandbox.md).
fn is_isolated() -> bool {
    let shown = super::output_of("systemctl", &["show", "--property=PrivateNetwork", "data-mesher.service"]);
    shown.is_some_and(|shown| shown.trim() == "PrivateNetwork=yes")
}

/// Whether a node is reached without DNS, and without an interface's number.
fn is_address(node: &BootstrapNode) -> bool {
    matches!(node, BootstrapNode::Address(_))
}

fn out_of_reach(node: &BootstrapNode) -> Finding {
    let (why, run) = match node {
        BootstrapNode::Name { name, .. } => (
            "there is no DNS in there: give its address",
            format!("getent -s 'hosts:files dns' ahosts {name}"),
        ),
        _ => ("link-local addresses are not reached from there: give another one", "ip address".to_owned()),
    };
    let text = format!(
        "{node} is of no use to the service, which has no network of its own (PrivateNetwork=yes): {why}"
    );
    Finding::wrong("bootstrap", text, run)
}

/// Whom this machine's daemon sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Others, whoever they are.
    Peers,
    Nobody,
    /// It does not run, or does not answer.
    Unasked,
}

fn judge(
    node: &BootstrapNode,
    probes: io::Result<Vec<Probe>>,
    peers: &[Peer],
    seen: Seen,
    begun: Instant,
) -> Finding {
    const CHECK: &str = "bootstrap";
    let probes = match probes {
        Ok(probes) => probes,
        Err(error) => {
            let name = node.to_string();
            let host = name.rsplit_once(':').map_or(name.as_str(), |(host, _)| host);
            return Finding::wrong(
                CHECK,
                format!("{node} has no address: {error}"),
                format!("getent -s 'hosts:files dns' ahosts {host}"),
            );
        }
    };
    let mut worst = None;
    for probe in probes {
        let (address, failed) = match probe {
            Probe::Own => return Finding::ok(CHECK, format!("{node} is this machine")),
            Probe::Sent(address, socket) => {
                if let Some(finding) = heard(node, address, peers) {
                    return finding;
                }
                (address, refusal(&socket, begun))
            }
            Probe::NotSent(address, error) => (address, Some(error)),
        };
        worst = Some((address, failed));
    }
    let ping = |address: SocketAddr| format!("ping -c 3 {}", address.ip());
    match worst {
        None => Finding::wrong(CHECK, format!("{node} has no address"), "mesherctl config check --print"),
        Some((_, Some(error))) if error.kind() == io::ErrorKind::ConnectionRefused => Finding::wrong(
            CHECK,
            format!("{node} can be reached, and nobody listens on the port there"),
            "systemctl status data-mesher.socket     # on that machine",
        ),
        Some((address, Some(error))) => {
            Finding::wrong(CHECK, format!("{node} cannot be reached: {error}"), ping(address))
        }
        // A member does not answer a stranger: only the daemon can hear of it.
        Some((_, None)) if seen == Seen::Unasked => Finding::unclear(
            CHECK,
            format!(
                "nothing speaks against {node}; whether it is there only this machine's daemon can find out"
            ),
            "systemctl start data-mesher.socket",
        ),
        Some((address, None)) if seen == Seen::Peers => Finding::unclear(
            CHECK,
            format!("{node} has not been heard of by that address; other peers are there"),
            ping(address),
        ),
        Some((address, None)) => Finding::wrong(
            CHECK,
            format!(
                "{node} does not answer: it is off, a firewall on the way drops UDP port {}, or its network secret is another",
                address.port()
            ),
            ping(address),
        ),
    }
}

/// What the daemon knows of the node at an address.
fn heard(node: &BootstrapNode, address: SocketAddr, peers: &[Peer]) -> Option<Finding> {
    let is_there = |peer: &&Peer| {
        peer.address.as_ref().and_then(|text| text.parse::<SocketAddr>().ok()).is_some_and(|seen| {
            seen.port() == address.port() && seen.ip().to_canonical() == address.ip().to_canonical()
        })
    };
    let peer = peers.iter().find(is_there).filter(|peer| peer.state == PeerState::Alive)?;
    let ago = peer.last_contact_ms.map_or(String::new(), |ms| format!(", heard {} ago", span(ms)));
    Some(Finding::ok("bootstrap", format!("{node} is {}{ago}", peer.label)))
}

/// The node's addresses, by the sources that the daemon uses: never by its own names.
fn addresses_of(node: &BootstrapNode) -> io::Result<Vec<SocketAddr>> {
    match node {
        BootstrapNode::Address(address) => Ok(vec![*address]),
        BootstrapNode::Scoped { address, interface, port } => {
            let scope = nix::net::if_::if_nametoindex(interface.as_str())?;
            Ok(vec![SocketAddrV6::new(*address, *port, 0, scope).into()])
        }
        BootstrapNode::Name { name, port } => {
            let output =
                std::process::Command::new("getent").args(["-s", "hosts:files dns", "ahosts", name]).output();
            let Ok(output) = output else { return Ok((name.as_str(), *port).to_socket_addrs()?.collect()) };
            let text = String::from_utf8_lossy(&output.stdout);
            let mut found: Vec<IpAddr> =
                text.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
            found.dedup();
            if found.is_empty() {
                return Err(io::Error::other("neither /etc/hosts nor DNS knows it"));
            }
            Ok(found.into_iter().map(|ip| SocketAddr::new(ip, *port)).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::doctor::Outcome;
    use crate::doctor::probe::PROBE_WITHIN;

    #[test]
    fn a_founder_that_lists_itself_waits_for_nobody() {
        let node = |text: &str| BootstrapNode::Address(text.parse().unwrap());
        assert!(expects_nobody(&[]));
        assert!(expects_nobody(&[node("127.0.0.1:7946"), node("[::1]:7946")]));
        assert!(!expects_nobody(&[node("127.0.0.1:7946"), node("192.0.2.1:7946")]));
        assert!(!expects_nobody(&[BootstrapNode::Name { name: "gateway.example.org".into(), port: 7946 }]));
    }

    #[test]
    fn a_name_of_the_mesh_is_told_from_others() {
        assert!(is_below("Earth.sol.", "SOL") && is_below("a.b.sol", "sol"));
        assert!(
            !is_below("sol", "sol") && !is_below("console", "sol") && !is_below("sol.example.org", "sol")
        );
    }

    #[test]
    fn a_closed_port_and_no_way_are_told_apart() {
        // An address of this machine that counts as foreign here. While the socket has the port on another one, the kernel gives it
        // to nobody who asks for a port on all of them.
        let socket = UdpSocket::bind("127.83.7.1:0").unwrap();
        let closed = SocketAddr::from(([127, 83, 7, 2], socket.local_addr().unwrap().port()));
        socket.connect(closed).unwrap();
        socket.send(&[]).unwrap();
        let node = BootstrapNode::Address(closed);
        let finding = judge(&node, Ok(vec![Probe::Sent(closed, socket)]), &[], Seen::Nobody, Instant::now());
        assert!(finding.message.contains("nobody listens"), "{}", finding.message);
        // A socket that nothing comes back to, as of a member.
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let judge_silent = |seen| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(silent.local_addr().unwrap()).unwrap();
            let long_ago = Instant::now().checked_sub(PROBE_WITHIN).unwrap();
            judge(&node, Ok(vec![Probe::Sent(closed, socket)]), &[], seen, long_ago)
        };
        assert_eq!(judge_silent(Seen::Nobody).outcome, Outcome::Wrong);
        for seen in [Seen::Unasked, Seen::Peers] {
            let finding = judge_silent(seen);
            assert_eq!(finding.outcome, Outcome::Unclear, "{}", finding.message);
        }
        let unreachable = io::Error::from_raw_os_error(libc::ENETUNREACH);
        let finding =
            judge(&node, Ok(vec![Probe::NotSent(closed, unreachable)]), &[], Seen::Nobody, Instant::now());
        assert!(finding.message.contains("cannot be reached: Network is unreachable"), "{}", finding.message);
        assert_eq!(
            judge(&node, Ok(vec![probe(closed)]), &[], Seen::Nobody, Instant::now()).outcome,
            Outcome::Ok
        );
    }
}
