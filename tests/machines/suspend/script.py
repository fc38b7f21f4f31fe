# A machine that is suspended: for shorter than the TTL it costs nothing; for longer its claims are broken, whoever waited holds
# the name and keeps it. (Every process is frozen; unlike in a real suspend CLOCK_MONOTONIC goes on too.)

import time

TTL = 9.0
SERVICE = "data-mesher.service"
ALPHA = ["192.168.1.1", "2001:db8:1::1"]
BETA = ["192.168.1.2", "2001:db8:1::2"]
BEFORE = {"mercury.sol": ALPHA, "earth.sol": ALPHA, "mars.sol": BETA}
AFTER = {"mercury.sol": ALPHA, "earth.sol": BETA, "mars.sol": BETA}

alpha.start()
wait_for_answers([alpha], {"earth.sol": ALPHA})
beta.start()
wait_for_answers([alpha, beta], BEFORE)

with subtest("suspended for a sixth of the TTL, which with a renewal's interval is well inside a lease: nobody notices"):
    with lookups(beta, {"earth.sol": ALPHA, "mercury.sol": ALPHA}):
        for _ in range(2):
            alpha.freeze()
            time.sleep(TTL / 6)
            alpha.thaw()
            time.sleep(TTL / 3)
        time.sleep(TTL / 2)
    wait_for_answers([alpha, beta], BEFORE, 2)

with subtest("suspended for longer than the TTL: earth passes to beta, mercury goes"):
    alpha.freeze()
    wait_for_answers([beta], {"mercury.sol": [], "earth.sol": BETA, "mars.sol": BETA}, TTL + 10,
                     {"earth.sol": [ALPHA, BETA], "mars.sol": [BETA]})
    time.sleep(TTL / 2)

with subtest("resumed: alpha gets mercury back, and earth stays beta's on both"):
    alpha.thaw()
    # beta, which was there all the time, never gives earth away. alpha may see its old table for a moment.
    took = wait_for_answers([beta], AFTER, 15, {"earth.sol": [BETA], "mercury.sol": [ALPHA, []]})
    took += wait_for_answers([alpha], AFTER, 15, {"earth.sol": [ALPHA, BETA, []]})
    log.info(f"as it should be after {took:.2f} s")
    time.sleep(TTL)
    wait_for_answers([alpha, beta], AFTER, 2, {"earth.sol": [BETA], "mercury.sol": [ALPHA]})

with subtest("the journal says why"):
    said = alpha.succeed(f"journalctl --quiet --output=cat -u {SERVICE}")
    assert "are broken" in said, said

with subtest("beta asleep in turn: earth goes back, for alpha waited"):
    beta.freeze()
    wait_for_answers([alpha], {"mercury.sol": ALPHA, "earth.sol": ALPHA, "mars.sol": []}, TTL + 10)
    beta.thaw()
    wait_for_answers([alpha, beta], BEFORE, 15)
