# A switch on NixOS puts new files in place, has systemd read them, reloads the units whose reload triggers have changed,
# and restarts those that have changed otherwise, but never a socket. The files are the module's own: the check
# "machines: drop-ins" of tests/nix holds them to what it renders.

import contextlib
import time

SERVICE = "data-mesher.service"
FOLLOWER = "data-mesher-port.service"
CONFIGURATION = "/etc/data-mesher/config.toml"
MERCURY = ["192.168.1.1", "2001:db8:1::1"]
MARS = ["192.168.1.2", "2001:db8:1::2"]

# secretFile = "/run/secrets/mesh", and the usual port.
BEFORE = {
    "data-mesher.service.d/overrides.conf": """\
[Unit]
X-Reload-Triggers=CONFIGURATION
X-Restart-Triggers=["ID","alpha",null]

[Service]
X-StopIfChanged=false
LoadCredential=network.secret:/run/secrets/mesh
""",
    "data-mesher-port.service": """\
[Unit]
Description=Decentralised host naming: follow a change of the gossip port
X-Reload-Triggers=7946

[Service]
ExecReload=/usr/bin/systemctl try-restart data-mesher.socket
ExecStart=/usr/bin/true
RemainAfterExit=true
Type=oneshot
""",
    "data-mesher-catalogue.service": """\
[Unit]
Description=Decentralised host naming: explain its messages in the journal
After=systemd-journal-catalog-update.service

[Service]
Environment="SYSTEMD_CATALOG_SOURCES=/run/journal-catalogues"
ExecStart=/usr/bin/journalctl --update-catalog
RemainAfterExit=true
Type=oneshot
""",
}
# The same with settings.cluster.port = 7000: what is different.
AFTER = {
    "data-mesher.socket.d/overrides.conf": """\
[Unit]

[Socket]
ListenStream=
ListenStream=/run/data-mesher/mesherd.sock
ListenDatagram=7000
""",
    "data-mesher-port.service": """\
[Unit]
Description=Decentralised host naming: follow a change of the gossip port
X-Reload-Triggers=7000

[Service]
ExecReload=/usr/bin/systemctl try-restart data-mesher.socket
ExecStart=/usr/bin/true
RemainAfterExit=true
Type=oneshot
""",
}


def put(files):
    """Puts unit files in place, and has systemd read them."""
    for path, text in files.items():
        place = f"/etc/systemd/system/{path}"
        alpha.succeed(f"mkdir -p $(dirname {place})", f"cat > {place} <<'END'\n{text}END")
    alpha.succeed("systemctl daemon-reload")


def addresses(name):
    _, output = alpha.execute(f"getent ahosts {name} | cut -d' ' -f1 | sort -u")
    return output.split()


def wait_for(name, wanted, within=15.0):
    begun = time.monotonic()
    while (seen := addresses(name)) != wanted:
        assert time.monotonic() - begun < within, f"alpha sees {name} as {seen}, expected {wanted}"
        time.sleep(0.1)


def main_pid():
    return int(alpha.get_unit_property(SERVICE, "MainPID"))


def gossip_ports():
    """The UDP ports that something listens on."""
    return set(alpha.succeed("ss --udp --listening --numeric --no-header | awk '{print $4}' | grep -o '[0-9]*$'").split())


@contextlib.contextmanager
def no_lookup_lost():
    alpha.succeed(
        "rm -f /run/loop.*",
        "systemd-run --quiet --unit=lookup-loop --service-type=exec bash -c '"
        "until [ -e /run/loop.stop ]; do getent ahosts mercury.sol > /run/loop.out || date +%T.%N >> /run/loop.missed; "
        "echo >> /run/loop.count; done'",
    )
    alpha.wait_until_succeeds("test -s /run/loop.count", timeout=10)
    yield
    alpha.succeed("touch /run/loop.stop")
    alpha.wait_until_fails("systemctl is-active --quiet lookup-loop.service", timeout=10)
    missed = alpha.succeed("cat /run/loop.missed 2>/dev/null || true").split()
    assert not missed, f"lookups failed at {missed}"
    log.info(f"{alpha.succeed('wc -l < /run/loop.count').strip()} lookups, each right")


