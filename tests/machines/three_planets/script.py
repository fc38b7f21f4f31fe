# Three machines find each other by name: who holds which name, as every machine on the link sees it, while machines come,
# go, reboot and come back.

import contextlib
import time

# As in nodes.toml.
TTL = 10.0
# How long the others may take to follow: some gossip rounds, and a join that waits for peers in vain (5 s).
SOON = 10.0

ADDRESSES = {
    "alpha": {"192.168.1.1", "2001:db8:1::1"},
    "beta": {"192.168.1.2", "2001:db8:1::2"},
    "gamma": {"192.168.1.3", "2001:db8:1::3"},
}
ALPHAS = {"mercury": "alpha", "venus": "alpha"}
BETAS = {"mars": "beta", "jupiter": "beta"}
GAMMAS = {"saturn": "gamma", "uranus": "gamma", "neptune": "gamma"}
PLANETS = ["mercury", "venus", "earth", "mars", "jupiter", "saturn", "uranus", "neptune"]
SERVICE = "data-mesher.service"


def ask(machine):
    """Every planet's holder as `getent ahosts` tells it on a machine. An answer that is no machine's addresses, exactly,
    is given as it came."""
    lookups = "; ".join(
        f"echo {name}: $(getent ahosts {name}.sol | cut -d' ' -f1 | sort -u; test ${{PIPESTATUS[0]}} -le 2 || echo error)"
        for name in PLANETS
    )
    seen = {}
    # `getent` ends with 2 for a name that does not resolve: that is an answer here.
    for line in machine.succeed(f"set +e +o pipefail; {lookups}; true").splitlines():
        name, _, answer = line.partition(":")
        addresses = set(answer.split())
        holder = next((host for host, own in ADDRESSES.items() if own == addresses), None)
        if addresses:
            seen[name] = holder or f"nobody's addresses: {sorted(addresses)}"
    return seen


def wait_for(watched, wanted, within, meanwhile):
    """Waits until every machine watched sees exactly the holders wanted. What it sees meanwhile of names in `meanwhile`
    must be one of the holders there, None standing for a name that does not resolve."""
    begun = time.monotonic()
    waiting = list(watched)
    while True:
        for machine in list(waiting):
            seen = ask(machine)
            for name, allowed in meanwhile.items():
                assert seen.get(name) in allowed, (
                    f"{machine.name} sees {name}.sol as {seen.get(name)} after {time.monotonic() - begun:.2f} s, "
                    f"allowed: {allowed}; all it sees: {seen}"
                )
            if seen == wanted:
                waiting.remove(machine)
        if not waiting:
            log.info(f"seen by {', '.join(m.name for m in watched)} after {time.monotonic() - begun:.2f} s")
            return
        if time.monotonic() - begun > within:
            lacking = {m.name: {"sees": ask(m), "expected": wanted} for m in waiting}
            raise AssertionError(f"not within {within:.1f} s: {lacking}")
        time.sleep(0.1)


def always(holders):
    """For `meanwhile`: these names have these holders throughout."""
    return {name: [holder] for name, holder in holders.items()}


