//! Certificates, revocation and the change of the network secret, with real daemons.

mod cluster;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cluster::{Cluster, Daemon};
use mesher_claims::keys::HostKey;
use mesher_claims::record::{Admission, CertificateBody, Record, Signed};
use mesher_config::secret::SecretBytes;
use mesher_control::types::{Explanation, Name, Status};
use mesher_control::{Call, Client};

const SOON: Duration = Duration::from_secs(60);
const DAY_MS: u64 = 86_400_000;

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// A certificate for a host and these names, for a day.
fn certify(cluster: &Cluster, host: HostKey, label: &str, names: &[&str]) -> Record {
    certify_for(cluster, host, label, names, [60_000, DAY_MS])
}

/// The same, valid since and for so many milliseconds.
fn certify_for(
    cluster: &Cluster,
    host: HostKey,
    label: &str,
    names: &[&str],
    [since_ms, for_ms]: [u64; 2],
) -> Record {
    let now = now_ms();
    let body = CertificateBody {
        host,
        label: label.parse().unwrap(),
        patterns: names.iter().map(|name| name.parse().unwrap()).collect(),
        not_before_ms: now - since_ms,
        not_after_ms: now + for_ms,
        serial: now,
    };
    Record::Certificate(Signed::sign(&cluster.key.network_id(), &cluster.key, body))
}

fn drop_in(daemon: &Daemon, certificate: &Record) {
    let text = mesher_config::certificate::to_file_text(certificate, "for a test");
    let temporary = daemon.dir.join("host.cert.new");
    std::fs::write(&temporary, text).unwrap();
    std::fs::rename(temporary, daemon.dir.join("host.cert")).unwrap();
}

fn key_of(daemon: &Daemon) -> HostKey {
    daemon.status().host.key.parse().unwrap()
}

fn started(daemon: &mut Daemon) {
    daemon.start();
    daemon.wait_socket(SOON);
}

fn refused(status: &Status, name: &str) -> Option<String> {
    let found: Option<&Name> = status.names.iter().find(|n| n.name == name);
    found.and_then(|name| name.refused.clone())
}

