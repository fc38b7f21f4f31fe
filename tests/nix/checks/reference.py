"""docs/nixos-options.md is made from the options; docs/nixos.md shows the examples and the planted mistakes."""

import ast
import re
import textwrap

from . import machines, mistakes
from .tools import Failed, Tools, expect

PAGE = "docs/nixos-options.md"
GUIDE = "docs/nixos.md"
_TABLE = re.compile(r"^\| planted \|.*\n(?:\|.*\n)*", re.MULTILINE)


def _options(tools: Tools) -> list[dict]:
    return tools.evaluate(f"import {tools.repository}/tests/nix/options.nix {{ libPath = {tools.lib}; }}")


def _page(options: list[dict]) -> str:
    lines = ["# NixOS options", "", "Made from the options of `nixos-module`; do not edit. How to use them is in [NixOS](nixos.md).", ""]
    for option in sorted(options, key=lambda option: option["name"]):
        lines += [f"## `{option['name']}`", "", _described(option), "", f"- type: {_escape(option['type'])}"]
        lines += [f"- {key}: {_code(option[key])}" for key in ("default", "example") if option[key] is not None]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _code(text: str) -> str:
    return f"`{' '.join(text.split())}`"


def _escape(text: str) -> str:
    # Libs of different age call a section with free keys differently.
    text = "attribute set of TOML values" if text in ("TOML value", "open submodule of (TOML value)") else text
    return re.sub(r"([*_<>])", r"\\\1", text)


def write(tools: Tools) -> None:
    """Writes what the pages have from the sources."""
    guide = tools.repository / GUIDE
    guide.write_text(_TABLE.sub(lambda _: mistakes.table() + "\n", guide.read_text()))
    if tools.lib is None:
        print(f"{PAGE} stays as it is: it needs nixpkgs' lib, in NIXPKGS_LIB")
    else:
        (tools.repository / PAGE).write_text(_page(_options(tools)))


def options(tools: Tools) -> None:
    """The reference is that of these options, and each is described."""
    found = _options(tools)
    bare = [option["name"] for option in found if not option["description"]]
    expect("options without a description", bare, [])
    if (tools.repository / PAGE).read_text() != _page(found):
        raise Failed(f"{PAGE} is not that of these options: python3 -m checks --write, with tests/nix in PYTHONPATH")


def descriptions(tools: Tools) -> None:
    """The reference has every option with its description, and no other. (What it says of types is nixpkgs' lib's.)"""
    found = tools.evaluate(f"import {tools.repository}/tests/nix/options-little.nix")
    ours = {option["name"]: _described(option) for option in found}
    page = (tools.repository / PAGE).read_text()
    theirs = dict(re.findall(r"^## `([^`]*)`\n\n(.*?)\n\n- type: ", page, re.MULTILINE | re.DOTALL))
    expect("options without a description", [name for name, text in ours.items() if not text], [])
    expect(f"options in {PAGE}", set(theirs), set(ours))
    for name, text in ours.items():
        if theirs[name] != text:
            raise Failed(f"{PAGE} describes {name} in other words: python3 -m checks --write, with nixpkgs' lib in NIXPKGS_LIB")


def _described(option: dict) -> str:
    return re.sub(r"\{option\}(`[^`]*`)", r"\1", option["description"] or "").strip()


def examples(tools: Tools) -> None:
    """docs/nixos.md shows the examples as they are evaluated here."""
    page = (tools.repository / "docs/nixos.md").read_text()
    for file in sorted((tools.repository / "nixos-module/examples").glob("*.nix")):
        code = "\n".join(line for line in file.read_text().splitlines() if not line.startswith("#"))
        if code not in page:
            raise Failed(f"docs/nixos.md does not show {file.relative_to(tools.repository)} as it is")


def pieces(tools: Tools) -> None:
    """Every piece of Nix on the page is Nix, and the script within one is Python, for a machine of that name."""
    found = re.findall(r"^```nix\n(.*?)^```$", (tools.repository / GUIDE).read_text(), re.MULTILINE | re.DOTALL)
    scripts = 0
    for number, piece in enumerate(found, 1):
        file = tools.scratch / "piece.nix"
        # A whole module or flake, a call of somebody's function, or some of a module's lines.
        around = {"{": "%s", "(": "{ nix-vm-test }: %s"}.get(piece[0], "{ data-mesher }: { %s }")
        file.write_text(around % piece)
        try:
            tools.parse(file)
            for script in re.findall(r"testScript = ''\n(.*?)\n +'';", piece, re.DOTALL):
                scripts += 1
                machines.known(f"piece {number}", ast.parse(textwrap.dedent(script)), {"vm"})
        except (Failed, SyntaxError) as error:
            raise Failed(f"{GUIDE}, its {number}. piece of Nix: {error}") from error
    if len(found) < 6 or scripts != 1:
        raise Failed(f"{len(found)} pieces of Nix and {scripts} scripts were found in {GUIDE}: the search is broken")


def planted(tools: Tools) -> None:
    """docs/nixos.md shows which mistakes are planted, and what finds them."""
    found = _TABLE.search((tools.repository / GUIDE).read_text())
    if found is None or found.group().strip() != mistakes.table():
        raise Failed(f"{GUIDE} does not show the planted mistakes as they are: python3 -m checks --write, with tests/nix in PYTHONPATH")


CHECKS = [
    ("reference: mistakes", "", planted),
    ("reference: pieces", "", pieces),
    ("reference: descriptions", "", descriptions),
    ("reference: examples", "", examples),
    ("reference: options", "lib", options),
]
