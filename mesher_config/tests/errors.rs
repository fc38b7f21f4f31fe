//! Wrong configurations, and the words they get: each must name the line, the key, what was expected and found.

use mesher_config::{Problems, parse};

const ID: &str = "id = \"6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=\"";

/// The problems of a configuration that is right but for `lines`, which follow `[network]` and `id` from line 3.
fn problems(lines: &str) -> Problems {
    parse(&format!("[network]\n{ID}\n{lines}\n"), "alpha").expect_err(lines)
}

/// The one problem of a configuration with `lines`.
fn problem(lines: &str) -> String {
    let problems = problems(lines);
    assert_eq!(problems.iter().count(), 1, "{lines}: {problems}");
    problems.to_string()
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    for (lines, line, key, near) in [
        ("[cluster]\ngosip_interval = \"1s\"", 4, "cluster.gosip_interval", "gossip_interval"),
        ("[cluster]\nbootstrap = []", 4, "cluster.bootstrap", "bootstrap_nodes"),
        ("[cluster]\nbootstrap-nodes = []", 4, "cluster.bootstrap-nodes", "bootstrap_nodes"),
        ("[host]\nname = [\"earth\"]", 4, "host.name", "names"),
        ("[host]\nInterface = \"eth1\"", 4, "host.Interface", "interfaces"),
        ("[host]\nadresses = []", 4, "host.adresses", "addresses"),
        ("secretfile = \"/x\"", 3, "network.secretfile", "secret_file"),
        ("[nss]\nshort_name = true", 4, "nss.short_name", "short_names"),
        ("[clusters]\nport = 1", 3, "clusters", "cluster"),
    ] {
        let message = problem(lines);
        let what = if key == "clusters" { "section" } else { "key" };
        assert_eq!(message, format!("line {line}, {key}: unknown {what}; did you mean {near}?"));
    }
}

#[test]
fn a_key_in_the_wrong_section_names_the_right_one() {
    for (lines, said) in [
        (
            "bootstrap_nodes = []",
            "line 3, network.bootstrap_nodes: unknown key; bootstrap_nodes belongs in the section [cluster]",
        ),
        ("[host]\nport = 1", "line 4, host.port: unknown key; port belongs in the section [cluster]"),
        (
            "[cluster]\nlog_level = \"info\"",
            "line 4, cluster.log_level: unknown key; log_level belongs at the top, before the first section",
        ),
        (
            "[cluster]\ninterface = \"eth1\"",
            "line 4, cluster.interface: unknown key; did you mean interfaces, in the section [host]?",
        ),
        ("host.names = []", "line 3, network.host: unknown section; [host] is a section of its own"),
        // Not the key exports.hosts.
        ("[hosts]\nnames = []", "line 3, hosts: unknown section; did you mean host?"),
    ] {
        assert_eq!(problem(lines), said);
    }
    let top = parse(&format!("bootstrap_nodes = []\n[network]\n{ID}"), "alpha").unwrap_err().to_string();
    assert_eq!(top, "line 1, bootstrap_nodes: unknown key; bootstrap_nodes belongs in the section [cluster]");
}

#[test]
fn an_international_name_is_told_how_to_be_written() {
    let message = problem("[host]\nnames = [\"münchen\"]");
    assert!(message.ends_with("it contains 'ü'; letters, digits, '-' and '_' are allowed: write an international name in its ASCII form, xn--…"), "{message}");
    assert!(problem("[host]\nnames = [\"a b\"]").ends_with("'-' and '_' are allowed"));
}

#[test]
fn a_key_like_no_other_gets_the_list() {
    let message = problem("[nss]\nzzz = 1");
    assert_eq!(message, "line 4, nss.zzz: unknown key; expected one of short_names, contain");
    let message = problem("[qqq]\nport = 1");
    assert_eq!(
        message,
        "line 3, qqq: unknown section; expected one of log_level, network, host, cluster, nss, exports"
    );
}

