//! Where a running daemon's secrets may be seen, and where not: files, journal, answers, memory, core dumps.

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

const SOON: Duration = Duration::from_secs(30);

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn start(daemon: &mut Daemon, name: &str) {
    daemon.start();
    daemon.wait_for(name, Some(daemon.address), SOON);
}

/// Starts a daemon that is to end at once, and gives its exit status.
fn refused(daemon: &mut Daemon) -> Option<i32> {
    daemon.start();
    daemon.child.take().unwrap().wait().unwrap().code()
}

#[test]
fn secrets_that_others_may_read_are_refused_with_the_command_to_run() {
    let cluster = Cluster::new(18_431, 60_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    let secret = cluster.dir.path().join("network.secret");
    chmod(&secret, 0o644);
    assert_eq!(refused(&mut alpha), Some(78));
    assert!(alpha.log().contains(&format!("run: chmod 0600 {}", secret.display())), "{}", alpha.log());
    chmod(&secret, 0o600);
    start(&mut alpha, "earth.sol");
    alpha.stop();
    let key = alpha.dir.join("state/host.key");
    let before = (std::fs::read(&key).unwrap(), key.metadata().unwrap().ino());
    chmod(&key, 0o640);
    assert_eq!(refused(&mut alpha), Some(78));
    assert!(alpha.log().contains(&format!("run: chmod 0600 {}", key.display())), "{}", alpha.log());
    // Refused, and left as it is.
    assert_eq!(before, (std::fs::read(&key).unwrap(), key.metadata().unwrap().ino()));
    chmod(&key, 0o600);
    start(&mut alpha, "earth.sol");
    assert_eq!(before, (std::fs::read(&key).unwrap(), key.metadata().unwrap().ino()));
}

#[test]
fn a_host_key_is_made_once_whatever_moment_the_daemon_dies_at() {
    let cluster = Cluster::new(18_432, 60_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    let path = alpha.dir.join("state/host.key");
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).unwrap();
    let mut state = u64::from_le_bytes(seed);
    eprintln!("seed {state}");
    let (mut key, mut early) = (None, 0);
    for _ in 0..40 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        alpha.start();
        std::thread::sleep(Duration::from_micros((state >> 33) % 30_000));
        alpha.kill();
        match std::fs::read(&path) {
            Ok(found) => {
                assert_eq!(found.len(), 45, "half a key");
                assert_eq!(*key.get_or_insert_with(|| found.clone()), found, "another key");
            }
            Err(_) => {
                assert!(key.is_none(), "the key is gone");
                early += 1;
            }
        }
    }
    eprintln!("killed before there was a key {early} times of 40");
    start(&mut alpha, "earth.sol");
    if let Some(key) = key {
        assert_eq!(std::fs::read(&path).unwrap(), key);
    }
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
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
    let cluster = Cluster::new(18_433, 60_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    let mut beta = cluster.daemon("beta", 2, &["mars"], &[1]);
    for daemon in [&mut alpha, &mut beta] {
        let config = daemon.dir.join("config.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("log_level = \"trace\"\n{text}")).unwrap();
    }
    start(&mut alpha, "earth.sol");
    start(&mut beta, "mars.sol");
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
    let cluster = Cluster::new(18_434, 60_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    let file = cluster.dir.path().join("network.secret");
    let old = *read_secret(&file).unwrap().expose();
    let new = old.map(|byte| byte ^ 0xff);
    start(&mut alpha, "earth.sol");
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
    let cluster = Cluster::new(18_435, 60_000);
    // What any other program would do here.
    let mut other = Command::new("sh");
    other.args(["-c", "kill -ABRT $$"]).current_dir(cluster.dir.path()).stderr(Stdio::null());
    // SAFETY: between fork and exec only setrlimit is called, a system call on data that is ready.
    unsafe { other.pre_exec(cluster::unlimit_core) };
    let dumps_here = other.status().is_ok_and(|status| status.core_dumped());
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    alpha.unlimited_core = true;
    start(&mut alpha, "earth.sol");
    let mut child = alpha.child.take().unwrap();
    // SAFETY: the child has not been waited for, so its id is still its own.
    assert_eq!(unsafe { libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGABRT) }, 0);
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGABRT));
    assert!(!status.core_dumped(), "a core was dumped");
    eprintln!("other programs dump core here: {dumps_here}");
}
