//! Who may read, and who may change.

use std::os::unix::process::CommandExt;
use std::path::Path;

use mesher_control::types::{Claimed, Metrics};
use mesher_control::{Call, Client};
use mesherd::control::AccessPolicy;

use crate::server::{Running, patient};

/// What the child of the next test does: claims a name at the socket it is told, and shows the outcome.
#[test]
#[ignore = "run by the next test, as another user"]
fn child_claims() {
    let path = std::env::var("MESHER_TEST_SOCKET").unwrap();
    let mut client = Client::connect(Path::new(&path)).unwrap();
    let asked: Metrics = client.call(&Call::Metrics {}).unwrap();
    let claimed = client.call::<Claimed>(&Call::Claim { name: "earth".into() });
    println!("{} may read; claim: {}", asked.text, claimed.map_or_else(|e| e.to_string(), |c| c.name));
}

#[test]
fn everyone_may_read_and_the_group_may_change() {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root, to become other users");
        eprintln!("skipped: needs root, to become other users");
        return;
    }
    let running = Running::start(AccessPolicy::new(990, Some(980)), patient());
    // Where the others may run it from, whatever the modes of the directories above the build's.
    let program = running.dir.path().join("child");
    // By another process: one that another test starts would hold a file open that this one has written, and it could not be run.
    let copied =
        std::process::Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status();
    assert!(copied.unwrap().success());
    let claim_as = |uid: u32, gid: u32, groups: &'static [u32]| {
        let mut command = std::process::Command::new(&program);
        command
            .args(["--exact", "access::child_claims", "--ignored", "--nocapture"])
            .env("MESHER_TEST_SOCKET", running.path());
        // SAFETY: between fork and exec only setgroups is called, a system call on data that is ready.
        unsafe {
            command.pre_exec(move || {
                let set = libc::setgroups(groups.len(), groups.as_ptr()) == 0
                    && libc::setresgid(gid, gid, gid) == 0
                    && libc::setresuid(uid, uid, uid) == 0;
                if set { Ok(()) } else { Err(std::io::Error::last_os_error()) }
            });
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.split_once("uid ")).map(|(_, line)| line.to_owned());
        line.unwrap_or_else(|| panic!("{output:?}"))
    };
    let denied = "permission denied: changes are for root and the members of the group data-mesher";
    assert_eq!(claim_as(12345, 12345, &[]), format!("12345 may read; claim: {denied}"));
    assert_eq!(claim_as(12345, 12345, &[27, 100]), format!("12345 may read; claim: {denied}"));
    assert_eq!(claim_as(12345, 980, &[]), "12345 may read; claim: earth.sol");
    assert_eq!(claim_as(12345, 12345, &[27, 980, 100]), "12345 may read; claim: earth.sol");
    assert_eq!(claim_as(990, 990, &[]), "990 may read; claim: earth.sol");
    assert_eq!(claim_as(0, 0, &[]), "0 may read; claim: earth.sol");
}
