//! Files that an operator or a disk hands over: secrets, signed settings, a certificate, and the frame of a state file.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use mesher_claims::keys::SecretKey;
use mesher_config::secret::{Check, MAX_SECRETS, read_secrets};
use mesher_config::{certificate, settings};
use mesherd::state::framed;

fuzz_target!(|data: &[u8]| {
    let path = mesher_fuzz::folder().join("file");
    let mut file = std::fs::File::create(&path).expect("a file in memory");
    file.write_all(data).expect("room in memory");
    let network = SecretKey::from_seed(&[2; 32]).network_id();
    match read_secrets(&path, Check::Credential) {
        Ok(secrets) => {
            assert!((1..=MAX_SECRETS).contains(&secrets.len()));
            let text: String = secrets.iter().map(|secret| secret.to_file_text().to_string()).collect();
            std::fs::write(&path, text).expect("room in memory");
            assert_eq!(read_secrets(&path, Check::Credential).expect("as it was written"), secrets);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    // Without the network's key nothing that a fuzzer makes up is signed.
    assert!(settings::read(&path, &network).is_err() && certificate::read(&path, &network).is_err());
    let payload = framed::payload(data).unwrap_or(data);
    let framed_path = path.with_extension("state");
    framed::write(&framed_path, payload).expect("room in memory");
    assert_eq!(framed::read(&framed_path).expect("as it was written").as_deref(), Some(payload));
});
