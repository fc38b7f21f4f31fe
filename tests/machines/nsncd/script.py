# nsncd in front of the module, as on NixOS: in a sandbox, under a user of its own, and with the module where only nsncd
# finds it. nsncd has a few workers for the whole machine: it must neither crash nor hang, whatever the table goes through.

import time

SERVICE = "data-mesher.service"
CONFIGURATION = "/etc/data-mesher/config.toml"
MERCURY = ["192.168.1.1", "2001:db8:1::1"]
MARS = ["192.168.1.2", "2001:db8:1::2"]

# What NixOS has nscd.service do (nixos/modules/services/system/nscd.nix).
NIXOS = """\
[Service]
Environment=LD_LIBRARY_PATH=/opt/nss-modules/lib
User=nscd
Group=nscd
RemoveIPC=yes
PrivateTmp=yes
NoNewPrivileges=yes
RestrictSUIDSGID=yes
ProtectSystem=strict
ProtectHome=read-only
RuntimeDirectory=nscd
"""

# Threads that look names up without a pause, each its own mix, and check every answer.
STORM = """\
import socket, sys, threading, time
ALWAYS = {"mercury.sol": {"192.168.1.1", "2001:db8:1::1"}, "mars.sol": {"192.168.1.2", "2001:db8:1::2"}}
NEVER = ["pluto.sol", "mercury.sol.sol", "x" * 63 + ".sol", "a.b.c.d.e.f.g.sol"]
COMING_AND_GOING = ["comet%d.sol" % number for number in range(50)]
until = time.monotonic() + float(sys.argv[1])
counts, wrong = [0] * 12, []

def ask(name):
    try:
        return {each[4][0] for each in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)}
    except socket.gaierror:
        return set()

def run(number):
    while time.monotonic() < until:
        for name, addresses in ALWAYS.items():
            if (found := ask(name)) != addresses:
                wrong.append((name, found))
        if found := ask(NEVER[counts[number] % len(NEVER)]):
            wrong.append(("never", found))
        name = COMING_AND_GOING[counts[number] % len(COMING_AND_GOING)]
        if (found := ask(name)) not in (set(), ALWAYS["mercury.sol"]):
            wrong.append((name, found))
        try:
            host = socket.gethostbyaddr("192.168.1.2")[0]
        except OSError as error:
            host = repr(error)
        if host != "mars.sol":
            wrong.append(("192.168.1.2", host))
        counts[number] += 1

threads = [threading.Thread(target=run, args=(number,)) for number in range(len(counts))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(counts) * 5, len(wrong), wrong[:10])
"""


def found(form, name, machine):
    _, output = machine.execute(f"getent {form} {name} | cut -d' ' -f1 | sort -u")
    return output.split()


def wait_for(name, wanted, within=15.0):
    begun = time.monotonic()
    while (seen := found("ahosts", name, alpha)) != wanted:
        assert time.monotonic() - begun < within, f"alpha sees {name} as {seen}, expected {wanted}"
        time.sleep(0.1)


def main_pid():
    return int(alpha.get_unit_property("nsncd.service", "MainPID"))


start_all()
for machine in (alpha, beta):
    machine.wait_for_unit(SERVICE)

with subtest("nsncd as on NixOS; programs can no longer load the module themselves"):
    alpha.succeed(
        "mkdir -p /opt/nss-modules/lib",
        "mv /usr/lib/*/libnss_mesher.so.2 /opt/nss-modules/lib/",
        "ldconfig",
        "systemctl stop nsncd.service",
    )
    assert found("ahosts", "mercury.sol", alpha) == [], "a program found the module without nsncd"
    alpha.succeed(
        "echo 'u nscd - -' | systemd-sysusers -",
        "mkdir -p /etc/systemd/system/nsncd.service.d",
        f"cat > /etc/systemd/system/nsncd.service.d/nixos.conf <<'END'\n{NIXOS}END",
        "systemctl daemon-reload",
        "systemctl start nsncd.service",
    )
    alpha.wait_for_unit("nsncd.service")
    wait_for("mercury.sol", MERCURY)
    wait_for("mars.sol", MARS)
    status = dict(
        line.split(":\t", 1) for line in alpha.succeed(f"cat /proc/{main_pid()}/status").splitlines() if ":\t" in line
    )
    nscd = alpha.succeed("id --user nscd").strip()
    assert set(status["Uid"].split()) == {nscd} and status["NoNewPrivs"] == "1", status
    alpha.succeed(f"grep -q libnss_mesher.so.2 /proc/{main_pid()}/maps")

first = main_pid()

