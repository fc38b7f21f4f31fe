//! Completion as people meet it: real shells, a real tab key, and a daemon's peer behind the socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Enough for a shell's first start on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// Answers any number of calls as a daemon that knows two names and a peer.
fn serve(directory: &Path) -> std::path::PathBuf {
    let socket = directory.join("mesherd.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            std::thread::spawn(move || answer(&stream));
        }
    });
    socket
}

fn answer(stream: &UnixStream) {
    let mut request = Vec::new();
    BufReader::new(stream).read_until(0, &mut request).unwrap();
    request.pop();
    let request: Value = serde_json::from_slice(&request).unwrap();
    let name = |name: &str, source: Option<&str>| {
        json!({"name": name, "holder": "alpha", "holder_key": null, "addresses": [], "waiting": 0, "held": source.is_some(),
            "refused": null, "source": source})
    };
    let names = [
        name("earth.sol", None),
        name("venus.sol", Some("runtime")),
        name("vesta.sol", Some("configuration")),
        name("$(touch x).sol", None),
    ];
    let peer = json!({"label": "gamma", "key": "R0FNTUE=", "state": "alive", "address": null, "last_contact_ms": null,
        "age_ms": null, "ahead_ms": null, "secret": null, "names": 1});
    let answer = match request["method"].as_str().unwrap() {
        "org.datamesher.mesherd.Names" => json!({"names": names}),
        "org.datamesher.mesherd.Peers" => json!({"peers": [peer]}),
        "org.datamesher.mesherd.Status" => {
            json!({"version": "0", "state": "running", "sentence": "", "started_unix_ms": 0,
            "log_level": "info", "config_file": "", "state_directory": "", "network": {"id": "", "domain": null,
            "revision": null, "claim_ttl_ms": null, "admission": null, "witnesses": 0, "secrets": []}, "host": {"label": "",
            "key": "", "addresses": [], "certificate": null}, "warnings": [], "peers": [], "names": names, "table": null})
        }
        other => panic!("{other}"),
    };
    let mut stream = stream;
    stream.write_all(json!({"parameters": answer}).to_string().as_bytes()).unwrap();
    stream.write_all(&[0]).unwrap();
}

