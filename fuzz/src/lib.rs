//! What the fuzz targets share: contents made of arbitrary bytes, and a table file in memory.

use std::net::{Ipv4Addr, Ipv6Addr};

use arbitrary::Arbitrary;
use mesher_table::{Contents, Entry, ScopedV6};

/// A set of hosts to build a table from. Names are drawn from a small alphabet, so that they meet often.
#[derive(Arbitrary, Debug)]
pub struct Hosts {
    entries: Vec<Host>,
    contain: Vec<Name>,
}

#[derive(Arbitrary, Debug)]
struct Host {
    name: Name,
    wildcard: bool,
    alias_of: Option<u8>,
    v4: Vec<[u8; 4]>,
    v6: Vec<([u8; 16], Option<u8>)>,
    ttl_s: u32,
}

/// A host name as labels.
#[derive(Arbitrary, Debug)]
pub struct Name(Vec<Label>);

#[derive(Arbitrary, Debug)]
enum Label {
    Sol,
    Earth,
    Spelt(Vec<u8>),
}

impl Name {
    /// The name, always a valid one.
    pub fn text(&self) -> String {
        const LETTERS: &[u8] = b"abcXYZ019-_";
        let label = |label: &Label| match label {
            Label::Sol => "sol".to_owned(),
            Label::Earth => "Earth".to_owned(),
            Label::Spelt(bytes) => bytes
                .iter()
                .take(63)
                .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
                .collect(),
        };
        let labels: Vec<_> = self.0.iter().map(label).filter(|label| !label.is_empty()).collect();
        let mut text = labels.join(".");
        text.truncate(200);
        let text = text.trim_end_matches('.').to_owned();
        if text.is_empty() { "x".to_owned() } else { text }
    }
}

impl Hosts {
    /// The hosts as contents; what is there twice stays in, for the writer to refuse.
    pub fn contents(&self) -> Contents {
        let mut entries: Vec<Entry> = self.entries.iter().map(Host::entry).collect();
        for (at, host) in self.entries.iter().enumerate() {
            let of = host.alias_of.and_then(|of| entries.get(usize::from(of)));
            if let Some(of) = of.filter(|of| of.canonical.is_none()).map(|of| of.name.clone()) {
                entries[at].canonical = Some(of);
            }
        }
        Contents { entries, contain: self.contain.iter().map(Name::text).collect() }
    }
}

impl Host {
    fn entry(&self) -> Entry {
        let name = self.name.text();
        Entry {
            name: if self.wildcard { format!("*.{name}") } else { name },
            canonical: None,
            v4: self.v4.iter().map(|octets| Ipv4Addr::from(*octets)).collect(),
            v6: self
                .v6
                .iter()
                .map(|(octets, scope)| ScopedV6 {
                    address: Ipv6Addr::from(*octets),
                    scope: scope.unwrap_or(0).into(),
                })
                .collect(),
            ttl_s: self.ttl_s,
        }
    }
}

/// A folder of this process's own in memory, for table files.
pub fn folder() -> std::path::PathBuf {
    let folder = std::path::PathBuf::from(format!("/dev/shm/mesher-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder in /dev/shm");
    folder
}
