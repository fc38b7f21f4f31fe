"""nodes.toml: the machines of a scenario. `docs/testing.md` describes it for those who write one."""

import ipaddress
import tomllib
from dataclasses import dataclass, field
from pathlib import Path


class BadNodes(Exception):
    """nodes.toml says something that cannot be; the text says where and what was expected."""


@dataclass
class Network:
    """The network its members belong to, made anew for every run."""

    domain: str
    claim_ttl: str
    settings_on: list[str]
    options: dict = field(default_factory=dict)


@dataclass
class Node:
    """One machine."""

    name: str
    number: int
    addresses: list[str]
    settings: dict
    enabled: bool
    # The size of a disk of its own for the daemon's state, as mkfs(8) takes it; none: it lies with everything else.
    state_disk: str | None


@dataclass
class Nodes:
    """A scenario's machines and what they share."""

    machines: list[Node]
    network: Network | None
    packages: list[str]
    timeout: float
    carries_release: bool
    carries_packages: bool
    suite: str | None
    alone: bool


def read(path: Path) -> Nodes:
    """Reads and checks a nodes.toml."""
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadNodes(f"{path}: {error}") from error
    try:
        return _nodes(document)
    except BadNodes as error:
        raise BadNodes(f"{path}: {error}") from error


def merge(base: dict, over: dict) -> dict:
    """`base` with `over` laid over it, tables key by key."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _nodes(document: dict) -> Nodes:
    _only(document, {"network", "settings", "machines", "packages", "timeout", "release_files", "suite", "alone"}, "")
    machines = document.get("machines")
    if not machines:
        raise BadNodes("there is no [machines.NAME]")
    network = _network(document.get("network"), list(machines))
    shared = document.get("settings", {})
    nodes = [_node(name, number, table, shared) for number, (name, table) in enumerate(machines.items(), start=1)]
    release_files = document.get("release_files")
    if release_files not in (None, "in /root", "packages in /root", "both in /root"):
        raise BadNodes(f'release_files: expected "in /root", "packages in /root" or "both in /root", found {release_files!r}')
    return Nodes(
        nodes, network, document.get("packages", []), float(document.get("timeout", 300)), release_files in ("in /root", "both in /root"),
        release_files in ("packages in /root", "both in /root"), document.get("suite"), document.get("alone", False),
    )


def _network(table: dict | None, machines: list[str]) -> Network | None:
    if table is None:
        return None
    options = {key: value for key, value in table.items() if key not in ("domain", "claim_ttl", "settings_on")}
    for key in ("domain", "claim_ttl"):
        if key not in table:
            raise BadNodes(f"network.{key} is missing")
    settings_on = table.get("settings_on", machines[:1])
    if unknown := set(settings_on) - set(machines):
        raise BadNodes(f"network.settings_on names {', '.join(sorted(unknown))}: there is no such machine")
    return Network(table["domain"], table["claim_ttl"], settings_on, options)


def _node(name: str, number: int, table: dict, shared: dict) -> Node:
    _only(table, {"addresses", "settings", "enabled", "state_disk"}, f"machines.{name}.")
    if len(name) > 11:
        raise BadNodes(f"machines.{name}: a name has at most 11 letters (its link's name must fit)")
    addresses = [_address(name, text) for text in table.get("addresses", [])]
    settings = merge(shared, table.get("settings", {}))
    return Node(name, number, addresses, settings, table.get("enabled", True), table.get("state_disk"))


def _address(name: str, text: str) -> str:
    try:
        address = ipaddress.ip_interface(text)
    except ValueError as error:
        raise BadNodes(f"machines.{name}.addresses: {error}") from error
    if "/" in text:
        return text
    return f"{address.ip}/{24 if address.version == 4 else 64}"


def _only(table: dict, known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise BadNodes(f"{where}{key} is unknown; there are {', '.join(sorted(known))}")
