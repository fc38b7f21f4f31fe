# What systemd and the daemon owe each other: the units are sound and tight, a crash costs no lookup, a bad configuration
# ends in one clear failure, a daemon that hangs is replaced.

import contextlib
import time

SERVICE = "data-mesher.service"
SOCKET = "data-mesher.socket"
CONFIGURATION = "/etc/data-mesher/config.toml"
MERCURY = ["192.168.1.1", "2001:db8:1::1"]
MARS = ["192.168.1.2", "2001:db8:1::2"]


def addresses(machine, name):
    """What a name resolves to on a machine."""
    _, output = machine.execute(f"getent ahosts {name} | cut -d' ' -f1 | sort -u")
    return output.split()


def wait_for_addresses(machine, name, wanted, within=15.0):
    begun = time.monotonic()
    while (seen := addresses(machine, name)) != wanted:
        assert time.monotonic() - begun < within, f"{machine.name} sees {name} as {seen}, expected {wanted}"
        time.sleep(0.1)


def main_pid(machine):
    return int(machine.get_unit_property(SERVICE, "MainPID"))


@contextlib.contextmanager
def lookup_loop(machine, name, address):
    """A loop of `getent ahosts` on a machine that must find the address every time."""
    loop = f"""
        count=0
        until [ -e /run/loop.stop ]; do
            out=$(getent ahosts {name}) || out="status $? $out"
            case "$out" in *{address}" "*) ;; *) echo "$(date +%T.%N): $out" >> /run/loop.missed ;; esac
            count=$((count + 1))
            echo $count > /run/loop.count
        done
    """
    machine.succeed("rm -f /run/loop.*", f"cat > /run/loop.sh <<'END'\n{loop}\nEND")
    machine.succeed("systemd-run --quiet --unit=lookup-loop --service-type=exec bash /run/loop.sh")
    machine.wait_until_succeeds("test -s /run/loop.count", timeout=10)
    yield
    machine.succeed("touch /run/loop.stop")
    machine.wait_until_fails("systemctl is-active --quiet lookup-loop.service", timeout=10)
    count = int(machine.succeed("cat /run/loop.count"))
    missed = machine.succeed("cat /run/loop.missed 2>/dev/null || true").splitlines()
    assert not missed, f"{len(missed)} of {count} lookups went wrong:\n" + "\n".join(missed[:20])
    log.info(f"{count} lookups of {name} on {machine.name}, each right")


start_all()
for machine in (alpha, beta):
    machine.wait_for_unit(SERVICE)
wait_for_addresses(alpha, "mercury.sol", MERCURY)
wait_for_addresses(alpha, "mars.sol", MARS)

with subtest("systemd finds nothing wrong with the units, and little exposed"):
    for unit in (SERVICE, SOCKET):
        # The machines have no man; where the pages are must be told all the same.
        said = alpha.succeed(f"systemd-analyze verify --man=no {unit} 2>&1")
        assert not said.strip(), said
        # systemd shows them in quotes.
        pages = alpha.get_unit_property(unit, "Documentation").replace(chr(34), "").split()
        assert "man:mesherd(8)" in pages, pages
        for page, section in (page.removeprefix("man:").rstrip(")").split("(") for page in pages):
            alpha.succeed(f"test -e /etc/NIXOS || test -s /usr/share/man/man{section}/{page}.{section}")
    # In tenths: 1.1.
    said = alpha.succeed(f"systemd-analyze security --threshold=11 --no-pager {SERVICE}")
    log.info(said.strip().splitlines()[-1])

with subtest("the daemon runs as its own user, with no privilege left"):
    status = dict(
        line.split(":\t", 1) for line in alpha.succeed(f"cat /proc/{main_pid(alpha)}/status").splitlines() if ":\t" in line
    )
    own = alpha.succeed("id --user data-mesher").strip()
    assert set(status["Uid"].split()) == {own}, status["Uid"]
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[capabilities], 16) == 0, f"{capabilities} {status[capabilities]}"
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")

