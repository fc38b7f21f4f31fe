"""The package: what goes into it, and its installation carried out on the release files."""

import os
import re
import shutil
import tomllib
from pathlib import Path

from .tools import Failed, Tools, expect, run

# What nixpkgs' build environment offers and the installation uses.
_PRELUDE = """
set -eu
substituteInPlace() {
    [ "$2" = --replace-fail ] && grep -qF -- "$3" "$1" || { echo "substituteInPlace: nothing to replace in $1" >&2; exit 1; }
    python3 -c 'import sys; f, a, b = sys.argv[1:]; t = open(f).read(); open(f, "w").write(t.replace(a, b))' "$1" "$3" "$4"
}
installShellCompletion() { shift 2; while [ $# -gt 0 ]; do cat "$2" > "$out/${1#--}"; shift 2; done; }
# Files of an installation are read-only, but the fixup above rewrites one.
install() { command install "${@/0444/0644}"; }
"""


def _arguments(tools: Tools) -> dict:
    return tools.evaluate(
        f"let lib = import {tools.lib}; pkgs = import {tools.repository}/tests/nix/stubs/pkgs.nix {{ inherit lib; }}; "
        f"arguments = (pkgs.callPackage {tools.repository}/nixos-module/package.nix {{ }}).arguments; in "
        "{ inherit (arguments) pname version outputs postBuild postInstall cargoBuildFlags cargoTestFlags; "
        "license = map (each: each.spdxId) arguments.meta.license; platforms = arguments.meta.platforms; "
        "description = arguments.meta.description; lock = toString arguments.cargoLock.lockFile; }"
    )


def manifest(tools: Tools) -> None:
    """Version, licence and packages are the workspace's."""
    workspace = tomllib.loads((tools.repository / "Cargo.toml").read_text())["workspace"]
    found = _arguments(tools)
    expect("version", found["version"], workspace["package"]["version"])
    expect("license", " OR ".join(found["license"]), workspace["package"]["license"])
    expect("outputs", found["outputs"], ["out", "lib"])
    expect("lock file", found["lock"], str(tools.repository / "Cargo.lock"))
    expect("systems", {"x86_64-linux", "aarch64-linux"} <= set(found["platforms"]), True)
    packages = {_name(tools, member) for member in workspace["members"]}
    named = [flag.removeprefix("--package=") for flag in found["cargoBuildFlags"] + found["cargoTestFlags"]]
    named += re.findall(r"--package (\S+)", found["postBuild"])
    expect("packages that there are not", set(named) - packages, set())
    expect("the module's profile", re.findall(r"--profile (\S+)", found["postBuild"]), ["nss"])


def source(tools: Tools) -> None:
    """Every file that a crate includes from outside itself is in the package's source."""
    # lib.fileset itself asks for a newer Nix than Debian's: the paths that go into it are looked at instead.
    roots = tools.evaluate(
        f"let lib = import {tools.lib}; pkgs = import {tools.repository}/tests/nix/stubs/pkgs.nix "
        "{ lib = lib // { fileset = { unions = map toString; toSource = { fileset, ... }: fileset; }; }; }; in "
        f"(pkgs.callPackage {tools.repository}/nixos-module/package.nix {{ }}).arguments.src"
    )
    for root in roots:
        expect(f"{root} exists", Path(root).exists(), True)

    def chosen(path: str) -> bool:
        return any((tools.repository / path).is_relative_to(root) for root in roots)

    members = tomllib.loads((tools.repository / "Cargo.toml").read_text())["workspace"]["members"]
    expect("Cargo.lock is there", chosen("Cargo.lock"), True)
    for member in members:
        expect(f"{member}/Cargo.toml is there", chosen(f"{member}/Cargo.toml"), True)
        for file in (tools.repository / member).rglob("*.rs"):
            for included in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', file.read_text()):
                path = Path(os.path.normpath(file.parent / included)).relative_to(tools.repository)
                expect(f"{path}, included by {file.relative_to(tools.repository)}, is there", chosen(str(path)), True)


def installation(tools: Tools) -> None:
    """The last phase of the build, on the release files instead of a fresh build."""
    place = tools.scratch / "installation"
    shutil.rmtree(place, ignore_errors=True)
    build, out, lib = place / "build", place / "out", place / "lib"
    built = build / "target/x86_64-unknown-linux-gnu/nss"
    for folder in (built, out / "bin", lib):
        folder.mkdir(parents=True)
    modules = list((tools.dist / "usr").rglob("libnss_mesher.so.2"))
    if len(modules) != 1:
        raise Failed(f"{tools.dist} holds no libnss_mesher.so.2: run `cargo xtask dist` first")
    shutil.copy(modules[0], built / "libnss_mesher.so")
    for program in ("mesherd", "mesherctl"):
        shutil.copy(tools.program(program), out / "bin")
    shutil.copytree(tools.repository / "units", build / "units")
    script = _PRELUDE + _arguments(tools)["postInstall"]
    run(["bash", "-c", script], cwd=build, env={"PATH": "/usr/bin:/bin", "out": str(out), "lib": str(lib)})
    expect("the output lib", [str(file.relative_to(lib)) for file in lib.rglob("*") if file.is_file()], ["lib/libnss_mesher.so.2"])
    units = out / "lib/systemd/system"
    expect("units", sorted(file.name for file in units.iterdir()), ["data-mesher.service", "data-mesher.socket"])
    for unit in units.iterdir():
        ours = unit.read_text().replace(f"{out}/bin/", "/usr/bin/")
        expect(f"{unit.name} is the shared file", ours, (tools.repository / "units" / unit.name).read_text())
        for program in re.findall(r"^Exec\w+=[-+!@:]*(\S+)", unit.read_text(), re.MULTILINE):
            ours = program.startswith(f"{out}/bin/") and Path(program).is_file()
            expect(f"{program} of {unit.name} is in the package", ours, True)
    for completion in ("bash", "fish", "zsh"):
        expect(f"completions for {completion}", "mesherctl" in (out / completion).read_text(), True)


def _name(tools: Tools, member: str) -> str:
    return tomllib.loads((tools.repository / member / "Cargo.toml").read_text())["package"]["name"]


CHECKS = [
    ("package: manifest", True, manifest),
    ("package: source", True, source),
    ("package: installation", True, installation),
]