#[test]
fn in_a_certified_network_a_claim_counts_by_its_certificate_and_falls_with_a_revocation() {
    let cluster = Cluster::new(30_000);
    cluster.write_settings_with(1, |settings| settings.admission = Admission::Certified);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[1, 2]);
    let mut beta = cluster.daemon("beta", 2, &["mars", "*.mars"], &[1]);
    started(&mut alpha);
    started(&mut beta);

    // Without a certificate nothing counts, and the claimant is told so: journal, status, explain.
    let no_certificate = Some("its host has no certificate".to_owned());
    let status = beta.wait_status("refusal", SOON, |status| refused(status, "mars.sol") == no_certificate);
    assert!(status.warnings.iter().any(|w| w.contains("this machine has none")), "{:?}", status.warnings);
    assert!(status.sentence.contains("this machine has none"), "{}", status.sentence);
    assert!(
        beta.log().contains("claim on mars.sol counts nowhere: its host has no certificate"),
        "{}",
        beta.log()
    );
    let explained: Explanation = beta.ask(&Call::Explain { name: "mars".into() });
    assert_eq!(explained.claimants[0].reason, no_certificate);

    // A certificate that is dropped in is taken up with no reload and no restart.
    drop_in(&alpha, &certify(&cluster, key_of(&alpha), "alpha", &["earth"]));
    alpha.wait_for("earth.sol", Some(alpha.address), SOON);
    beta.wait_for("earth.sol", Some(alpha.address), SOON);

    // Somebody else's certificate, and one of another network, are refused with words.
    drop_in(&beta, &certify(&cluster, key_of(&alpha), "alpha", &["*.sol", "mars"]));
    beta.wait_status("word on the wrong host", SOON, |status| {
        status.warnings.iter().any(|w| w.contains("the certificate is for the host key"))
    });
    std::fs::write(beta.dir.join("host.cert"), "1AAAA\n").unwrap();
    beta.wait_status("word on garbage", SOON, |status| {
        status.warnings.iter().any(|w| w.contains("this is not a certificate"))
    });
    let mut client = Client::connect(&beta.dir.join("run").join(mesher_control::SOCKET_NAME)).unwrap();
    let error = client.call::<serde_json::Value>(&Call::Reload { secrets: None }).unwrap_err().to_string();
    assert!(error.contains("host.cert"), "{error}");

    // Each rule that refuses is named.
    for (label, names, rule) in
        [("beta", &["jupiter"][..], "does not allow this name"), ("gamma", &["mars"], "is for another label")]
    {
        drop_in(&beta, &certify(&cluster, key_of(&beta), label, names));
        beta.wait_status(rule, SOON, |s| refused(s, "mars.sol").is_some_and(|why| why.contains(rule)));
    }
    assert_eq!(alpha.lookup("mars.sol"), [] as [std::net::IpAddr; 0]);

    // A right one that has little of its life left: the names resolve, with a warning.
    let life_ms = resolves_with_little_life_left(&cluster, &alpha, &beta);
    // It runs out, and the names with it, everywhere; a renewed one brings them back.
    alpha.wait_for("mars.sol", None, Duration::from_millis(life_ms) + SOON);
    assert!(beta.log().contains("certificate expires at"), "{}", beta.log());
    drop_in(&beta, &certify(&cluster, key_of(&beta), "beta", &["mars", "*.mars"]));
    for daemon in [&alpha, &beta] {
        daemon.wait_for("mars.sol", Some(beta.address), SOON);
    }

    // Revoked: gone everywhere within seconds, whatever its certificate says.
    let revoked = key_of(&beta);
    cluster.write_settings_with(2, |settings| {
        settings.admission = Admission::Certified;
        settings.revoked = vec![revoked];
    });
    alpha.reload();
    for daemon in [&alpha, &beta] {
        daemon.wait_for("mars.sol", None, SOON);
        daemon.wait_for("earth.sol", Some(alpha.address), Duration::ZERO);
    }
    beta.wait_status("revocation", SOON, |s| {
        refused(s, "mars.sol").as_deref() == Some("its host is revoked")
    });
    old_settings_are_told(&cluster, &alpha);
}

