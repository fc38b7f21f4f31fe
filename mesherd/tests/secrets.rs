//! Where a running daemon's secrets may be seen, and where not: files, journal, answers, memory, core dumps.

mod attack;
mod cluster;

use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{Cluster, Daemon};
use mesher_config::secret::{SecretBytes, read_secret};
use mesher_control::Call;
use sha2::{Digest, Sha256};

const SOON: Duration = Duration::from_secs(60);

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// Starts a daemon that is to end at once, and gives its exit status.
fn refused(daemon: &mut Daemon) -> Option<i32> {
    daemon.start();
    let begin = Instant::now();
    loop {
        if let Some(status) = daemon.child.as_mut().unwrap().try_wait().unwrap() {
            daemon.child = None;
            return status.code();
        }
        assert!(begin.elapsed() < SOON, "it was not refused: {}", daemon.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn secrets_that_others_may_read_are_refused_with_the_command_to_run() {
    let cluster = Cluster::new(60_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    let secret = cluster.dir.path().join("network.secret");
    chmod(&secret, 0o644);
    assert_eq!(refused(&mut alpha), Some(78));
    assert!(alpha.log().contains("network.secret_file: "), "the key is named: {}", alpha.log());
    assert!(alpha.log().contains(&format!("run: chmod 0600 {}", secret.display())), "{}", alpha.log());
    chmod(&secret, 0o600);
    alpha.start_and_hold("earth.sol", SOON);
    alpha.stop();
    let key = alpha.dir.join("state/host.key");
    let before = (std::fs::read(&key).unwrap(), key.metadata().unwrap().ino());
    chmod(&key, 0o640);
    assert_eq!(refused(&mut alpha), Some(78));
    assert!(alpha.log().contains(&format!("run: chmod 0600 {}", key.display())), "{}", alpha.log());
    // Refused, and left as it is.
    assert_eq!(before, (std::fs::read(&key).unwrap(), key.metadata().unwrap().ino()));
    chmod(&key, 0o600);
    alpha.start_and_hold("earth.sol", SOON);
    assert_eq!(before, (std::fs::read(&key).unwrap(), key.metadata().unwrap().ino()));
}

/// What a daemon did to its state directory, and when it first sent a datagram, in order.
fn file_calls(daemon: &Daemon) -> Vec<String> {
    let log = std::fs::read_to_string(daemon.dir.join("state.log")).unwrap();
    log.lines().map(str::to_owned).collect()
}

/// The key is on disk under its name before anything is made of it: written beside, synchronised, linked, the directory
/// synchronised; and only then does the daemon say anything. Killed before any of these calls, it leaves no key or a whole one,
/// and goes on with it.
#[test]
fn a_host_key_is_made_once_and_on_disk_whatever_call_the_daemon_dies_at() {
    let cluster = Cluster::new(60_000);
    // Somebody to send to.
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[2]);
    let library = attack::shim(cluster.dir.path(), "files", "files.c");
    let (state, log) = (alpha.dir.join("state"), alpha.dir.join("state.log"));
    let watched = vec![
        ("LD_PRELOAD".into(), library.into()),
        ("MESHER_TEST_FILES".into(), state.clone().into_os_string()),
    ];
    alpha.env.clone_from(&watched);
    alpha.start_and_hold("earth.sol", SOON);
    alpha.stop();
    let calls = file_calls(&alpha);
    let at = |call: &str| {
        let found = calls.iter().position(|one| one == call);
        found.unwrap_or_else(|| panic!("no {call:?} in {calls:#?}"))
    };
    let directory = at("link /host.key") + 1;
    let directory =
        directory + calls[directory..].iter().position(|one| one == "sync ").expect("the directory");
    let order =
        [at("write /host.key.new"), at("sync /host.key.new"), at("link /host.key"), directory, at("send ")];
    assert!(order.is_sorted(), "{order:?} in {calls:#?}");

    for number in 1..=directory + 2 {
        for path in [&state, &log] {
            let _ = std::fs::remove_dir_all(path);
            let _ = std::fs::remove_file(path);
        }
        alpha.env.clone_from(&watched);
        alpha.env.push(("MESHER_TEST_KILL_AT".into(), number.to_string().into()));
        alpha.start();
        let status = alpha.child.take().unwrap().wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "call {number}: {status} {}", alpha.log());
        let key = std::fs::read(state.join("host.key")).ok();
        assert!(key.as_ref().is_none_or(|key| key.len() == 45), "call {number}: half a key");
        assert_eq!(key.is_some(), number > at("link /host.key") + 1, "call {number}");
        alpha.env.clear();
        alpha.start();
        alpha.wait_socket(SOON);
        assert_eq!(alpha.status().host.label, "alpha");
        alpha.kill();
        let made = std::fs::read(state.join("host.key")).unwrap();
        assert!(key.is_none_or(|key| key == made), "call {number}: another key");
        assert_eq!(state.join("host.key").metadata().unwrap().mode() & 0o777, 0o600);
        assert!(!state.join("host.key.new").exists(), "call {number}: something is left over");
    }
}

/// Every form in which the bytes of a secret might be shown.
fn forms(secret: &[u8; 32]) -> Vec<String> {
    vec![
        data_encoding::BASE64.encode(secret)[..40].to_owned(),
        data_encoding::BASE64URL_NOPAD.encode(secret)[..40].to_owned(),
        data_encoding::HEXLOWER.encode(secret),
        data_encoding::HEXUPPER.encode(secret),
        format!("{secret:?}"),
    ]
}

#[test]
fn no_secret_is_in_the_journal_at_any_level_nor_in_any_answer() {
    let cluster = Cluster::new(60_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    let mut beta = cluster.daemon("beta", 2, &["mars"], &[1]);
    for daemon in [&mut alpha, &mut beta] {
        let config = daemon.dir.join("config.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("log_level = \"trace\"\n{text}")).unwrap();
    }
    alpha.start_and_hold("earth.sol", SOON);
    beta.start_and_hold("mars.sol", SOON);
    alpha.wait_for("mars.sol", Some(beta.address), SOON);
    beta.reload();
    let mut said = String::new();
    for daemon in [&alpha, &beta] {
        for call in [
            Call::Status {},
            Call::Peers {},
            Call::Names {},
            Call::Table {},
            Call::Metrics {},
            Call::Explain { name: "earth".into() },
        ] {
            let answer: serde_json::Value = daemon.ask(&call);
            said.push_str(&answer.to_string());
        }
        said.push_str(&daemon.log());
    }
    assert!(said.contains(r#""log_level":"trace""#) && said.contains("earth.sol"), "{said}");
    let secrets = [
        cluster.dir.path().join("network.secret"),
        alpha.dir.join("state/host.key"),
        beta.dir.join("state/host.key"),
    ];
    for path in secrets {
        for form in forms(read_secret(&path).unwrap().expose()) {
            assert!(!said.contains(&form), "{} is shown", path.display());
        }
    }
}

/// How often each pattern occurs in what a process may write to.
fn occurrences(process: u32, patterns: &[&[u8]]) -> Vec<usize> {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = std::fs::File::open(format!("/proc/{process}/mem")).unwrap();
    let mut counts = vec![0; patterns.len()];
    for line in
        maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw")))
    {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|hex| u64::from_str_radix(hex, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // Some special mappings cannot be read.
        if memory.read_exact_at(&mut bytes, from).is_err() {
            continue;
        }
        for (count, pattern) in counts.iter_mut().zip(patterns) {
            *count += bytes.windows(pattern.len()).filter(|window| window == pattern).count();
        }
    }
    counts
}

/// The key that seals datagrams (`docs/gossip.md`).
fn seal_key(secret: &[u8; 32]) -> [u8; 32] {
    let domain = b"data-mesher gossip seal key";
    Sha256::new()
        .chain_update([domain.len() as u8])
        .chain_update(domain)
        .chain_update(secret)
        .finalize()
        .into()
}

#[test]
fn a_network_secret_is_wiped_once_it_is_used_and_its_key_once_it_is_retired() {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root, to look into another process");
        eprintln!("skipped: needs root, to look into another process");
        return;
    }
    let cluster = Cluster::new(60_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    let file = cluster.dir.path().join("network.secret");
    let old = *read_secret(&file).unwrap().expose();
    let new = old.map(|byte| byte ^ 0xff);
    alpha.start_and_hold("earth.sol", SOON);
    let process = alpha.child.as_ref().unwrap().id();
    let texts = [old, new].map(|secret| data_encoding::BASE64.encode(&secret).into_bytes());
    let keys = [old, new].map(|secret| seal_key(&secret));
    let look = || {
        let patterns: [&[u8]; 6] = [&old, &new, &texts[0], &texts[1], &keys[0], &keys[1]];
        occurrences(process, &patterns)
    };
    let wait = |what: &str, wanted: &dyn Fn(&[usize]) -> bool| {
        let begin = Instant::now();
        loop {
            let found = look();
            if wanted(&found) {
                return found;
            }
            // What was on the stack is overwritten by what runs next.
            assert!(begin.elapsed() < SOON, "{what}: old and new secret, their texts, their keys: {found:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    // The search finds what is there: the key in use.
    wait("in use", &|found| found[..4] == [0; 4] && found[4] > 0 && found[5] == 0);
    let write = |secrets: &[[u8; 32]]| {
        let text: String = secrets.iter().map(|s| SecretBytes::new(*s).to_file_text().to_string()).collect();
        std::fs::write(&file, text).unwrap();
        alpha.reload();
    };
    write(&[new, old]);
    wait("both in use", &|found| found[..4] == [0; 4] && found[4] > 0 && found[5] > 0);
    write(&[new]);
    wait("one retired", &|found| found[..5] == [0; 5] && found[5] > 0);
    // The same, brought along through the control socket, as `mesherctl reload` does where the daemon may not read the file.
    for secrets in [&[old, new][..], &[old]] {
        let text: String = secrets.iter().map(|s| SecretBytes::new(*s).to_file_text().to_string()).collect();
        let secrets = Some(mesher_control::SecretText::new(text));
        let _: serde_json::Value = alpha.ask(&Call::Reload { secrets });
    }
    wait("brought by a caller", &|found| found[..4] == [0; 4] && found[4] > 0 && found[5] == 0);
}

#[test]
fn a_daemon_that_crashes_leaves_no_core_dump() {
    let cluster = Cluster::new(60_000);
    // What any other program would do here.
    let mut other = Command::new("sh");
    other.args(["-c", "kill -ABRT $$"]).current_dir(cluster.dir.path()).stderr(Stdio::null());
    // SAFETY: between fork and exec only setrlimit is called, a system call on data that is ready.
    unsafe { other.pre_exec(cluster::unlimit_core) };
    let dumps_here = other.status().is_ok_and(|status| status.core_dumped());
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    alpha.unlimited_core = true;
    alpha.start_and_hold("earth.sol", SOON);
    let mut child = alpha.child.take().unwrap();
    // SAFETY: the child has not been waited for, so its id is still its own.
    assert_eq!(unsafe { libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGABRT) }, 0);
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGABRT));
    assert!(!status.core_dumped(), "a core was dumped");
    eprintln!("other programs dump core here: {dumps_here}");
}
