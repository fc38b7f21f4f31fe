//! Attacks from the same machine, by a real user without rights, on a running daemon that has a user of its own: it cannot
//! write anything of the daemon's, nor read its secrets, nor wedge it.

mod attack;
mod cluster;

use std::net::UdpSocket;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{Cluster, Daemon};
use mesher_control::Call;

const SOON: Duration = Duration::from_secs(60);
/// The daemon's user and group, and those of an attacker.
const SERVICE: u32 = 61_234;
const ATTACKER: u32 = 61_235;

/// Whether this test can become other users. Fails where `CI` is set, says so elsewhere.
fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    assert!(root || std::env::var_os("CI").is_none(), "this test needs root, to become other users");
    if !root {
        eprintln!("skipped: needs root, to become other users");
    }
    root
}

/// A daemon as the package sets it up: its own user, its state for itself, its runtime directory for everybody to read, in a
/// directory that only root may write. `INVOCATION_ID` tells it that it is a service.
fn as_service(cluster: &Cluster, daemon: &mut Daemon) {
    let chown = |path: &Path, id: u32| std::os::unix::fs::chown(path, Some(id), Some(id)).unwrap();
    let mode = |path: &Path, bits| std::fs::set_permissions(path, PermissionsExt::from_mode(bits)).unwrap();
    mode(cluster.dir.path(), 0o755);
    mode(&daemon.dir, 0o755);
    chown(&cluster.dir.path().join("network.secret"), SERVICE);
    for (name, bits) in [("state", 0o700), ("run", 0o755)] {
        let path = daemon.dir.join(name);
        std::fs::create_dir(&path).unwrap();
        mode(&path, bits);
        chown(&path, SERVICE);
    }
    daemon.env.push(("INVOCATION_ID".into(), "1".into()));
    daemon.user = Some(SERVICE);
}

/// What the attacker's shell says and does.
struct Attempt {
    succeeded: bool,
    said: String,
}

fn attacker(directory: &Path, program: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", program]).current_dir(directory).uid(ATTACKER).gid(ATTACKER).stdin(Stdio::null());
    command
}

fn attempt(daemon: &Daemon, program: &str) -> Attempt {
    let output = attacker(&daemon.dir, program).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Attempt { succeeded: output.status.success(), said }
}

/// What must stay as it is: type, owner, mode, and which file it is.
fn identity(path: &Path) -> (u64, u32, u32, u32) {
    let metadata =
        std::fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (metadata.ino(), metadata.uid(), metadata.gid(), metadata.mode())
}

