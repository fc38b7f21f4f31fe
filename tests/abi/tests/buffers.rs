//! Point 1, 8 and 9: every buffer size from 0 to 8,192 at every alignment, between walls of canaries. There is one size
//! below which the answer is ERANGE, and from which on it is the whole answer; `Arena` checks that nothing is written outside,
//! and that everything the answer points to lies inside and is aligned.

use abi_tests::{Arena, Call, Module, Name, status, tables};
use libc::{AF_INET, AF_INET6, ERANGE};

const SIZES: usize = 8192;

fn sweep<T: PartialEq + std::fmt::Debug>(what: &str, mut call: impl FnMut(usize, usize) -> Call<T>) {
    let expected = call(64 * 1024, 0);
    assert_eq!(expected.numbers(), (status::SUCCESS, Arena::ERRNO, 0), "{what}");
    for offset in 0..8 {
        let mut enough = None;
        for size in 0..=SIZES {
            let got = call(size, offset);
            match got.status {
                status::TRYAGAIN => {
                    assert_eq!((got.errno, got.h_errno), (ERANGE, -1), "{what}: {size} bytes at {offset}");
                    assert_eq!(enough, None, "{what}: {size} bytes at {offset} are fewer than {enough:?}?");
                }
                _ => {
                    assert_eq!(got, expected, "{what}: {size} bytes at {offset}");
                    enough.get_or_insert(size);
                }
            }
        }
    }
}

#[test]
fn every_size_at_every_alignment() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    let _writer = tables::publish(&path, &tables::sol());
    let module = Module::load(&path);
    for name in ["earth.sol", "earth", "forty.sol", "crowd.sol", "local.sol"] {
        let raw = name.as_bytes();
        if name != "local.sol" {
            sweep(name, |size, offset| module.by_name(Name::Three(AF_INET), raw, size, offset));
        }
        sweep(name, |size, offset| module.by_name(Name::Two(AF_INET6), raw, size, offset));
        // 400 tuples need 16,000 bytes; there the answer is ERANGE throughout, which a sweep cannot tell.
        if name != "crowd.sol" {
            sweep(name, |size, offset| module.by_name4(raw, size, offset, false));
            sweep(name, |size, offset| module.by_name4(raw, size, offset, true));
        }
    }
    sweep("gethostbyname", |size, offset| module.by_name(Name::One, b"earth.sol", size, offset));
    let v6 = tables::v6(1).octets();
    sweep("an IPv6 address", |size, offset| module.by_address(AF_INET6, &v6, size, offset));
    sweep("an address", |size, offset| module.by_address(AF_INET, &[10, 0, 0, 1], size, offset));
    sweep("enumeration", |size, offset| {
        module.rewind();
        module.next(size, offset)
    });
    let crowd = module.by_name4(b"crowd.sol", SIZES, 0, false);
    assert_eq!(crowd.numbers(), (status::TRYAGAIN, ERANGE, -1));
}
