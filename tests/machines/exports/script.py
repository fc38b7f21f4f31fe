# The exports follow the names, whole at every moment; their readers are poked; what cannot be written is told and tried again.

import json
import re

SERVICE = "data-mesher.service"
CONFIGURATION = "/etc/data-mesher/config.toml"
EXPORTS = "/run/data-mesher/exports"
MERCURY = ["192.168.1.1", "2001:db8:1::1"]
MARS = ["192.168.1.2", "2001:db8:1::2"]


def read(file):
    return alpha.succeed(f"cat {EXPORTS}/{file}")


def names():
    return {line["hostname"]: line["ips"] for line in map(json.loads, read("names.json").splitlines())}


start_all()
for machine in machines:
    machine.wait_for_unit(SERVICE)
wait_for_answers([alpha, beta], {"mercury.sol": MERCURY, "mars.sol": MARS})

with subtest("each form has the names, for everybody to read"):
    retry(lambda _last: names() == {"mercury.sol": MERCURY, "mars.sol": MARS}, timeout=15)
    # One file is written after the other.
    alpha.wait_until_succeeds(f"grep -q mars.sol {EXPORTS}/hosts && grep -q '^mars ' {EXPORTS}/zone", timeout=15)
    alpha.wait_for_file("/run/data-mesher/mesher.prom", timeout=30)
    hosts = read("hosts").splitlines()
    assert hosts[0].startswith("#"), hosts
    assert set(hosts[1:]) == {f"{ip} {name}.sol {name}" for name, ips in (("mercury", MERCURY), ("mars", MARS)) for ip in ips}, hosts
    zone = read("zone")
    for record in ("$ORIGIN sol.", "mercury 5 IN A 192.168.1.1", "mars 5 IN AAAA 2001:db8:1::2", "*.mercury 5 IN A 192.168.1.1"):
        assert record in zone.splitlines(), zone
    modes = alpha.succeed(f"stat --format='%a %U %n' {EXPORTS} {EXPORTS}/* /run/data-mesher/mesher.prom").split()
    assert set(modes[::3]) == {"755", "644"} and set(modes[1::3]) == {"data-mesher"}, modes
    alpha.succeed(f"setpriv --reuid=nobody --regid=nogroup --clear-groups cat {EXPORTS}/hosts")

with subtest("the hosts file serves the C library as /etc/hosts would"):
    alpha.succeed(f"cp {EXPORTS}/hosts /etc/hosts")
    assert set(alpha.succeed("getent -s hosts:files ahosts mars | cut -d' ' -f1").split()) == set(MARS)
    alpha.succeed("rm /etc/hosts")

with subtest("metrics are such that Prometheus takes them, and are renewed"):
    text = alpha.succeed("cat /run/data-mesher/mesher.prom")
    sample = re.compile(r"mesher_[a-z_]+(\{[a-z_]+=\"[^\"]*\"(,[a-z_]+=\"[^\"]*\")*\})? [0-9.]+")
    described = set()
    for line in text.splitlines():
        if line.startswith("# "):
            assert re.fullmatch(r"# (HELP mesher_[a-z_]+ .+|TYPE mesher_[a-z_]+ (gauge|counter))", line), line
            described.add(line.split()[2])
        else:
            assert sample.fullmatch(line) and re.match(r"[a-z_]+", line)[0] in described, line
    # A peer counts as there from its second heartbeat on.
    alpha.wait_until_succeeds("mesherctl metrics | grep -x 'mesher_peers_alive 1'", timeout=15)
    alpha.wait_until_succeeds("grep -x 'mesher_peers_alive 1' /run/data-mesher/mesher.prom", timeout=40)

with subtest("a reader is poked after every change, and the last thing it reads is the last that was written"):
    alpha.succeed(
        "cat > /etc/systemd/system/reader.service <<'END'\n"
        "[Service]\nType=exec\nExecStart=sleep infinity\n"
        f"ExecReload=sh -c 'cp {EXPORTS}/hosts /run/seen.new && mv /run/seen.new /run/seen; echo >> /run/pokes'\n"
        "END",
        "systemctl daemon-reload", "systemctl start reader.service", "systemctl enable --now data-mesher-reload@reader.path",
    )
    beta.succeed("mesherctl claim venus")
    alpha.wait_until_succeeds("grep -q venus.sol /run/seen", timeout=15)
    # Whoever reads in the middle of it all gets a whole file.
    alpha.succeed(
        "systemd-run --quiet --unit=whole --service-type=exec sh -c 'until [ -e /run/stop ]; do "
        f"head -n 1 {EXPORTS}/hosts | grep -q ^# && tail -c 1 {EXPORTS}/hosts | od -c | grep -q n || echo torn >> /run/torn; done'"
    )
    for round in range(8):
        beta.succeed(f"mesherctl claim moon{round}")
        alpha.sleep(0.4)
    for round in range(7):
        beta.succeed(f"mesherctl release moon{round}")
    wait_for_answers([alpha], {"moon7.sol": MARS, "moon6.sol": []})
    retry(lambda _last: set(names()) == {"mercury.sol", "mars.sol", "venus.sol", "moon7.sol"}, timeout=15)
    alpha.wait_until_succeeds(f"cmp /run/seen {EXPORTS}/hosts", timeout=15)
    alpha.succeed("touch /run/stop", "test ! -e /run/torn", "systemctl is-active data-mesher-reload@reader.path")
    pokes = int(alpha.succeed("wc -l < /run/pokes"))
    # A quiet network pokes nobody.
    alpha.sleep(4)
    assert int(alpha.succeed("wc -l < /run/pokes")) == pokes
    log.info(f"{pokes} pokes")

