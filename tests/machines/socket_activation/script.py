# `systemctl start data-mesher.socket` is all it takes, and both sockets belong to systemd.

import re
import time

SERVICE = "data-mesher.service"
SOCKET = "data-mesher.socket"
CONTROL = "/run/data-mesher/mesherd.sock"


def addresses(machine, name):
    """What a name resolves to on a machine."""
    _, output = machine.execute(f"getent ahosts {name} | cut -d' ' -f1 | sort -u")
    return output.split()


def wait_for_addresses(machine, name, wanted, within=15.0):
    begun = time.monotonic()
    while (seen := addresses(machine, name)) != wanted:
        assert time.monotonic() - begun < within, f"{machine.name} sees {name} as {seen}, expected {wanted}"
        time.sleep(0.1)
    log.info(f"{machine.name} sees {name} after {time.monotonic() - begun:.2f} s")


def flood(machine, address, pause=0.001):
    """Datagrams that open for nobody, a thousand a second or as fast as can be, to a machine's port until `stop_flood`."""
    wait = f"time.sleep({pause})" if pause else "pass"
    machine.succeed(
        "systemd-run --quiet --unit=flood python3 -c '"
        "import socket, time\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "while True:\n"
        '    s.sendto(b"x" * 200, ("' + address + '", 7946))\n'
        "    " + wait + "'"
    )


def received(machine):
    """How many datagrams came, those included for which the socket had no room."""
    lines = [line.split() for line in machine.succeed("grep ^Udp: /proc/net/snmp").splitlines()]
    counts = dict(zip(*lines))
    return int(counts["InDatagrams"]) + int(counts["RcvbufErrors"]) + int(counts["NoPorts"])


def stop_flood(machine):
    machine.succeed("systemctl stop flood.service")


def holders(listing):
    """Which processes hold a socket, in ss(8)'s listing."""
    return set(re.findall(r'\("([^"]+)"', listing))


alpha.start()
beta.start()
beta.wait_for_unit(SERVICE)

with subtest("nothing of it is active before the socket is started"):
    alpha.wait_for_unit("multi-user.target")
    for unit in (SERVICE, SOCKET):
        alpha.require_unit_state(unit, "inactive")
    assert addresses(alpha, "mercury.sol") == []

with subtest("the socket is started, and nothing else: the names are there, on alpha and on its peer"):
    alpha.succeed(f"systemctl start {SOCKET}")
    wait_for_addresses(alpha, "mercury.sol", ["192.168.1.1", "2001:db8:1::1"])
    wait_for_addresses(beta, "mercury.sol", ["192.168.1.1", "2001:db8:1::1"])
    wait_for_addresses(alpha, "mars.sol", ["192.168.1.2", "2001:db8:1::2"])
    alpha.require_unit_state(SERVICE, "active")

with subtest("the daemon works on systemd's sockets and has opened no listening ones of its own"):
    gossip = alpha.succeed("ss --no-header --udp --listening --numeric --processes")
    listening = [line for line in gossip.splitlines() if "mesherd" in line]
    assert len(listening) == 1 and ":7946" in listening[0], gossip
    assert holders(listening[0]) == {"mesherd", "systemd"}, listening[0]
    control = alpha.succeed(f"ss --no-header --unix --listening --processes | grep -F {CONTROL}")
    assert holders(control) == {"mesherd", "systemd"}, control
    assert len(control.splitlines()) == 1, control

with subtest("it answers on the control socket, for an unprivileged user too"):
    alpha.succeed("setpriv --reuid=nobody --regid=nogroup --clear-groups mesherctl status")

with subtest("stopped under a flood, the service stays stopped"):
    flood(beta, "192.168.1.1")
    for _ in range(5):
        alpha.succeed(f"systemctl stop {SERVICE}")
        time.sleep(0.5)
        for unit in (SERVICE, SOCKET):
            alpha.require_unit_state(unit, "inactive")
        alpha.succeed(f"systemctl start {SOCKET}")
        alpha.wait_for_unit(SERVICE)
    stop_flood(beta)

# On NixOS a configuration says what starts at boot, and this one says no.
if alpha.execute("test -e /etc/NIXOS")[0] != 0:
    with subtest("a storm of datagrams while it boots keeps nothing from coming up"):
        alpha.succeed(f"systemctl enable {SERVICE}")
        flood(beta, "192.168.1.1", pause=0)
        alpha.crash()
        alpha.start()
        alpha.wait_for_unit(SERVICE)
        wait_for_addresses(alpha, "mercury.sol", ["192.168.1.1", "2001:db8:1::1"])
        alpha.require_unit_state(SOCKET, "active")
        assert alpha.get_unit_property(SERVICE, "NRestarts") == "0"
        log.info(f"{received(alpha)} datagrams so far")
        assert received(alpha) > 5_000, "that was no storm"
        stop_flood(beta)

    with subtest("both units come up at boot once the service is enabled"):
        alpha.reboot()
        alpha.wait_for_unit(SERVICE)
        alpha.require_unit_state(SOCKET, "active")
        wait_for_addresses(alpha, "mercury.sol", ["192.168.1.1", "2001:db8:1::1"])