start_all()
for machine in (alpha, beta):
    machine.wait_for_unit(SERVICE)
# Ready is who serves a table; its own names come with joining.
wait_for("mercury.sol", MERCURY)

with subtest("the secret from where secretFile says, which wins over the unit's own place"):
    alpha.succeed(
        "mkdir -p /run/secrets", "install -m 0600 /etc/data-mesher/network.secret /run/secrets/mesh",
        # Well-formed, and no network's.
        "echo AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= > /etc/data-mesher/network.secret",
    )
    put(BEFORE)
    with no_lookup_lost():
        alpha.succeed(f"systemctl restart {SERVICE}", f"systemctl start {FOLLOWER}")
        alpha.wait_for_unit(SERVICE)
        wait_for("mercury.sol", MERCURY)
        beta.succeed(f"systemctl restart {SERVICE}")
        # What beta changes now reaches alpha only if both have the same secret.
        beta.succeed(f"sed -i 's/\"mars\"/\"mars\", \"phobos\"/' {CONFIGURATION}", f"systemctl reload {SERVICE}")
        wait_for("phobos.sol", MARS)
    assert "7946" in gossip_ports()

with subtest("journalctl -x explains, with a catalogue that is where systemd does not look of itself"):
    catalogues = "/usr/lib/systemd/catalog"
    alpha.succeed(
        "mkdir /run/journal-catalogues",
        f"mv {catalogues}/data-mesher.catalog /run/journal-catalogues/",
        f"ln -s {catalogues}/*.catalog /run/journal-catalogues/",
        "journalctl --update-catalog",
    )
    explained = f"journalctl --quiet --catalog --unit={SERVICE} | grep '^░░ The hosts table is published'"
    alpha.fail(explained)
    alpha.succeed("systemctl start data-mesher-catalogue.service", explained)
    # Nothing of systemd's own was lost.
    alpha.succeed(f"journalctl --quiet --catalog _PID=1 UNIT={SERVICE} | grep '^░░ Subject: '")

with subtest("another name: a reload is all"):
    before = main_pid()
    with no_lookup_lost():
        alpha.succeed(f"sed -i 's/\"mercury\"/\"mercury\", \"venus\"/' {CONFIGURATION}", f"systemctl reload {SERVICE}")
        wait_for("venus.sol", MERCURY)
    assert main_pid() == before

with subtest("another port: socket and daemon are at it, and no lookup is lost"):
    alpha.succeed(f"sed -i 's/^\\[cluster\\]/[cluster]\\nport = 7000/' {CONFIGURATION}", "mesherctl config check")
    with no_lookup_lost():
        put(AFTER)
        # Of itself systemd goes on with the old port.
        assert "7000" not in gossip_ports()
        alpha.succeed(f"systemctl reload {FOLLOWER}")
        alpha.wait_for_unit(SERVICE)
        wait_for("mercury.sol", MERCURY)
    assert "7000" in gossip_ports() and "7946" not in gossip_ports(), gossip_ports()
    assert main_pid() != before
    alpha.succeed("mesherctl status", "test $(stat --format=%a /run/data-mesher/mesherd.sock) = 666")
    beta.succeed(f"sed -i 's/\"phobos\"/\"deimos\"/' {CONFIGURATION}", f"systemctl reload {SERVICE}")
    wait_for("deimos.sol", MARS)

with subtest("a service that was stopped stays so, whatever the port's unit does"):
    alpha.succeed(f"systemctl stop {SERVICE}", f"systemctl reload {FOLLOWER}")
    time.sleep(2)
    alpha.require_unit_state(SERVICE, "inactive")
    alpha.require_unit_state("data-mesher.socket", "inactive")
