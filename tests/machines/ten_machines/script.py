# Ten machines at once: nine that boot before their only bootstrap node and wait for it, then all ten together after a power cut.

import time

SERVICE = "data-mesher.service"
PLANETS = ["mercury", "venus", "terra", "mars", "jupiter", "saturn", "uranus", "neptune", "pluto", "ceres"]
OWN = {
    f"{planet}.sol": [f"192.168.1.{number}", f"2001:db8:1::{number:x}"] for number, planet in enumerate(PLANETS, start=1)
}
others = [machine for machine in machines if machine is not alpha]

with subtest("nine machines boot at once, and wait for the network's settings without failing"):
    for machine in others:
        machine.start()
    for machine in others:
        machine.wait_for_unit(SERVICE, timeout=60)
    for machine in others:
        # Nothing to claim by yet: they say what they wait for.
        machine.wait_until_succeeds(
            f"journalctl --quiet -u {SERVICE} | grep -F \"no peer has passed on the network's settings\"", timeout=20
        )
        assert machine.get_unit_property(SERVICE, "NRestarts") == "0"
    # So long that those who wait have slowed down.
    time.sleep(10)

with subtest("the bootstrap node comes up last: every name on every machine"):
    alpha.start()
    # Those who hear nobody try every 15 s, give or take a quarter.
    took = wait_for_answers(machines, OWN, 45)
    log.info(f"ten names on ten machines after {took:.1f} s")

with subtest("ten claim earth, one holds it, the same everywhere"):
    seen = [answers(machine, ["earth.sol"])["earth.sol"] for machine in machines]
    assert seen[0] and all(each == seen[0] for each in seen), seen
    holder = sorted(seen[0])

with subtest("all ten lose power, and boot at once: every name is back, and earth is whose it was"):
    for machine in machines:
        machine.crash()
    begun = time.monotonic()
    start_all()
    for machine in machines:
        machine.wait_for_unit(SERVICE, timeout=60)
    wait_for_answers(machines, {**OWN, "earth.sol": holder}, 30, {"earth.sol": [holder, []]})
    log.info(f"booted and whole after {time.monotonic() - begun:.1f} s")

with subtest("no daemon was restarted"):
    for machine in machines:
        assert machine.get_unit_property(SERVICE, "NRestarts") == "0", machine.name
