//! The line `hosts:` of nsswitch.conf(5), and what each of its sources would answer.

use std::process::Command;

/// The module's source.
pub(crate) const SOURCE: &str = "mesher";
/// Where it is.
pub(crate) const FILE: &str = "/etc/nsswitch.conf";

/// A source of the line, and what its answers lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) name: String,
    /// As they stand there: `!UNAVAIL=return`.
    pub(crate) actions: Vec<String>,
}

impl Source {
    /// Whether a lookup ends here although this source does not know the name.
    pub(crate) fn ends_unknown(&self) -> bool {
        let mut ends = false;
        for action in &self.actions {
            let Some((status, action)) = action.split_once('=') else { continue };
            let returns = action.eq_ignore_ascii_case("return");
            let (negated, status) = status.strip_prefix('!').map_or((false, status), |status| (true, status));
            // Of a negated status every other is meant.
            if status.eq_ignore_ascii_case("notfound") != negated {
                ends = returns;
            }
        }
        ends
    }
}

/// The sources of the line `hosts:`; none if there is no such line.
pub(crate) fn host_sources(configuration: &str) -> Vec<Source> {
    let lines = configuration.lines().map(|line| line.split('#').next().unwrap_or_default());
    let Some(line) = lines.filter_map(|line| line.trim().strip_prefix("hosts:")).next() else {
        return Vec::new();
    };
    let mut sources: Vec<Source> = Vec::new();
    let mut in_action = false;
    for word in line.replace('[', " [ ").replace(']', " ] ").split_whitespace() {
        match word {
            "[" => in_action = true,
            "]" => in_action = false,
            _ if in_action => {
                if let Some(source) = sources.last_mut() {
                    source.actions.push(word.to_owned());
                }
            }
            _ => sources.push(Source { name: word.to_owned(), actions: Vec::new() }),
        }
    }
    sources
}

/// The line as it should be, from the line as it is: `mesher` before the first source that leaves the machine or ends the lookup.
pub(crate) fn mended(sources: &[Source]) -> String {
    let others: Vec<&Source> = sources.iter().filter(|source| source.name != SOURCE).collect();
    let leaves = |source: &Source| {
        matches!(source.name.as_str(), "dns" | "resolve" | "wins" | "ldap" | "nis")
            || source.name.starts_with("mdns")
    };
    let place =
        others.iter().position(|source| leaves(source) || source.ends_unknown()).unwrap_or(others.len());
    let mut words: Vec<String> = others.iter().map(|source| source.to_string()).collect();
    words.insert(place, SOURCE.to_owned());
    words.join(" ")
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        if self.actions.is_empty() { Ok(()) } else { write!(f, " [{}]", self.actions.join(" ")) }
    }
}

/// What a source alone would answer, by the `getent` of this machine: all of it, of families too that this machine has no address of
/// (`-A`), as [`getaddrinfo`] does. None without `getent`.
pub(crate) fn ask(source: &str, name: &str) -> Option<Vec<String>> {
    let output = Command::new("getent")
        .args(["-A", "-s", &format!("hosts:{source}"), "ahosts", name])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut addresses: Vec<String> =
        text.lines().filter_map(|line| line.split_whitespace().next()).map(with_interface).collect();
    addresses.sort();
    addresses.dedup();
    Some(addresses)
}

/// An address with its interface's name, where getent has written the number: `fe80::1%eth1`.
fn with_interface(address: &str) -> String {
    let named = address.split_once('%').and_then(|(ip, index)| Some(scoped(ip, index.parse().ok()?)));
    named.unwrap_or_else(|| address.to_owned())
}

fn scoped(ip: impl std::fmt::Display, index: u32) -> String {
    let name = nix::net::if_::if_indextoname(index).ok().and_then(|name| name.into_string().ok());
    format!("{ip}%{}", name.unwrap_or_else(|| index.to_string()))
}

/// An address without the interface it means something on.
pub(crate) fn unscoped(address: &str) -> &str {
    address.split_once('%').map_or(address, |(address, _)| address)
}

/// What programs get: through all sources, with nscd in between, if there is one. In the order of getaddrinfo(3), each once;
/// a link-local address with its interface.
pub(crate) fn getaddrinfo(name: &str) -> Option<Vec<String>> {
    use std::net::{SocketAddr, ToSocketAddrs};
    let mut addresses: Vec<String> = Vec::new();
    for address in (name, 0).to_socket_addrs().ok()? {
        let address = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => scoped(v6.ip(), v6.scope_id()),
            address => address.ip().to_string(),
        };
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Some(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        host_sources(text).into_iter().map(|source| source.name).collect()
    }

    #[test]
    fn sources_are_read_without_their_actions_and_comments() {
        let text = "passwd: files\nhosts:  files mesher [NOTFOUND=return !UNAVAIL=continue]dns # resolve\nhosts: other\n";
        assert_eq!(names(text), ["files", "mesher", "dns"]);
        assert_eq!(host_sources(text)[1].actions, ["NOTFOUND=return", "!UNAVAIL=continue"]);
        assert!(names("passwd: files\n").is_empty());
    }

    #[test]
    fn a_source_may_end_the_lookup_of_what_it_does_not_know() {
        let ends = |actions: &str| host_sources(&format!("hosts: x [{actions}]"))[0].ends_unknown();
        assert!(ends("NOTFOUND=return") && ends("!UNAVAIL=return") && ends("notfound=RETURN"));
        assert!(!ends("UNAVAIL=return") && !ends("SUCCESS=continue") && !ends("!NOTFOUND=return"));
        assert!(!ends("!UNAVAIL=return NOTFOUND=continue"));
    }

    #[test]
    fn the_mended_line_asks_the_table_before_whatever_leaves_the_machine() {
        let mended = |line: &str| super::mended(&host_sources(&format!("hosts: {line}")));
        assert_eq!(mended("files dns"), "files mesher dns");
        assert_eq!(mended("files dns mesher"), "files mesher dns");
        assert_eq!(mended("files"), "files mesher");
        assert_eq!(
            mended("files resolve [!UNAVAIL=return] myhostname dns"),
            "files mesher resolve [!UNAVAIL=return] myhostname dns"
        );
        assert_eq!(
            mended("mymachines files mdns4_minimal [NOTFOUND=return] dns"),
            "mymachines files mesher mdns4_minimal [NOTFOUND=return] dns"
        );
        assert_eq!(mended("files [NOTFOUND=return] mesher dns"), "mesher files [NOTFOUND=return] dns");
    }
}
