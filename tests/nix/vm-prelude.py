# What the scenarios' scripts find by name in the project's own driver and not in the NixOS test driver, made of what that has.
# A VM test's script is: a line with the machines (`machines = [alpha, beta]`), one with their addresses
# (`addresses_of = {"alpha": [...]}`), this file, tests/machines/driver/lookups.py, and the scenario's script.
import os
import random

# For the annotations in lookups.py.
Machine = object


class report:
    """Where the project's own driver writes what has happened."""

    @staticmethod
    def event(who, what):
        log.info(f"{who}: {what}")


def _drop(machine, rule):
    """Has a machine drop what comes in and is like this. It lasts until its next boot, or `heal`."""
    table = "table inet scenario { chain input { type filter hook input priority -300; }; }"
    machine.succeed(f"nft '{table}; add rule inet scenario input {rule} drop'")


def partition(one_side, other_side):
    """Cuts every link between the two."""
    for here, there in ((one_side, other_side), (other_side, one_side)):
        for machine in here:
            for address in (each for other in there for each in addresses_of[other.name]):
                _drop(machine, f"{'ip6' if ':' in address else 'ip'} saddr {address}")
    report.event("network", "cut")


def lose(percent):
    """Loses that share of all packets, by chance."""
    for machine in machines:
        _drop(machine, f"iifname eth1 numgen random mod 100 < {percent}")
    report.event("network", f"losing {percent} %")


def heal():
    """Takes back every `partition` and `lose`."""
    for machine in machines:
        machine.execute("nft delete table inet scenario")
    report.event("network", "whole again")


def random_numbers():
    """Random choices; the log tells how to repeat them."""
    seed = os.environ.get("MESHER_MACHINES_SEED") or f"{random.getrandbits(32)}"
    report.event("script", f"MESHER_MACHINES_SEED={seed} repeats its choices")
    return random.Random(seed)
