//! The exports of a running daemon, as foreign DNS servers read them.

mod cluster;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cluster::Cluster;

const SOON: Duration = Duration::from_secs(60);

/// A DNS server of others, with what docs/exports.md puts into its configuration. Ended when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts a program in the foreground.
    fn start(program: &str, package: &str, address: SocketAddr, arguments: &[String]) -> Self {
        let child = Command::new(program).args(arguments).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{program} is needed (Debian: {package}): {error}"));
        Self { child, address }
    }

    /// What `systemctl reload` sends either of them.
    fn reload(&self) {
        let pid = self.child.id().try_into().unwrap();
        // SAFETY: kill(2) takes no pointers; the child has not been waited for, so the number is still its own.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGHUP) }, 0);
    }

    /// The addresses of a name, IPv4 and IPv6, sorted; nothing while it does not answer.
    fn addresses(&self, name: &str) -> Option<Vec<String>> {
        let mut found = self.ask(name, A)?;
        found.extend(self.ask(name, AAAA)?);
        found.sort();
        Some(found)
    }

    fn wait_for(&self, name: &str, wanted: &[&str]) {
        let begun = Instant::now();
        loop {
            let seen = self.addresses(name);
            if seen.as_deref().is_some_and(|seen| seen == wanted) {
                return;
            }
            assert!(begun.elapsed() < SOON, "{name}: {seen:?} instead of {wanted:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// One question over UDP (RFC 1035, section 4.1).
    fn ask(&self, name: &str, kind: u16) -> Option<Vec<String>> {
        let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(u8::try_from(label.len()).unwrap());
            query.extend(label.as_bytes());
        }
        query.push(0);
        query.extend(kind.to_be_bytes());
        query.extend(1_u16.to_be_bytes());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket.connect(self.address).unwrap();
        socket.send(&query).ok()?;
        let mut answer = [0; 1_500];
        let length = socket.recv(&mut answer).ok()?;
        Some(addresses_in(&answer[..length], query.len(), kind))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

const A: u16 = 1;
const AAAA: u16 = 28;

/// The addresses among an answer's records, which begin behind the question.
fn addresses_in(answer: &[u8], question_end: usize, kind: u16) -> Vec<String> {
    let number = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
    let mut at = question_end;
    let mut found = Vec::new();
    for _ in 0..number(6) {
        // The owner's name: labels up to the root, or up to a pointer into what came before.
        while answer[at] != 0 && answer[at] & 0xc0 == 0 {
            at += usize::from(answer[at]) + 1;
        }
        at += if answer[at] == 0 { 1 } else { 2 };
        let (type_of_it, length) = (number(at), usize::from(number(at + 8)));
        let data = &answer[at + 10..at + 10 + length];
        match (type_of_it, <[u8; 4]>::try_from(data), <[u8; 16]>::try_from(data)) {
            (A, Ok(v4), _) if kind == A => found.push(IpAddr::from(v4).to_string()),
            (AAAA, _, Ok(v6)) if kind == AAAA => found.push(IpAddr::from(v6).to_string()),
            _ => {}
        }
        at += 10 + length;
    }
    found
}

/// The block that docs/exports.md gives for a file, with this test's paths in it.
fn block_of_the_page(file: &str, directory: &Path) -> String {
    let page = include_str!("../../docs/exports.md");
    let rest =
        page.split_once(&format!("{file}\n")).unwrap_or_else(|| panic!("docs/exports.md has no {file}")).1;
    let block = rest.split_once("\n```").unwrap().0;
    assert!(block.contains("/run/data-mesher/exports/"), "{block}");
    block.replace("/run/data-mesher/exports", directory.to_str().unwrap()) + "\n"
}

fn unbound(directory: &Path, address: SocketAddr) -> Server {
    let configuration = directory.join("unbound.conf");
    // With the root's keys, as Debian has it: the validator must not take the zone for a forgery.
    let own = format!(
        "server:\n directory: \"{0}\"\n chroot: \"\"\n username: \"\"\n pidfile: \"{0}/unbound.pid\"\n interface: {1}@{2}\n \
         use-syslog: no\n trust-anchor-file: \"/usr/share/dns/root.key\"\n\
         remote-control:\n control-enable: no\n",
        directory.display(),
        address.ip(),
        address.port()
    );
    std::fs::write(&configuration, own + &block_of_the_page("unbound.conf.d/mesh.conf", directory)).unwrap();
    Server::start(
        "unbound",
        "unbound",
        address,
        &["-d".into(), "-c".into(), configuration.display().to_string()],
    )
}

fn dnsmasq(directory: &Path, address: SocketAddr) -> Server {
    let configuration = directory.join("dnsmasq.conf");
    // It keeps its rights: another user could not look into this test's directory.
    let own = format!(
        "port={}\nlisten-address={}\nbind-interfaces\nno-resolv\nno-hosts\nuser=root\ngroup=root\npid-file\n",
        address.port(),
        address.ip()
    );
    std::fs::write(&configuration, own + &block_of_the_page("dnsmasq.d/mesh.conf", directory)).unwrap();
    let arguments = ["--keep-in-foreground".into(), format!("--conf-file={}", configuration.display())];
    Server::start("dnsmasq", "dnsmasq-base", address, &arguments)
}

/// What BIND says of the page's block: the zone's serial, as its server would load it.
fn serial_that_bind_loads(directory: &Path) -> String {
    let configuration = directory.join("named.conf");
    std::fs::write(&configuration, block_of_the_page("/etc/bind/mesh.conf", directory)).unwrap();
    let checked = Command::new("named-checkconf").arg("-z").arg(&configuration).output();
    let checked =
        checked.unwrap_or_else(|error| panic!("named-checkconf is needed (Debian: bind9-utils): {error}"));
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success(), "{said}");
    said.trim().strip_prefix("zone sol/IN: loaded serial ").unwrap_or_else(|| panic!("{said}")).into()
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn unbound_dnsmasq_and_bind_read_what_the_page_configures_and_follow_the_names() {
    let cluster = Cluster::new(60_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth", "*.earth", "under_score"], &[]);
    let (zone, hosts, metrics) =
        (alpha.dir.join("zone"), alpha.dir.join("hosts"), alpha.dir.join("mesher.prom"));
    let config = alpha.dir.join("config.toml");
    let mut text = std::fs::read_to_string(&config).unwrap();
    text += &format!("[exports]\nzone = {zone:?}\nhosts = {hosts:?}\nmetrics = {metrics:?}\n");
    std::fs::write(&config, &text).unwrap();
    alpha.start();
    alpha.wait_for("earth.sol", Some(alpha.address), SOON);
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    wait_until("the zone has the name", || read(&zone).contains(&format!("earth 5 IN A {}", alpha.address)));
    wait_until("the hosts file has the name", || {
        read(&hosts).contains(&format!("{} earth.sol", alpha.address))
    });
    let (unbound, dnsmasq) =
        (unbound(&alpha.dir, cluster.at_port(53)), dnsmasq(&alpha.dir, cluster.at_port(54)));
    let (first, second) = (alpha.address.to_string(), cluster.ip(9).to_string());
    for (name, addresses) in [
        ("earth.sol", &[first.as_str()][..]),
        ("EARTH.sol", &[&first]),
        ("moon.earth.sol", &[&first]),
        ("under_score.sol", &[&first]),
        ("mars.sol", &[]),
    ] {
        unbound.wait_for(name, addresses);
        // Wildcards are in the zone only.
        dnsmasq.wait_for(name, if name.starts_with("moon") { &[] } else { addresses });
    }
    // A new name and a new address reach the files, the zone under a higher serial, and the servers with the next reload.
    let serial = |text: &str| mesherd::exports::formats::serial_of(text).unwrap();
    let before = serial(&read(&zone));
    assert_eq!(serial_that_bind_loads(&alpha.dir), before.to_string());
    let text = text
        .replace("\"under_score\"", "\"mars\"")
        .replace(&format!("addresses = [\"{first}\"]"), &format!("addresses = [\"::1\", \"{second}\"]"));
    std::fs::write(&config, text).unwrap();
    alpha.reload();
    wait_until("the zone has followed", || read(&zone).contains("mars 5 IN AAAA ::1"));
    wait_until("the hosts file has followed", || read(&hosts).contains("::1 mars.sol"));
    for server in [&unbound, &dnsmasq] {
        server.reload();
        server.wait_for("mars.sol", &[&second, "::1"]);
        server.wait_for("under_score.sol", &[]);
    }
    assert!(serial(&read(&zone)) > before);

    wait_until("the metrics are there", || read(&metrics).contains("\nmesher_names_held "));
    alpha.stop();
    assert!(!metrics.exists(), "metrics of a daemon that is not there");
    assert!(zone.exists(), "names are kept for their readers over a restart");
}
