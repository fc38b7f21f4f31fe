//! What attackers use against running daemons.
//!
//! Everything here is written from `docs/gossip.md` and `docs/control.md`, not with the daemon's own code: an attacker does
//! not keep to what that code can be made to say.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(unreachable_pub, reason = "a module of tests has no outside")]

pub mod carrier;
pub mod clock;
pub mod member;
pub mod records;
pub mod stranger;

/// Makes a library of one of the C files here, to be preloaded into a daemon.
pub fn shim(dir: &std::path::Path, name: &str, source: &str) -> std::path::PathBuf {
    let library = dir.join(format!("{name}.so"));
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attack").join(source);
    let mut compiler = std::process::Command::new("cc");
    let output = compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).output();
    let output = output.expect("cc (package gcc)");
    assert!(output.status.success(), "{output:?}");
    library
}

/// A generator whose seed is the kernel's, and told on standard error: it replays a test.
pub fn seeded() -> fastrand::Rng {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).unwrap();
    let seed = u64::from_le_bytes(seed);
    eprintln!("seed {seed}");
    fastrand::Rng::with_seed(seed)
}

/// So many bytes by chance.
pub fn random_bytes(rng: &mut fastrand::Rng, len: usize) -> Vec<u8> {
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}
