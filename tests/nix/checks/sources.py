"""Checks that need no nixpkgs."""

import re

from .tools import Failed, Tools, expect, run

# A path in Nix: relative, and not within a string.
_PATH = re.compile(r"(?<![\w/.$}])(\.{1,2}(?:/[\w.+-]+)+)")
_STRING = re.compile(r"''.*?(?<!')''(?!['$\\])|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_COMMENT = re.compile(r"#[^\n]*")


def syntax(tools: Tools) -> None:
    for file in tools.nix_files():
        tools.parse(file)


def formatting(tools: Tools) -> None:
    run([tools.linter("nixfmt"), "--check", *map(str, tools.nix_files())])


def dead_code(tools: Tools) -> None:
    run([tools.linter("deadnix"), "--fail", *map(str, tools.nix_files())])


def files(tools: Tools) -> None:
    """Every path that a Nix file names is there."""
    count = 0
    for file in tools.nix_files():
        text = _COMMENT.sub("", _STRING.sub('""', file.read_text()))
        for path in _PATH.findall(text):
            count += 1
            if not (file.parent / path).exists():
                raise Failed(f"{file.relative_to(tools.repository)} names {path}, which is not there")
    if count < 15:
        raise Failed(f"only {count} paths were found: the search is broken")


def flake(tools: Tools) -> None:
    """The flake's outputs, with the names that `nix flake` and its users look for."""
    lib = tools.lib or "null"
    shape = tools.evaluate(f"import {tools.repository}/tests/nix/flake-shape.nix {{ libPath = {lib}; }}")
    systems = ["aarch64-linux", "x86_64-linux"]
    expect("inputs", shape["inputs"], ["nixpkgs"])
    expect("outputs", shape["outputs"], ["checks", "devShells", "formatter", "nixosModules", "overlays", "packages"])
    expect("packages", shape["packages"], dict.fromkeys(systems, ["data-mesher", "default", "nss-mesher"]))
    expect("overlay", shape["overlay"], ["data-mesher"])
    expect("nixosModules", shape["nixosModules"], ["data-mesher", "default"])
    expect("devShells", shape["devShells"], dict.fromkeys(systems, ["default"]))
    expect("formatter", sorted(shape["formatter"]), systems)
    if tools.lib:
        plain = {"clippy": "data-mesher-clippy", "deadnix": "data-mesher-deadnix", "nixfmt": "data-mesher-nixfmt",
                 "package": "data-mesher", "rustfmt": "data-mesher-rustfmt"}
        for system in systems:
            found = shape["checks"][system]
            machines = {name: f"vm-test-run-data-mesher-{name.removeprefix('vm-')}" for name in found if name.startswith("vm-")}
            expect(f"checks.{system}", found, plain | machines)


def scripts(tools: Tools) -> None:
    """The scenarios' scripts compile: a VM would be booted before the driver there finds out."""
    found = sorted((tools.repository / "tests/machines").glob("*/script.py"))
    if not found:
        raise Failed("there is no scenario")
    for script in found:
        try:
            compile(script.read_text(), str(script), "exec")
        except SyntaxError as error:
            raise Failed(f"{script.relative_to(tools.repository)}: {error}") from error


CHECKS = [
    ("syntax", "", syntax),
    ("formatting", "", formatting),
    ("dead code", "", dead_code),
    ("files", "", files),
    ("flake", "", flake),
    ("scripts", "", scripts),
]