@contextlib.contextmanager
def lookup_loop(machine, holders):
    """A loop of `getent ahosts` on a machine, which must get every name's IPv4 and IPv6 address every time."""
    checks = ""
    for name, holder in holders.items():
        v4, v6 = sorted(ADDRESSES[holder])
        checks += f"""
            out=$(getent ahosts {name}.sol) || out="status $? $out"
            case "$out" in *{v4}" "*) ;; *) echo "$(date +%T.%N) {name}.sol: $out" >> /run/loop.missed ;; esac
            case "$out" in *{v6}" "*) ;; *) echo "$(date +%T.%N) {name}.sol: $out" >> /run/loop.missed ;; esac
            count=$((count + 1))"""
    loop = f"""
        count=0
        until [ -e /run/loop.stop ]; do {checks}
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
    assert not missed, f"{len(missed)} of {count} lookups on {machine.name} went wrong:\n" + "\n".join(missed[:20])
    assert count > 50, f"only {count} lookups: the loop shows nothing"
    log.info(f"{count} lookups on {machine.name}, each right")


with subtest("1: alpha alone resolves its own names, and no others"):
    alpha.start()
    alpha.wait_for_unit(SERVICE)
    wait_for([alpha], {**ALPHAS, "earth": "alpha"}, SOON, {name: [None] for name in [*BETAS, *GAMMAS]})
    for name in ("mars.sol", "mercury", "mercury.sol.sol", "sol", "pluto.sol", "earth.so"):
        alpha.fail(f"getent ahosts {name}")

with subtest("2: with beta and gamma, all eight names on all three; earth is alpha's"):
    beta.start()
    gamma.start()
    beta.wait_for_unit(SERVICE)
    gamma.wait_for_unit(SERVICE)
    everything = {**ALPHAS, "earth": "alpha", **BETAS, **GAMMAS}
    # gamma never takes earth for its own, not even while it joins.
    wait_for([gamma, beta, alpha], everything, SOON, {"earth": [None, "alpha"]})

with subtest("2: in every form in which a program may ask"):
    for machine in (alpha, beta, gamma):
        v4 = machine.succeed("getent ahostsv4 mars.sol | cut -d' ' -f1 | sort -u").split()
        v6 = machine.succeed("getent ahostsv6 mars.sol | cut -d' ' -f1 | sort -u").split()
        assert (v4, v6) == (["192.168.1.2"], ["2001:db8:1::2"]), (machine.name, v4, v6)
        for address in ("192.168.1.2", "2001:db8:1::2"):
            names = machine.succeed(f"getent hosts {address}").split()[1:]
            assert set(names) <= {"mars.sol", "jupiter.sol"} and names, (machine.name, address, names)
        assert machine.succeed("getent ahosts MARS.Sol | cut -d' ' -f1 | sort -u").split() == v4 + v6
    alpha.succeed("ping -n -c 1 -W 2 neptune.sol")

with subtest("8: a reboot of gamma well inside the TTL costs it nothing"):
    with lookup_loop(alpha, {**GAMMAS, "earth": "alpha"}), lookup_loop(beta, GAMMAS):
        gamma.reboot()
        gamma.wait_for_unit(SERVICE)
        # What it knew is published before it is ready, before it has heard from anybody.
        seen = ask(gamma)
        assert seen == everything, f"gamma, ready, sees {seen}"
        # Past the point where a claim made anew would have shown, or an old one run out.
        wait_for([gamma], everything, SOON, always(everything))
        time.sleep(TTL)
        wait_for([alpha, beta, gamma], everything, 0, always(everything))

with subtest("8: restarts of gamma under a loop of lookups lose not one"):
    with lookup_loop(gamma, everything):
        for _ in range(3):
            gamma.succeed(f"systemctl restart {SERVICE}")
            time.sleep(1)
        time.sleep(2)
    wait_for([alpha, beta, gamma], everything, 0, always(everything))

with subtest("3: alpha goes; after the TTL so do mercury and venus, and earth is gamma's"):
    before = time.monotonic()
    alpha.shutdown()
    # Stopping is no withdrawal. alpha renewed its claims at most a third of the TTL before it went.
    for machine in (beta, gamma):
        assert ask(machine) == everything, f"{machine.name} lost names at once: {ask(machine)}"
    time.sleep(max(0, before + TTL * 0.5 - time.monotonic()))
    for machine in (beta, gamma):
        assert ask(machine) == everything, f"{machine.name} lost names at half the TTL: {ask(machine)}"
    without_alpha = {"earth": "gamma", **BETAS, **GAMMAS}
    # earth passes from hand to hand: there is no moment without a holder.
    meanwhile = {"earth": ["alpha", "gamma"], **always({**BETAS, **GAMMAS})}
    wait_for([beta, gamma], without_alpha, before + TTL + 3 - time.monotonic(), meanwhile)

with subtest("4: beta goes; after the TTL so do mars and jupiter"):
    beta.shutdown()
    wait_for([gamma], {"earth": "gamma", **GAMMAS}, TTL + 2, always({"earth": "gamma", **GAMMAS}))

with subtest("5: alpha is back with mercury and venus; earth stays gamma's, for alpha too"):
    alpha.start()
    alpha.wait_for_unit(SERVICE)
    without_beta = {**ALPHAS, "earth": "gamma", **GAMMAS}
    wait_for([alpha, gamma], without_beta, SOON, {"earth": [None, "gamma"]})
    # And stays: nothing is left that could turn it back.
    time.sleep(TTL / 2)
    wait_for([alpha, gamma], without_beta, 0, always(without_beta))

with subtest("6: the service stopped on alpha: no name there, and none comes back while gamma sends to its port"):
    alpha.succeed(
        "nft 'add table inet seen; add chain inet seen input { type filter hook input priority 0; };"
        " add counter inet seen gossip; add rule inet seen input udp dport 7946 counter name gossip'"
    )
    alpha.succeed(f"systemctl stop {SERVICE}")
    wait_for([alpha], {}, 3, {})
    # The daemon on gamma still tries, in its own rhythm; this makes sure that there is no silence to hide behind.
    gamma.succeed(
        "systemd-run --quiet --unit=sender python3 -c '"
        "import socket, time\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "while True:\n"
        '    s.sendto(b"x" * 200, ("192.168.1.1", 7946))\n'
        "    time.sleep(0.01)'"
    )
    until = time.monotonic() + 6
    while time.monotonic() < until:
        seen = ask(alpha)
        assert not seen, f"names came back on alpha: {seen}"
        time.sleep(0.2)
    alpha.require_unit_state(SERVICE, "inactive")
    alpha.require_unit_state("data-mesher.socket", "inactive")
    received = int(alpha.succeed("nft list counter inet seen gossip | grep -o 'packets [0-9]*'").split()[1])
    assert received > 100, f"only {received} datagrams reached alpha: nothing was shown"
    log.info(f"{received} datagrams reached the closed port")

with subtest("7: the socket started on alpha, and nothing else: the names are back"):
    alpha.succeed("systemctl start data-mesher.socket")
    wait_for([alpha, gamma], without_beta, SOON, {"earth": [None, "gamma"]})
    alpha.require_unit_state(SERVICE, "active")
    gamma.succeed("systemctl stop sender.service")

with subtest("no daemon failed or was killed on the way"):
    for machine in (alpha, gamma):
        assert machine.succeed("systemctl list-units --failed --no-legend").strip() == ""
        assert machine.get_unit_property(SERVICE, "NRestarts") == "0"
