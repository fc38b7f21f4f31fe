# `mesherctl doctor`: one thing is broken at a time, the doctor names it, and the command it gives mends it.

import json
import time

SERVICE = "data-mesher.service"
SOCKET = "data-mesher.socket"
CONFIGURATION = "/etc/data-mesher/config.toml"
SECRET = "/etc/data-mesher/network.secret"
TABLE = "/run/data-mesher/hosts.table"
MODULE = "$(find /usr/lib -name libnss_mesher.so.2)"


def doctor(machine, options=""):
    """The findings, and the exit status."""
    status, output = machine.execute(f"mesherctl doctor --json {options} 2>/dev/null")
    found = json.loads(output)
    wrong = [finding for finding in found["checks"] if finding["outcome"] == "wrong"]
    assert found["wrong"] == len(wrong), found
    assert status == (1 if wrong else 0), (status, found)
    return found["checks"]


def wrong(machine, check, words):
    """Waits until the doctor finds this wrong; the command it gives."""
    found = []

    def look(_last):
        nonlocal found
        found = [f for f in doctor(machine) if f["check"] == check and f["outcome"] == "wrong" and words in f["message"]]
        return bool(found)

    try:
        retry(look, timeout=20)
    except AssertionError as error:
        raise AssertionError(f"no {words!r} by the check {check}: {json.dumps(doctor(machine), indent=1)}") from error
    log.info(f"{found[0]['message']} | run: {found[0]['run']}")
    assert found[0]["run"], found
    return found[0]["run"]


def well(machine):
    """Waits until nothing is wrong."""
    try:
        retry(lambda _last: all(f["outcome"] != "wrong" for f in doctor(machine)), timeout=30)
    except AssertionError as error:
        raise AssertionError(json.dumps(doctor(machine), indent=1)) from error


def broken(breaking, check, words, mend=None):
    """Breaks something, sees it named, and mends it: with the doctor's own command, unless that needs a person."""
    alpha.succeed(breaking)
    run = wrong(alpha, check, words)
    alpha.succeed(mend or run)
    well(alpha)


start_all()
for machine in (alpha, beta):
    machine.wait_for_unit(SERVICE)
    machine.wait_until_succeeds("mesherctl status --json | grep -q '\"state\": *\"running\"'", timeout=20)
alpha.wait_until_succeeds("getent ahosts mars.sol", timeout=20)
alpha.succeed(f"cp {CONFIGURATION} /root/good.toml", "cp /etc/nsswitch.conf /root/")
good = f"cp /root/good.toml {CONFIGURATION}"

with subtest("on a sound machine each part is ok"):
    well(alpha)
    findings = doctor(alpha)
    # The clock is this kernel's, whoever keeps it.
    unclear = [f for f in findings if f["outcome"] != "ok" and f["check"] != "time"]
    assert not unclear, unclear
    checks = {f["check"] for f in findings}
    wanted = {"configuration", "service", "control socket", "network secret", "state directory", "hosts table", "module", "nsswitch",
              "lookup", "time", "firewall", "gossip port", "bootstrap", "daemon"}
    assert wanted <= checks, wanted - checks
    text = alpha.succeed("mesherctl doctor")
    assert "ok     bootstrap: 192.168.1.2:7946 is beta, heard" in text and "192.168.1.1:7946 is this machine" in text, text

with subtest("a table that changes while it is looked at is no other one"):
    alpha.succeed(
        "systemd-run --quiet --unit=churn bash -c 'while true; do mesherctl claim moon; mesherctl release moon; done'"
    )
    for _ in range(30):
        table = [f for f in doctor(alpha) if f["check"] == "hosts table"]
        assert table[0]["outcome"] == "ok", table
    alpha.succeed("systemctl stop churn.service")
    alpha.succeed("mesherctl release moon || true")
    well(alpha)

with subtest("an ordinary user is told what only root can see"):
    findings = json.loads(alpha.succeed("setpriv --reuid=nobody --regid=nogroup --clear-groups mesherctl doctor --json"))["checks"]
    unclear = {f["check"]: f["run"] for f in findings if f["outcome"] == "unclear" and f["check"] != "time"}
    assert unclear == dict.fromkeys(("network secret", "state directory", "firewall"), "sudo mesherctl doctor"), unclear

with subtest("configuration"):
    broken(f"echo 'nmaes = 1' >> {CONFIGURATION}", "configuration", "nmaes", mend=good)
    alpha.succeed(f"rm {CONFIGURATION}")
    assert wrong(alpha, "configuration", "is not there").startswith("cp /usr/share/doc/data-mesher/examples/config.toml")
    alpha.succeed("test -s /usr/share/doc/data-mesher/examples/config.toml", good)

