"""What the checks call."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

# The linters, as cargo installs them; pinned, so that a new release does not turn a good tree bad.
LINTERS = {"nixfmt": ("nixfmt_rs", "0.5.3"), "deadnix": ("deadnix", "1.3.1")}


class Failed(Exception):
    """A check found something; the text says what and where."""


@dataclass
class Tools:
    """The tree that is checked, and what it is checked with."""

    repository: Path
    target: Path
    dist: Path
    scratch: Path
    lib: Path | None = field(default=None)
    nixos: Path | None = field(default=None)

    def __post_init__(self) -> None:
        given = os.environ.get("NIXPKGS_LIB")
        self.lib = Path(given).resolve() if given else None
        if self.lib and not (self.lib / "modules.nix").is_file():
            raise SystemExit(f"NIXPKGS_LIB: {self.lib} is not nixpkgs' lib: there is no modules.nix in it")
        # In a checkout of nixpkgs it lies beside lib.
        given = os.environ.get("NIXPKGS_NIXOS")
        self.nixos = Path(given).resolve() if given else self.lib and self.lib.parent / "nixos"
        if self.nixos and not (self.nixos / "modules/module-list.nix").is_file():
            if given:
                raise SystemExit(f"NIXPKGS_NIXOS: {self.nixos} is not nixpkgs' nixos: there is no modules/module-list.nix in it")
            self.nixos = None

    def has(self, needed: str) -> bool:
        """Whether what a check needs of nixpkgs is at hand: nothing, its "lib", or that and "nixos"."""
        return {"": True, "lib": self.lib is not None, "nixos": None not in (self.lib, self.nixos)}[needed]

    def of(self, repository: Path) -> "Tools":
        """The same tools for another tree."""
        return Tools(repository, self.target, self.dist, self.scratch)

    def nix_files(self) -> list[Path]:
        """Every Nix file of the project."""
        folders = [self.repository / "nixos-module", self.repository / "tests/nix"]
        return [self.repository / "flake.nix", *sorted(file for folder in folders for file in folder.rglob("*.nix"))]

    def evaluate(self, expression: str) -> object:
        """The value of a Nix expression."""
        result = self._instantiate("--eval", "--strict", "--json", "--expr", expression)
        if result.returncode != 0:
            raise Failed(shorten(result.stderr))
        return json.loads(result.stdout)

    def parse(self, file: Path) -> None:
        """Nix's own parser."""
        result = self._instantiate("--parse", str(file))
        if result.returncode != 0:
            raise Failed(shorten(result.stderr))

    def linter(self, name: str) -> str:
        """A linter's path; it is built if it is not here."""
        crate, version = LINTERS[name]
        root = self.target / "tools"
        own = root / "bin" / name
        if not own.exists():
            print(f"installing {crate} {version}, once …", flush=True)
            command = ["cargo", "install", "--quiet", "--locked", "--version", version, "--root", str(root), crate]
            # Not in the project's folder: its toolchain and settings are none of the linter's.
            subprocess.run(command, check=True, cwd=self.scratch)
        return str(own)

    def program(self, name: str) -> str:
        """One of the project's own programs."""
        path = self.dist / "usr/bin" / name
        if not path.exists():
            raise Failed(f"{path} is not there: run `cargo xtask dist` first")
        return str(path)

    def nix_environment(self, place: Path) -> dict[str, str]:
        """What has Nix work in a store of its own below `place`, whose paths are those of this machine: no daemon, no network,
        no sandbox, so that this machine's tools can build."""
        settings = "experimental-features = nix-command flakes\nbuild-users-group =\nsandbox = false\nsubstituters ="
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("NIX_")},
            "HOME": str(self.scratch), "NIX_CONFIG": settings, "NIX_STORE_DIR": f"{place}/store",
            **{f"NIX_{name.upper()}_DIR": f"{place}/{name}" for name in ("state", "log", "conf")},
        }

    def call(self, command: list[str]) -> subprocess.CompletedProcess:
        """A command that may fail."""
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def _instantiate(self, *arguments: str) -> subprocess.CompletedProcess:
        if shutil.which("nix-instantiate") is None:
            raise Failed("nix-instantiate is not there: apt-get install --no-install-recommends nix-bin")
        # A store of its own, which nothing is ever written to: no daemon, no network, nothing left on this machine.
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.scratch), "NIX_REMOTE": str(self.scratch / "store"),
            "NIX_CONFIG": "build-users-group =\nsandbox = false\nsubstituters =", "NIX_PATH": "",
        }
        return subprocess.run(["nix-instantiate", *arguments], capture_output=True, text=True, env=environment)


def run(command: list[str], **options: object) -> subprocess.CompletedProcess:
    """A command, whose failure is the check's."""
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)
    if result.returncode != 0:
        raise Failed(f"`{' '.join(command[:3])} …` ended with status {result.returncode}:\n"
                     f"{shorten(result.stdout + result.stderr)}")
    return result


def expect(what: str, found: object, expected: object) -> None:
    """Fails unless both are equal."""
    if found != expected:
        raise Failed(f"{what}: expected {expected!r}, found {found!r}")


def shorten(text: str) -> str:
    """Beginning and end of a long message: what is wrong, and where."""
    text = text.strip()
    return text if len(text) < 2500 else f"{text[:1000]}\n…\n{text[-1500:]}"
