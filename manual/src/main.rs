//! The manual pages: `mesher_manual DIRECTORY DATE` writes them, and `cargo xtask dist` calls it.
//!
//! Nothing of them is written twice. What a program's page says comes from the definition that its command line is
//! parsed with; the configuration's page and the module's are `docs/configuration.md` and `docs/nss.md`.

mod markdown;
mod program;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::CommandFactory;

const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
const MODULE: &str = include_str!("../../docs/nss.md");

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, date] = arguments.as_slice() else {
        bail!("Usage: mesher_manual DIRECTORY DATE");
    };
    for (file, text) in pages(date) {
        let section = file.rsplit('.').next().unwrap_or_default();
        let directory = Path::new(directory).join(format!("man{section}"));
        fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
        let path = directory.join(file);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Every page, by its file's name. The date, YYYY-MM-DD, stands at each page's foot.
fn pages(date: &str) -> [(&'static str, String); 4] {
    let daemon = program::Page {
        command: mesherd::cli::Options::command(),
        summary: "daemon that gives the machines of a mesh their names",
        section: "8",
        see_also: &[
            "mesherctl(1)",
            "data-mesher-config(5)",
            "nss-mesher(8)",
            "systemctl(1)",
            "journalctl(1)",
        ],
    };
    let tool = program::Page {
        command: mesherctl::command(),
        summary: "show and control data-mesher",
        section: "1",
        see_also: &["mesherd(8)", "data-mesher-config(5)", "nss-mesher(8)", "varlinkctl(1)"],
    };
    let configuration = markdown::Page {
        name: "data-mesher-config",
        section: "5",
        summary: "configuration of the daemon that names the machines of a mesh",
        text: CONFIGURATION,
        see_also: &["mesherd(8)", "mesherctl(1)", "nss-mesher(8)", "systemd.exec(5)"],
    };
    let module = markdown::Page {
        name: "nss-mesher",
        section: "8",
        summary: "host names of a mesh for every program, from its hosts table",
        text: MODULE,
        see_also: &["nsswitch.conf(5)", "getaddrinfo(3)", "getent(1)", "mesherd(8)", "mesherctl(1)"],
    };
    [
        ("mesherd.8", program::render(&daemon, date)),
        ("mesherctl.1", program::render(&tool, date)),
        ("data-mesher-config.5", markdown::render(&configuration, date)),
        ("nss-mesher.8", markdown::render(&module, date)),
    ]
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::pages;

    fn page(name: &str) -> String {
        let (_, text) = pages("2026-01-01").into_iter().find(|(file, _)| *file == name).expect("a page");
        // As it is read: without the typesetter's escapes.
        text.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "")
    }

    /// The help of a command and of those below it, as the program prints it.
    fn helps(command: &mut Command, path: &str, all: &mut Vec<(String, String)>) {
        all.push((path.to_owned(), command.render_long_help().to_string()));
        for child in command.get_subcommands_mut() {
            let path = format!("{path} {}", child.get_name());
            helps(child, &path, all);
        }
    }

    /// What a program's `--help` has and its page has not. `-h` of a command below another is on no page.
    fn missing(mut command: Command, page: &str) -> Vec<String> {
        let mut all = Vec::new();
        let name = command.get_name().to_owned();
        helps(&mut command, &name, &mut all);
        let mut missing = Vec::new();
        for (path, help) in all {
            let relative = path.strip_prefix(&name).unwrap_or(&path).trim();
            if !page.contains(relative) {
                missing.push(path.clone());
            }
            for word in help.split(|c: char| !(c.is_alphanumeric() || c == '-')) {
                if word.starts_with("--") && word.len() > 2 && !page.contains(word) {
                    missing.push(format!("{path} {word}"));
                }
            }
        }
        missing
    }

    #[test]
    fn the_programs_pages_have_every_command_and_option_of_their_help() {
        assert_eq!(missing(mesherd::cli::Options::command(), &page("mesherd.8")), [] as [&str; 0]);
        assert_eq!(missing(mesherctl::command(), &page("mesherctl.1")), [] as [&str; 0]);
        let page = page("mesherctl.1");
        for said in [
            "network secret",
            "add (Put a new one",
            "(default: /run/data-mesher/mesherd.sock)",
            "78 the config",
        ] {
            assert!(page.contains(said), "{said}");
        }
    }

    #[test]
    fn the_pages_from_markdown_are_whole() {
        let page = page("data-mesher-config.5");
        for said in [".SH KEYS", "host.names\n", "id = \"6kps", "reload: restart", ".SH SECRETS"] {
            assert!(page.contains(said), "{said}");
        }
    }
}
