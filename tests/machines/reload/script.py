# A reload, by systemctl, by mesherctl and by SIGHUP: names, addresses, interfaces, bootstrap nodes, log level, secrets, exports, in the
# same process and with no lookup lost; a bad file leaves the old in force.

import json

SERVICE = "data-mesher.service"
CONFIGURATION = "/etc/data-mesher/config.toml"
SECRET = "/etc/data-mesher/network.secret"
MERCURY = ["192.168.1.1", "2001:db8:1::1"]
MARS = ["192.168.1.2", "2001:db8:1::2"]


def status(machine):
    return json.loads(machine.succeed("mesherctl status --json"))


def pid(machine):
    return int(machine.get_unit_property(SERVICE, "MainPID"))


def edit(machine, *expressions):
    """Changes the configuration with sed."""
    machine.succeed("sed -i " + " ".join(f"-e '{e}'" for e in expressions) + f" {CONFIGURATION}")


def journal(machine, *matches):
    """The messages of the service's journal."""
    lines = machine.succeed(f"journalctl --quiet --output=json --unit={SERVICE} {' '.join(matches)}").splitlines()
    return [json.loads(line)["MESSAGE"] for line in lines]


start_all()
for machine in machines:
    machine.wait_for_unit(SERVICE)
wait_for_answers([alpha, beta], {"mercury.sol": MERCURY, "mars.sol": MARS})
# gamma has no bootstrap node: nobody knows of it, and it of nobody.
assert answers(gamma, ["mercury.sol"]) == {"mercury.sol": set()}
processes = {machine.name: pid(machine) for machine in machines}
alpha.succeed(f"cp {CONFIGURATION} /root/good.toml")

with subtest("names, by systemctl reload: what is new is claimed, what is gone is released"):
    edit(alpha, 's/"mercury"/"venus"/')
    alpha.succeed(f"systemctl reload {SERVICE}")
    wait_for_answers([alpha, beta], {"venus.sol": MERCURY, "mercury.sol": []})
    assert "reloaded /etc/data-mesher/config.toml: host.names" in journal(alpha)

with subtest("names, by SIGHUP"):
    edit(alpha, 's/"venus"/"mercury"/')
    alpha.succeed(f"kill -HUP {pid(alpha)}")
    wait_for_answers([alpha, beta], {"mercury.sol": MERCURY, "venus.sol": []})

with subtest("addresses, and interfaces"):
    edit(alpha, '/^interfaces/a addresses = ["192.168.1.101"]')
    said = alpha.succeed("mesherctl reload")
    assert "host.addresses" in said, said
    wait_for_answers([alpha, beta], {"mercury.sol": [*MERCURY, "192.168.1.101"]})
    alpha.succeed("ip link add mesh0 type veth peer name mesh1", "ip link set mesh1 up", "ip address add 10.1.1.1/24 dev mesh0", "ip link set mesh0 up")
    edit(alpha, "/^addresses/d", 's/^interfaces.*/interfaces = ["mesh0"]/')
    said = alpha.succeed("mesherctl reload")
    assert "host.interfaces" in said and "host.addresses" in said, said
    wait_for_answers([alpha, beta], {"mercury.sol": ["10.1.1.1"]})
    alpha.succeed(f"cp /root/good.toml {CONFIGURATION}", f"systemctl reload {SERVICE}")
    wait_for_answers([alpha, beta], {"mercury.sol": MERCURY})

with subtest("bootstrap nodes: a machine that was alone finds the others"):
    gamma.succeed(f"printf '[cluster]\\nbootstrap_nodes = [\"192.168.1.2:7946\"]\\n' >> {CONFIGURATION}")
    said = gamma.succeed("mesherctl reload")
    assert "cluster.bootstrap_nodes" in said, said
    wait_for_answers([gamma], {"mercury.sol": MERCURY, "mars.sol": MARS}, within=30)
    wait_for_answers([alpha], {"saturn.sol": ["192.168.1.3", "2001:db8:1::3"]}, within=30)

with subtest("log level, kept until the next reload where it was set by hand"):
    alpha.succeed("mesherctl log-level debug")
    assert status(alpha)["log_level"] == "debug"
    alpha.succeed(f"sed -i '1i log_level = \"warn\"' {CONFIGURATION}", f"systemctl reload {SERVICE}")
    assert status(alpha)["log_level"] == "warn"
    alpha.succeed(f"cp /root/good.toml {CONFIGURATION}", f"systemctl reload {SERVICE}")
    assert status(alpha)["log_level"] == "info"

with subtest("the network secret is changed on all machines: no restart, no lookup and no peer lost"):
    # Who has just come counts as there after its second heartbeat.
    for machine in machines:
        retry(lambda _last: [p["state"] for p in status(machine)["peers"]] == ["alive"] * 2, timeout=30)
    with lookups(gamma, {"mercury.sol": MERCURY, "mars.sol": MARS}):
        for step in ("add", "promote", "retire"):
            alpha.succeed(f"mesherctl network secret {step}")
            secret = alpha.succeed(f"cat {SECRET}")
            for machine in machines:
                machine.succeed(f"cat > {SECRET} <<'END'\n{secret}END", f"systemctl reload {SERVICE}")
            ids = {machine.name: status(machine)["network"]["secrets"] for machine in machines}
            assert len({tuple(each) for each in ids.values()}) == 1, ids
            log.info(f"{step}: {ids['alpha']}")
            if step == "promote":
                for machine in machines:
                    retry(lambda _last: all(p["secret"] == ids["alpha"][0] for p in status(machine)["peers"]), timeout=30)
    assert len(ids["alpha"]) == 1
    assert "network.secret_file" in " ".join(journal(alpha, "MESSAGE_ID=0b9cc3792e2f4433a25da3be24050ca9"))
    for machine in machines:
        assert all(p["state"] == "alive" for p in status(machine)["peers"]), status(machine)["peers"]

