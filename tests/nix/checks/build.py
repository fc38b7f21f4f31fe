"""The flake built by Nix itself: everything but the virtual machines, with this machine's tools in nixpkgs' stead."""

import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from .package import UNITS
from .tools import Failed, Tools, expect, run, shorten

# Sets the checks of this file going. They compile everything anew, for minutes, the first time.
ASKED_FOR = "MESHER_NIX_BUILD"
_SYSTEM = f"{platform.machine()}-linux"


class Flake:
    """The repository's flake in a folder of its own, and a Nix store to build it in."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools
        self.place = tools.scratch / "build" / tools.repository.name
        self.source = self.place / "flake"
        shutil.rmtree(self.place, ignore_errors=True)
        self._copy()
        self._stand_in()

    def _copy(self) -> None:
        """What git knows of, which is all that Nix sees of a flake: a file that was not added is not there."""
        repository = self.tools.repository
        listing = subprocess.run(["git", "-C", str(repository), "ls-files", "-z"], capture_output=True, text=True)
        if listing.returncode == 0:
            files = [name for name in listing.stdout.split("\0") if name and (repository / name).is_file()]
        else:
            files = [str(path.relative_to(repository)) for path in _walk(repository)]
        for name in files:
            target = self.source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repository / name, target)

    def _stand_in(self) -> None:
        """A flake in nixpkgs' place."""
        tools, stubs = self.tools, self.tools.repository / "tests/nix/stubs"
        path = [str(tools.target / "tools/bin"), *os.environ["PATH"].split(os.pathsep)]
        home = Path.home()
        cargo = {
            "CARGO_HOME": os.environ.get("CARGO_HOME", str(home / ".cargo")),
            "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(home / ".rustup")),
        }
        packages = " ".join(
            f'{system} = import {stubs}/builds.nix {{ inherit lib; system = "{system}"; tools = "{":".join(path)}"; '
            f'cache = "{tools.target}/nix-build"; cargo = {{ {" ".join(f"{key} = {json.dumps(value)};" for key, value in cargo.items())} }}; }};'
            for system in ("x86_64-linux", "aarch64-linux")
        )
        folder = self.place / "nixpkgs"
        folder.mkdir(parents=True)
        (folder / "flake.nix").write_text(
            f"{{ outputs = _: let lib = import {stubs}/newer-nix.nix {tools.lib}; in "
            f"{{ inherit lib; legacyPackages = {{ {packages} }}; }}; }}\n"
        )

    def nix(self, *arguments: str, program: str = "nix") -> str:
        """What a Nix command says on its standard output."""
        environment = self.tools.nix_environment(self.place / "nix")
        flake = ["--impure", "--override-input", "nixpkgs", f"path:{self.place}/nixpkgs"] if program == "nix" else []
        result = subprocess.run([program, *arguments, *flake], capture_output=True, text=True, env=environment, cwd=self.source)
        if result.returncode != 0:
            raise Failed(f"`{program} {' '.join(arguments)}`: {shorten(result.stderr)}")
        return result.stdout

    def built(self, name: str) -> Path:
        """The path of an output of the flake, built."""
        link = self.place / "result"
        self.nix("build", f"path:{self.source}#{name}", "--out-link", str(link))
        made = sorted(self.place.glob("result*"))
        paths = [each.resolve() for each in made]
        for each in made:
            each.unlink()
        return paths[0]


def shown(tools: Tools) -> None:
    """Nix's own opinion of the flake: every output for both systems is what its name promises, and evaluating it builds nothing.
    What takes no compiler is built."""
    flake = Flake(tools)
    found = json.loads(flake.nix("flake", "show", "--json", f"path:{flake.source}", "--option", "allow-import-from-derivation", "false"))
    kinds = {kind: {system: set(made) for system, made in found[kind].items()} for kind in ("checks", "packages", "devShells")}
    expect("systems", {kind: set(made) for kind, made in kinds.items()}, dict.fromkeys(kinds, {"aarch64-linux", "x86_64-linux"}))
    expect("the same for both systems", [len(set(map(frozenset, made.values()))) for made in kinds.values()], [1, 1, 1])
    expect("modules", found["nixosModules"], dict.fromkeys(("data-mesher", "default"), {"type": "nixos-module"}))
    expect("overlays", found["overlays"], {"default": {"type": "nixpkgs-overlay"}})
    for check in ("nixfmt", "deadnix"):
        flake.built(f"checks.{_SYSTEM}.{check}")


