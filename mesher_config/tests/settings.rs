//! The settings file: what is written is read back, and nothing else is.

use mesher_claims::keys::SecretKey;
use mesher_claims::record::{Admission, Record, SettingsBody, Signed};
use mesher_config::settings::{SettingsError, read, to_file_text};

fn signed(key: &SecretKey) -> Record {
    let body = SettingsBody {
        revision: 1,
        domain: "sol".parse().unwrap(),
        claim_ttl_ms: 10_000,
        admission: Admission::Open,
        witnesses: vec![],
        former_witnesses: vec![],
        revoked: vec![],
        allow_loopback: false,
        allow_public_domain: false,
    };
    Record::Settings(Signed::sign(&key.network_id(), key, body))
}

#[test]
fn only_the_networks_own_settings_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("network.settings");
    let key = SecretKey::from_seed(&[1; 32]);
    let id = key.network_id();
    let good = to_file_text(&signed(&key));

    std::fs::write(&path, &good).unwrap();
    let settings = read(&path, &id).unwrap();
    assert_eq!((settings.domain.to_string(), settings.claim_ttl_ms), ("sol".to_owned(), 10_000));
    let other = SecretKey::from_seed(&[2; 32]).network_id();
    assert!(matches!(read(&path, &other), Err(SettingsError::Refused { .. })));

    let line = good.lines().last().unwrap();
    for bad in [String::new(), "# nothing\n".to_owned(), format!("{good}{line}\n"), "x".repeat(20_000)] {
        std::fs::write(&path, &bad).unwrap();
        let error = read(&path, &id).unwrap_err();
        assert!(matches!(error, SettingsError::Content { .. }), "{bad:.20}: {error}");
        assert!(error.to_string().contains("expected the network's signed settings"), "{error}");
    }
    for at in 0..line.len() {
        let changed = if line.as_bytes()[at] == b'A' { "B" } else { "A" };
        std::fs::write(&path, format!("{}{changed}{}", &line[..at], &line[at + 1..])).unwrap();
        assert!(matches!(read(&path, &id), Err(SettingsError::Refused { .. })), "character {at}");
    }
    assert!(matches!(read(&dir.path().join("absent"), &id), Err(SettingsError::Read { .. })));
}
