//! Programs run with the module: with a table, a list of sources, and the addresses of a machine of our own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A machine as far as name lookups go: a library folder with the module, a table, `/etc/nsswitch.conf`, `/etc/hosts`
/// and network addresses of its own.
pub struct Machine {
    folder: tempfile::TempDir,
    addresses: Vec<String>,
}

impl Machine {
    /// A machine with these addresses besides the loopback ones, and with this line of sources.
    pub fn new(sources: &str, addresses: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::copy(crate::module_file(), folder.path().join("libnss_mesher.so.2")).expect("copied");
        std::fs::copy(crate::reference_file(), folder.path().join("libnss_meshref.so.2")).expect("copied");
        std::fs::write(
            folder.path().join("nsswitch.conf"),
            format!("passwd: files\ngroup: files\nhosts: {sources}\n"),
        )
        .expect("written");
        std::fs::write(
            folder.path().join("hosts"),
            "127.0.0.1 localhost\n::1 localhost\n10.9.9.9 filed.example\n",
        )
        .expect("written");
        Self { folder, addresses: addresses.iter().map(|address| (*address).to_owned()).collect() }
    }

    /// With an address of each family.
    pub fn dual(sources: &str) -> Self {
        Self::new(sources, &["192.0.2.1/32", "2001:db8:ffff::1/128"])
    }

    /// Where the table is to lie.
    pub fn table(&self) -> PathBuf {
        self.folder.path().join("hosts.table")
    }

    /// The folder that has everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A program on this machine: in a user, mount and network namespace of its own.
    pub fn command(&self, program: &str) -> Command {
        let folder = self.folder.path().display();
        let mut script = format!(
            "set -e; mount --bind {folder}/nsswitch.conf /etc/nsswitch.conf; mount --bind {folder}/hosts /etc/hosts; \
             ip link set lo up; "
        );
        for address in &self.addresses {
            script +=
                &format!("ip addr add {address} dev lo nodad 2>/dev/null || ip addr add {address} dev lo; ");
        }
        // The library path is for the program only: a shell that looked users up would load the module as well.
        script += &format!("export LD_LIBRARY_PATH={folder}; exec \"$0\" \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--net", "sh", "-c", &script, program]);
        command.env("MESHER_TABLE", self.table()).env_remove("RES_OPTIONS");
        command
    }

    /// Runs a program to its end.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program).args(arguments).output().expect("unshare (util-linux) runs")
    }

    /// `getent`'s output; empty if it found nothing.
    ///
    /// # Panics
    ///
    /// If it ends with anything but 0 (found) or 2 (not found).
    pub fn getent(&self, arguments: &[&str]) -> String {
        let output = self.run("getent", arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            matches!(output.status.code(), Some(0 | 2)),
            "getent {arguments:?}: {} {errors}",
            output.status
        );
        assert_eq!(errors, "", "getent {arguments:?}");
        String::from_utf8(output.stdout).expect("text")
    }
}
