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

/// A seeded generator: tests print the seed, which replays them.
pub struct Rng(pub u64);

impl Rng {
    /// From the kernel, told on standard error.
    pub fn new() -> Self {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).unwrap();
        let seed = u64::from_le_bytes(seed);
        eprintln!("seed {seed}");
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}
