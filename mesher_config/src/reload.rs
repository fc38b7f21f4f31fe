//! What a running daemon can take from a new configuration, and what needs a restart.

use crate::Config;

impl Config {
    /// The keys in which `new` differs from `self` and which take effect only with a restart: which network it
    /// is, what the host is called, and where the daemon listens. Everything else a reload takes.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let differences = [
            ("network.id", self.network.id != new.network.id),
            ("host.label", self.host.label != new.host.label),
            ("cluster.port", self.cluster.port != new.cluster.port),
            ("cluster.bind", self.cluster.bind != new.cluster.bind),
            ("cluster.gossip_interval", self.cluster.gossip_interval != new.cluster.gossip_interval),
        ];
        differences.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    #[test]
    fn a_new_port_needs_a_restart_and_a_new_name_does_not() {
        const NETWORK: &str = "network.id = \"6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=\"\n";
        let old = parse(NETWORK, "alpha").unwrap();
        let new =
            parse(&format!("{NETWORK}host.names = [\"earth\"]\ncluster.port = 7000\n"), "alpha").unwrap();
        assert_eq!(old.needs_restart(&new), ["cluster.port"]);
        assert!(old.needs_restart(&old.clone()).is_empty());
    }
}
