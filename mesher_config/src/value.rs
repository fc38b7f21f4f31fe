//! The single values of the file: each function takes what TOML holds, and says what it expected.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesher_claims::keys::{KeyError, NetworkId};
use mesher_claims::names::{ClaimName, Label};
use toml::de::DeValue;

use crate::document::{describe, nearest};
use crate::{BootstrapNode, LogLevel, format_duration, parse_duration};

/// The longest alternative name of an interface, from `ALTIFNAMSIZ` (128, with its end) in linux/if.h.
const MAX_INTERFACE_NAME: usize = 127;

/// A string, handed to `read`. `expected` is used where it is none.
pub(crate) fn text<T>(
    value: &DeValue<'_>,
    expected: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, String> {
    match value {
        DeValue::String(text) => read(text),
        other => Err(format!("expected {expected}, in quotes, found {}", describe(other))),
    }
}

pub(crate) fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("expected true or false, found {}", describe(value)))
}

pub(crate) fn port(value: &DeValue<'_>) -> Result<u16, String> {
    let number = value
        .as_integer()
        .and_then(|integer| u16::from_str_radix(integer.as_str(), integer.radix()).ok())
        .filter(|&port| port != 0);
    number.ok_or_else(|| format!("expected a UDP port, a number from 1 to 65535, found {}", describe(value)))
}

pub(crate) fn log_level(value: &DeValue<'_>) -> Result<LogLevel, String> {
    text(value, "error, warn, info, debug or trace", |text| {
        text.parse().map_err(|error| {
            let near = nearest(text, &LogLevel::ALL.map(LogLevel::as_str));
            near.map_or_else(|| format!("{error}"), |near| format!("{error}; did you mean {near}?"))
        })
    })
}

pub(crate) fn duration(
    value: &DeValue<'_>,
    shortest: Duration,
    longest: Duration,
) -> Result<Duration, String> {
    let expected = format!("a duration from {} to {}", format_duration(shortest), format_duration(longest));
    text(value, &expected, |text| {
        let duration = parse_duration(text).map_err(|error| error.to_string())?;
        if (shortest..=longest).contains(&duration) {
            Ok(duration)
        } else {
            Err(format!("expected {expected}, found {text:?}"))
        }
    })
}

pub(crate) fn path(value: &DeValue<'_>) -> Result<PathBuf, String> {
    text(value, "an absolute path", |text| {
        let path = PathBuf::from(text);
        // The daemon's working directory is nobody's business, so a relative path means nothing.
        if path.is_absolute() { Ok(path) } else { Err(format!("expected an absolute path, found {text:?}")) }
    })
}

/// A file to write: what is there already is replaced.
pub(crate) fn file_to_write(value: &DeValue<'_>) -> Result<PathBuf, String> {
    let path = path(value)?;
    let is_file = path.file_name().is_some() && !path.as_os_str().as_encoded_bytes().ends_with(b"/");
    // The daemon's own files in /run, and those that every machine lives by.
    let refused = ["/etc/hosts", "/run/data-mesher/hosts.table", "/run/data-mesher/mesherd.sock"];
    if !is_file {
        return Err(format!("expected the path of a file, found {:?}", path.display().to_string()));
    }
    match refused.into_iter().find(|refused| path.as_path() == Path::new(refused)) {
        Some(refused) => {
            Err(format!("expected a file that is written for this alone; {refused} is another's"))
        }
        None => Ok(path),
    }
}

pub(crate) fn network_id(value: &DeValue<'_>) -> Result<NetworkId, String> {
    const EXPECTED: &str = "the network's id, as `mesherctl network init` prints it";
    text(value, EXPECTED, |text| {
        // The example's placeholder, or a word of some guide: what is wrong with it as base64 helps nobody.
        if !text.trim().chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')) {
            return Err(format!(
                "{text:?} is no id: put the network's id here, the last word that `mesherctl network init` printed \
                 (`mesherctl network show` on a machine of the network prints it too)"
            ));
        }
        text.parse().map_err(|error: KeyError| format!("expected {EXPECTED}, found {error}"))
    })
}

pub(crate) fn interface(value: &DeValue<'_>) -> Result<String, String> {
    text(value, "an interface's name", |text| {
        if !is_interface_name(text) {
            return Err(format!("expected an interface's name, as `ip link` shows it, found {text:?}"));
        }
        Ok(text.to_owned())
    })
}

