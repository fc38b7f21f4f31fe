# The life of one name in the journal; the one sentence of systemctl status; names claimed at run time; a quiet journal, whatever
# strangers send and however many connections are open.

import json

SERVICE = "data-mesher.service"
EARTH_AT_ALPHA = ["192.168.1.1", "2001:db8:1::1"]
EARTH_AT_BETA = ["192.168.1.2", "2001:db8:1::2"]
IDS = {
    "caa8a07e454a4e649a1ab1d0a206882c": "held", "a3c6c0ba9bef41828b29bcba67baba9d": "waiting",
    "2eb1e30ceeae4b0ba61b417626faf1ad": "lost", "9be19d46adcd4d02aaabba6bdd5dfd95": "released",
    "a9ed1c0d69f345cdb643c6a9f99d0237": "taken", "753967c5e0374e788b9406f1aabd7cd4": "gone",
}


def entries(machine, *matches):
    lines = machine.succeed(f"journalctl --quiet --output=json --unit=data-mesher {' '.join(matches)}").splitlines()
    return [json.loads(line) for line in lines]


def story(machine, name):
    """What happened to a name, in the order of the journal: the event, and the host it is about."""
    return [(IDS[e["MESSAGE_ID"]], e["MESHER_HOST"]) for e in entries(machine, f"MESHER_NAME={name}") if e["MESSAGE_ID"] in IDS]


def sentence(machine):
    """The sentence, the same wherever it is read; it may change between two readings."""
    said = []

    def same(_last):
        nonlocal said
        text = machine.get_unit_property(SERVICE, "StatusText")
        shown = [line.strip() for line in machine.execute(f"systemctl status --full --no-pager {SERVICE}")[1].splitlines()]
        said = [text, json.loads(machine.succeed("mesherctl status --json"))["sentence"], shown]
        return said[0] == said[1] and f'Status: "{text}"' in shown

    try:
        retry(same, timeout=10)
    except AssertionError as error:
        raise AssertionError(said) from error
    return said[0]


def generation(machine):
    return json.loads(machine.succeed("mesherctl status --json"))["table"]["generation"]


start_all()
alpha.wait_for_unit(SERVICE)
wait_for_answers([alpha], {"earth.sol": EARTH_AT_ALPHA})
beta.wait_for_unit("multi-user.target")
beta.succeed(f"systemctl enable --now {SERVICE}")
wait_for_answers([alpha, beta], {"earth.sol": EARTH_AT_ALPHA, "mars.sol": EARTH_AT_BETA})

with subtest("one true sentence"):
    for machine, waits in ((alpha, ""), (beta, ", 1 waited for (earth, held by alpha)")):
        retry(lambda _last: sentence(machine) == f"sol: 1 peer, 3 names{waits}; table {generation(machine)}", timeout=20)

with subtest("nothing is written while nothing happens"):
    alpha.succeed("mesherctl status >/dev/null")
    before = len(entries(alpha)), len(entries(beta))
    alpha.sleep(6)
    assert (len(entries(alpha)), len(entries(beta))) == before

with subtest("peers are told of by their names, not by numbers"):
    # beta knew nothing of alpha when it met it.
    beta.wait_until_succeeds(f"journalctl --quiet --unit={SERVICE} MESHER_HOST=alpha | grep -F 'alpha (192.168.1.1:7946) is there'", timeout=30)

with subtest("explain: a name that a wildcard answers"):
    alpha.succeed("mesherctl claim '*.mercury'")
    wait_for_answers([beta], {"moon.mercury.sol": EARTH_AT_ALPHA}, 20)
    text = beta.succeed("mesherctl explain moon.mercury")
    for words in ("nobody holds moon.mercury.sol itself, so *.mercury.sol answers: alpha holds", "alpha, *.mercury.sol  holds it", "(by a wildcard)", "from the nsswitch source mesher"):
        assert words in text, (words, text)
    alpha.succeed("mesherctl release '*.mercury'")
    wait_for_answers([beta], {"moon.mercury.sol": []}, 20)
    assert beta.execute("mesherctl explain moon.mercury")[0] == 1

with subtest("explain: who claims it, since when, by which rule, until when, what the table and programs say"):
    text = beta.succeed("mesherctl explain earth")
    for words in ("alpha holds earth.sol: of 2 claims that count, its is the earliest unbroken one", "CLAIMED BY", "SINCE",
                  "beta (this machine)  waits", "left, until 20", "table        earth.sol: 192.168.1.1 2001:db8:1::1",
                  "(from the nsswitch source mesher)"):
        assert words in text, (words, text)
    found = json.loads(beta.succeed("mesherctl explain earth.sol --json"))
    assert [c["label"] for c in found["claimants"]] == ["alpha", "beta"] and found["answered_by"] == "mesher", found
    assert set(found["getaddrinfo"]) == set(EARTH_AT_ALPHA), found
    status, text = beta.execute("mesherctl explain pluto 2>&1")
    assert status == 1 and "nobody in the network claims 'pluto.sol'" in text and "getaddrinfo  nothing" in text, text
    beta.succeed("echo '10.9.9.9 earth.sol' >> /etc/hosts")
    assert "getaddrinfo  10.9.9.9  (from the nsswitch source files)" in beta.succeed("mesherctl explain earth")
    beta.succeed("sed -i /earth.sol/d /etc/hosts")