def everything(tools: Tools) -> None:
    """`nix flake check`, and what is in the outputs that it built."""
    flake = Flake(tools)
    flake.nix("flake", "check", f"path:{flake.source}")
    out = flake.built(f"packages.{_SYSTEM}.default")
    lib = flake.built(f"packages.{_SYSTEM}.nss-mesher")
    _module(flake, out, lib)
    _programs(tools, flake, out)
    _machines(flake)


def _programs(tools: Tools, flake: Flake, out: Path) -> None:
    expect("programs", sorted(file.name for file in (out / "bin").iterdir()), ["mesherctl", "mesherd"])
    for program in (out / "bin").iterdir():
        run([str(program), "--version"])
    units = sorted((out / "lib/systemd/system").iterdir())
    expect("units", [unit.name for unit in units], UNITS)
    for unit in units:
        for program in re.findall(r"^Exec\w+=[-+!@:]*(\S+)", unit.read_text(), re.MULTILINE):
            ours = program == "systemctl" or Path(program).parent == out / "bin" and Path(program).is_file()
            expect(f"{program} of {unit.name} is in the package", ours, True)
    catalogues = {file.name: file.read_text() for file in (out / "lib/systemd").glob("catalog/*")}
    expect("catalogues", catalogues, {"data-mesher.catalog": (tools.repository / "units/data-mesher.catalog").read_text()})
    pages = sorted(file.name for file in (out / "share/man").rglob("*.*"))
    expect("manual pages", pages, ["data-mesher-config.5", "mesherctl.1", "mesherd.8", "nss-mesher.8"])
    completions = [file.relative_to(out).parts[1] for file in (out / "share").rglob("*mesherctl*") if "man" not in file.parts]
    expect("completions", sorted(completions), ["bash-completion", "fish", "zsh"])


def _module(flake: Flake, out: Path, lib: Path) -> None:
    """The output lib: the module alone, needing nothing, and loaded from nscd's LD_LIBRARY_PATH."""
    files = [str(file.relative_to(lib)) for file in lib.rglob("*") if not file.is_dir()]
    expect("the output lib", files, ["lib/libnss_mesher.so.2"])
    expect("what the output lib refers to", flake.nix("--query", "--references", str(lib), program="nix-store").split(), [])
    # The library that the package refers to is named once, in no file of its: nobody's closure grows.
    references = flake.nix("--query", "--references", str(out), program="nix-store").split()
    expect("what the package refers to", [each for each in references if each != str(out)], [])
    result = subprocess.run(
        ["getent", "--service=hosts:mesher", "hosts", "mercury.sol"], capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": f"{lib}/lib", "LD_DEBUG": "files", "MESHER_TABLE": "/nonexistent"},
    )
    expect("getent's status, with no table", result.returncode, 2)
    expect("the module is loaded", f"calling init: {lib}/lib/libnss_mesher.so.2" in result.stderr, True)


def _machines(flake: Flake) -> None:
    """The VM tests' files were made, with the id of a network that was made on the way."""
    made = flake.built(f"checks.{_SYSTEM}.vm-three_planets")
    expect("machines", sorted(each.name for each in made.iterdir()), ["alpha", "beta", "gamma"])
    configurations = [(made / machine / "data-mesher/config.toml").read_text() for machine in ("alpha", "beta")]
    ids = [re.search(r'^id = "([a-zA-Z0-9+/]{43}=)"$', text, re.MULTILINE) for text in configurations]
    if not all(ids) or ids[0].group(1) != ids[1].group(1):
        raise Failed(f"the machines' networks: {ids}")


def _walk(folder: Path) -> list[Path]:
    """The files of a tree that is no git repository, links to folders followed."""
    return [
        Path(parent) / name
        for entry in sorted(folder.iterdir()) if entry.name not in ("target", ".git")
        for parent, names in ([(str(folder), [entry.name])] if entry.is_file() else
                              [(parent, names) for parent, _, names in os.walk(entry, followlinks=True)])
        for name in names
    ]


CHECKS = [("flake: by Nix", "lib", shown)]
SLOW_CHECKS = [("build: flake", "lib", everything)]
