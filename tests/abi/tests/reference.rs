//! Compared with a module made with the crate libnss over the same table.
//!
//! Where libnss is right the answers must be equal. Where it departs from glibc's contract the test says how, and holds both to
//! what they do, so that a new version of libnss is noticed:
//!
//! | libnss 0.9 | the contract |
//! |---|---|
//! | no `gethostbyname4_r`, no `gethostbyaddr2_r` | glibc asks the first for AF_UNSPEC, nscd the second |
//! | ERANGE comes with h_errno TRY_AGAIN, or 0 for an address | NETDB_INTERNAL, or glibc does not ask again |
//! | an unknown name is NO_DATA, as is a missing family | HOST_NOT_FOUND, and NO_DATA for the family only |
//! | an unknown address leaves h_errno at NETDB_INTERNAL | that ends the whole chain of sources |
//! | a name that is not UTF-8 leaves h_errno alone | the same |
//! | errno is 0 after success | errno is left as it was |
//! | `gethostbyname_r` answers with IPv6 if there is no IPv4 | `gethostbyname` is IPv4 |
//! | a table that is missing leaves errno alone | ENOENT |
//! | pointer arrays start at any address | aligned |
//! | `canonp` is the name as asked, not in the buffer | the canonical name, in the buffer |
//! | IPv6 that holds an IPv4 address finds nothing | it finds the IPv4 address's names |

use abi_tests::{Arena, Module, Name, status, tables};
use libc::{AF_INET, AF_INET6};

/// Large and aligned: libnss gets pointer arrays right only where the strings before them happen to end at a multiple of
/// eight, so the answers are read through pointers that need no alignment there.
const ENOUGH: usize = 64 * 1024;

struct Answers {
    by_name: Vec<(String, i32, i32, i32, Option<abi_tests::Host>)>,
    by_address: Vec<(i32, i32, i32, Option<abi_tests::Host>)>,
    list: Vec<abi_tests::Host>,
}

const NAMES: [&str; 9] = [
    "earth.sol",
    "EARTH.SOL.",
    "earth",
    "four.sol",
    "six.sol",
    "forty.sol",
    "moon.earth.sol",
    "mars.sol",
    "none.sol",
];

fn ask(module: &Module) -> Answers {
    let mut by_name = Vec::new();
    for name in NAMES {
        for family in [AF_INET, AF_INET6] {
            let call = module.by_name(Name::Two(family), name.as_bytes(), ENOUGH, 0);
            by_name.push((format!("{name} {family}"), call.status, call.errno, call.h_errno, call.answer));
        }
    }
    let v4 = [1, 2, 9, 1000, 77_777].map(|n| (AF_INET, tables::v4(n).octets().to_vec()));
    let v6 = [1, 2, 1039].map(|n| (AF_INET6, tables::v6(n).octets().to_vec()));
    let by_address = v4.into_iter().chain(v6).map(|(family, bytes)| {
        let call = module.by_address1(family, &bytes, ENOUGH);
        (call.status, call.errno, call.h_errno, call.answer)
    });
    let by_address = by_address.collect();
    module.rewind();
    let list = std::iter::from_fn(|| module.next(ENOUGH, 0).answer).collect();
    Answers { by_name, by_address, list }
}

#[test]
fn the_answers_are_those_of_a_module_made_with_libnss() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    let _writer = tables::publish(&path, &tables::sol());
    let ours = ask(&Module::load(&path));
    let theirs = ask(&Module::load_reference(&path));
    assert_eq!(ours.by_name.len(), theirs.by_name.len());
    let mut equal = 0;
    for (our, their) in ours.by_name.iter().zip(&theirs.by_name) {
        assert_eq!((our.1, &our.4), (their.1, &their.4), "{}: status and answer", our.0);
        match our.1 {
            status::SUCCESS => {
                assert_eq!((our.2, our.3), (Arena::ERRNO, 0), "{}", our.0);
                assert_eq!((their.2, their.3), (0, 0), "{}: libnss clears errno", our.0);
                equal += 1;
            }
            _ => {
                let known = !our.0.starts_with("mars");
                assert_eq!((our.2, our.3), (libc::ENOENT, if known { 4 } else { 1 }), "{}", our.0);
                assert_eq!((their.2, their.3), (Arena::ERRNO, 4), "{}: libnss knows NO_DATA only", our.0);
            }
        }
    }
    assert!(equal >= 10, "{equal} names were found");
    for (our, their) in ours.by_address.iter().zip(&theirs.by_address) {
        assert_eq!((our.0, &our.3), (their.0, &their.3));
        if our.0 == status::NOTFOUND {
            assert_eq!((our.2, their.2), (1, -1), "libnss leaves NETDB_INTERNAL");
        }
    }
    assert_eq!(ours.list, theirs.list);
    assert_eq!(ours.list.len(), 11);
}

#[test]
fn where_libnss_departs_from_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts.table");
    let _writer = tables::publish(&path, &tables::sol());
    let theirs = Module::load_reference(&path);
    assert!(theirs.symbol("gethostbyname4_r").is_null());
    assert!(theirs.symbol("gethostbyaddr2_r").is_null());
    let small = theirs.by_name(Name::Two(AF_INET), b"crowd.sol", 1024, 0);
    assert_eq!(small.numbers(), (status::TRYAGAIN, libc::ERANGE, 2), "a host with many addresses is lost");
    let raw = theirs.by_name(Name::Two(AF_INET), b"\xff", ENOUGH, 0);
    assert_eq!(raw.numbers(), (status::NOTFOUND, Arena::ERRNO, Arena::ERRNO));
    let six = theirs.by_name(Name::One, b"six.sol", ENOUGH, 0);
    assert_eq!(six.answer.map(|host| host.addresses), Some(vec![tables::v6(2).into()]));
    let mapped = tables::v4(1).to_ipv6_mapped().octets();
    assert_eq!(theirs.by_address1(AF_INET6, &mapped, ENOUGH).status, status::NOTFOUND);
}