with subtest("a restart changes no file, and a stop takes the metrics away, which would speak of a daemon that is not there"):
    before = alpha.succeed(f"stat --format='%i %n' {EXPORTS}/*")
    alpha.succeed(f"systemctl restart {SERVICE}")
    wait_for_answers([alpha], {"mars.sol": MARS})
    alpha.wait_until_succeeds("test -e /run/data-mesher/mesher.prom", timeout=30)
    alpha.sleep(2)
    assert alpha.succeed(f"stat --format='%i %n' {EXPORTS}/*") == before
    alpha.succeed(f"systemctl stop {SERVICE}", "test ! -e /run/data-mesher/mesher.prom", f"test -e {EXPORTS}/hosts")
    alpha.succeed("systemctl start data-mesher.socket")
    alpha.wait_for_unit(SERVICE)

with subtest("what cannot be written is told once, warned of, and written as soon as it can be"):
    alpha.succeed("mkdir /srv/names", f"sed -i 's|^hosts = .*|hosts = \"/srv/names/hosts\"|' {CONFIGURATION}", f"systemctl reload {SERVICE}")
    alpha.wait_until_succeeds("mesherctl status | grep -F 'exports.hosts: /srv/names/hosts cannot be written'", timeout=15)
    alpha.wait_until_fails(f"test -e {EXPORTS}/hosts", timeout=10)
    told = alpha.succeed("journalctl --quiet -u data-mesher MESSAGE_ID=aa0fe3e3b72848a59ab25f6d43b3ee98")
    assert told.count("\n") == 1 and "ReadWritePaths=" in told, told
    alpha.succeed(
        "chown data-mesher /srv/names", f"mkdir -p /etc/systemd/system/{SERVICE}.d",
        f"printf '[Service]\\nReadWritePaths=/srv/names\\n' > /etc/systemd/system/{SERVICE}.d/exports.conf",
        "systemctl daemon-reload", f"systemctl restart {SERVICE}",
    )
    alpha.wait_until_succeeds("grep -q mars.sol /srv/names/hosts", timeout=30)
    alpha.wait_until_fails("mesherctl status | grep -F exports.hosts", timeout=15)
    # Taken away while it runs, and given back.
    alpha.succeed("chown root /srv/names")
    beta.succeed("mesherctl claim jupiter")
    alpha.wait_until_succeeds("mesherctl status | grep -F 'exports.hosts: /srv/names/hosts cannot be written: Permission denied'", timeout=15)
    alpha.succeed("chown data-mesher /srv/names")
    alpha.wait_until_succeeds("grep -q jupiter.sol /srv/names/hosts", timeout=30)
    alpha.wait_until_succeeds("journalctl --quiet -u data-mesher MESSAGE_ID=c0f52ecd1d9a4c7b93c9e0f3a8a86d2b | grep -q 'written again'", timeout=10)

with subtest("a container that sees the directory, read-only, gets every answer, also from a table that has grown"):
    alpha.succeed(
        "mkdir -p /srv/container/run/data-mesher /srv/container/dev /srv/container/tmp",
        "for part in usr etc; do mkdir /srv/container/$part; mount --bind /$part /srv/container/$part; done",
        "for link in bin lib lib64 sbin; do test ! -L /$link || cp -P /$link /srv/container/; done",
    )
    within = "chroot /srv/container getent ahosts"
    alpha.fail(f"{within} mars.sol")
    alpha.succeed("mount --bind --options ro /run/data-mesher /srv/container/run/data-mesher")
    assert "192.168.1.2" in alpha.succeed(f"{within} mars.sol")
    before = alpha.succeed("stat --format=%i /run/data-mesher/hosts.table")
    alpha.succeed(f"cp {CONFIGURATION} /root/few.toml")
    many = ", ".join(f'"moon{number}"' for number in range(1_500))
    alpha.succeed(f"sed -i 's/^names = .*/names = [\"mercury\", {many}]/' {CONFIGURATION}", "mesherctl reload")
    alpha.wait_until_succeeds(f"{within} moon1499.sol", timeout=60)
    assert alpha.succeed("stat --format=%i /run/data-mesher/hosts.table") != before, "a larger table is another file"
    alpha.succeed(f"cp /root/few.toml {CONFIGURATION}", "mesherctl reload")
    alpha.wait_until_fails(f"{within} moon1499.sol", timeout=60)
    assert "192.168.1.2" in alpha.succeed(f"{within} mars.sol")
    alpha.succeed("umount /srv/container/run/data-mesher /srv/container/usr /srv/container/etc")
