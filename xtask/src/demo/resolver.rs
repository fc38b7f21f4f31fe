//! Lookups with the system's own getent(1), through glibc and the real module, without touching the system.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{Answers, DOMAIN};
use crate::{dist, nsswitch};

/// A shell that runs `getent` on demand: it reads a table and a name a line, and answers with getent's output and a line that
/// holds a dot.
const LOOP: &str = r#"
while read -r table name; do
    MESHER_TABLE="$table" getent $options ahosts "$name"
    echo .
done"#;

/// Before the loop: this process's own view of /etc/nsswitch.conf, and none of nscd, whose lookups would be the system's.
const PREPARE: &str = r#"
set -e
mount --bind "$nsswitch" /etc/nsswitch.conf
if [ -d /run/nscd ]; then mount -t tmpfs tmpfs /run/nscd; fi
set +e"#;

/// Runs lookups until it is dropped.
pub(super) struct Resolver {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    description: String,
}

impl Resolver {
    /// Starts the shell: in a user and mount namespace of its own, where nsswitch.conf names our source; where the system
    /// forbids such namespaces, beside the system's nsswitch.conf.
    pub(super) fn start(tree: &Path, scratch: &Path) -> Result<Self> {
        let nsswitch = scratch.join("nsswitch.conf");
        let own = fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
        fs::write(&nsswitch, nsswitch::add(&own))?;
        let module = tree.join(dist::module_path()?);
        let libraries = module.parent().context("the module has a directory")?.to_path_buf();

        let namespace = namespace_command(&nsswitch);
        if let Ok(resolver) =
            Self::spawn(namespace, &libraries, "getent ahosts, the module named in nsswitch.conf")
        {
            return Ok(resolver);
        }
        let mut plain = Command::new("sh");
        plain.args(["-c", LOOP]).env("options", "-s hosts:mesher");
        Self::spawn(
            plain,
            &libraries,
            "getent -s hosts:mesher ahosts (no user namespaces here, so nsswitch.conf stays the system's)",
        )
    }

    /// Which way the lookups go.
    pub(super) fn describe(&self) -> &str {
        &self.description
    }

    /// The address of every name that resolves through a table; the first one, where there are more.
    pub(super) fn answers(&mut self, table: &Path, names: &[&'static str]) -> Result<Answers> {
        let mut answers = Answers::new();
        for &name in names {
            let answer = self.raw(table, &format!("{name}.{DOMAIN}"))?;
            if let Some(address) = answer.first().and_then(|line| line.split_whitespace().next()) {
                answers.insert(name, address.to_owned());
            }
        }
        Ok(answers)
    }

    /// What `getent ahosts` prints for a name, line by line.
    pub(super) fn raw(&mut self, table: &Path, name: &str) -> Result<Vec<String>> {
        let to = self.to.as_mut().context("the lookups have been ended")?;
        writeln!(to, "{} {name}", table.display())?;
        to.flush()?;
        let mut answer = Vec::new();
        loop {
            let mut line = String::new();
            if self.from.read_line(&mut line)? == 0 {
                bail!("the shell that runs getent has ended");
            }
            if line == ".\n" {
                return Ok(answer);
            }
            answer.push(line.trim_end().to_owned());
        }
    }

    /// Starts the shell, and makes sure that it answers.
    fn spawn(mut command: Command, libraries: &PathBuf, description: &str) -> Result<Self> {
        command.env("LD_LIBRARY_PATH", libraries).env("LC_ALL", "C");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().context("starting a shell for the lookups")?;
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().context("the shell's output is a pipe")?);
        let mut resolver = Resolver { child, to, from, description: description.to_owned() };
        resolver.raw(Path::new("/nonexistent"), "localhost")?;
        Ok(resolver)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        // The loop ends with its input.
        drop(self.to.take());
        let _ = self.child.wait();
    }
}

fn namespace_command(nsswitch: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command.arg(format!("{PREPARE}\n{LOOP}")).env("nsswitch", nsswitch).env("options", "");
    command
}
