//! docs/configuration.md, which is the manual page too, against the schema: its keys, defaults and what a reload takes.

use std::collections::BTreeMap;

use mesher_claims::keys::SecretKey;
use mesher_config::parse;

const PAGE: &str = include_str!("../../docs/configuration.md");
const MINIMAL: &str = include_str!("minimal.toml");
const FULL: &str = include_str!("full.toml");

/// The rows of the table of keys: what stands behind each key, cell by cell.
fn rows() -> BTreeMap<&'static str, Vec<&'static str>> {
    let (_, keys) = PAGE.split_once("\n## Keys\n").expect("the section");
    let (keys, _) = keys.split_once("\n## ").expect("the next section");
    let rows = keys.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (key, rest) = row.split_once("` | ").expect("a key in backquotes");
        (key, rest.trim_end_matches(" |").split(" | ").collect())
    })
    .collect()
}

/// The keys that the parser knows. It names them itself, to whoever writes one that it does not know.
fn known() -> Vec<String> {
    let expected = |text: &str| {
        let problems = parse(text, "alpha").expect_err("a key that there is not");
        let message =
            &problems.iter().find(|problem| problem.key.ends_with("qqqq")).expect("its problem").message;
        let (_, list) = message.split_once("expected one of ").expect("the list of keys");
        list.split(", ").map(str::to_owned).collect::<Vec<_>>()
    };
    let mut keys = Vec::new();
    for name in expected("qqqq = 1") {
        let section = parse(&format!("{name} = 1"), "alpha").expect_err("a number is none of them");
        if section.iter().any(|problem| problem.message.contains("expected a section")) {
            keys.extend(expected(&format!("{name}.qqqq = 1")).into_iter().map(|key| format!("{name}.{key}")));
        } else {
            keys.push(name);
        }
    }
    keys.sort();
    keys
}

#[test]
fn the_page_has_every_key_and_no_other() {
    assert_eq!(rows().into_keys().collect::<Vec<_>>(), known());
    assert!(!PAGE.contains("|\n\n| `"), "a blank line would end the table");
}

#[test]
fn the_defaults_on_the_page_are_those_in_force() {
    let config = parse(MINIMAL, "alpha").expect("the id alone is a configuration");
    let written: toml::Table = config.to_toml().parse().expect("TOML");
    for (key, cells) in rows() {
        let value = match key.split_once('.') {
            Some((section, key)) => written.get(section).and_then(|section| section.get(key)),
            None => written.get(key),
        };
        let found = match value {
            Some(toml::Value::Array(list)) if list.is_empty() => None,
            Some(toml::Value::String(text)) => Some(text.clone()),
            other => other.map(ToString::to_string),
        };
        match (cells[1].strip_prefix('`').and_then(|cell| cell.strip_suffix('`')), key) {
            (Some(default), _) => assert_eq!(found.as_deref(), Some(default), "{key}"),
            // What depends on the machine is told in words.
            (None, "network.id" | "host.label") => {}
            (None, _) => assert_eq!(found, None, "{key}"),
        }
    }
}

#[test]
fn the_page_says_which_keys_need_a_restart() {
    // The two differ in every key.
    let other = SecretKey::from_seed(&[1; 32]).network_id().to_string();
    let (_, id) = MINIMAL.split_once(" = ").expect("the id alone");
    let new = parse(&FULL.replace(id.trim().trim_matches('"'), &other), "ignored").expect("right");
    let old = parse(MINIMAL, "omega").expect("right");
    let mut needing = old.needs_restart(&new);
    let rows = rows();
    let mut told: Vec<_> =
        rows.iter().filter(|(_, cells)| cells[2] == "restart").map(|(key, _)| *key).collect();
    needing.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, needing);
}