with subtest("every form of lookup"):
    for name in ("mars.sol", "MARS.Sol", "mars.sol."):
        assert found("ahosts", name, alpha) == MARS, name
        assert found("ahostsv4", name, alpha) == MARS[:1], name
        assert found("ahostsv6", name, alpha) == MARS[1:], name
        assert found("hosts", name, alpha) == MARS[1:], name
    for address in MARS:
        assert alpha.succeed(f"getent hosts {address}").split()[1:] == ["mars.sol"], address
        assert alpha.succeed(
            f"python3 -c 'import socket; print(socket.getnameinfo((\"{address}\", 0), socket.NI_NAMEREQD)[0])'"
        ).strip() == "mars.sol"
    assert alpha.succeed("getent ahosts mars.sol | head -n1").split()[2] == "mars.sol"

with subtest("misses, of names and addresses; and the other sources go on"):
    alpha.succeed("echo 192.0.2.1 filed.example >> /etc/hosts")
    for form in ("ahosts", "ahostsv4", "ahostsv6", "hosts"):
        for name in ("pluto.sol", "mars", "sol", "x" * 63 + ".sol", ".".join(["abcdefghi"] * 25)):
            alpha.fail(f"getent {form} {name}")
    alpha.fail("getent hosts 192.168.1.77", "getent hosts 2001:db8:1::77")
    alpha.succeed("getent hosts filed.example", "getent passwd root", "getent group nscd")

with subtest("the daemon restarts: no lookup is lost"):
    alpha.succeed("cat > /root/storm.py <<'END'\n" + STORM + "END")
    alpha.succeed("systemd-run --quiet --unit=storm --property=StandardOutput=file:/run/storm.out python3 /root/storm.py 8")
    for _ in range(3):
        time.sleep(1.5)
        alpha.succeed(f"systemctl restart {SERVICE}")
    alpha.wait_until_fails("systemctl is-active --quiet storm.service", timeout=60)
    asked, wrong, which = alpha.succeed("cat /run/storm.out").split(maxsplit=2)
    log.info(f"{asked} lookups through three restarts")
    assert wrong == "0", which
    assert main_pid() == first

with subtest("a storm of lookups while the table changes and grows"):
    alpha.succeed(
        f"cp {CONFIGURATION} /root/few.toml",
        "sed 's/\"mercury\"/\"mercury\", '\"$(seq -s, -f '\"comet%g\"' 0 49)\"'/' /root/few.toml > /root/many.toml",
        "mesherctl config check /root/many.toml",
    )
    alpha.succeed("systemd-run --quiet --unit=storm --property=StandardOutput=file:/run/storm.out python3 /root/storm.py 20")
    changes = 0
    while alpha.execute("systemctl is-active --quiet storm.service")[0] == 0:
        alpha.succeed(f"cp /root/{('many', 'few')[changes % 2]}.toml {CONFIGURATION}", f"systemctl reload {SERVICE}")
        changes += 1
        time.sleep(0.2)
    asked, wrong, which = alpha.succeed("cat /run/storm.out").split(maxsplit=2)
    log.info(f"{asked} lookups through {changes} changes of the table")
    assert changes >= 10, f"only {changes} changes: nothing was shown"
    assert wrong == "0", which
    alpha.succeed(f"cp /root/many.toml {CONFIGURATION}", f"systemctl reload {SERVICE}")
    wait_for("comet49.sol", MERCURY)
    assert main_pid() == first

with subtest("no table: the names are gone, all else goes on, and they come back"):
    alpha.succeed(f"systemctl stop {SERVICE}")
    wait_for("mercury.sol", [])
    alpha.succeed("getent hosts filed.example", "getent passwd root")
    alpha.succeed("mv /run/data-mesher/hosts.table /run/data-mesher/gone", "systemctl restart nsncd.service")
    alpha.wait_for_unit("nsncd.service")
    assert found("ahosts", "mercury.sol", alpha) == []
    alpha.fail("getent hosts 192.168.1.2")
    alpha.succeed("getent hosts filed.example")
    alpha.succeed("head -c 65536 /dev/urandom > /run/data-mesher/hosts.table", "systemctl restart nsncd.service")
    assert found("ahosts", "mercury.sol", alpha) == []
    alpha.succeed("getent hosts filed.example", "rm -f /run/data-mesher/hosts.table /run/data-mesher/gone")
    second = main_pid()
    alpha.succeed("systemctl start data-mesher.socket")
    wait_for("mercury.sol", MERCURY)
    wait_for("mars.sol", MARS)
    assert main_pid() == second

with subtest("nsncd never crashed"):
    assert alpha.get_unit_property("nsncd.service", "NRestarts") == "0"
    alpha.fail("journalctl --quiet --dmesg --grep 'segfault|traps:'")
    alpha.fail("journalctl --quiet --unit nsncd.service --grep 'dumped core|status=11|panicked|Main process exited, code=killed'")
