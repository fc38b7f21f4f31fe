//! How the module is linked; see the crate's documentation.

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo names the folder");
    for argument in [
        "-soname,libnss_mesher.so.2",
        // Every symbol must be found at link time: one that is not is the mark of a reachable panic.
        "-z,defs",
        // Nothing is left to be resolved, or to be overwritten, while a stranger's process runs.
        "-z,now",
        "-z,relro",
        // The module calls its own functions, not another's of the same name, and nobody has to look for them.
        "-Bsymbolic",
        // Threads may still be inside when a host program closes its NSS modules.
        "-z,nodelete",
        "--gc-sections",
    ] {
        println!("cargo::rustc-cdylib-link-arg=-Wl,{argument}");
    }
    // No constructors and destructors of the C runtime: nothing runs when the module is loaded.
    println!("cargo::rustc-cdylib-link-arg=-nostartfiles");
    println!("cargo::rustc-cdylib-link-arg=-Wl,--version-script={folder}/exports.map");
    println!("cargo::rerun-if-changed=exports.map");
    println!("cargo::rerun-if-changed=build.rs");
}