#[test]
fn a_wrong_value_tells_what_was_expected_and_what_was_found() {
    for (lines, key, expected, found) in [
        ("[cluster]\nport = \"7946\"", "cluster.port", "a number from 1 to 65535", "\"7946\""),
        ("[cluster]\nport = 65536", "cluster.port", "a number from 1 to 65535", "the number 65536"),
        ("[cluster]\nport = 0", "cluster.port", "a number from 1 to 65535", "the number 0"),
        ("[cluster]\nport = -1", "cluster.port", "a number from 1 to 65535", "the number -1"),
        (
            "[cluster]\ngossip_interval = 1",
            "cluster.gossip_interval",
            "a duration from 20ms to 1m",
            "the number 1",
        ),
        ("[cluster]\ngossip_interval = \"1 s\"", "cluster.gossip_interval", "a duration such as", "\"1 s\""),
        ("[cluster]\ngossip_interval = \"1h\"", "cluster.gossip_interval", "from 20ms to 1m", "\"1h\""),
        ("[cluster]\nbootstrap_nodes = \"a:1\"", "cluster.bootstrap_nodes", "a list", "\"a:1\""),
        ("[cluster]\nbind = \"eth0\"", "cluster.bind", "an IPv4 or IPv6 address to bind to", "\"eth0\""),
        ("[host]\nlabel = \"a.b\"", "host.label", "one label", "\"a.b\""),
        ("[host]\nnames = [\"-earth\"]", "host.names", "a host name", "\"-earth\""),
        ("[host]\nnames = [\"ear th\"]", "host.names", "a host name", "\"ear th\""),
        ("[host]\nnames = [7]", "host.names", "a host name", "the number 7"),
        ("[host]\ninterfaces = [\"eth0/1\"]", "host.interfaces", "an interface's name", "\"eth0/1\""),
        ("[host]\naddresses = [\"192.168.1\"]", "host.addresses", "an IPv4 or IPv6 address", "\"192.168.1\""),
        ("[host]\nlink_local = \"yes\"", "host.link_local", "true or false", "\"yes\""),
        ("[nss]\ncontain = 1", "nss.contain", "true or false", "the number 1"),
        ("secret_file = \"network.secret\"", "network.secret_file", "an absolute path", "\"network.secret\""),
        ("[[host]]\nlabel = \"a\"", "host", "a section, written [host]", "a list"),
    ] {
        let message = problem(lines);
        assert!(message.contains(&format!(", {key}: expected ")), "{message}");
        assert!(message.contains(expected), "{message}");
        assert!(message.contains(&format!("found {found}")), "{message}");
    }
}

#[test]
fn the_log_level_offers_the_nearest() {
    let problems = parse(&format!("log_level = \"warning\"\n[network]\n{ID}"), "alpha").unwrap_err();
    assert_eq!(
        problems.to_string(),
        "line 1, log_level: expected error, warn, info, debug or trace, found \"warning\"; did you mean warn?"
    );
}

#[test]
fn the_id_is_required_and_checked() {
    let missing = parse("log_level = \"info\"\n[network]\n", "alpha").unwrap_err().to_string();
    assert!(missing.starts_with("line 2, network.id: missing; expected the network's id"), "{missing}");
    let missing = parse("", "alpha").unwrap_err().to_string();
    assert!(missing.contains("line 1, network.id: missing") && missing.ends_with("[network]"), "{missing}");
    for (id, found) in [
        ("AAAA", "found base64 of 3 bytes; expected 32 bytes"),
        ("BASE64", "found 6 characters that are not base64"),
        ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHiE=", "no point of the curve"),
    ] {
        let message = parse(&format!("network.id = \"{id}\""), "alpha").unwrap_err().to_string();
        assert!(
            message.starts_with("line 1, network.id: expected the network's id, as `mesherctl"),
            "{message}"
        );
        assert!(message.contains(found), "{message}");
    }
}

#[test]
fn a_placeholder_gets_told_what_belongs_there() {
    for placeholder in ["THE NETWORK'S ID", "…", "<id>", "PUT-IT-HERE"] {
        let message = parse(&format!("network.id = \"{placeholder}\""), "alpha").unwrap_err().to_string();
        assert!(message.contains("is no id: put the network's id here, the last word"), "{message}");
        assert!(!message.contains("base64"), "{message}");
    }
}

#[test]
fn addresses_that_peers_would_refuse_are_refused_here() {
    for (address, why) in [
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("::ffff:192.0.2.1", "write the IPv4 address"),
        ("fe80::1", "link_local = true"),
        ("169.254.1.1", "link_local = true"),
    ] {
        let message = problem(&format!("[host]\naddresses = [\"{address}\"]"));
        assert!(message.contains(why), "{message}");
    }
}