with subtest("a wrong configuration leaves open which secret is meant"):
    alpha.succeed(f"mv {SECRET} /root/secret", f"echo 'nmaes = 1' >> {CONFIGURATION}")
    secret = [f for f in doctor(alpha) if f["check"] == "network secret"]
    assert secret[0]["outcome"] == "unclear" and "which may name another file, is wrong" in secret[0]["message"], secret
    alpha.succeed(f"mv /root/secret {SECRET}", good)
    well(alpha)

with subtest("network secret"):
    broken(f"chmod 644 {SECRET}", "network secret", "others may read this secret")
    broken("mesherctl network secret add", "network secret", "holds 2 secrets, and the daemon uses 1")
    # By the command it gave, the reload, the daemon has both now.
    assert len(json.loads(alpha.succeed("mesherctl status --json"))["network"]["secrets"]) == 2
    alpha.succeed("mesherctl network secret retire", "mesherctl reload")

with subtest("state directory"):
    broken("chown root /var/lib/data-mesher", "state directory", "belongs to root")
    broken("chmod 755 /var/lib/data-mesher", "state directory", "others may look into it")
    broken("chmod 644 /var/lib/data-mesher/host.key", "state directory", "others may read this secret")

with subtest("module"):
    alpha.succeed(f"cp {MODULE} /root/module && readlink -f {MODULE} > /root/where")
    broken(f"mv {MODULE} /root/", "module", "cannot load it", mend="mv /root/libnss_mesher.so.2 $(cat /root/where)")
    broken(f"chmod 600 {MODULE}", "module", "not everybody may read it")
    broken("echo garbage > $(cat /root/where).new && mv $(cat /root/where).new $(cat /root/where)", "module", "cannot load it",
           mend="cp /root/module $(cat /root/where).new && mv $(cat /root/where).new $(cat /root/where)")

with subtest("nsswitch.conf"):
    for line, words in (
        ("files dns", "has no source mesher"),
        ("files dns mesher", "asks dns before mesher"),
        ("files resolve [!UNAVAIL=return] mesher dns", "ends lookups at resolve [!UNAVAIL=return]"),
    ):
        alpha.succeed(f"sed -i 's/^hosts:.*/hosts: {line}/' /etc/nsswitch.conf")
        mend = wrong(alpha, "nsswitch", words)
        # A lookup that fails because of it is mended by the same, and not by emptying a cache.
        for lookup in [f for f in doctor(alpha) if f["check"] == "lookup" and f["outcome"] == "wrong"]:
            assert lookup["run"] == mend, lookup
        alpha.succeed(mend)
        well(alpha)
    broken("sed -i '/^hosts:/d' /etc/nsswitch.conf", "nsswitch", "has no line hosts:")
    alpha.succeed("cp /root/nsswitch.conf /etc/")

with subtest("a program's answer is another than the table's"):
    broken("echo '10.9.9.9 mercury.sol' >> /etc/hosts", "lookup", "get 10.9.9.9; the table says 192.168.1.1 2001:db8:1::1",
           mend="sed -i /mercury.sol/d /etc/hosts")

with subtest("firewall"):
    rules = "table inet filter { chain input { type filter hook input priority 0; policy drop; ct state established,related accept; iifname lo accept; }; }"
    broken(f"nft '{rules}'", "firewall", "the policy of the chain inet filter input drops what comes to UDP port 7946")
    alpha.succeed("nft flush ruleset")

with subtest("gossip port"):
    broken(f"sed -i 's/^\\[cluster\\]/[cluster]\\nport = 7000/' {CONFIGURATION}", "gossip port", "nobody listens on UDP port 7000", mend=good)

with subtest("bootstrap"):
    def nodes(*names):
        listed = ", ".join(f'"{name}"' for name in names)
        return f"sed -i 's/^bootstrap_nodes = .*/bootstrap_nodes = [{listed}]/' {CONFIGURATION}"

    broken(nodes("192.168.1.2:7999"), "bootstrap", "192.168.1.2:7999 can be reached, and nobody listens on the port there", mend=good)
    broken(nodes("192.168.1.99"), "bootstrap", "192.168.1.99:7946 cannot be reached: No route to host", mend=good)
    broken(nodes("203.0.113.1"), "bootstrap", "203.0.113.1:7946 cannot be reached: Network is unreachable", mend=good)
    broken(nodes("nowhere.invalid"), "bootstrap", "nowhere.invalid:7946 has no address", mend=good)
    broken(nodes("mars.sol", "192.168.1.2"), "bootstrap", "mars.sol:7946 is a name of the mesh itself (sol), which cannot lead to the mesh", mend=good)
    # It is tried for ever, and told once.
    alpha.succeed(nodes("mars.sol", "192.168.1.2"), "mesherctl reload")
    told = "journalctl --quiet -u data-mesher | grep 'bootstrap node mars.sol:7946 is not found'"
    alpha.wait_until_succeeds(told, timeout=30)
    # Each attempt comes after twice the pause of the one before: by then there were several more.
    time.sleep(6)
    assert len(alpha.succeed(told).splitlines()) == 1, alpha.succeed(told)
    alpha.succeed(good, "mesherctl reload")