/// What the kernel takes for a name or an alternative name of an interface.
fn is_interface_name(text: &str) -> bool {
    (1..=MAX_INTERFACE_NAME).contains(&text.len())
        && !matches!(text, "." | "..")
        && !text.chars().any(|c| c == '/' || c.is_whitespace() || c.is_control())
}

/// An address to announce. What peers would refuse is refused here.
pub(crate) fn address(value: &DeValue<'_>) -> Result<IpAddr, String> {
    const EXPECTED: &str = "an IPv4 or IPv6 address of this machine";
    text(value, EXPECTED, |text| {
        let address: IpAddr = text.parse().map_err(|_| format!("expected {EXPECTED}, found {text:?}"))?;
        let refused = match address {
            _ if address.is_unspecified() => "is the unspecified address",
            _ if address.is_multicast() => "is a multicast address",
            IpAddr::V4(v4) if v4.is_broadcast() => "is the broadcast address",
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
                "is an IPv4 address in an IPv6 one: write the IPv4 address"
            }
            IpAddr::V4(v4) if v4.is_link_local() => LINK_LOCAL,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => LINK_LOCAL,
            _ => return Ok(address),
        };
        Err(format!("expected {EXPECTED}; {text} {refused}"))
    })
}

const LINK_LOCAL: &str = "is link-local and means nothing without its interface: name that in `interfaces` and set link_local = true";

/// An address to bind to.
pub(crate) fn bind(value: &DeValue<'_>) -> Result<IpAddr, String> {
    text(value, "an IPv4 or IPv6 address to bind to", |text| {
        text.parse().map_err(|_| format!("expected an IPv4 or IPv6 address to bind to, found {text:?}"))
    })
}

/// One of `bootstrap_nodes`; `port` is for those that name none.
pub(crate) fn bootstrap_node(value: &DeValue<'_>, port: u16) -> Result<BootstrapNode, String> {
    const EXPECTED: &str = "an address or a DNS name with a port, such as \"192.0.2.1:7946\", \"[2001:db8::1]:7946\" or \
                            \"gateway.example.org:7946\"";
    text(value, EXPECTED, |text| {
        read_bootstrap_node(text, port).ok_or_else(|| format!("expected {EXPECTED}, found {text:?}"))
    })
}

fn read_bootstrap_node(text: &str, default_port: u16) -> Option<BootstrapNode> {
    // A bare IPv6 address first: its last group must not be taken for a port.
    if let Ok(address) = text.parse::<IpAddr>() {
        return usable(SocketAddr::new(address, default_port));
    }
    let (host, port) = match text.rsplit_once(':') {
        // "[…]" alone ends in a bracket: the colon found is one of the address's own.
        Some((host, port)) if !port.ends_with(']') => (host, read_port(port)?),
        _ => (text, default_port),
    };
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let Some((address, interface)) = inner.split_once('%') else {
            return usable(SocketAddr::new(IpAddr::V6(inner.parse().ok()?), port));
        };
        let address: Ipv6Addr = address.parse().ok()?;
        let interface = interface.to_owned();
        return (address.is_unicast_link_local() && is_interface_name(&interface))
            .then_some(BootstrapNode::Scoped { address, interface, port });
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        // An IPv6 address without brackets cannot be told from its port.
        return address.is_ipv4().then(|| usable(SocketAddr::new(address, port))).flatten();
    }
    is_dns_name(host).then(|| BootstrapNode::Name { name: host.to_owned(), port })
}

fn read_port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|&port| port != 0)
}

/// Addresses that a datagram can be sent to for one machine to get it.
fn usable(address: SocketAddr) -> Option<BootstrapNode> {
    let ip = address.ip();
    (!ip.is_unspecified() && !ip.is_multicast()).then_some(BootstrapNode::Address(address))
}

/// A name that DNS could hold (RFC 1035, with the underscore that is in use). All digits is a mistyped address.
fn is_dns_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253
        && name.split('.').all(label_ok)
        && !name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
}

/// A name to claim, below the network's domain.
pub(crate) fn claimed_name(value: &DeValue<'_>) -> Result<ClaimName, String> {
    const EXPECTED: &str = "a host name, such as \"earth\", \"grafana.earth\" or \"*.earth\"";
    text(value, EXPECTED, |text| {
        text.parse().map_err(|error| format!("expected {EXPECTED}, found {text:?}: {error}"))
    })
}

pub(crate) fn label(value: &DeValue<'_>) -> Result<Label, String> {
    const EXPECTED: &str = "one label, such as \"alpha\"";
    text(value, EXPECTED, |text| {
        text.parse().map_err(|error| format!("expected {EXPECTED}, found {text:?}: {error}"))
    })
}