/// A shell with the tool on its path and the daemon's peer behind the socket.
fn shell(directory: &Path, program: &str, arguments: &[&str]) -> Command {
    let tool = Path::new(env!("CARGO_BIN_EXE_mesherctl"));
    let path = format!("{}:{}", tool.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", path).env("MESHER_SOCKET", directory.join("mesherd.sock"));
    command
        .env("HOME", directory)
        .env("TERM", "dumb")
        .env("XDG_CONFIG_HOME", directory)
        .env("XDG_DATA_HOME", directory);
    command.current_dir(directory);
    command
}

/// The tool gives the daemon a second to answer, and the tests' machine may be too busy for that: whoever gets nothing presses
/// the tab key again.
const PRESS_AGAIN: Duration = Duration::from_secs(5);

/// Types into an interactive shell on a terminal, and waits until its screen shows what is wanted.
fn type_until(directory: &Path, run: &str, prepare: &str, typed: &str, wanted: &str) {
    let mut child = shell(directory, "script", &["--quiet", "--command", run, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of util-linux, is needed");
    let mut output = child.stdout.take().unwrap();
    let (sender, shown) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = output.read(&mut buffer) {
            if sender.send(String::from_utf8_lossy(&buffer[..length]).into_owned()).is_err() {
                return;
            }
        }
    });
    let mut input = child.stdin.take().unwrap();
    // The shell says itself when it is ready: the word is not in what was typed.
    writeln!(input, "{prepare}; echo rea''dy").unwrap();
    let mut screen = String::new();
    let begun = Instant::now();
    let mut wait = |wanted: &str, until: Duration| {
        let since = Instant::now();
        while !screen.contains(wanted) && since.elapsed() < until {
            assert!(begun.elapsed() < SOON, "{run}: no {wanted:?} on\n{screen}");
            if let Ok(more) = shown.recv_timeout(Duration::from_millis(200)) {
                screen += &more;
            }
        }
        screen.contains(wanted)
    };
    assert!(wait("ready\r\n", SOON), "{run} is not ready");
    input.write_all(typed.as_bytes()).unwrap();
    while !wait(wanted, PRESS_AGAIN) {
        input.write_all(b"\t").unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What the tab key makes of a line, in either shell.
const TYPED: [(&str, &str); 5] = [
    ("mesherctl expl\t", "mesherctl explain"),
    ("mesherctl explain ea\t", "mesherctl explain earth.sol"),
    ("mesherctl release v\t", "mesherctl release venus.sol"),
    ("mesherctl peers ga\t", "mesherctl peers gamma"),
    ("mesherctl network revoke R0\t", "mesherctl network revoke R0FNTUE="),
];

#[test]
fn bash_completes_names_and_peers() {
    let dir = tempfile::tempdir().unwrap();
    serve(dir.path());
    for (typed, wanted) in TYPED {
        let prepare = "source <(mesherctl completions bash)";
        type_until(dir.path(), "bash --norc --noprofile -i", prepare, typed, wanted);
    }
}

#[test]
fn zsh_completes_names_and_peers() {
    let dir = tempfile::tempdir().unwrap();
    serve(dir.path());
    for (typed, wanted) in TYPED {
        let prepare = "autoload -Uz compinit; compinit -u -D; source <(mesherctl completions zsh)";
        type_until(dir.path(), "zsh -f -i", prepare, typed, wanted);
    }
}

#[test]
fn zsh_completes_at_the_first_tab_where_the_script_is_installed() {
    let dir = tempfile::tempdir().unwrap();
    serve(dir.path());
    let place = dir.path().join("functions");
    std::fs::create_dir(&place).unwrap();
    let prepare = format!(
        "mesherctl completions zsh > {0}/_mesherctl; fpath=({0} $fpath); autoload -Uz compinit; compinit -u -D",
        place.display()
    );
    let (typed, wanted) = TYPED[0];
    type_until(dir.path(), "zsh -f -i", &prepare, typed, wanted);
}

#[test]
fn fish_completes_names_and_peers() {
    let dir = tempfile::tempdir().unwrap();
    serve(dir.path());
    for (typed, wanted) in TYPED {
        let line = typed.trim_end();
        let script = format!("mesherctl completions fish | source; complete --do-complete '{line}'");
        let word = wanted.rsplit(' ').next().unwrap();
        let begun = Instant::now();
        loop {
            let output = shell(dir.path(), "fish", &["--no-config", "--command", &script]).output().unwrap();
            let shown = String::from_utf8(output.stdout).unwrap();
            // fish shows the help behind a tab.
            let found = shown.split_whitespace().next();
            if found.is_none() && begun.elapsed() < SOON {
                continue;
            }
            assert_eq!(found, Some(word), "{line}: {shown}{:?}", output.stderr);
            break;
        }
    }
}

#[test]
fn what_a_name_says_is_no_command_and_a_daemon_that_is_away_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let script = "source <(mesherctl completions bash); COMP_WORDS=(mesherctl explain ''); COMP_CWORD=2; COMP_TYPE=9; \
                  $(complete -p mesherctl | sed 's/.*-F \\([^ ]*\\).*/\\1/') mesherctl '' explain; echo \"${COMPREPLY[*]}\"";
    let complete = || {
        let output = shell(dir.path(), "bash", &["--norc", "-c", script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let begun = Instant::now();
    assert!(!complete().contains("earth"));
    // A daemon that takes the call and says nothing.
    let silent = UnixListener::bind(dir.path().join("mesherd.sock")).unwrap();
    assert!(!complete().contains("earth"));
    assert!(begun.elapsed() < SOON);
    drop(silent);
    std::fs::remove_file(dir.path().join("mesherd.sock")).unwrap();
    serve(dir.path());
    let mut found = complete();
    while found.trim().is_empty() && begun.elapsed() < 2 * SOON {
        found = complete();
    }
    assert!(
        found.contains("earth.sol") && found.contains("vesta.sol") && !found.contains("touch"),
        "{found}"
    );
}
