# The daemon dies, is restarted and replaced, over and over, while programs look names up without pause: not one lookup fails, on the
# machine itself or on its peer. The table's lease bridges what the daemon is away.

import json
import os
import time

KILLS = int(os.environ.get("MESHER_KILLS", "20"))
SERVICE = "data-mesher.service"
ALPHA = ["192.168.1.1", "2001:db8:1::1"]
BETA = ["192.168.1.2", "2001:db8:1::2"]
OWN = {"mercury.sol": ALPHA, "earth.sol": ALPHA, "mars.sol": BETA}


def main_pid():
    return alpha.get_unit_property(SERVICE, "MainPID")


def epoch():
    """Since when earth is claimed, as the peer knows it."""
    return json.loads(beta.succeed("mesherctl --json explain earth"))["claimants"][0]["epoch_unix_ms"]


def let_it_speak():
    """Waits until the peer has heard of a renewal. Who dies more often than it can speak cannot renew, and loses its names by right."""
    def heard(_last):
        peers = json.loads(beta.succeed("mesherctl --json peers"))["peers"]
        return any(peer["label"] == "alpha" and peer["age_ms"] is not None and peer["age_ms"] < 3_000 for peer in peers)

    alpha.wait_for_unit(SERVICE)
    retry(heard, timeout=8)


def kill():
    alpha.execute(f"systemctl kill --kill-whom=main --signal=KILL {SERVICE}")


numbers = random_numbers()
alpha.start()
alpha.wait_for_unit(SERVICE)
wait_for_answers([alpha], {"earth.sol": ALPHA})
beta.start()
beta.wait_for_unit(SERVICE)
wait_for_answers([alpha, beta], OWN)
claimed = epoch()

with subtest(f"kill -9, {KILLS} times at random moments"):
    with lookups(alpha, OWN), lookups(beta, OWN):
        for number in range(KILLS):
            # Also while it starts: systemd waits 0.1 s before it does.
            time.sleep(numbers.choice([0.02, 0.15, 0.2, 0.3, numbers.uniform(0.1, 1.0)]))
            kill()
            if number % 5 == 4:
                let_it_speak()
        # Past every lease and renewal.
        time.sleep(12)
    alpha.wait_for_unit(SERVICE)
    assert epoch() == claimed

with subtest("kill -9 under a storm of changes: names come and go, and the table in its place is always whole"):
    alpha.succeed(
        "systemd-run --quiet --unit=churn bash -c 'while true; do for n in $(seq 10); do mesherctl claim moon-$n; done;"
        " for n in $(seq 10); do mesherctl release moon-$n; done; done'"
    )
    with lookups(alpha, OWN), lookups(beta, OWN):
        for number in range(KILLS):
            time.sleep(numbers.uniform(0.1, 0.6))
            kill()
            if number % 5 == 4:
                let_it_speak()
            alpha.succeed("mesherctl table dump /run/data-mesher/hosts.table | grep -F mercury.sol")
    alpha.succeed("systemctl stop churn.service")
    alpha.wait_for_unit(SERVICE)
    assert epoch() == claimed
    assert not alpha.succeed("find /var/lib/data-mesher -name '*.corrupt-*'")

with subtest("restarts"):
    # Who was dead most of the time has not heard its peer's renewals.
    wait_for_answers([alpha, beta], OWN)
    with lookups(alpha, OWN), lookups(beta, OWN):
        for _ in range(5):
            alpha.succeed(f"systemctl restart {SERVICE}")
            time.sleep(numbers.uniform(0, 1))
        time.sleep(3)

with subtest("an upgrade, and back: other programs, another module, one restart each"):
    # Different files under the same names, as another version's are.
    alpha.succeed(
        "cp -r /root/dist /root/other",
        "for file in /root/other/usr/bin/mesherd /root/other/usr/bin/mesherctl; do echo other >> $file; done",
        "echo '# another version' >> /root/other/usr/lib/systemd/system/data-mesher.service",
    )
    with lookups(alpha, OWN), lookups(beta, OWN):
        for version in ("other", "dist", "other"):
            before = main_pid()
            alpha.succeed(f"/root/xtask install --from /root/{version}")
            alpha.wait_for_unit(SERVICE)
            assert main_pid() != before, "the old program goes on"
            alpha.succeed(f"cmp /proc/{main_pid()}/exe /root/{version}/usr/bin/mesherd")
        time.sleep(3)
    assert epoch() == claimed