#[test]
fn bootstrap_nodes_that_name_nobody_are_refused() {
    for node in [
        "",
        ":7946",
        "192.0.2.1:",
        "192.0.2.1:0",
        "192.0.2.1:70000",
        "192.0.2.1:+1",
        "192.0.2.256:7946",
        "0.0.0.0:7946",
        "[::]:7946",
        "[ff02::1]:7946",
        "[fe80::1%]:7946",
        "[fe80::1%e th1]:7946",
        "[2001:db8::1%eth0]:7946",
        "[2001:db8::1",
        "a b:7946",
        "-a:7946",
        "http://a/",
        "a..b",
    ] {
        let message = problem(&format!("[cluster]\nbootstrap_nodes = [\"{node}\"]"));
        assert!(
            message.contains("cluster.bootstrap_nodes: expected an address or a DNS name with a port"),
            "{node}: {message}"
        );
    }
}

#[test]
fn what_is_twice_in_a_list_is_told() {
    let message = problem("[host]\nnames = [\"earth\",\n  \"earth\"]");
    assert_eq!(message, "line 5, host.names: \"earth\" is in the list twice");
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = "log_level = \"loud\"\n[network]\nid = 7\nport = 1\n[host]\nlabel = \"\"\nnames = [\"a\", \"b c\", 3]\n[cluster]\nport = 0\n";
    let problems = parse(text, "alpha").unwrap_err();
    let lines: Vec<usize> = problems.iter().map(|p| p.line).collect();
    assert_eq!(lines, [1, 3, 4, 6, 7, 7, 9], "{problems}");
}

#[test]
fn what_is_not_toml_is_told_with_its_place() {
    for text in [
        "[network\nid = 1",
        "a = ",
        "= 1",
        "[network]\nid = \"a\nb\"",
        "\u{0}",
        "log_level = \"info\"\nlog_level = \"info\"",
    ] {
        let problems = parse(text, "alpha").unwrap_err();
        let first = problems.iter().next().unwrap();
        assert!(problems.iter().any(|p| p.message.starts_with("not TOML: ")), "{text:?}: {problems}");
        assert!(first.line >= 1 && first.column >= 1);
    }
}

#[test]
fn place_and_source_line_are_those_of_the_value() {
    let problems = problems("[cluster]\n# ünïcödé before it\nport     = 0 # here");
    let problem = problems.iter().next().unwrap();
    assert_eq!((problem.line, problem.column), (5, 12));
    assert_eq!(problem.source, "port     = 0 # here");
}

#[test]
fn a_host_name_that_cannot_be_the_label_is_told() {
    for name in ["", "(none)", "-a"] {
        let message = parse(&format!("[network]\n{ID}\n"), name).unwrap_err().to_string();
        assert!(message.contains("host.label: missing; expected one label"), "{message}");
        assert!(message.contains(&format!("{name:?}, does not serve: ")), "{message}");
    }
}

#[test]
fn any_text_gets_an_answer_and_places_within_it() {
    // Every prefix of a file full of values, and the same with one byte changed: no panic, and every place is
    // a place of the text.
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/full.toml")).unwrap();
    let check = |text: &str| {
        if let Err(problems) = parse(text, "alpha") {
            for problem in &problems {
                assert!(problem.line <= text.matches('\n').count() + 1, "{problem}");
            }
        }
    };
    for (end, _) in text.char_indices() {
        check(&text[..end]);
        for replacement in ["\u{0}", "\"", "[", "=", "\n", "é", "9"] {
            check(&format!(
                "{}{replacement}{}",
                &text[..end],
                text[end..].chars().skip(1).collect::<String>()
            ));
        }
    }
}

#[test]
fn exports_are_files_of_their_own() {
    for (lines, expected) in [
        ("[exports]\nhosts = \"names\"", "line 4, exports.hosts: expected an absolute path, found \"names\""),
        (
            "[exports]\nhosts = \"/run/x/\"",
            "line 4, exports.hosts: expected the path of a file, found \"/run/x/\"",
        ),
        (
            "[exports]\nhosts = \"/etc/hosts\"",
            "line 4, exports.hosts: expected a file that is written for this alone",
        ),
        (
            "[exports]\nzone = \"/run/x/zone\"\nhosts = \"/run/x/zone\"",
            "line 4, exports.zone: expected a file of its own; exports.hosts names the same",
        ),
        ("[exports]\njson = \"/x\"", "line 4, exports.json: unknown key; did you mean json_lines?"),
    ] {
        let message = problem(lines);
        assert!(message.starts_with(expected), "{message}");
    }
}
