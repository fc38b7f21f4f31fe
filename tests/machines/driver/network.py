"""The machines' link: one bridge in the sandbox, a veth pair for every machine."""

import subprocess
from pathlib import Path

BRIDGE = "br1"
INTERFACE = "eth1"


def create() -> None:
    """Makes the bridge. It forwards at once: there is no loop to look out for."""
    _ip("link", "add", BRIDGE, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
    _ip("link", "set", BRIDGE, "up")


def delete() -> None:
    """Removes the bridge and every rule of `cut` and `lose`."""
    mend()
    _ip("link", "delete", BRIDGE)


def plug(machine: str, number: int) -> Path:
    """A fresh network namespace for a machine that boots, with its end of a link to the bridge. Returns its path."""
    _ip("netns", "add", machine)
    # Addresses are usable at once: nobody else on this bridge could have them.
    for scope in ("all", "default"):
        subprocess.run(
            ["ip", "netns", "exec", machine, "sysctl", "-qw", f"net.ipv6.conf.{scope}.accept_dad=0"], check=True
        )
    _ip("link", "add", port(machine), "type", "veth", "peer", "name", INTERFACE,
        "address", f"02:00:00:00:01:{number:02x}", "netns", machine)
    _ip("link", "set", port(machine), "master", BRIDGE, "up")
    return Path("/run/netns") / machine


def unplug(machine: str) -> None:
    """Takes the machine's namespace and link away."""
    # Not every crash leaves a link to delete: the pair dies with the namespace.
    subprocess.run(["ip", "link", "delete", port(machine)], stderr=subprocess.DEVNULL)
    subprocess.run(["ip", "netns", "delete", machine], stderr=subprocess.DEVNULL)


def set_link(machine: str, up: bool) -> None:
    """Raises or cuts the machine's link."""
    _ip("link", "set", port(machine), "up" if up else "down")


def cut(one_side: list[str], other_side: list[str]) -> None:
    """Drops every frame between machines of the two sides, which keep their carrier."""
    for one in one_side:
        for other in other_side:
            _rule(f'iifname "{port(one)}" oifname "{port(other)}" drop')
            _rule(f'iifname "{port(other)}" oifname "{port(one)}" drop')


def lose(percent: int) -> None:
    """Drops that share of all frames, by chance, from now on."""
    _rule(f"numgen random mod 100 < {percent} drop")


def mend() -> None:
    """Takes back every `cut` and `lose`."""
    subprocess.run(["nft", "delete", "table", "bridge", "machines"], stderr=subprocess.DEVNULL)


def port(machine: str) -> str:
    """The bridge's end of a machine's link."""
    return f"vb-{machine}"


def _rule(rule: str) -> None:
    table = "table bridge machines { chain forward { type filter hook forward priority 0; }; }"
    subprocess.run(["nft", f"{table}; add rule bridge machines forward {rule}"], check=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
