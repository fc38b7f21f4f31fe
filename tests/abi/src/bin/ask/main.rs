//! Asks glibc, as programs do, and says exactly what came back: one line for each question. Run by `tests/callers.rs` with the
//! module as a source of names.
//!
//! | arguments | question |
//! |---|---|
//! | `info FAMILY FLAGS NAME` | `getaddrinfo`, with `AI_CANONNAME` if FLAGS has a `c`, `AI_ADDRCONFIG` if an `a` |
//! | `name FAMILY SIZE OFFSET NAME` | `gethostbyname2_r` with a buffer of SIZE bytes that starts OFFSET bytes past a multiple of 16 |
//! | `name - SIZE OFFSET NAME` | `gethostbyname_r` likewise |
//! | `address FAMILY SIZE HEX` | `gethostbyaddr_r` for these bytes, at an odd address |
//! | `list SIZE` | `gethostent_r` to the end, the buffer doubled where it is too small |
//! | `after WHAT NAME` | a lookup, then WHAT happens to the process, then the lookup again |
//! | `armed FILE NAME` | every entry point of the module FILE, while an allocation aborts |
//!
//! `ASK_SOURCES` in the environment takes the place of the `hosts` line in nsswitch.conf.

mod armed;
mod glibc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let Ok(sources) = std::env::var("ASK_SOURCES") {
        glibc::use_sources(&sources);
    }
    let number = |text: &str| text.parse().expect("a number");
    match arguments.as_slice() {
        ["info", family, flags, name] => println!("{}", glibc::info(glibc::family(family), flags, name)),
        ["name", "-", size, offset, name] => {
            println!("{}", glibc::by_name(None, number(size), number(offset), name));
        }
        ["name", family, size, offset, name] => {
            println!("{}", glibc::by_name(Some(glibc::family(family)), number(size), number(offset), name));
        }
        ["address", family, size, hex] => {
            println!("{}", glibc::by_address(glibc::family(family), number(size), hex));
        }
        ["list", size] => glibc::list(number(size)),
        ["after", what, name] => glibc::after(what, name),
        ["armed", file, name] => armed::run(file, name),
        other => panic!("unknown question {other:?}"),
    }
}