with subtest("who may read and write what"):
    modes = {
        "/var/lib/data-mesher": "700 data-mesher data-mesher",
        "/run/data-mesher": "755 data-mesher data-mesher",
        "/run/data-mesher/hosts.table": "644 data-mesher data-mesher",
        "/etc/data-mesher/network.secret": "600 root root",
    }
    for path, mode in modes.items():
        assert (seen := alpha.succeed(f"stat --format='%a %U %G' {path}").strip()) == mode, f"{path}: {seen}"
    assert alpha.succeed("stat --format=%a /run/data-mesher/mesherd.sock").strip() == "666"
    nobody = "setpriv --reuid=nobody --regid=nogroup --clear-groups"
    alpha.succeed(f"{nobody} getent ahosts mercury.sol")
    alpha.fail(f"{nobody} cat /etc/data-mesher/network.secret")
    alpha.fail(f"{nobody} ls /var/lib/data-mesher")
    alpha.fail(f"{nobody} touch /run/data-mesher/mine")

with subtest("names are there before nss-lookup.target, and the boot does not wait for ever"):
    assert "nss-lookup.target" in alpha.get_unit_property(SERVICE, "Before").split()
    assert alpha.get_unit_property(SERVICE, "TimeoutStartUSec") != "infinity"
    text = alpha.get_unit_property(SERVICE, "StatusText")
    assert "sol" in text, f"STATUS= says {text!r}"

with subtest("killed again and again: the sockets stay, no lookup is lost"):
    control = alpha.succeed("stat --format=%i /run/data-mesher/mesherd.sock")
    since = alpha.get_unit_property(SOCKET, "ActiveEnterTimestampMonotonic")
    with lookup_loop(alpha, "mercury.sol", MERCURY[0]):
        for _ in range(5):
            before = main_pid(alpha)
            alpha.succeed(f"kill -KILL {before}")
            alpha.wait_until_succeeds(
                f"systemctl is-active --quiet {SERVICE} && test $(systemctl show -P MainPID {SERVICE}) -ne {before}", timeout=10
            )
            time.sleep(0.3)
    assert alpha.get_unit_property(SOCKET, "ActiveEnterTimestampMonotonic") == since
    assert alpha.succeed("stat --format=%i /run/data-mesher/mesherd.sock") == control
    wait_for_addresses(beta, "mercury.sol", MERCURY)

with subtest("a sandboxed reader keeps seeing the table through restarts"):
    alpha.succeed(
        "systemd-run --quiet --unit=reader --property=ProtectSystem=strict --property=PrivateTmp=yes "
        "--property=BindReadOnlyPaths=/run/data-mesher "
        "python3 -c 'import socket, sys, time\n"
        "while True:\n"
        '    socket.getaddrinfo("mercury.sol", 80)\n'
        "    time.sleep(0.02)'"
    )
    for _ in range(2):
        alpha.succeed(f"systemctl restart {SERVICE}")
        time.sleep(1)
    alpha.succeed("systemctl is-active reader.service", "systemctl stop reader.service")

with subtest("a reload takes up a new name, in the same process"):
    before = main_pid(alpha)
    alpha.succeed(f"cp {CONFIGURATION} /root/good.toml", f"sed -i 's/\"mercury\"/\"mercury\", \"venus\"/' {CONFIGURATION}")
    alpha.succeed(f"systemctl reload {SERVICE}")
    wait_for_addresses(alpha, "venus.sol", MERCURY, within=5)
    wait_for_addresses(beta, "venus.sol", MERCURY, within=5)
    assert main_pid(alpha) == before

with subtest("a reload of a bad configuration fails, says where, and leaves the old in force"):
    alpha.succeed(f"echo 'nmaes = 1' >> {CONFIGURATION}")
    alpha.fail(f"systemctl reload {SERVICE}")
    alpha.require_unit_state(SERVICE, "active")
    assert main_pid(alpha) == before
    assert addresses(alpha, "venus.sol") == MERCURY
    alpha.wait_until_succeeds(f"journalctl --quiet -u {SERVICE} | grep -F nmaes", timeout=5)

with subtest("a bad configuration at the start: one failure, with exit status 78, and closed sockets"):
    alpha.execute(f"systemctl restart {SERVICE}")
    alpha.wait_until_succeeds(f"systemctl is-failed --quiet {SERVICE}", timeout=5)
    assert alpha.get_unit_property(SERVICE, "ExecMainStatus") == "78"
    alpha.wait_until_fails(f"systemctl is-active --quiet {SOCKET}", timeout=5)
    # Beta goes on sending meanwhile.
    time.sleep(3)
    alpha.require_unit_state(SERVICE, "failed")
    alpha.require_unit_state(SOCKET, "inactive")
    assert addresses(alpha, "mercury.sol") == []

