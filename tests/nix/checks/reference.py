"""docs/nixos-options.md is made from the options; docs/configuration.md has the same keys; docs/nixos.md shows the examples."""

import re

from .tools import Failed, Tools, expect

PAGE = "docs/nixos-options.md"
_PREFIX = "services.data-mesher."


def _options(tools: Tools) -> list[dict]:
    return tools.evaluate(f"import {tools.repository}/tests/nix/options.nix {{ libPath = {tools.lib}; }}")


def _page(options: list[dict]) -> str:
    lines = ["# NixOS options", "", "Made from the options of `nixos-module`; do not edit. How to use them is in [NixOS](nixos.md).", ""]
    for option in sorted(options, key=lambda option: option["name"]):
        description = re.sub(r"\{option\}(`[^`]*`)", r"\1", option["description"] or "").strip()
        lines += [f"## `{option['name']}`", "", description, "", f"- type: {_escape(option['type'])}"]
        lines += [f"- {key}: {_code(option[key])}" for key in ("default", "example") if option[key] is not None]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _code(text: str) -> str:
    return f"`{' '.join(text.split())}`"


def _escape(text: str) -> str:
    return re.sub(r"([*_<>])", r"\\\1", text)


def write(tools: Tools) -> None:
    (tools.repository / PAGE).write_text(_page(_options(tools)))


def options(tools: Tools) -> None:
    """The reference is that of these options, and each is described."""
    found = _options(tools)
    bare = [option["name"] for option in found if not option["description"]]
    expect("options without a description", bare, [])
    if (tools.repository / PAGE).read_text() != _page(found):
        raise Failed(f"{PAGE} is not that of these options: python3 -m checks --write, with tests/nix in PYTHONPATH")


def schema(tools: Tools) -> None:
    """The settings have the keys of the daemon's configuration file, as its page lists them, and no others."""
    page = (tools.repository / "docs/configuration.md").read_text()
    keys = set(re.findall(r"^\| `([a-z_.]+)` \|", page, re.MULTILINE))
    # The secret reaches the daemon as a credential.
    keys.discard("network.secret_file")
    sections = {"network", "host", "cluster", "nss", "exports"}
    settings = {option["name"].removeprefix(_PREFIX + "settings.") for option in _options(tools) if option["name"].startswith(_PREFIX + "settings.")}
    expect("settings that the daemon does not have", settings - sections - keys, set())
    expect("keys of the daemon that are no option", keys - settings, set())


def examples(tools: Tools) -> None:
    """docs/nixos.md shows the examples as they are evaluated here."""
    page = (tools.repository / "docs/nixos.md").read_text()
    for file in sorted((tools.repository / "nixos-module/examples").glob("*.nix")):
        code = "\n".join(line for line in file.read_text().splitlines() if not line.startswith("#"))
        if code not in page:
            raise Failed(f"docs/nixos.md does not show {file.relative_to(tools.repository)} as it is")


CHECKS = [
    ("reference: examples", False, examples),
    ("reference: options", True, options),
    ("reference: schema", True, schema),
]
