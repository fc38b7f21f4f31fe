//! No command stands in README.md or docs untried: each is carried out by a scenario that follows the page (docs/testing.md), or
//! begins with `cargo` and names something that there is, or is listed in tests/pages.toml with what checks it instead.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// Words that begin a line of commands, wherever it stands. What is in a block `sh` is commands whatever it begins with.
const PROGRAMS: [&str; 49] = [
    "apparmor_parser",
    "apt",
    "apt-get",
    "bash",
    "cargo",
    "cat",
    "chmod",
    "chown",
    "cp",
    "curl",
    "dig",
    "dnf",
    "docker",
    "dpkg",
    "export",
    "getent",
    "git",
    "gpg",
    "grep",
    "head",
    "install",
    "ip",
    "journalctl",
    "ln",
    "ls",
    "make",
    "mesherctl",
    "mesherd",
    "mkdir",
    "mv",
    "nft",
    "nix",
    "nix-build",
    "nix-shell",
    "nixos-rebuild",
    "podman",
    "python3",
    "rm",
    "scp",
    "sed",
    "ssh",
    "sudo",
    "systemctl",
    "systemd-analyze",
    "systemd-creds",
    "systemd-run",
    "tail",
    "unbound-control",
    "varlinkctl",
];

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The pages, relative to the repository.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(repository().join("docs")).unwrap();
    let names = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().to_string_lossy()));
    let mut pages: Vec<String> = names.filter(|name| name.ends_with(".md")).collect();
    pages.push("README.md".to_owned());
    pages.sort();
    pages
}

fn read(file: &str) -> String {
    fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A block of code: the words behind its fence (none if it is only indented), and its text.
struct Block {
    words: Vec<String>,
    text: String,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                let words = match kind {
                    CodeBlockKind::Fenced(info) => info.split_whitespace().map(str::to_owned).collect(),
                    CodeBlockKind::Indented => Vec::new(),
                };
                open = Some(Block { words, text: String::new() });
            }
            Event::Text(text) => {
                if let Some(block) = &mut open {
                    block.text.push_str(&text);
                }
            }
            Event::End(TagEnd::CodeBlock) => found.extend(open.take()),
            _ => {}
        }
    }
    found
}

/// The lines of a block that are commands: all of a shell's, and of any other's those that look like one.
fn commands(block: &Block) -> Vec<&str> {
    let language = block.words.first().map(String::as_str);
    let shell = matches!(language, Some("sh" | "bash" | "shell" | "console" | "zsh"));
    let looks_like_one = |line: &&str| {
        let mut words = line.split_whitespace().filter(|word| !matches!(*word, "$" | "#"));
        let first = words
            .find(|word| !word.split_once('=').is_some_and(|(name, _)| name.chars().all(is_of_a_variable)));
        // A key of a configuration may be called as a program is.
        first.is_some_and(|word| PROGRAMS.contains(&word)) && words.next() != Some("=")
    };
    block
        .text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .filter(|line| shell || looks_like_one(line))
        .collect()
}

fn is_of_a_variable(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'
}

/// The pages that a scenario follows: `follow("docs/PAGE.md"` in its script.
fn followed() -> BTreeSet<String> {
    let mut followed = BTreeSet::new();
    for scenario in fs::read_dir(repository().join("tests/machines")).unwrap() {
        let Ok(script) = fs::read_to_string(scenario.unwrap().path().join("script.py")) else { continue };
        for part in script.split("follow(").skip(1) {
            let page = part.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
            followed.extend(page.map(|(page, _)| page.to_owned()));
        }
    }
    followed
}

/// The lines of tests/pages.toml, each with its page.
fn listed() -> BTreeSet<(String, String)> {
    let list: toml::Table = read("tests/pages.toml").parse().unwrap();
    let entries = list["block"].as_array().unwrap();
    let entry = |entry: &toml::Value| {
        let word =
            |key: &str| entry.get(key).and_then(toml::Value::as_str).unwrap_or_default().trim().to_owned();
        assert!(
            !word("why").is_empty() && !word("instead").is_empty(),
            "{entry}: why, and what checks it instead?"
        );
        let page = word("page");
        word("text").lines().map(|line| (page.clone(), line.to_owned())).collect::<Vec<_>>()
    };
    entries.iter().flat_map(entry).collect()
}

/// Whether the driver carries a block out: `sh MACHINE…`.
fn is_carried_out(block: &Block) -> bool {
    block.words.len() > 1 && block.words[0] == "sh"
}

#[test]
fn every_command_of_every_page_is_run_or_accounted_for() {
    let (followed, listed) = (followed(), listed());
    let mut untried = Vec::new();
    let mut run = 0;
    for page in pages() {
        for block in blocks(&read(&page)) {
            let commands = commands(&block);
            if followed.contains(&page) && (is_carried_out(&block) || block.words == ["text"]) {
                run += commands.len();
                continue;
            }
            let left =
                commands.iter().filter(|line| !listed.contains(&(page.clone(), line.trim().to_owned())));
            untried.extend(left.filter_map(|line| Some(format!("{page}: {line}: {}", cargo_problem(line)?))));
        }
    }
    assert!(run > 100, "only {run} commands are carried out: are the pages followed at all?");
    assert!(untried.is_empty(), "commands that nothing runs:\n{}", untried.join("\n"));
}