with subtest("by SIGHUP the daemon cannot read the secret, which is root's: it stays, and the journal says how to bring it"):
    before = status(alpha)["network"]["secrets"]
    alpha.succeed("mesherctl network secret add", f"kill -HUP {pid(alpha)}")
    alpha.wait_until_succeeds(f"journalctl --quiet --unit={SERVICE} | grep -F 'secrets stay as they are' | grep -F 'systemctl reload'", timeout=10)
    assert status(alpha)["network"]["secrets"] == before
    alpha.succeed("mesherctl network secret retire", f"systemctl reload {SERVICE}")
    assert status(alpha)["network"]["secrets"] == before

with subtest("exports come and go"):
    alpha.succeed(f"printf '[exports]\\nhosts = \"/run/data-mesher/exports/hosts\"\\n' >> {CONFIGURATION}", f"systemctl reload {SERVICE}")
    alpha.wait_until_succeeds("grep -Fx '192.168.1.1 mercury.sol' /run/data-mesher/exports/hosts", timeout=10)
    alpha.succeed(f"cp /root/good.toml {CONFIGURATION}", f"systemctl reload {SERVICE}")
    alpha.wait_until_fails("test -e /run/data-mesher/exports/hosts", timeout=10)

with subtest("what needs a restart says so, on the terminal and in the journal, and the rest is taken up"):
    edit(alpha, 's/"mercury"/"mercury", "venus"/', '/^interfaces/a label = "helios"')
    alpha.succeed(f"printf '[cluster]\\nport = 7000\\ngossip_interval = \"2s\"\\n' >> {CONFIGURATION}")
    said = alpha.succeed("mesherctl reload")
    assert "reloaded: host.names" in said, said
    assert "takes effect only with a restart: host.label, cluster.port, cluster.gossip_interval" in said, said
    assert "systemctl restart data-mesher.service" in said, said
    assert any("host.label, cluster.port, cluster.gossip_interval take effect with a restart" in line for line in journal(alpha))
    wait_for_answers([beta], {"venus.sol": MERCURY})
    assert status(alpha)["host"]["label"] == "alpha"
    alpha.succeed(f"cp /root/good.toml {CONFIGURATION}", f"systemctl reload {SERVICE}")
    wait_for_answers([beta], {"venus.sol": []})

with subtest("a bad configuration fails the reload, names line and key, and leaves the old in force"):
    line = int(alpha.succeed(f"wc -l < {CONFIGURATION}")) + 2
    alpha.succeed(f"printf '[nss]\\nshort_name = true\\n' >> {CONFIGURATION}")
    edit(alpha, 's/"mercury"/"pluto"/')
    for command in (f"systemctl reload {SERVICE}", "mesherctl reload"):
        alpha.fail(command)
    said = alpha.succeed("mesherctl reload 2>&1 || true")
    assert f"{CONFIGURATION}:{line}:1: nss.short_name: unknown key; did you mean short_names?" in said, said
    assert any(f"{CONFIGURATION}:{line}:1: nss.short_name" in message for message in journal(alpha, "MESSAGE_ID=036a2320c42349cbae2d3f9f88805f4a"))
    alpha.require_unit_state(SERVICE, "active")
    assert answers(beta, ["mercury.sol", "pluto.sol"]) == {"mercury.sol": set(MERCURY), "pluto.sol": set()}
    alpha.succeed(f"kill -HUP {pid(alpha)}")
    retry(lambda _last: len(journal(alpha, "MESSAGE_ID=036a2320c42349cbae2d3f9f88805f4a")) >= 4, timeout=10)
    assert answers(beta, ["mercury.sol", "pluto.sol"]) == {"mercury.sol": set(MERCURY), "pluto.sol": set()}
    alpha.succeed(f"cp /root/good.toml {CONFIGURATION}")

with subtest("so do a bad secret, bad settings and a bad certificate, each by its file"):
    before = status(alpha)["network"]
    for file, text, words in (
        (SECRET, "AAAA", f"{SECRET}:1: expected 32 bytes"),
        ("/etc/data-mesher/network.settings", "garbage", "network.settings_file: /etc/data-mesher/network.settings"),
        ("/etc/data-mesher/host.cert", "garbage", "/etc/data-mesher/host.cert"),
    ):
        alpha.succeed(f"cp -a {file} /root/kept 2>/dev/null || rm -f /root/kept", f"echo {text} > {file}")
        alpha.fail(f"systemctl reload {SERVICE}")
        said = alpha.succeed("mesherctl reload 2>&1 || true")
        assert words in said, said
        alpha.succeed(f"cp -a /root/kept {file} 2>/dev/null || rm {file}")
        assert status(alpha)["network"] == before
    alpha.succeed(f"systemctl reload {SERVICE}")

with subtest("all that in the same processes"):
    assert {machine.name: pid(machine) for machine in machines} == processes
