# systemd's own judgement of the units, plain and hardened; and every feature under the hardened ones.

import json

SERVICE = "data-mesher.service"
SOCKET = "data-mesher.socket"
CONFIGURATION = "/etc/data-mesher/config.toml"
HARDENED = "/usr/share/data-mesher/hardened"
MERCURY = ["192.168.1.1", "2001:db8:1::1"]
MARS = ["192.168.1.2", "2001:db8:1::2"]
UNITS = [SERVICE, SOCKET, "data-mesher-reload@x.path", "data-mesher-reload@x.service"]


def pid(machine):
    return int(machine.get_unit_property(SERVICE, "MainPID"))


def judged(machine, units, tenths):
    """Nothing to be said against the units; of the service no more is exposed than that."""
    for unit in units:
        said = machine.succeed(f"systemd-analyze verify --man=no {unit} 2>&1")
        assert not said.strip(), said
    said = machine.succeed(f"systemd-analyze security --threshold={tenths} --no-pager {SERVICE}")
    log.info(said.strip().splitlines()[-1])
    machine.fail(f"systemd-analyze security --threshold={tenths - 1} --no-pager {SERVICE}")


start_all()
for machine in machines:
    machine.wait_for_unit(SERVICE)
wait_for_answers(machines, {"mercury.sol": MERCURY, "mars.sol": MARS})

with subtest("the plain units: nothing against them, exposure 1.1"):
    log.info(alpha.succeed("systemctl --version").splitlines()[0])
    judged(alpha, UNITS, 11)

with subtest("preset, sysusers and tmpfiles do what they are for"):
    beta.succeed(f"systemctl disable --quiet {SERVICE} {SOCKET}", f"systemctl preset {SERVICE} {SOCKET}")
    for unit in (SERVICE, SOCKET):
        assert beta.succeed(f"systemctl is-enabled {unit}").strip() == "enabled"
    beta.succeed(f"systemctl stop {SERVICE}", "rm -r /run/data-mesher", "systemd-tmpfiles --create data-mesher.conf")
    assert beta.succeed("stat --format='%a %U %G' /run/data-mesher").strip() == "755 data-mesher data-mesher"
    assert "data-mesher" in beta.succeed("systemd-sysusers --cat-config data-mesher.conf")
    beta.succeed(f"systemctl start {SOCKET}")
    wait_for_answers([beta], {"mars.sol": MARS}, within=30)

with subtest("hardened by two links: nothing against them either, exposure 0.4"):
    for unit, file in ((SOCKET, "socket.conf"), (SERVICE, "service.conf")):
        alpha.succeed(f"mkdir -p /etc/systemd/system/{unit}.d", f"ln -s {HARDENED}/{file} /etc/systemd/system/{unit}.d/hardened.conf")
    alpha.succeed("systemctl daemon-reload", f"systemctl restart {SOCKET} {SERVICE}")
    judged(alpha, UNITS[:2], 4)
    spaces = alpha.succeed(f"readlink /proc/1/ns/net /proc/{pid(alpha)}/ns/net").split()
    assert spaces[0] != spaces[1], spaces
    assert alpha.succeed(f"nsenter --net --target {pid(alpha)} ip -brief link").split()[0] == "lo"

with subtest("names go both ways, and across a restart and a kill with no lookup lost"):
    wait_for_answers(machines, {"mercury.sol": MERCURY, "mars.sol": MARS}, within=30)
    with lookups(alpha, {"mercury.sol": MERCURY}):
        alpha.succeed(f"systemctl restart {SERVICE}")
        before = pid(alpha)
        alpha.succeed(f"kill -KILL {before}")
        alpha.wait_until_succeeds(f"systemctl is-active {SERVICE} && test $(systemctl show -P MainPID {SERVICE}) -ne {before}", timeout=20)
    wait_for_answers(machines, {"mercury.sol": MERCURY, "mars.sol": MARS}, within=30)

with subtest("addresses are followed live"):
    alpha.succeed("ip address add 192.168.1.101/24 dev eth1")
    wait_for_answers(machines, {"mercury.sol": [*MERCURY, "192.168.1.101"]})
    alpha.succeed("ip address del 192.168.1.101/24 dev eth1")
    wait_for_answers(machines, {"mercury.sol": MERCURY})
    alpha.succeed("ip link add mesh0 type veth peer name mesh1", "ip link set mesh1 up", "ip address add 10.1.1.1/24 dev mesh0", "ip link set mesh0 up",
                  f"sed -i 's/^interfaces.*/interfaces = [\"eth1\", \"mesh0\"]/' {CONFIGURATION}", f"systemctl reload {SERVICE}")
    wait_for_answers(machines, {"mercury.sol": [*MERCURY, "10.1.1.1"]})
    alpha.succeed("ip link del mesh0")
    wait_for_answers(machines, {"mercury.sol": MERCURY})

