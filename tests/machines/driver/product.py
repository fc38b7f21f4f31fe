"""What the machines of a scenario have installed: the release files, put there by the project's own installer, a network
created by the real mesherctl, and each machine's configuration."""

import json
import subprocess
from pathlib import Path

from .nodes import Network, Node, merge

CONFIGURATION = "etc/data-mesher"


def install(dist: Path, installer: Path, base: Path, work: Path) -> Path:
    """Installs the release files over a base. Returns the layer with what changed."""
    layer, overlay, root = (work / name for name in ("layer", "layer-overlay", "layer-root"))
    for directory in (layer, overlay, root):
        directory.mkdir()
    options = f"lowerdir={base},upperdir={layer},workdir={overlay}"
    subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", str(root)], check=True)
    try:
        _checked([str(installer), "install", "--root", str(root), "--from", str(dist)], "the installer")
    finally:
        subprocess.run(["umount", str(root)], check=True)
    return layer


def create_network(network: Network, dist: Path, directory: Path) -> str:
    """Creates a network in a directory. Returns its id."""
    command = [str(dist / "usr/bin/mesherctl"), "network", "init", "--domain", network.domain,
               "--claim-ttl", network.claim_ttl, "--out", str(directory)]
    for key, value in network.options.items():
        command += _option(key, value)
    words = _checked(command, "mesherctl network init").split()
    if not words:
        raise RuntimeError("mesherctl network init succeeded and printed nothing; its last word should be the id")
    return words[-1]


def configure(root: Path, node: Node, network: Network, network_files: Path, network_id: str) -> None:
    """Writes a member's configuration into its file system."""
    directory = root / CONFIGURATION
    directory.mkdir(parents=True, exist_ok=True)
    settings = merge({"network": {"id": network_id}}, node.settings)
    _write(directory / "network.secret", (network_files / "network.secret").read_bytes(), 0o600)
    if node.name in network.settings_on:
        _write(directory / "network.settings", (network_files / "network.settings").read_bytes(), 0o644)
        settings = merge({"network": {"settings_file": f"/{CONFIGURATION}/network.settings"}}, settings)
    _write(directory / "config.toml", to_toml(settings).encode(), 0o644)
    if not node.enabled:
        _checked(["systemctl", f"--root={root}", "--quiet", "disable", "data-mesher.service", "data-mesher.socket"],
                 "systemctl disable")


def to_toml(document: dict) -> str:
    """A document in TOML, plain values before tables as the format wants it."""
    return "\n".join(_table([], document)) + "\n"


def _table(path: list[str], table: dict) -> list[str]:
    lines = [f"{_key(key)} = {_value(value)}" for key, value in table.items() if not _is_table(value)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += ["", f"[{'.'.join(_key(part) for part in [*path, key])}]", *_table([*path, key], value)]
        elif _is_table(value):
            for element in value:
                lines += ["", f"[[{'.'.join(_key(part) for part in [*path, key])}]]", *_table([*path, key], element)]
    return lines


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _key(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else json.dumps(key)


def _value(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_value(element) for element in value) + "]"
    # JSON's strings, numbers and truth values are TOML's too.
    return json.dumps(value, ensure_ascii=False)


def _option(key: str, value: object) -> list[str]:
    """A key of nodes.toml's [network] as options of `mesherctl network init`."""
    option = "--" + key.replace("_", "-")
    if value is True:
        return [option]
    if value is False:
        return []
    if isinstance(value, list):
        return [word for element in value for word in (option, str(element))]
    return [option, str(value)]


def _checked(command: list[str], what: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        raise RuntimeError(f"{what} ended with status {done.returncode}:\n{done.stderr.strip()}\n{done.stdout.strip()}")
    return done.stdout


def _write(path: Path, content: bytes, mode: int) -> None:
    path.touch(mode=mode)
    path.write_bytes(content)
    path.chmod(mode)
