//! The gates on the shipped file, and a proof that each of them closes: a module with a fault planted in it does not
//! build, or does not pass.

use std::path::{Path, PathBuf};
use std::process::Command;

use abi_tests::{gate, module_file, project};

#[test]
fn the_shipped_file_passes() {
    assert_eq!(gate::check(module_file()), Vec::<String>::new());
}

/// A copy of what the module is made of.
struct Workshop(tempfile::TempDir);

impl Workshop {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for part in ["mesher_table", "nss_mesher"] {
            copy(&project().join(part), &folder.path().join(part));
        }
        let manifest =
            std::fs::read_to_string(project().join("Cargo.toml")).expect("the workspace's manifest");
        let (before, rest) = manifest.split_once("members = [").expect("members");
        let (_, after) = rest.split_once(']').expect("members' end");
        let members = r#"members = ["mesher_table", "nss_mesher", "nss_mesher/core"]"#;
        let after = after.replacen(r#"default-members = ["mesherd", "mesherctl"]"#, "", 1);
        std::fs::write(folder.path().join("Cargo.toml"), format!("{before}{members}{after}"))
            .expect("written");
        std::fs::copy(project().join("Cargo.lock"), folder.path().join("Cargo.lock")).expect("copied");
        Self(folder)
    }

    /// Replaces a piece of a source file, which must be there.
    fn plant(&self, file: &str, old: &str, new: &str) {
        let path = self.0.path().join(file);
        let text = std::fs::read_to_string(&path).expect("a source file");
        assert!(text.contains(old), "{file} has no `{old}` any more; plant the fault elsewhere");
        std::fs::write(&path, text.replacen(old, new, 1)).expect("written");
    }

    /// Builds the module: its file, or what the compiler or the linker says.
    fn build(&self) -> Result<PathBuf, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // One folder for all, so that what does not change is compiled once.
        let target = project().join("target/planted");
        let output = Command::new(cargo)
            .args(["build", "--quiet", "--profile", "nss", "-p", "nss_mesher", "--target-dir"])
            .arg(&target)
            .current_dir(self.0.path())
            .output()
            .expect("cargo runs");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(target.join("nss/libnss_mesher.so"))
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("copied");
        }
    }
}

const INSIDE: &str = "nss_mesher/core/src/reverse.rs";
const OUTSIDE: &str = "nss_mesher/src/lib.rs";

#[test]
fn planted_faults_are_found() {
    let workshop = Workshop::new();
    let file = workshop.build().expect("without a fault it builds");
    assert_eq!(gate::check(&file), Vec::<String>::new());

    // A slice index: a panic can be reached, and the module does not link.
    let workshop = Workshop::new();
    workshop.plant(
        INSIDE,
        "asked.strip_prefix(&V4_MAPPED)",
        "asked[usize::from(asked[0])..].strip_prefix(&V4_MAPPED)",
    );
    let error = workshop.build().expect_err("a reachable panic");
    assert!(error.contains("mesher_nss_has_a_reachable_panic"), "{error}");

    // An allocation, by hand: the import is seen.
    let workshop = Workshop::new();
    workshop.plant(
        INSIDE,
        "let found = with_table(",
        "unsafe extern \"C\" { fn malloc(size: usize) -> *mut c_void; }\n    \
         // SAFETY: planted.\n    let host = if host.is_null() { unsafe { malloc(100) }.cast() } else { host };\n    \
         let found = with_table(",
    );
    let wrong = gate::check(&workshop.build().expect("it builds"));
    assert!(wrong.iter().any(|wrong| wrong.contains("`malloc`")), "{wrong:?}");

    // A new function of glibc.
    let workshop = Workshop::new();
    workshop.plant("nss_mesher/core/src/system.rs", "libc::syscall(abi::SYS_geteuid)", "libc::gettid()");
    let wrong = gate::check(&workshop.build().expect("it builds"));
    assert!(wrong.iter().any(|wrong| wrong.contains("GLIBC_2.30")), "{wrong:?}");

    // The standard library, and with it a `Vec` or a `thread_local!`.
    for (code, expected) in [
        ("std::hint::black_box(vec![0_u8; addr_len as usize]);", "it imports `malloc`"),
        (
            "std::thread_local! { static CALLS: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) } }\n    \
          CALLS.with_borrow_mut(|calls| calls.push(1));",
            "PT_TLS",
        ),
    ] {
        let workshop = Workshop::new();
        workshop.plant(OUTSIDE, "#![cfg_attr(panic = \"abort\", no_std)]", "");
        workshop.plant(OUTSIDE, "#[panic_handler]", "#[allow(dead_code)]");
        workshop.plant(OUTSIDE, "let errors = Errors::new(errnop, h_errnop);\n    // SAFETY: the caller's promises are the \
            callee's conditions.\n    unsafe { core_::host_by_address", &format!("{code}\n    let errors = \
            Errors::new(errnop, h_errnop);\n    // SAFETY: the caller's promises are the callee's conditions.\n    unsafe {{ \
            core_::host_by_address"));
        let wrong = workshop.build().map_or_else(|error| vec![error], |file| gate::check(&file));
        assert!(wrong.iter().any(|wrong| wrong.contains(expected)), "{expected}: {wrong:?}");
        assert!(wrong.iter().any(|wrong| wrong.contains("bytes; at most")), "{wrong:?}");
    }
}
