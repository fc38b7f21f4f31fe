# Power cuts at random moments, of the first start, of later starts, and of a time of many changes: never a corrupt state, a
# lost key, a name lost or a broken table. What was not synchronised is really lost: alpha's state lies on a disk that is taken down
# with its journal unwritten.

import json
import os
import time

CUTS = int(os.environ.get("MESHER_POWER_CUTS", "10"))
SERVICE = "data-mesher.service"
STATE = "/var/lib/data-mesher"
ALPHA = ["192.168.1.1", "2001:db8:1::1"]
BETA = ["192.168.1.2", "2001:db8:1::2"]
# Names that come and go without end, ten at a time: each change is saved, announced, and published in a table.
CHURN = (
    "systemd-run --quiet --unit=churn bash -c 'while true; do for n in 0 1 2 3 4 5 6 7 8 9; do mesherctl claim moon-$n; done;"
    " for n in 0 1 2 3 4 5 6 7 8 9; do mesherctl release moon-$n; done; done'"
)


def status(machine):
    return json.loads(machine.succeed("mesherctl --json status"))


def key_of(machine):
    """The host's key, as the running daemon has it."""
    return status(machine)["host"]["key"]


def set_aside():
    return alpha.succeed(f"find {STATE} -name '*.corrupt-*'").split()


def wait_until_up(why):
    """alpha is up with a whole state, and its table answers."""
    alpha.wait_for_unit(SERVICE, timeout=60)
    assert not set_aside(), f"{why}: set aside as corrupt: {set_aside()}"
    wait_for_answers([alpha], {"mercury.sol": ALPHA}, 20)
    said = alpha.succeed(f"journalctl --boot --quiet --output=cat -u {SERVICE}")
    for bad in ("panicked", "damaged", "torn", "replacing what is no table"):
        assert bad not in said, f"{why}: {bad!r} in the journal:\n{said}"


numbers = random_numbers()

with subtest("the power goes during the first starts: at any moment there is no key, or a whole one that stays"):
    keys = []
    for cut in range(max(3, CUTS // 5)):
        alpha.start()
        time.sleep(numbers.uniform(0.2, 1.5))
        alpha.crash()
        alpha.succeed(f"test ! -e {STATE}/host.key || test -s {STATE}/host.key")
        _, text = alpha.execute(f"cat {STATE}/host.key")
        keys += [text] if text else []
        alpha.crash()
    wait_until_up("after the first starts")
    keys.append(alpha.succeed(f"cat {STATE}/host.key"))
    # A key may be lost before anybody has seen it; from the first that was on disk on it is the same.
    assert len(set(keys)) == 1, f"{len(set(keys))} keys in {len(keys)} starts"
    key = key_of(alpha)

beta.start()
beta.wait_for_unit(SERVICE)
WHOLE = {"mercury.sol": ALPHA, "earth.sol": ALPHA, "mars.sol": BETA}
wait_for_answers([alpha, beta], WHOLE)
epoch = json.loads(beta.succeed("mesherctl --json explain earth"))["claimants"][0]["epoch_unix_ms"]

with subtest(f"{CUTS} power cuts, at random moments of starting and of much change"):
    for cut in range(CUTS):
        # Up to 1.5 s the machine boots and the daemon starts; later names change without pause.
        delay = numbers.uniform(0.3, 1.5) if cut % 2 else numbers.uniform(1.5, 3.0)
        alpha.start()
        begun = time.monotonic()
        if cut % 2 == 0:
            alpha.wait_for_unit(SERVICE, timeout=60)
            alpha.succeed(CHURN)
        time.sleep(max(0, begun + delay - time.monotonic()))
        alpha.crash()
        # Its lease bridges this: beta sees no change of hands.
        seen = answers(beta, list(WHOLE))
        assert seen == {name: set(each) for name, each in WHOLE.items()}, f"cut {cut}: beta sees {seen}"
        alpha.start()
        wait_until_up(f"cut {cut}, {delay:.3f} s after power-on")
        assert key_of(alpha) == key, f"cut {cut}: another key"
        wait_for_answers([alpha, beta], WHOLE, 20, {"earth.sol": [ALPHA, []], "mars.sol": [BETA, []]})
        found = json.loads(beta.succeed("mesherctl --json explain earth"))["claimants"][0]
        assert found["epoch_unix_ms"] == epoch, f"cut {cut}: earth's epoch went from {epoch} to {found['epoch_unix_ms']}"
        alpha.crash()