#[test]
fn another_user_writes_nothing_and_reads_no_secret() {
    if !is_root() {
        return;
    }
    let cluster = Cluster::new(60_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    as_service(&cluster, &mut alpha);
    alpha.start();
    alpha.wait_for("earth.sol", Some(alpha.address), SOON);
    let files: Vec<PathBuf> =
        ["run", "run/hosts.table", "run/mesherd.sock", "state", "state/host.key", "state/own.state"]
            .iter()
            .map(|name| alpha.dir.join(name))
            .chain([cluster.dir.path().join("network.secret")])
            .collect();
    let before: Vec<_> = files.iter().map(|path| identity(path)).collect();
    let (table, secret) = (files[1].clone(), cluster.dir.path().join("network.secret"));
    let (size, key) = (table.metadata().unwrap().len(), std::fs::read(&files[4]).unwrap());

    // The attacker's own, to be put in place of the daemon's.
    let pid = alpha.child.as_ref().unwrap().id();
    let secret = secret.display();
    for program in [
        // The table.
        "echo x > run/hosts.table".to_owned(),
        "echo x >> run/hosts.table".into(),
        "dd if=/dev/zero of=run/hosts.table bs=1 count=4 conv=notrunc 2>&1".into(),
        "truncate -s 0 run/hosts.table".into(),
        "rm -f run/hosts.table && ! test -e run/hosts.table".into(),
        "mv run/hosts.table run/gone".into(),
        "chmod 666 run/hosts.table".into(),
        "ln -sf /etc/hostname run/hosts.table".into(),
        "python3 -c 'import mmap,os; f=os.open(\"run/hosts.table\", os.O_RDONLY); mmap.mmap(f, 4096, mmap.MAP_SHARED, mmap.PROT_WRITE)'".into(),
        // The directory: nothing can be planted for the daemon to follow.
        "touch run/hosts.table.new".into(),
        "ln -s /etc/hostname run/hosts.table.new".into(),
        "ln -s /etc/hostname run/hosts.table.lock".into(),
        "mkdir run/mine".into(),
        "mv run elsewhere".into(),
        // The socket.
        "rm -f run/mesherd.sock && ! test -e run/mesherd.sock".into(),
        "mv run/mesherd.sock run/other.sock".into(),
        "chmod 600 run/mesherd.sock".into(),
        // State and secrets.
        "ls state".into(),
        "cat state/host.key".into(),
        "echo x > state/own.state".into(),
        "touch state/mine".into(),
        "rmdir state".into(),
        format!("cat {secret}"),
        format!("echo x >> {secret}"),
        format!("rm -f {secret} && ! test -e {secret}"),
        // The process.
        format!("kill -9 {pid}"),
        format!("cat /proc/{pid}/environ > /dev/null"),
        format!("head -c 1 /proc/{pid}/mem > /dev/null"),
        format!("ls /proc/{pid}/fd"),
    ] {
        let attempt = attempt(&alpha, &program);
        assert!(!attempt.succeeded, "{program}: {}", attempt.said);
    }
    let after: Vec<_> = files.iter().map(|path| identity(path)).collect();
    assert_eq!(before, after);
    assert_eq!((table.metadata().unwrap().len(), std::fs::read(&files[4]).unwrap()), (size, key));
    alpha.wait_for("earth.sol", Some(alpha.address), Duration::ZERO);

    may_look_and_change_nothing(&alpha);
}

/// The attacker asks for everything that there is to ask for.
fn may_look_and_change_nothing(alpha: &Daemon) {
    let socket = alpha.dir.join("run/mesherd.sock");
    let program = format!(
        "python3 -c '\nimport socket, sys\ns = socket.socket(socket.AF_UNIX); s.connect({:?})\n\
         def ask(method, parameters=\"{{}}\"):\n    s.sendall((\"{{\\\"method\\\":\\\"org.datamesher.mesherd.%s\\\",\\\"parameters\\\":%s}}\" % (method, parameters)).encode() + b\"\\0\")\n    \
         reply = b\"\"\n    while not reply.endswith(b\"\\0\"):\n        reply += s.recv(65536)\n    print(method, reply[:200])\n\
         ask(\"Status\")\nfor change in (\"Reload\",): ask(change)\nfor change in (\"Claim\", \"Release\"): ask(change, \"{{\\\"name\\\":\\\"earth\\\"}}\")\nask(\"SetLogLevel\", \"{{\\\"level\\\":\\\"trace\\\"}}\")\n'",
        socket.display().to_string()
    );
    let asked = attempt(alpha, &program);
    assert!(asked.said.contains("Status b'{\"parameters\""), "{}", asked.said);
    for change in ["Reload", "Claim", "Release", "SetLogLevel"] {
        let denied = format!("{change} b'{{\"error\":\"org.varlink.service.PermissionDenied\"");
        assert!(asked.said.contains(&denied), "{change}: {}", asked.said);
    }
    assert!(alpha.log().contains(&format!("asked for by user {ATTACKER}")), "{}", alpha.log());
}

#[test]
fn another_user_that_locks_the_table_keeps_no_daemon_from_starting() {
    if !is_root() {
        return;
    }
    let cluster = Cluster::new(60_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    as_service(&cluster, &mut alpha);
    alpha.start();
    alpha.wait_for("earth.sol", Some(alpha.address), SOON);
    // Whoever may read a file may lock it: this one waits for the daemon to let go, and keeps the lock.
    let mut holder = Holder(
        attacker(&alpha.dir, "{ flock -x 9; flock -x 8; exec sleep 600; } 9< run/hosts.table 8< run/hosts.table.lock || { flock -x 9; exec sleep 600; } 9< run/hosts.table").spawn().unwrap(),
    );
    // It has both files open, so it is about to wait for the lock.
    let descriptors = PathBuf::from(format!("/proc/{}/fd", holder.0.id()));
    let begin = Instant::now();
    while !descriptors.join("9").exists() {
        assert!(begin.elapsed() < SOON, "the attacker's shell has opened nothing");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    alpha.kill();
    alpha.start();
    // The table's lease lets names live through a restart: what shows that the daemon is there is that it answers.
    alpha.wait_socket(SOON);
    let _: serde_json::Value = alpha.ask(&Call::Claim { name: "venus".into() });
    alpha.wait_for("venus.sol", Some(alpha.address), SOON);
    assert!(holder.0.try_wait().unwrap().is_none(), "nobody held the lock");
}

/// A process of the attacker's, ended with the test.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn another_user_that_holds_connections_open_wedges_nothing() {
    if !is_root() {
        return;
    }
    let cluster = Cluster::new(60_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    as_service(&cluster, &mut alpha);
    alpha.start();
    alpha.wait_for("earth.sol", Some(alpha.address), SOON);
    let before = alpha.memory().0;
    let tried = alpha.dir.join("tried");
    std::fs::create_dir(&tried).unwrap();
    std::fs::set_permissions(&tried, PermissionsExt::from_mode(0o777)).unwrap();
    // Silent ones, ones in the middle of a request, and ones that take no answer. As many as a process may have, and each says
    // how many it has opened by now.
    let program = format!(
        "exec python3 -c '\nimport os, socket\nheld, opened = [], 0\nwhile True:\n    for kind in range(3):\n        try:\n            s = socket.socket(socket.AF_UNIX); s.settimeout(0.2); s.connect({:?})\n            if kind == 1: s.sendall(b\"{{\")\n            if kind == 2: s.sendall(b\"{{\\\"method\\\":\\\"org.datamesher.mesherd.Names\\\"}}\\0\" * 50)\n            held.append(s)\n            opened += 1\n        except OSError: pass\n    held = held[-900:]\n    with open({:?} + str(os.getpid()), \"w\") as file: file.write(str(opened))\n'",
        alpha.dir.join("run/mesherd.sock").display().to_string(),
        format!("{}/", tried.display()),
    );
    let opened = || -> u64 {
        let files =
            std::fs::read_dir(&tried).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()));
        files.map(|text| text.unwrap().parse::<u64>().unwrap_or(0)).sum()
    };
    let _holders: Vec<Holder> =
        (0..2).map(|_| Holder(attacker(&alpha.dir, &program).spawn().unwrap())).collect();
    // Root, the daemon's user, and gossip go on meanwhile.
    let begin = Instant::now();
    let (mut asked, mut longest) = (0, Duration::ZERO);
    while begin.elapsed() < Duration::from_secs(6) || opened() < 2_000 {
        assert!(begin.elapsed() < 3 * SOON, "the attackers opened {} connections", opened());
        let one = Instant::now();
        assert_eq!(alpha.status().host.label, "alpha");
        longest = longest.max(one.elapsed());
        asked += 1;
        alpha.wait_for("earth.sol", Some(alpha.address), Duration::ZERO);
        std::thread::sleep(Duration::from_millis(100));
    }
    let _: serde_json::Value = alpha.ask(&Call::Claim { name: "venus".into() });
    alpha.wait_for("venus.sol", Some(alpha.address), SOON);
    let process = alpha.child.as_ref().unwrap().id();
    let open = || std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    // Those that say nothing are hung up on after a while, and come again.
    let begin = Instant::now();
    let mut descriptors = open();
    while descriptors < 100 && begin.elapsed() < SOON {
        std::thread::sleep(Duration::from_millis(5));
        descriptors = open();
    }
    eprintln!(
        "{asked} answers meanwhile to {} connections, the longest took {longest:?}; {descriptors} descriptors; {} KiB before, {} at most",
        opened(),
        before >> 10,
        alpha.memory().1 >> 10
    );
    assert!((100..600).contains(&descriptors), "{descriptors} descriptors");
    assert!(alpha.memory().1 < before + (32 << 20), "{} KiB", alpha.memory().1 >> 10);
}

#[test]
fn links_in_the_daemons_way_are_not_followed() {
    let cluster = Cluster::new(60_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    let run = alpha.dir.join("run");
    std::fs::create_dir(&run).unwrap();
    let victim = alpha.dir.join("victim");
    std::fs::write(&victim, "precious").unwrap();
    // In a runtime directory that others can write, which the units' is not: every name that the daemon makes.
    for name in ["hosts.table", "hosts.table.new"] {
        std::os::unix::fs::symlink(&victim, run.join(name)).unwrap();
    }
    alpha.start();
    alpha.wait_for("earth.sol", Some(alpha.address), SOON);
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    assert!(std::fs::symlink_metadata(run.join("hosts.table")).unwrap().is_file());
    alpha.stop();
    for name in ["hosts.table.lock", "mesherd.sock"] {
        let path = run.join(name);
        let _ = std::fs::remove_file(&path);
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        alpha.start();
        let status = alpha.child.take().unwrap().wait().unwrap();
        assert_eq!(status.code(), Some(1), "{name}: {}", alpha.log());
        assert!(alpha.log().contains(name), "{}", alpha.log());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        std::fs::remove_file(&path).unwrap();
    }
    drop(UdpSocket::bind(cluster.at_port(1)).expect("the port is free again"));
}
