//! What the network's administrator signs: settings, certificates, revocations; and the steps of a change of the secret.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use mesher_claims::keys::{HostKey, NetworkId, SecretKey};
use mesher_config::secret::{Check, read_secrets};
use mesher_config::{certificate, settings};
use serde_json::Value;

fn mesherctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mesherctl"))
        .args(["--socket", "/nowhere/mesherd.sock"])
        .args(arguments)
        .output()
        .unwrap()
}

/// Standard output and standard error.
fn succeed(arguments: &[&str]) -> (String, String) {
    let output = mesherctl(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn fail(arguments: &[&str]) -> String {
    let output = mesherctl(arguments);
    assert!(!output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

struct Network {
    dir: tempfile::TempDir,
    id: NetworkId,
}

impl Network {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("net");
        let (said, told) = succeed(&[
            "network",
            "init",
            "--domain",
            "sol",
            "--claim-ttl",
            "10s",
            "--out",
            out.to_str().unwrap(),
        ]);
        assert!(
            told.contains("About to sign") && told.contains("settings of revision 1: domain sol"),
            "{told}"
        );
        Self { id: said.split_whitespace().last().unwrap().parse().unwrap(), dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join("net").join(name).to_str().unwrap().to_owned()
    }

    fn set(&self, options: &[&str]) -> (String, String) {
        succeed(&[&["network", "set", "--dir", &self.path("")], options].concat())
    }

    fn shown(&self) -> Value {
        serde_json::from_str(&succeed(&["network", "show", "--json", "--dir", &self.path("")]).0).unwrap()
    }

    fn settings(&self) -> Vec<u8> {
        fs::read(self.path("network.settings")).unwrap()
    }
}

fn host(seed: u8) -> HostKey {
    SecretKey::from_seed(&[seed; 32]).host_key()
}

#[test]
fn new_settings_are_told_then_signed_under_the_next_revision() {
    let network = Network::new();
    let before = network.settings();
    let change = ["--claim-ttl", "1h", "--admission", "certified", "--witness", &host(1).to_string()];
    let (_, told) = network.set(&[&change[..], &["--dry-run"]].concat());
    for part in [
        "About to sign with ",
        &format!("for the network {}", network.id),
        "settings of revision 2 (after 1)",
        "claim TTL: 10s → 1h",
        "hosts without a certificate lose their names",
        &format!("witness added: {}", host(1)),
        "Nothing was signed",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(network.settings(), before, "--dry-run wrote");

    let (said, told) = network.set(&change);
    assert!(told.contains("settings of revision 2 (after 1)"), "{told}");
    assert!(said.contains("Signed revision 2") && said.contains("mesherctl reload"), "{said}");
    let body = settings::read(Path::new(&network.path("network.settings")), &network.id).unwrap();
    assert_eq!((body.revision, body.claim_ttl_ms, &body.witnesses[..]), (2, 3_600_000, &[host(1)][..]));
    let shown = network.shown();
    assert_eq!((&shown["revision"], &shown["admission"]), (&2.into(), &"certified".into()));
    assert_eq!(shown["domain"], "sol");

    network.set(&["--no-witnesses"]);
    let shown = network.shown();
    assert_eq!(
        (&shown["witnesses"], &shown["former_witnesses"][0]),
        (&Value::Array(vec![]), &host(1).to_string().into())
    );
    let text = succeed(&["network", "show", "--dir", &network.path("")]).0;
    assert!(text.contains(&format!("former    {}", host(1))), "{text}");
}

#[test]
fn only_a_higher_revision_and_only_settings_that_can_be_are_signed() {
    let network = Network::new();
    network.set(&["--revision", "7", "--claim-ttl", "20s"]);
    let before = network.settings();
    for (options, words) in [
        (&["--revision", "7", "--claim-ttl", "30s"][..], "only a higher one is ever taken"),
        (&["--revision", "1"], "holds revision 7 already"),
        (&["--claim-ttl", "1s"], "3 seconds to 366 days"),
        (&["--domain", "com"], "--allow-public-domain"),
        (&["--claim-ttl", "20s"], "nothing to change"),
        (&[], "nothing to change"),
        (&["--witness", "c2VjcmV0"], "base64 of 6 bytes"),
        (&["--no-witnesses", "--witness", &host(1).to_string()], "cannot be used with"),
    ] {
        let told = fail(&[&["network", "set", "--dir", &network.path("")], options].concat());
        assert!(told.contains(words), "{options:?}: {told}");
        assert!(!told.contains("About to sign"), "{options:?}: {told}");
    }
    assert_eq!(network.settings(), before);
    network.set(&["--domain", "com", "--allow-public-domain", "true"]);
    assert_eq!(network.shown()["revision"], 8);

    fs::remove_file(network.path("network.settings")).unwrap();
    assert!(
        fail(&["network", "set", "--dir", &network.path(""), "--claim-ttl", "1h"])
            .contains("network.settings: No such file")
    );
}

#[test]
fn hosts_are_revoked_and_taken_back() {
    let network = Network::new();
    let dir = network.path("");
    let (a, b) = (host(1).to_string(), host(2).to_string());
    let (_, told) = succeed(&["network", "revoke", "--dir", &dir, &a, &b]);
    assert!(told.contains(&format!("revoked host added: {b}")), "{told}");
    assert!(told.contains("open to all that hold its secret"), "{told}");
    assert_eq!(network.shown()["revoked"], serde_json::json!([a, b]));
    assert!(fail(&["network", "revoke", "--dir", &dir, &a]).contains("revoked already"));
    assert!(
        fail(&["network", "certify", "--dir", &dir, "--label", "x", "--names", "x", "--valid", "1d", &a])
            .contains("is revoked, and no certificate changes that")
    );
    succeed(&["network", "revoke", "--dir", &dir, "--undo", &a]);
    assert!(fail(&["network", "revoke", "--dir", &dir, "--undo", &a]).contains("is not revoked"));
    assert_eq!(
        (&network.shown()["revoked"], &network.shown()["revision"]),
        (&serde_json::json!([b]), &3.into())
    );
}

#[test]
fn a_certificate_says_who_may_claim_what_until_when() {
    let network = Network::new();
    let (dir, key, file) = (network.path(""), host(1).to_string(), network.path("alpha.cert"));
    let order = [
        "network",
        "certify",
        "--dir",
        &dir,
        "--label",
        "alpha",
        "--names",
        "alpha,*.alpha,web.sol",
        "--valid",
        "90d",
        &key,
    ];
    let (printed, told) = succeed(&order);
    for part in [
        &format!("for the host key {key}"),
        "label: alpha",
        "names it may claim: alpha *.alpha web",
        "valid until: 20",
    ] {
        assert!(told.contains(part) && printed.contains(part), "{part}: {told}{printed}");
    }
    fs::write(&file, &printed).unwrap();
    let body = certificate::read(Path::new(&file), &network.id).unwrap();
    assert_eq!((body.host, body.label.as_str()), (host(1), "alpha"));
    for (name, allowed) in
        [("alpha", true), ("db.alpha", true), ("WEB", true), ("web.sol", false), ("beta", false)]
    {
        assert_eq!(body.allows(&name.parse().unwrap()), allowed, "{name}");
    }
    assert_eq!(body.not_after_ms - body.serial, 90 * 86_400_000);
    assert!(body.not_before_ms < body.serial && body.is_valid_at(body.serial));

    // A renewed one takes the place of the old one, and is signed later.
    let (said, _) = succeed(&[&order[..], &["--out", &file]].concat());
    assert!(said.contains("host.certificate_file"), "{said}");
    assert!(certificate::read(Path::new(&file), &network.id).unwrap().serial > body.serial);

    let before = fs::read(&file).unwrap();
    let (said, told) = succeed(&[&order[..], &["--out", &file, "--dry-run", "--json"]].concat());
    assert!(told.contains("Nothing was signed"), "{told}");
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["certificate"], Value::Null);
    assert_eq!(fs::read(&file).unwrap(), before);
    for (names, words) in [("a b", "letters, digits"), ("localhost", "localhost"), ("*", "first label")] {
        let told = fail(&[
            "network", "certify", "--dir", &dir, "--label", "alpha", "--names", names, "--valid", "1d", &key,
        ]);
        assert!(told.contains("--names") && told.to_lowercase().contains(words), "{told}");
    }
    let many: Vec<String> = (0..200).map(|i| format!("host-{i}")).collect();
    let told = fail(&[
        "network",
        "certify",
        "--dir",
        &dir,
        "--label",
        "alpha",
        "--names",
        &many.join(","),
        "--valid",
        "1d",
        &key,
    ]);
    assert!(told.contains("of 1024 at most"), "{told}");
}

#[test]
fn nothing_but_a_certificate_is_written_over_by_one_and_none_is_signed_that_has_run_out() {
    let network = Network::new();
    let (dir, key) = (network.path(""), host(1).to_string());
    let order = ["network", "certify", "--dir", &dir, "--label", "a", "--names", "a", &key];
    for other in ["network.key", "network.settings"] {
        let (other, before) = (network.path(other), fs::read(network.path(other)).unwrap());
        let told = fail(&[&order[..], &["--valid", "1d", "--out", &other]].concat());
        assert!(told.contains("Only an earlier certificate is written over"), "{told}");
        assert_eq!(fs::read(&other).unwrap(), before);
    }
    let told = fail(&[&order[..], &["--valid", "0d"]].concat());
    assert!(told.contains("--valid 0s") && !told.contains("About to sign"), "{told}");
}

#[test]
fn the_secret_changes_in_three_steps() {
    let network = Network::new();
    let file = network.path("network.secret");
    let read = || -> Vec<[u8; 32]> {
        read_secrets(Path::new(&file), Check::Mode).unwrap().iter().map(|s| *s.expose()).collect()
    };
    let old = read()[0];
    let (key, before) = (network.path("network.key"), fs::read(network.path("network.key")).unwrap());
    assert!(fail(&["network", "secret", "add", &key]).contains("this is a key's; nothing was changed"));
    assert_eq!(fs::read(&key).unwrap(), before);
    assert!(fail(&["network", "secret", "promote", &file]).contains("first: mesherctl network secret add"));
    assert!(fail(&["network", "secret", "retire", &file]).contains("none to retire"));
    let (said, _) = succeed(&["network", "secret", "add", &file]);
    assert!(said.contains("mesherctl network secret promote"), "{said}");
    let [first, new] = read()[..] else { panic!("{}", read().len()) };
    assert!(first == old && new != old);
    succeed(&["network", "secret", "promote", &file]);
    assert_eq!(read(), [new, old]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (said, told) = succeed(&["network", "secret", "retire", &file, "--json"]);
    assert_eq!(read(), [new]);
    let text = fs::read_to_string(&file).unwrap();
    assert!(!format!("{said}{told}").contains(&text[..8]), "a secret was printed");
    for _ in 0..3 {
        succeed(&["network", "secret", "add", &file]);
    }
    assert!(fail(&["network", "secret", "add", &file]).contains("4 secrets already"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(fail(&["network", "secret", "retire", &file]).contains("run: chmod 06"));
    assert_eq!(read_secrets(Path::new(&file), Check::Credential).unwrap().len(), 4);
}
