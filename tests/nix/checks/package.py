"""The package: what goes into it, and its installation carried out on the release files."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

from .tools import Failed, Tools, expect, run, shorten

# What the package brings of units/ for systemd.
UNITS = ["data-mesher-reload@.path", "data-mesher-reload@.service", "data-mesher.service", "data-mesher.socket"]

# What nixpkgs' build environment offers and the installation uses.
_PRELUDE = """
set -eu
substituteInPlace() {
    [ "$2" = --replace-fail ] && grep -qF -- "$3" "$1" || { echo "substituteInPlace: nothing to replace in $1" >&2; exit 1; }
    python3 -c 'import sys; f, a, b = sys.argv[1:]; t = open(f).read(); open(f, "w").write(t.replace(a, b))' "$1" "$3" "$4"
}
installManPage() { for page; do command install -D -m 0644 -t "$out/share/man/man${page##*.}" "$page"; done; }
installShellCompletion() { shift 2; while [ $# -gt 0 ]; do cat "$2" > "$out/${1#--}"; shift 2; done; }
# Files of an installation are read-only, but the fixup above rewrites one.
install() { command install "${@/0444/0644}"; }
"""


def _arguments(tools: Tools) -> dict:
    return tools.evaluate(
        f"let lib = import {tools.lib}; pkgs = import {tools.repository}/tests/nix/stubs/pkgs.nix {{ inherit lib; }}; "
        f"arguments = (pkgs.callPackage {tools.repository}/nixos-module/package.nix {{ }}).arguments; in "
        "{ inherit (arguments) pname version outputs postBuild postInstall cargoBuildFlags cargoTestFlags; "
        "tools = map (each: each.name) arguments.nativeBuildInputs; "
        "license = map (each: each.spdxId) arguments.meta.license; platforms = arguments.meta.platforms; "
        "inherit (arguments.meta) description mainProgram; lock = toString arguments.cargoLock.lockFile; }"
    )


def manifest(tools: Tools) -> None:
    """Version, licence and packages are the workspace's."""
    workspace = tomllib.loads((tools.repository / "Cargo.toml").read_text())["workspace"]
    found = _arguments(tools)
    expect("version", found["version"], workspace["package"]["version"])
    expect("license", " OR ".join(found["license"]), workspace["package"]["license"])
    expect("what nix run runs", found["mainProgram"], "mesherctl")
    expect("outputs", found["outputs"], ["out", "lib"])
    page = (tools.repository / "docs/nixos.md").read_text()
    expect("the Rust that docs/nixos.md asks for", re.findall(r"with Rust ([\d.]+\d)", page), [workspace["package"]["rust-version"]])
    expect("tools of the build", found["tools"], ["install-shell-files-hook"])
    expect("lock file", found["lock"], str(tools.repository / "Cargo.lock"))
    expect("systems", {"x86_64-linux", "aarch64-linux"} <= set(found["platforms"]), True)
    packages = {_name(tools, member) for member in workspace["members"]}
    named = [flag.removeprefix("--package=") for flag in found["cargoBuildFlags"] + found["cargoTestFlags"]]
    named += re.findall(r"--package (\S+)", found["postBuild"])
    expect("packages that there are not", set(named) - packages, set())
    expect("the module's profile", re.findall(r"--profile (\S+)", found["postBuild"]), ["nss"])


def source(tools: Tools) -> None:
    """The sources that the package is built from are whole: they are copied to a folder of their own, as Nix copies them, and
    the workspace with all its tests compiles there, with no word from the lints."""
    clean = tools.scratch / "source" / tools.repository.name
    shutil.rmtree(clean, ignore_errors=True)
    # With the present time: in a Nix store all files are older than whatever cargo has built before.
    shutil.copytree(filtered(tools, None), clean, copy_function=shutil.copyfile)
    run(["chmod", "-R", "u+w", str(clean)])
    expect("a target folder in the source", (clean / "target").exists(), False)
    if tools.lib:
        expect("the source by nixpkgs' own lib.fileset", filtered(tools, tools.lib).name, filtered(tools, None).name)
    run(["cargo", "fmt", "--all", "--check"], cwd=clean)
    # The dependencies are compiled already, where the lints ran before. The workspace's own crates would pass for those of the
    # repository; with a wrapper they are others, to cargo.
    wrapper = tools.target / "tools/rustc-for-clean-sources"
    wrapper.parent.mkdir(parents=True, exist_ok=True)
    wrapper.write_text('#!/bin/sh\nexec "$@"\n')
    wrapper.chmod(0o755)
    run(["cargo", "check", "--quiet", "--workspace", "--all-targets", "--locked", "--target-dir", str(tools.target)],
        cwd=clean, env={**os.environ, "RUSTC_WORKSPACE_WRAPPER": str(wrapper)})


def filtered(tools: Tools, lib: Path | None) -> Path:
    """The package's source in a Nix store."""
    stubs = tools.repository / "tests/nix/stubs"
    place = tools.scratch / "filtered" / tools.repository.name
    chosen = f"import {stubs}/newer-nix.nix {lib}" if lib else f"import {stubs}/little-lib.nix"
    expression = (
        f"let lib = {chosen}; nothing = {{ }}; in (import {tools.repository}/nixos-module/package.nix {{ inherit lib; "
        "stdenv = { hostPlatform.rust = nothing; buildPlatform.canExecute = _: true; }; rust = nothing; installShellFiles = nothing; "
        "rustPlatform.buildRustPackage = arguments: arguments; }).src"
    )
    result = subprocess.run(
        ["nix-instantiate", "--eval", "--read-write-mode", "--strict", "--json", "--expr", f'"${{{expression}}}"'],
        capture_output=True, text=True, env=tools.nix_environment(place),
    )
    if result.returncode != 0:
        raise Failed(shorten(result.stderr))
    return Path(json.loads(result.stdout))


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
    # Writes as many pages as the release files have; what it is called with is looked at below.
    manual = out / "bin/mesher_manual"
    manual.write_text(f'#!/bin/sh\necho "$2" > {place}/day; cp -r {tools.dist}/usr/share/man "$1"\n')
    manual.chmod(0o755)
    shutil.copytree(tools.repository / "units", build / "units")
    script = _PRELUDE + _arguments(tools)["postInstall"]
    run(["bash", "-c", script], cwd=build, env={"PATH": "/usr/bin:/bin", "out": str(out), "lib": str(lib), "SOURCE_DATE_EPOCH": "315532800"})
    expect("programs", sorted(file.name for file in (out / "bin").iterdir()), ["mesherctl", "mesherd"])
    expect("the day on the manual pages", (place / "day").read_text(), "1980-01-01\n")
    pages = sorted(str(file.relative_to(tools.dist / "usr")) for file in (tools.dist / "usr/share/man").rglob("*.*"))
    expect("manual pages", sorted(str(file.relative_to(out)) for file in (out / "share/man").rglob("*.*")), pages)
    expect("the output lib", [str(file.relative_to(lib)) for file in lib.rglob("*") if file.is_file()], ["lib/libnss_mesher.so.2"])
    units = out / "lib/systemd/system"
    expect("units", sorted(file.name for file in units.iterdir()), UNITS)
    for unit in units.iterdir():
        ours = unit.read_text().replace(f"{out}/bin/", "/usr/bin/").replace("=systemctl ", "=/usr/bin/systemctl ")
        expect(f"{unit.name} is the shared file", ours, (tools.repository / "units" / unit.name).read_text())
        for program in re.findall(r"^Exec\w+=[-+!@:]*(\S+)", unit.read_text(), re.MULTILINE):
            ours = program == "systemctl" or program.startswith(f"{out}/bin/") and Path(program).is_file()
            expect(f"{program} of {unit.name} is in the package", ours, True)
    for completion in ("bash", "fish", "zsh"):
        expect(f"completions for {completion}", "mesherctl" in (out / completion).read_text(), True)


def _name(tools: Tools, member: str) -> str:
    return tomllib.loads((tools.repository / member / "Cargo.toml").read_text())["package"]["name"]


CHECKS = [
    ("package: manifest", "lib", manifest),
    ("package: source", "", source),
    ("package: installation", "lib", installation),
]