with subtest("hosts table"):
    broken(f"chmod 600 {TABLE}", "hosts table", "not everybody may read it")
    broken("chmod 700 /run/data-mesher", "hosts table", "/run/data-mesher: not everybody may read it")
    broken(f"chmod 666 {TABLE}", "hosts table", "others than the daemon (data-mesher) may change")

with subtest("service and socket"):
    alpha.succeed(f"systemctl stop {SERVICE}")
    start = wrong(alpha, "service", "is inactive")
    assert "data-mesher" in wrong(alpha, "control socket", "cannot reach the daemon")
    assert wrong(alpha, "hosts table", "is stale") == start
    # What only the daemon can know is not held against anybody while it is off.
    others = [f for f in doctor(alpha) if f["check"] in ("bootstrap", "time") and f["outcome"] == "wrong"]
    assert not others, others
    alpha.succeed(start)
    well(alpha)
    broken(f"systemctl disable {SERVICE} {SOCKET}", "service", "does not start at boot")
    alpha.succeed(f"echo 'nmaes = 1' >> {CONFIGURATION}")
    alpha.execute(f"systemctl restart {SERVICE}")
    assert wrong(alpha, "service", "its configuration is wrong (exit status 78)").startswith("journalctl")
    alpha.succeed(good, f"systemctl start {SOCKET}")
    well(alpha)

with subtest("what the daemon itself warns of"):
    broken(f"printf '[exports]\\nhosts = \"/etc/data-mesher/names\"\\n' >> {CONFIGURATION} && mesherctl reload",
           "warning", "exports.hosts: /etc/data-mesher/names cannot be written", mend=f"{good} && mesherctl reload")
    broken(f"sed -i 's/^interfaces = .*/interfaces = [\"absent\"]/' {CONFIGURATION} && mesherctl reload",
           "addresses", "no address to announce", mend=f"{good} && mesherctl reload")

with subtest("time: what cannot be found out is not taken for right"):
    said = alpha.succeed("systemd-run --quiet --wait --pipe --property=SystemCallFilter=~adjtimex "
                         "--property=SystemCallErrorNumber=EPERM mesherctl doctor --json")
    clock = [f for f in json.loads(said)["checks"] if f["check"] == "time"]
    assert clock[0]["outcome"] == "unclear" and "does not say" in clock[0]["message"], clock
    status, known = alpha.execute("timedatectl show --property=NTPSynchronized --value")
    now = [f for f in doctor(alpha) if f["check"] == "time"]
    assert (now[0]["outcome"] == "ok") == (known.strip() == "yes"), (known, now)

with subtest("a second daemon, started by hand in another directory"):
    alpha.succeed("mkdir /srv/other", "cp -p /etc/data-mesher/network.secret /srv/other/")
    alpha.succeed("sed -e 's|^id = |secret_file = \"/srv/other/network.secret\"\\nid = |' -e 's/^bootstrap_nodes = .*/port = 7950/'"
                  f" {CONFIGURATION} > /srv/other/config.toml")
    alpha.succeed("systemd-run --quiet --unit=other --property=WorkingDirectory=/srv/other"
                  " mesherd --config config.toml --state-dir state --runtime-dir run")
    alpha.wait_until_succeeds("mesherctl --socket /srv/other/run/mesherd.sock status", timeout=20)
    table = [f for f in doctor(alpha, "--socket /srv/other/run/mesherd.sock") if f["check"] == "hosts table"]
    assert table[0]["outcome"] == "ok" and table[0]["message"].startswith("/srv/other/run/hosts.table: fresh"), table
    alpha.succeed("systemctl stop other.service", "rm -r /srv/other")

with subtest("no peer left"):
    beta.crash()
    alpha.wait_until_succeeds("mesherctl status --json | grep -q '\"state\": \"alone\"'", timeout=60)
    wrong(alpha, "daemon", "it sees no peer")
    # For up to three quarters of a minute the kernel still takes a machine for reachable that answered a moment ago (arp(7)): until
    # then the doctor can only say that it does not answer.
    assert wrong(alpha, "bootstrap", "192.168.1.2:7946 ") == "ping -c 3 192.168.1.2"
    alpha.succeed("ip neigh flush all")
    assert wrong(alpha, "bootstrap", "192.168.1.2:7946 cannot be reached: No route to host") == "ping -c 3 192.168.1.2"
