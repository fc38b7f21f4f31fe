# Interfaces and addresses that come, change and go: peers follow within 3 s, and no name is lost by it. One machine has no IPv4, one
# no IPv6.

import time

TTL = 8.0
# What is promised; some tenths of a second is usual.
FOLLOW = 3.0
SERVICE = "data-mesher.service"
ALPHA = ["192.168.1.1", "2001:db8:1::1"]
BETA = ["192.168.1.2", "2001:db8:1::2"]
GAMMA = ["2001:db8:1::3"]
DELTA = ["192.168.1.4"]
everything = {"mercury.sol": ALPHA, "mars.sol": BETA, "saturn.sol": GAMMA}


def usable(machine, wanted):
    """What getaddrinfo(3) gives of these addresses on a machine: on gamma, which has no IPv4, only IPv6, and for a host that has
    none, its IPv4 in that form."""
    if machine is not gamma:
        return wanted
    v6 = {name: [each for each in addresses if ":" in each] for name, addresses in wanted.items()}
    return {name: v6[name] or [f"::ffff:{each}" for each in addresses] for name, addresses in wanted.items()}


def wait_for(watchers, wanted, within=15.0, rest=None):
    """As `wait_for_answers`, with what each machine can use."""
    begun = time.monotonic()
    for machine in watchers:
        meanwhile = {name: [addresses] for name, addresses in usable(machine, rest or {}).items()}
        wait_for_answers([machine], usable(machine, wanted), max(0.5, begun + within - time.monotonic()), meanwhile)
    return time.monotonic() - begun


def follows(change, machine, wanted, watchers=None, within=FOLLOW):
    """What a machine's change leads to on others, in time, with every other name untouched."""
    watchers = watchers or [each for each in machines if each is not machine]
    rest = {name: addresses for name, addresses in everything.items() if name not in wanted}
    # Asking takes its time too, on a busy machine more than what is measured.
    begun = time.monotonic()
    for watcher in watchers:
        answers(watcher, list(everything))
    asking = time.monotonic() - begun
    machine.succeed(change)
    took = wait_for(watchers, wanted, within + asking, rest)
    everything.update(wanted)
    log.info(f"{', '.join(wanted)} followed after {took:.2f} s")


start_all()
for machine in machines:
    machine.wait_for_unit(SERVICE)
wait_for(machines, everything)

with subtest("an interface named by an alternative name that it gets only after the start"):
    assert "there is no interface uplink-of-this-machine yet" in delta.succeed(f"journalctl --quiet -u {SERVICE}")
    assert answers(alpha, ["neptune.sol"]) == {"neptune.sol": set()}
    follows("ip link property add dev eth1 altname uplink-of-this-machine", delta, {"neptune.sol": DELTA}, machines)

with subtest("a machine without IPv4 and one without IPv6 resolve each other, and go on to, beyond the TTL"):
    with lookups(gamma, usable(gamma, {"neptune.sol": DELTA})), lookups(delta, {"saturn.sol": GAMMA}):
        time.sleep(TTL + 2)
    wait_for(machines, everything, 2, everything)

with subtest("an interface that appears after the start"):
    follows(
        "ip link add mesh0 type veth peer name mesh0-end; ip link set mesh0-end up; ip address add 10.9.0.2/24 dev mesh0; ip link set mesh0 up",
        beta, {"mars.sol": [*BETA, "10.9.0.2"]}, machines,
    )

with subtest("it goes down, and up"):
    follows("ip link set mesh0 down", beta, {"mars.sol": BETA}, machines)
    follows("ip link set mesh0 up", beta, {"mars.sol": [*BETA, "10.9.0.2"]}, machines)

with subtest("it is gone, and another of that name comes"):
    follows("ip link delete mesh0", beta, {"mars.sol": BETA}, machines)
    follows(
        "ip link add mesh0 type veth peer name mesh0-end; ip link set mesh0-end up; ip link set mesh0 up; ip address add fd00:9::2/64 dev mesh0 nodad",
        beta, {"mars.sol": [*BETA, "fd00:9::2"]}, machines,
    )
    follows("ip link delete mesh0", beta, {"mars.sol": BETA}, machines)

with subtest("an address changes: one of two"):
    follows(
        "ip address add 2001:db8:1::22/64 dev eth1 nodad; ip address del 2001:db8:1::2/64 dev eth1",
        beta, {"mars.sol": ["192.168.1.2", "2001:db8:1::22"]}, machines,
    )

with subtest("the only address changes, as DHCP does it"):
    # In this order: the kernel takes the further addresses of a subnet away with the first one, unless told otherwise.
    follows(
        "ip address del 192.168.1.4/24 dev eth1; ip address add 192.168.1.44/24 dev eth1",
        delta, {"neptune.sol": ["192.168.1.44"]}, machines,
    )

with subtest("the only address is taken away, and another comes later"):
    # Nobody can hear it meanwhile: what peers know stays until the lease is over.
    delta.succeed("ip address flush dev eth1 scope global")
    wait_for_answers([delta], {"neptune.sol": []}, FOLLOW + 2)
    time.sleep(2)
    follows("ip address add 192.168.1.45/24 dev eth1", delta, {"neptune.sol": ["192.168.1.45"]}, machines)

with subtest("the only IPv6 address changes"):
    follows(
        "ip address add 2001:db8:1::33/64 dev eth1 nodad; ip address del 2001:db8:1::3/64 dev eth1",
        gamma, {"saturn.sol": ["2001:db8:1::33"]}, machines,
    )

with subtest("the bootstrap node changes its addresses under everybody"):
    follows(
        "ip address del 192.168.1.1/24 dev eth1; ip address add 192.168.1.11/24 dev eth1;"
        " ip address del 2001:db8:1::1/64 dev eth1; ip address add 2001:db8:1::11/64 dev eth1 nodad",
        alpha, {"mercury.sol": ["192.168.1.11", "2001:db8:1::11"]}, machines,
    )

with subtest("link-local addresses, where they are asked for: each machine answers with its own interface behind them"):
    own = "ip -6 -brief address show dev eth1 scope link | grep -o 'fe80[^/ ]*'"
    linked = alpha.succeed(own).strip()
    for machine in (alpha, beta):
        machine.succeed("sed -i 's/^\\[host\\]/[host]\\nlink_local = true/' /etc/data-mesher/config.toml", "mesherctl reload")
    beta.wait_until_succeeds(f"getent ahosts mercury.sol | grep -E '^{linked}%'", timeout=20)
    text = beta.succeed("mesherctl explain mercury")
    assert f"{linked}%eth1" in text and "from the nsswitch source mesher" in text, text
    # Who has not asked for them is not told of any. What is of no use to a machine without IPv4 speaks for no cache in between.
    assert linked not in gamma.succeed("getent ahosts mercury.sol")
    text = gamma.succeed("mesherctl explain mercury")
    assert "from the nsswitch source mesher" in text, text
    for machine in (alpha, beta):
        machine.succeed("sed -i /link_local/d /etc/data-mesher/config.toml", "mesherctl reload")
    beta.wait_until_fails(f"getent ahosts mercury.sol | grep -F {linked}", timeout=20)

with subtest("all of it stands beyond the TTL, and nobody was restarted"):
    time.sleep(TTL)
    wait_for(machines, everything, 2, everything)
    for machine in machines:
        assert machine.get_unit_property(SERVICE, "NRestarts") == "0"