with subtest("earth changes hands, and the journal tells it"):
    beta.succeed("systemd-run --quiet --unit=watch --service-type=exec sh -c 'mesherctl watch --json > /run/watched'")
    beta.wait_until_succeeds("test -s /run/watched", timeout=10)
    alpha.crash()
    wait_for_answers([beta], {"earth.sol": EARTH_AT_BETA}, within=30)
    alpha.start()
    alpha.wait_for_unit(SERVICE)
    wait_for_answers([alpha, beta], {"earth.sol": EARTH_AT_BETA, "mercury.sol": EARTH_AT_ALPHA}, within=30)
    assert story(beta, "earth.sol") == [("taken", "alpha"), ("waiting", "alpha"), ("held", "beta")], story(beta, "earth.sol")
    retry(lambda _last: story(alpha, "earth.sol")[-1] == ("waiting", "beta"), timeout=20)
    told = story(alpha, "earth.sol")
    assert told[0] == ("held", "alpha") and ("held", "beta") not in told, told
    assert any(event in ("lost", "taken") and host == "beta" for event, host in told), told
    explained = beta.succeed("journalctl --quiet --catalog --unit=data-mesher MESHER_NAME=earth.sol")
    assert "See: mesherctl explain earth.sol" in explained and "This machine holds earth.sol" in explained, explained
    watched = [json.loads(line)["change"] for line in beta.succeed("cat /run/watched").splitlines()]
    assert any(c and c["kind"] == "name_held" and c["name"] == "earth.sol" for c in watched), watched
    retry(lambda _last: sentence(alpha) == f"sol: 1 peer, 3 names, 1 waited for (earth, held by beta); table {generation(alpha)}", timeout=20)

with subtest("a name claimed at run time is kept over a reboot, shown as such, and given up"):
    said = beta.succeed("mesherctl claim pluto")
    assert said == "pluto.sol is claimed, and held by this machine\n", said
    wait_for_answers([alpha, beta], {"pluto.sol": EARTH_AT_BETA})
    assert "is claimed already" not in beta.fail("mesherctl claim pluto 2>&1")
    beta.reboot()
    beta.wait_for_unit(SERVICE)
    wait_for_answers([alpha, beta], {"pluto.sol": EARTH_AT_BETA}, within=30)
    assert "pluto.sol  (claimed at run time)" in beta.succeed("mesherctl status")
    beta.fail("mesherctl release mars")
    assert beta.succeed("mesherctl release pluto") == "pluto.sol is released\n"
    wait_for_answers([alpha, beta], {"pluto.sol": []})
    assert story(beta, "pluto.sol")[-1] == ("released", "beta"), story(beta, "pluto.sol")
    assert story(alpha, "pluto.sol")[0] == ("taken", "beta") and story(alpha, "pluto.sol")[-1] == ("gone", "beta")

with subtest("a thousand garbage datagrams: one line, each counted"):
    def dropped():
        text = alpha.succeed("mesherctl metrics")
        return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("mesher_gossip_not_ours_total"))

    counted, lines = dropped(), len(entries(alpha))
    beta.succeed(
        "python3 -c 'import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for i in range(1000): s.sendto(b\"GET / HTTP/1.1\", (\"192.168.1.1\", 7946))'"
    )
    retry(lambda _last: dropped() - counted >= 900, timeout=20)
    told = [e["MESSAGE"] for e in entries(alpha)[lines:]]
    assert len(told) == 1 and "192.168.1.2" in told[0] and "more since the last line" in told[0], told
    assert "192.168.1.2" in alpha.succeed("journalctl --quiet -u data-mesher MESSAGE_ID=c7e5d67c831b46aab049ee84aeb3d036 --output=json")

with subtest("a thousand open connections and half-sent requests hurt nobody"):
    alpha.succeed(
        "cat > /run/hold.py <<'END'\n"
        "import socket, time\n"
        "held = []\n"
        "for i in range(1000):\n"
        "    s = socket.socket(socket.AF_UNIX)\n"
        "    s.connect('/run/data-mesher/mesherd.sock')\n"
        "    if i % 2:\n"
        "        s.send(b'{\"method\":\"org.datamesher.mesh')\n"
        "    held.append(s)\n"
        "open('/run/holding', 'w').close()\n"
        "time.sleep(600)\n"
        "END",
        "systemd-run --quiet --unit=hold --property=LimitNOFILE=4096 python3 /run/hold.py",
    )
    alpha.wait_for_file("/run/holding", timeout=30)
    with lookups(alpha, {"earth.sol": EARTH_AT_BETA}):
        for _ in range(10):
            alpha.succeed("timeout 5 mesherctl status >/dev/null")
    assert alpha.get_unit_property(SERVICE, "NRestarts") == "0"
    alpha.succeed("systemctl stop hold.service")

with subtest("started by hand it speaks plainly on standard error"):
    status, said = alpha.execute("mesherd --config /absent/config.toml 2>&1")
    assert status == 78 and "ERROR /absent/config.toml: " in said and "<3>" not in said, (status, said)

with subtest("why it does not start is told under its unit, be the journal as late as it may"):
    alpha.succeed(
        f"systemctl stop {SERVICE}", "echo 'nmaes = 1' >> /etc/data-mesher/config.toml",
        "kill -STOP $(systemctl show -P MainPID systemd-journald.service)",
    )
    alpha.execute(f"systemctl start {SERVICE}", timeout=30)
    assert alpha.get_unit_property(SERVICE, "ExecMainStatus") == "78"
    alpha.succeed("kill -CONT $(systemctl show -P MainPID systemd-journald.service)")
    alpha.wait_until_succeeds("journalctl --quiet --unit=data-mesher --priority=err | grep -F 'nmaes: unknown key'", timeout=20)
