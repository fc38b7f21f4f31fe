"""Runs the checks; `cargo xtask test` calls it. The last line is `N passed, N failed`.

NIXPKGS_LIB names nixpkgs' lib directory, and NIXPKGS_NIXOS its directory nixos, if that is not beside it. Without them, only
what needs no nixpkgs runs, and the rest is counted as not run. With MESHER_NIX_BUILD=1 beside NIXPKGS_LIB, Nix builds the flake
for real, which takes minutes.
"""

import argparse
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

from . import build, machines, mistakes, module, package, reference, schema, sources, whole
from .tools import Failed, Tools

CHECKS = [
    *sources.CHECKS, *schema.CHECKS, *module.CHECKS, *package.CHECKS, *machines.CHECKS, *reference.CHECKS,
    *whole.CHECKS, *build.CHECKS, *(build.SLOW_CHECKS if os.environ.get(build.ASKED_FOR) else []),
]


def main() -> int:
    parser = argparse.ArgumentParser(prog="checks", description=__doc__)
    parser.add_argument("--repository", type=Path, default=Path(__file__).resolve().parents[3])
    parser.add_argument("--target", type=Path, help="where cargo builds (default: REPOSITORY/target)")
    parser.add_argument("--dist", type=Path, help="the release files (default: TARGET/dist)")
    parser.add_argument("--only", default="", help="only checks whose names contain this")
    parser.add_argument("--write", action="store_true", help="write docs/nixos-options.md anew")
    arguments = parser.parse_args()
    repository = arguments.repository.resolve()
    target = (arguments.target or repository / "target").resolve()
    with tempfile.TemporaryDirectory(prefix="nix-checks-") as scratch:
        tools = Tools(repository, target, (arguments.dist or target / "dist").resolve(), Path(scratch))
        if arguments.write:
            reference.write(tools)
            return 0
        return _run(tools, arguments.only)


def _run(tools: Tools, only: str) -> int:
    passed = failed = left_out = 0
    for name, needs, check in [*CHECKS, *mistakes.checks({name: (needs, check) for name, needs, check in CHECKS})]:
        if only not in name:
            continue
        if not tools.has(needs):
            left_out += 1
            continue
        begun = time.monotonic()
        try:
            check(tools)
        except Failed as failure:
            failed += 1
            print(f"FAILED  {name}: {failure}", flush=True)
        except Exception:
            # The other checks are none the worse for it.
            failed += 1
            print(f"FAILED  {name}: the check itself broke\n{traceback.format_exc()}", flush=True)
        else:
            passed += 1
            print(f"passed  {name}, {time.monotonic() - begun:.1f} s", flush=True)
    if left_out:
        missing = "NIXPKGS_NIXOS" if tools.lib else "NIXPKGS_LIB"
        print(f"{left_out} more need nixpkgs' lib or its modules: set {missing} to a copy of that directory (docs/nixos.md)")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
