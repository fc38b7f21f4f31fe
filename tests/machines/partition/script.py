# A network that falls apart and comes together again: each side resolves what it can see, both claim the same names, and
# afterwards the earliest unbroken claim holds everywhere. Then a single link, cut and restored.

import time

TTL = 8.0
# Bootstrap nodes are tried every 15 s, give or take a quarter, by somebody who hears nobody.
AGAIN = 25.0
SERVICE = "data-mesher.service"
ALPHA = ["192.168.1.1", "2001:db8:1::1"]
BETA = ["192.168.1.2", "2001:db8:1::2"]
GAMMA = ["192.168.1.3", "2001:db8:1::3"]
WHOLE = {"mercury.sol": ALPHA, "earth.sol": ALPHA, "mars.sol": BETA, "saturn.sol": GAMMA}


def told(machine, name):
    """What the daemon told of a name."""
    return machine.succeed(f"journalctl --quiet --output=cat -u {SERVICE} MESHER_NAME={name}")


alpha.start()
alpha.wait_for_unit(SERVICE)
wait_for_answers([alpha], {"earth.sol": ALPHA})
for machine in (beta, gamma):
    machine.start()
    machine.wait_for_unit(SERVICE)
wait_for_answers(machines, WHOLE)

with subtest("alpha is cut off: each side keeps what it sees, the rest runs out, and earth passes on the other side"):
    partition([alpha], [beta, gamma])
    before = time.monotonic()
    # Whoever is up and merely sees nobody goes on renewing: its own names never leave it.
    wait_for_answers(
        [beta, gamma], {"mercury.sol": [], "earth.sol": GAMMA, "mars.sol": BETA, "saturn.sol": GAMMA}, TTL + 10,
        {"earth.sol": [ALPHA, GAMMA], "saturn.sol": [GAMMA], "mars.sol": [BETA]},
    )
    assert time.monotonic() - before > TTL * 0.5, "the lease ended early"
    wait_for_answers(
        [alpha], {"mercury.sol": ALPHA, "earth.sol": ALPHA, "mars.sol": [], "saturn.sol": []}, TTL + 10,
        {"earth.sol": [ALPHA], "mercury.sol": [ALPHA]},
    )

with subtest("both sides claim pluto, gamma's first, and ceres, alpha's first"):
    gamma.succeed("mesherctl claim pluto")
    alpha.succeed("mesherctl claim ceres")
    time.sleep(0.5)
    alpha.succeed("mesherctl claim pluto")
    gamma.succeed("mesherctl claim ceres")
    wait_for_answers([alpha], {"pluto.sol": ALPHA, "ceres.sol": ALPHA}, 5)
    wait_for_answers([beta, gamma], {"pluto.sol": GAMMA, "ceres.sol": GAMMA}, 5)

with subtest("healed: the earliest unbroken claims hold everywhere, and whoever lost is told so"):
    heal()
    healed = {**WHOLE, "pluto.sol": GAMMA, "ceres.sol": ALPHA}
    took = wait_for_answers(
        machines, healed, AGAIN,
        # Nobody loses what was his alone, and no name has a moment without a holder.
        {"earth.sol": [ALPHA, GAMMA], "pluto.sol": [ALPHA, GAMMA], "ceres.sol": [ALPHA, GAMMA]},
    )
    log.info(f"one view after {took:.2f} s")
    for loser, winner, name in ((gamma, "alpha", "earth.sol"), (alpha, "gamma", "pluto.sol"), (gamma, "alpha", "ceres.sol")):
        said = told(loser, name)
        assert "passed from this machine" in said and f"to {winner} " in said, f"{loser.name} on {name}: {said!r}"
    # Past the end of every lease and renewal: nothing turns it back.
    time.sleep(TTL)
    wait_for_answers(machines, healed, 2, {name: [addresses] for name, addresses in healed.items()})

with subtest("beta's link is cut: there its own name goes on, elsewhere it runs out"):
    beta.block()
    wait_for_answers([alpha, gamma], {**healed, "mars.sol": []}, TTL + 10, {"earth.sol": [ALPHA], "pluto.sol": [GAMMA]})
    wait_for_answers([beta], {"mars.sol": BETA, "mercury.sol": [], "saturn.sol": []}, TTL + 10, {"mars.sol": [BETA]})

with subtest("the link is back: so are the names, everywhere"):
    beta.unblock()
    # beta may hear of gamma, which waits for earth, a moment before it hears of alpha.
    took = wait_for_answers(machines, healed, AGAIN, {"mars.sol": [BETA, []], "earth.sol": [ALPHA, GAMMA, []]})
    log.info(f"one view after {took:.2f} s")

with subtest("a link that flaps, for shorter than the TTL, costs nothing"):
    with lookups(alpha, {"mars.sol": BETA}), lookups(beta, {"mercury.sol": ALPHA, "mars.sol": BETA}):
        for _ in range(4):
            beta.block()
            time.sleep(1)
            beta.unblock()
            time.sleep(0.5)
        time.sleep(TTL)
    wait_for_answers(machines, healed, 2, {name: [addresses] for name, addresses in healed.items()})

with subtest("no daemon failed or was restarted on the way"):
    for machine in machines:
        assert machine.get_unit_property(SERVICE, "NRestarts") == "0"
