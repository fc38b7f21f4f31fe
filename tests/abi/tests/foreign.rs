//! Programs that others wrote, with the module in front of or behind them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use abi_tests::{Machine, tables};
use mesher_table::Contents;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// systemd's own test of NSS modules, with every buffer size from 0 up. Package systemd-tests.
#[test]
fn systemds_test_of_nss_modules() {
    let program = "/usr/lib/systemd/tests/test-nss-hosts";
    let program = if std::path::Path::new(program).exists() {
        program
    } else {
        "/usr/lib/systemd/tests/unit-tests/test-nss-hosts"
    };
    let machine = Machine::dual("mesher");
    let _writer = tables::publish(&machine.table(), &tables::sol());
    let names = [
        "earth.sol",
        "earth",
        "four.sol",
        "six.sol",
        "none.sol",
        "mars.sol",
        "moon.earth.sol",
        "forty.sol",
        "10.0.0.1",
    ];
    let sizes = (0..600).step_by(37).chain([1024, 4096, 65_536]);
    for size in sizes {
        let mut command = machine.command(program);
        command.arg("mesher").args(names).env("SYSTEMD_TEST_NSS_BUFSIZE", size.to_string());
        let output = command.output().expect("it runs");
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "buffer of {size}: {said}");
        if size >= 4096 {
            assert!(said.contains("10.0.0.1") && said.contains("2001:db8::1"), "{said}");
        } else if size == 0 {
            assert!(said.contains("ERANGE") || said.contains("TRYAGAIN"), "{said}");
        }
    }
}

#[test]
fn python_resolves_forwards_and_backwards() {
    let machine = Machine::dual("mesher files");
    let _writer = tables::publish(&machine.table(), &tables::sol());
    let script = "
import socket
print(sorted({r[4][0] for r in socket.getaddrinfo('earth.sol', 80)}))
print(socket.gethostbyname_ex('earth'))
print(len({r[4][0] for r in socket.getaddrinfo('crowd.sol', None)}))
print(socket.getaddrinfo('EARTH.sol', None, socket.AF_INET, 0, 0, socket.AI_CANONNAME)[0][3])
print(socket.gethostbyaddr('10.0.0.1'))
print(socket.getnameinfo(('2001:db8::2', 80), 0)[0])
for name in ['mars.sol', 'x' * 63, '']:
    try:
        socket.gethostbyname_ex(name) if name else socket.gethostbyname_ex('none.sol')
        print('found')
    except OSError as error:
        print(type(error).__name__)
";
    let output = machine.run("/usr/bin/python3", &["-c", script]);
    assert_eq!(
        text(&output.stdout),
        "['10.0.0.1', '2001:db8::1']\n('Earth.sol', ['earth'], ['10.0.0.1'])\n400\nEarth.sol\n\
         ('Earth.sol', ['also.sol', 'earth'], ['10.0.0.1'])\nsix.sol\ngaierror\ngaierror\ngaierror\n",
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn curl_fetches_by_name() {
    let machine = Machine::dual("mesher files");
    let contents = Contents {
        entries: vec![tables::entry("web.sol", &["192.0.2.1".parse().expect("an address")], &[])],
        contain: Vec::new(),
    };
    let _writer = tables::publish(&machine.table(), &contents);
    std::fs::write(machine.folder().join("page"), "hello from web.sol\n").expect("written");
    let script = format!(
        "cd {}; /usr/bin/python3 -m http.server 8000 >/dev/null 2>&1 & server=$!; trap 'kill $server' EXIT; \
         curl --silent --show-error --retry 20 --retry-connrefused --retry-delay 1 --noproxy '*' http://web.sol:8000/page",
        machine.folder().display()
    );
    let output = machine.run("sh", &["-c", &script]);
    assert_eq!(text(&output.stdout), "hello from web.sol\n", "{}", text(&output.stderr));
}

/// nscd in front: it calls the entry points with a TTL, keeps what it heard only as long as that says, and so shows a
/// changed table at once. Package nscd.
#[test]
fn nscd_shows_a_changed_table_at_once() {
    let machine = Machine::dual("mesher files");
    let mut writer = tables::publish(&machine.table(), &tables::sol());
    let folder = machine.folder().to_owned();
    std::fs::write(
        folder.join("nscd.conf"),
        "paranoia no\nenable-cache hosts yes\npositive-time-to-live hosts 3600\n\
         negative-time-to-live hosts 20\ncheck-files hosts no\npersistent hosts no\nshared hosts no\n\
         enable-cache passwd no\nenable-cache group no\nenable-cache services no\nenable-cache netgroup no\n",
    )
    .expect("written");
    // Programs without the module's folder in their library path can only be answered by nscd.
    let script = format!(
        "mount -t tmpfs none /run; mkdir /run/nscd; /usr/sbin/nscd -F -f {}/nscd.conf & nscd=$!; \
         trap 'kill $nscd' EXIT; unset LD_LIBRARY_PATH; \
         for i in $(seq 1200); do [ -S /run/nscd/socket ] && break; sleep 0.05; done; \
         while read -r line; do getent $line; echo \"end $?\"; done",
        folder.display()
    );
    let mut child = machine
        .command("sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut input = child.stdin.take().expect("a pipe");
    let mut output = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    let mut ask = |line: &str| {
        use std::io::{BufRead, Write};
        writeln!(input, "{line}").expect("written");
        let mut answer = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).expect("readable"), 0, "it ended: {answer}");
            if line.starts_with("end ") {
                return answer;
            }
            answer += &line;
        }
    };
    let started = Instant::now();
    while !ask("ahostsv4 earth.sol").contains("10.0.0.1") {
        assert!(started.elapsed() < Duration::from_secs(60), "nscd does not answer");
    }
    assert!(ask("ahosts earth.sol").contains("2001:db8::1"));
    assert!(ask("hosts 10.0.0.1").contains("Earth.sol"));
    assert_eq!(ask("hosts mars.sol"), "");
    let mut contents = tables::sol();
    for entry in contents.entries.iter_mut().filter(|entry| entry.name.eq_ignore_ascii_case("earth.sol")) {
        entry.v4 = vec![tables::v4(4242)];
        entry.v6.clear();
    }
    writer.publish(&contents, tables::lease()).expect("published");
    let expected = tables::v4(4242).to_string();
    // nscd counts in whole seconds, and drops what has none left when its clock moves on; without the TTL it would keep it for an hour.
    let changed = Instant::now();
    while !(ask("ahosts earth.sol").contains(&expected) && ask("ahostsv4 earth.sol").contains(&expected)) {
        assert!(changed.elapsed() < Duration::from_secs(60), "nscd still shows the old address");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(input);
    assert!(child.wait().is_ok());
}

/// Under an allocator that aborts on the module's behalf nothing happens: the module never allocates.
#[test]
fn the_module_never_allocates() {
    let output =
        Command::new("nm").args(["--dynamic", "--undefined-only"]).arg(abi_tests::module_file()).output();
    let symbols = text(&output.expect("nm (binutils) runs").stdout);
    for function in ["malloc", "calloc", "realloc", "free", "posix_memalign", "mmap64", "brk", "pthread_"] {
        assert!(!symbols.contains(function), "{function} in {symbols}");
    }
}