/// Gives beta certificates that end soon, until one lives long enough for both to have seen it on this machine. Returns how long that
/// is, in milliseconds.
fn resolves_with_little_life_left(cluster: &Cluster, alpha: &Daemon, beta: &Daemon) -> u64 {
    for life_ms in [20_000, 40_000, 80_000, 160_000] {
        let life = [3 * life_ms, life_ms];
        drop_in(beta, &certify_for(cluster, key_of(beta), "beta", &["mars", "*.mars"], life));
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(life_ms) {
            let status = beta.status();
            let warned = status.warnings.iter().any(|w| w.contains("certificate expires at"))
                && status.host.certificate.as_ref().is_some_and(|certificate| certificate.expiring);
            if warned && alpha.lookup("mars.sol") == [beta.address] {
                return life_ms;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    panic!("no certificate that ends soon counts, or none with a warning\n{}{}", alpha.log(), beta.log());
}

/// A lower revision never wins: the reload that reads it warns, and so does the journal.
fn old_settings_are_told(cluster: &Cluster, alpha: &Daemon) {
    cluster.write_settings(1);
    let warnings = alpha.reload().warnings;
    let told = |warning: &String| warning.contains("of revision 1, and the network is at revision 2");
    assert!(warnings.len() == 1 && told(&warnings[0]), "{warnings:?}");
    assert!(alpha.log().contains(&warnings[0]), "{}", alpha.log());
    assert_eq!(alpha.status().network.revision, Some(2));
}

#[test]
fn of_two_settings_of_one_revision_every_node_keeps_the_same() {
    let cluster = Cluster::new(30_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[1, 2]);
    let mut beta = cluster.daemon("beta", 2, &["mars"], &[1]);
    let mut gamma = cluster.daemon("gamma", 3, &[], &[1, 2]);
    for daemon in [&mut alpha, &mut beta, &mut gamma] {
        started(daemon);
    }
    gamma.wait_for("mars.sol", Some(beta.address), SOON);
    // The administrator signed revision 2 twice, and the two reach the network at two of its ends at once.
    let settings = cluster.dir.path().join("network.settings");
    cluster.write_settings_with(2, |settings| settings.claim_ttl_ms = 40_000);
    std::fs::copy(&settings, beta.dir.join("network.settings")).unwrap();
    cluster.write_settings_with(2, |settings| settings.claim_ttl_ms = 50_000);
    let config = beta.dir.join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let brought = format!("settings_file = {:?}\n[host]\n", beta.dir.join("network.settings"));
    std::fs::write(&config, text.replace("[host]\n", &brought)).unwrap();
    alpha.reload();
    beta.reload();
    let begin = Instant::now();
    let ttl = |daemon: &Daemon| (daemon.status().network.revision, daemon.status().network.claim_ttl_ms);
    loop {
        let seen = [&alpha, &beta, &gamma].map(ttl);
        if seen[0].0 == Some(2) && seen.iter().all(|one| *one == seen[0]) {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{seen:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    // Whose did not win says so when it looks again, and the names are as they were.
    alpha.reload();
    beta.reload();
    let told = |daemon: &Daemon| daemon.log().contains("other settings of the same revision 2");
    assert!(told(&alpha) != told(&beta), "{}{}", alpha.log(), beta.log());
    gamma.wait_for("mars.sol", Some(beta.address), Duration::ZERO);
    gamma.wait_for("earth.sol", Some(alpha.address), Duration::ZERO);
    // The next revision ends it.
    cluster.write_settings_with(3, |settings| settings.claim_ttl_ms = 45_000);
    alpha.reload();
    for daemon in [&alpha, &beta, &gamma] {
        daemon.wait_status("revision 3", SOON, |status| status.network.claim_ttl_ms == Some(45_000));
    }
}

#[test]
fn secret_and_certificate_may_come_as_credentials() {
    let cluster = Cluster::new(30_000);
    cluster.write_settings_with(1, |settings| settings.admission = Admission::Certified);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    let credentials = alpha.dir.join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    // Where the units find no file they pass this.
    std::fs::write(credentials.join("host.cert"), "none\n").unwrap();
    std::fs::rename(cluster.dir.path().join("network.secret"), credentials.join("network.secret")).unwrap();
    alpha.env.push(("CREDENTIALS_DIRECTORY".into(), credentials.clone().into()));
    started(&mut alpha);
    alpha.wait_status("want of a certificate", SOON, |s| s.warnings.iter().any(|w| w.contains("has none")));
    let text = |serial_after_ms, names: &[&str]| {
        std::thread::sleep(Duration::from_millis(serial_after_ms));
        let certificate = certify(&cluster, key_of(&alpha), "alpha", names);
        mesher_config::certificate::to_file_text(&certificate, "for a test")
    };
    // systemd renews credentials at a restart, or at a reload where it is told to (RefreshOnReload=).
    std::fs::write(credentials.join("host.cert"), text(0, &["earth"])).unwrap();
    alpha.reload();
    alpha.wait_for("earth.sol", Some(alpha.address), SOON);
    // Of a credential and a file the one that was signed later counts, whichever it is.
    std::fs::write(alpha.dir.join("host.cert"), text(5, &["mars"])).unwrap();
    alpha.wait_for("earth.sol", None, SOON);
    std::fs::write(credentials.join("host.cert"), text(5, &["earth"])).unwrap();
    alpha.stop();
    started(&mut alpha);
    alpha.wait_for("earth.sol", Some(alpha.address), SOON);
}

/// Gives a daemon a secret file of its own.
fn own_secrets(cluster: &Cluster, daemon: &Daemon) {
    let (shared, own) = (cluster.dir.path().join("network.secret"), daemon.dir.join("network.secret"));
    std::fs::copy(&shared, &own).unwrap();
    let file = daemon.dir.join("config.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, config.replace(shared.to_str().unwrap(), own.to_str().unwrap())).unwrap();
}

fn set_secrets(daemon: &Daemon, secrets: &[[u8; 32]]) {
    let text: String = secrets.iter().map(|s| SecretBytes::new(*s).to_file_text().to_string()).collect();
    std::fs::write(daemon.dir.join("network.secret"), text).unwrap();
    daemon.reload();
}

/// How many peers seal with another secret than this daemon.
fn others(status: &Status) -> usize {
    let own = &status.network.secrets[0];
    status.peers.iter().filter(|peer| peer.secret.as_ref().is_some_and(|secret| secret != own)).count()
}

#[test]
fn the_secret_is_changed_with_no_lookup_lost_and_who_missed_it_says_so() {
    let cluster = Cluster::new(120_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[1, 2]);
    let mut beta = cluster.daemon("beta", 2, &["mars"], &[1]);
    let mut gamma = cluster.daemon("gamma", 3, &["saturn"], &[1]);
    for daemon in [&mut alpha, &mut beta, &mut gamma] {
        own_secrets(&cluster, daemon);
        started(daemon);
    }
    let old =
        *mesher_config::secret::read_secret(&cluster.dir.path().join("network.secret")).unwrap().expose();
    let new = old.map(|byte| byte ^ 0xff);
    for daemon in [&alpha, &beta, &gamma] {
        for (name, holder) in [("earth.sol", &alpha), ("mars.sol", &beta), ("saturn.sol", &gamma)] {
            daemon.wait_for(name, Some(holder.address), SOON);
        }
    }
    let done = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (done, tables) = (Arc::clone(&done), [alpha.dir.clone(), beta.dir.clone()]);
        std::thread::spawn(move || {
            let (mut asked, mut lost) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                for dir in &tables {
                    for name in ["earth.sol", "mars.sol", "saturn.sol"] {
                        asked += 1;
                        lost += u32::from(cluster::lookup(&dir.join("run/hosts.table"), name).len() != 1);
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            (asked, lost)
        })
    };

    for daemon in [&alpha, &beta] {
        set_secrets(daemon, &[old, new]);
    }
    set_secrets(&alpha, &[new, old]);
    beta.wait_status("peer with the new secret", SOON, |status| others(status) == 1);
    alpha.wait_status("peers with the old secret", SOON, |status| others(status) >= 1);
    set_secrets(&beta, &[new, old]);
    alpha.wait_status("everybody but gamma on the new secret", SOON, |status| others(status) == 1);

    // gamma was forgotten: it hears what it cannot open, and says what to do.
    let status = gamma.wait_status("word on the missed change", SOON, |status| {
        status.warnings.iter().any(|w| w.contains("did it miss a change of the secret"))
    });
    assert!(status.sentence.contains("mesherctl reload"), "{}", status.sentence);
    assert!(gamma.log().contains("did it miss a change of the secret"), "{}", gamma.log());
    set_secrets(&gamma, &[new]);
    for daemon in [&alpha, &beta] {
        set_secrets(daemon, &[new]);
    }
    for daemon in [&alpha, &beta, &gamma] {
        daemon.wait_status("one secret everywhere", SOON, |s| others(s) == 0 && s.network.secrets.len() == 1);
    }
    gamma.wait_status("end of the warning", SOON, |status| status.warnings.is_empty());

    // The mesh works on under the new secret alone.
    let claimed: serde_json::Value = gamma.ask(&Call::Claim { name: "titan".into() });
    assert_eq!(claimed["name"], "titan.sol");
    alpha.wait_for("titan.sol", Some(gamma.address), SOON);
    done.store(true, Ordering::Relaxed);
    let (asked, lost) = watcher.join().unwrap();
    assert!(asked > 100, "{asked}");
    assert_eq!(lost, 0, "of {asked} lookups");
    let secret = SecretBytes::new(new).to_file_text();
    for daemon in [&alpha, &beta, &gamma] {
        let said = format!("{}{}", daemon.log(), serde_json::to_string(&daemon.status()).unwrap());
        assert!(!said.contains(&secret[..12]), "a secret in the log or the status of {}", daemon.name);
    }
}