with subtest("reload, by each way, and a change of the secret"):
    before = pid(alpha)
    alpha.succeed(f"sed -i 's/\"mercury\"/\"mercury\", \"venus\"/' {CONFIGURATION}", f"systemctl reload {SERVICE}")
    wait_for_answers(machines, {"venus.sol": MERCURY})
    alpha.succeed(f"sed -i 's/, \"venus\"//' {CONFIGURATION}", f"kill -HUP {before}")
    wait_for_answers(machines, {"venus.sol": []})
    alpha.succeed("mesherctl network secret add", f"systemctl reload {SERVICE}")
    assert len(json.loads(alpha.succeed("mesherctl status --json"))["network"]["secrets"]) == 2
    assert pid(alpha) == before

with subtest("claims at run time, by the group's members and nobody else"):
    alpha.succeed("mesherctl claim pluto")
    wait_for_answers(machines, {"pluto.sol": MERCURY})
    alpha.succeed("setpriv --reuid=nobody --regid=nogroup --groups=$(id -g data-mesher) mesherctl release pluto")
    wait_for_answers(machines, {"pluto.sol": []})
    status, _ = alpha.execute("setpriv --reuid=nobody --regid=nogroup --clear-groups mesherctl claim pluto")
    assert status == 4, status

with subtest("exports, metrics, journal, status"):
    alpha.wait_until_succeeds("grep -q mars.sol /run/data-mesher/exports/hosts", timeout=20)
    alpha.wait_until_succeeds("test -s /run/data-mesher/mesher.prom", timeout=30)
    alpha.succeed("journalctl --quiet -u data-mesher MESHER_NAME=mercury.sol | grep -q mercury.sol")
    assert alpha.get_unit_property(SERVICE, "StatusText").startswith("sol: 1 peer")

with subtest("the watchdog is fed"):
    alpha.succeed(f"mkdir -p /run/systemd/system/{SERVICE}.d", f"printf '[Service]\\nWatchdogSec=4s\\n' > /run/systemd/system/{SERVICE}.d/watchdog.conf",
                  "systemctl daemon-reload", f"systemctl restart {SERVICE}")
    before = pid(alpha)
    alpha.sleep(9)
    assert pid(alpha) == before
    alpha.succeed(f"kill -STOP {before}")
    alpha.wait_until_succeeds(f"systemctl is-active {SERVICE} && test $(systemctl show -P MainPID {SERVICE}) -ne {before}", timeout=30)

with subtest("at boot too; the doctor has nothing against it"):
    alpha.reboot()
    alpha.wait_for_unit(SERVICE)
    wait_for_answers(machines, {"mercury.sol": MERCURY, "mars.sol": MARS}, within=40)
    retry(lambda _last: json.loads(alpha.execute("mesherctl doctor --json 2>/dev/null")[1])["wrong"] == 0, timeout=30)

with subtest("a bootstrap node that the hardened daemon cannot look up is told by the doctor"):
    alpha.succeed(f"cp {CONFIGURATION} /root/good.toml",
                  f"sed -i 's/^bootstrap_nodes = .*/bootstrap_nodes = [\"gateway.example.org\", \"192.168.1.2\"]/' {CONFIGURATION}")
    found = [f for f in json.loads(alpha.execute("mesherctl doctor --json 2>/dev/null")[1])["checks"] if f["check"] == "bootstrap"]
    assert [f["outcome"] for f in found] == ["wrong", "ok"] and "there is no DNS in there" in found[0]["message"], found
    assert found[0]["run"].endswith("ahosts gateway.example.org"), found
    alpha.succeed(f"cp /root/good.toml {CONFIGURATION}")

with subtest("stopped, it stays so, whatever comes to the port"):
    alpha.succeed(f"systemctl stop {SERVICE}")
    alpha.sleep(3)
    alpha.require_unit_state(SERVICE, "inactive")
    alpha.require_unit_state(SOCKET, "inactive")