#[test]
fn the_list_of_exceptions_has_nothing_that_is_gone() {
    for (page, line) in listed() {
        let there =
            blocks(&read(&page)).iter().any(|block| block.text.lines().any(|other| other.trim() == line));
        assert!(there, "tests/pages.toml: {page} has no such command any more: {line}");
    }
}

/// What is wrong with a line that should be a `cargo` command: none where it asks for something that there is.
fn cargo_problem(line: &str) -> Option<String> {
    let line = line.split(" #").next().unwrap_or_default().trim();
    let words: Vec<&str> =
        line.split_whitespace().skip_while(|word| word.contains('=') && !word.starts_with('-')).collect();
    match words.as_slice() {
        ["cargo", "xtask", command, rest @ ..] => xtask_problem(command, rest),
        ["cargo", "test", rest @ ..] => test_problem(rest),
        _ => Some("no scenario carries it out, and tests/pages.toml does not have it".to_owned()),
    }
}

fn xtask_problem(command: &str, rest: &[&str]) -> Option<String> {
    let usage = read("xtask/src/cli.rs");
    if !usage.lines().any(|line| line.starts_with(&format!("  {command} "))) {
        return Some(format!("`cargo xtask` has no {command}"));
    }
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        let problem = match word.strip_prefix("--") {
            Some(_) if !usage.contains(word) => Some(format!("`cargo xtask` has no option {word}")),
            Some("script" | "nodes") => rest
                .next()
                .filter(|file| !repository().join(file).is_file())
                .map(|file| format!("there is no {file}")),
            Some("lanes" | "suite" | "seconds" | "root" | "from" | "version") => {
                rest.next();
                None
            }
            Some(_) => None,
            None if command == "machines" && !repository().join("tests/machines").join(word).is_dir() => {
                Some(format!("there is no scenario {word}"))
            }
            None if command == "fuzz"
                && !repository().join(format!("fuzz/fuzz_targets/{word}.rs")).is_file() =>
            {
                Some(format!("there is no fuzz target {word}"))
            }
            None => None,
        };
        if problem.is_some() {
            return problem;
        }
    }
    None
}

/// `cargo test [--release] -p CRATE [--test TEST] [FILTER] [-- … FILTER…]`.
fn test_problem(words: &[&str]) -> Option<String> {
    let mut package = None;
    let mut target = None;
    let mut filters = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "-p" => package = words.next().copied(),
            "--test" => target = words.next().copied(),
            "--test-threads" => _ = words.next(),
            word if word.starts_with('-') => {}
            filter => filters.push(filter),
        }
    }
    let Some(package) = package else { return Some("it names no crate".to_owned()) };
    let Some(place) = crate_directory(package) else { return Some(format!("there is no crate {package}")) };
    let target = target?;
    let single = place.join(format!("tests/{target}.rs"));
    let sources = if single.is_file() { vec![single] } else { rust_files(&place.join("tests").join(target)) };
    if sources.is_empty() {
        return Some(format!("{package} has no test {target}"));
    }
    let text: String = sources.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let is_function = |filter: &&str| {
        text.split("fn ").skip(1).any(|rest| rest.split('(').next().is_some_and(|name| name.contains(filter)))
    };
    filters
        .into_iter()
        .find(|filter| !is_function(filter))
        .map(|filter| format!("{target} has no test {filter}"))
}

fn crate_directory(package: &str) -> Option<PathBuf> {
    let workspace: toml::Table = read("Cargo.toml").parse().unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap();
    members.iter().map(|member| repository().join(member.as_str().unwrap())).find(|place| {
        fs::read_to_string(place.join("Cargo.toml"))
            .is_ok_and(|text| text.contains(&format!("name = \"{package}\"\n")))
    })
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect()
}

/// The test's own eyes.
#[test]
fn a_command_is_seen_wherever_it_stands() {
    let text = "Text.\n\n    $ sudo mesherctl status\n    toml = 1\n\n```console\nfrobnicate\n```\n\n```ini\nA=1 ln -s a b\n[x]\n```\n";
    let found: Vec<String> =
        blocks(text).iter().flat_map(commands).map(|line| line.trim().to_owned()).collect();
    assert_eq!(found, ["$ sudo mesherctl status", "frobnicate", "A=1 ln -s a b"]);
    for (line, problem) in [
        ("cargo xtask frobnicate", "`cargo xtask` has no frobnicate"),
        ("cargo xtask machines nowhere", "there is no scenario nowhere"),
        ("cargo test -p mesherd --test nothing", "mesherd has no test nothing"),
        (
            "A=1 cargo test -p mesherd --test fleet -- --nocapture nobody_wrote_this",
            "fleet has no test nobody_wrote_this",
        ),
        ("mesherctl status", "no scenario carries it out, and tests/pages.toml does not have it"),
    ] {
        assert_eq!(cargo_problem(line).as_deref(), Some(problem), "{line}");
    }
    assert_eq!(cargo_problem("cargo xtask machines smoke --lanes 1   # a scenario"), None);
}
