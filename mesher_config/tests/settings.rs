//! The settings file: what is written is read back, and nothing else is.

use mesher_claims::keys::SecretKey;
use mesher_claims::record::{CertificateBody, Record, SettingsBody, Signed};
use mesher_config::certificate;
use mesher_config::settings::{SettingsError, read, to_file_text};

fn signed(key: &SecretKey) -> Record {
    let body = SettingsBody::new("sol".parse().unwrap(), 10_000);
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

#[test]
fn a_certificate_is_read_back_and_is_not_taken_for_settings() {
    let dir = tempfile::tempdir().unwrap();
    let (path, key) = (dir.path().join("host.cert"), SecretKey::from_seed(&[1; 32]));
    let id = key.network_id();
    let body = CertificateBody {
        host: SecretKey::from_seed(&[3; 32]).host_key(),
        label: "alpha".parse().unwrap(),
        patterns: vec!["*.alpha".parse().unwrap()],
        not_before_ms: 1,
        not_after_ms: 2,
        serial: 1,
    };
    let record = Record::Certificate(Signed::sign(&id, &key, body.clone()));
    std::fs::write(&path, certificate::to_file_text(&record, "of alpha\nuntil 1970")).unwrap();
    assert_eq!(*certificate::read(&path, &id).unwrap(), body);
    assert!(matches!(read(&path, &id), Err(SettingsError::Refused { .. })));
    let other = SecretKey::from_seed(&[2; 32]).network_id();
    let error = certificate::read(&path, &other).unwrap_err().to_string();
    assert!(error.contains("this is not a certificate of the network"), "{error}");
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(certificate::read(&path, &id), Err(SettingsError::Content { .. })));
    assert!(matches!(
        certificate::read(std::path::Path::new("/dev/zero"), &id),
        Err(SettingsError::Content { .. })
    ));
}