with subtest("mended, it starts as if nothing had been"):
    alpha.succeed(f"cp /root/good.toml {CONFIGURATION}", f"systemctl start {SOCKET}")
    wait_for_addresses(alpha, "mercury.sol", MERCURY)
    alpha.require_unit_state(SERVICE, "active")

with subtest("a secret that is not there is a configuration error that names it"):
    alpha.succeed("mv /etc/data-mesher/network.secret /root/")
    alpha.execute(f"systemctl restart {SERVICE}")
    alpha.wait_until_succeeds(f"systemctl is-failed --quiet {SERVICE}", timeout=5)
    assert alpha.get_unit_property(SERVICE, "ExecMainStatus") == "78"
    alpha.wait_until_succeeds(f"journalctl --quiet -u {SERVICE} | grep -F network.secret", timeout=5)
    alpha.succeed("mv /root/network.secret /etc/data-mesher/", f"systemctl start {SOCKET}")
    alpha.wait_for_unit(SERVICE)

with subtest("the network secret may lie on the disk encrypted for this machine alone"):
    encrypted, plain = "/root/network.secret.encrypted", "/etc/data-mesher/network.secret"
    dropin = f"/run/systemd/system/{SERVICE}.d/encrypted.conf"
    beta.succeed(
        "systemd-creds setup",
        f"systemd-creds encrypt --with-key=host --name=network.secret {plain} {encrypted}",
        f"mv {plain} /root/kept",
        f"! grep -qF -f <(grep -v '^#' /root/kept) {encrypted}",
        f"mkdir -p /run/systemd/system/{SERVICE}.d",
        # The empty one takes back the unit's own.
        f"printf '[Service]\nLoadCredential=\nLoadCredential=host.cert:/etc/data-mesher/host.cert\n"
        f"LoadCredentialEncrypted=network.secret:{encrypted}\n' > {dropin}",
        "systemctl daemon-reload",
        f"systemctl restart {SERVICE}",
    )
    # Beyond the lease of its former table: it has started, and speaks with its peer.
    beta.succeed("mesherctl claim phobos")
    wait_for_addresses(alpha, "phobos.sol", MARS)
    wait_for_addresses(beta, "mercury.sol", MERCURY)
    beta.succeed(f"systemctl reload {SERVICE}")
    # Encrypted for a credential of another name it is not decrypted, and the service says why it does not start.
    beta.succeed(f"systemd-creds encrypt --with-key=host --name=other /root/kept {encrypted}")
    beta.execute(f"systemctl restart {SERVICE}")
    beta.wait_until_succeeds(f"journalctl --unit={SERVICE} | grep -iE 'credential.*(name|failed)|CREDENTIALS'", timeout=10)
    beta.succeed(
        f"mv /root/kept {plain}",
        f"rm {encrypted} {dropin}",
        "systemctl daemon-reload",
        f"systemctl restart {SERVICE}",
        "mesherctl release phobos",
    )
    wait_for_addresses(alpha, "mars.sol", MARS)

with subtest("a daemon that hangs is replaced within the watchdog's time"):
    assert alpha.get_unit_property(SERVICE, "WatchdogUSec") == "20s"
    # Shorter, so that the test is.
    alpha.succeed(
        f"mkdir -p /run/systemd/system/{SERVICE}.d",
        f"printf '[Service]\\nWatchdogSec=3s\\n' > /run/systemd/system/{SERVICE}.d/watchdog.conf",
        "systemctl daemon-reload",
        f"systemctl restart {SERVICE}",
    )
    before = main_pid(alpha)
    # It is fed: twice the time goes by without harm.
    time.sleep(6)
    assert main_pid(alpha) == before
    alpha.succeed(f"kill -STOP {before}")
    alpha.wait_until_succeeds(
        f"systemctl is-active --quiet {SERVICE} && test $(systemctl show -P MainPID {SERVICE}) -ne {before}", timeout=10
    )
    wait_for_addresses(alpha, "mercury.sol", MERCURY)
    assert main_pid(alpha) != before
