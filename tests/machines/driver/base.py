"""Root file systems: a small Debian a suite, built once with mmdebstrap and kept as a compressed archive."""

import hashlib
import os
import re
import subprocess
import time
from pathlib import Path

from . import report

# What the machines and the scripts on them use, beyond the smallest Debian.
PACKAGES = [
    "dbus", "iproute2", "iputils-ping", "libc-bin", "nftables", "procps", "python3-minimal", "strace", "systemd",
    "systemd-sysv", "util-linux",
]

# Nobody reads these in a test.
LEFT_OUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"]

MIRROR_VARIABLE = "MESHER_DEBIAN_MIRROR"


class NoBase(Exception):
    """A base cannot be had; the text says what to do."""


def archive(suite: str, extra_packages: list[str], cache: Path, quiet: bool) -> Path:
    """The archive of a suite's root file system with some more packages, built unless it is in the cache."""
    packages = sorted({*PACKAGES, *extra_packages})
    recipe = hashlib.sha256(repr((packages, LEFT_OUT)).encode()).hexdigest()[:12]
    path = cache / f"{suite}-{recipe}.tar.zst"
    if path.exists():
        if not quiet:
            report.line(f"base {suite}: {path}")
        return path
    report.line(f"base {suite}: building it with mmdebstrap, once (about a minute) …")
    begun = time.monotonic()
    cache.mkdir(parents=True, exist_ok=True)
    _build(suite, packages, path)
    size = path.stat().st_size // 1_000_000
    report.line(f"base {suite}: built in {time.monotonic() - begun:.0f} s, {size} MB: {path}")
    return path


def suite_of(archive_path: Path) -> str:
    """The suite of an archive."""
    return archive_path.name.split("-")[0]


def unpack(archive_path: Path, directory: Path) -> None:
    """Unpacks an archive into a new directory."""
    directory.mkdir(parents=True)
    subprocess.run(
        ["tar", "--extract", "--zstd", "--numeric-owner", "--xattrs", f"--file={archive_path}", f"--directory={directory}"],
        check=True,
    )


def _build(suite: str, packages: list[str], path: Path) -> None:
    # Not under its final name before it is whole: a build that was killed must not be taken for a base.
    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    command = [
        "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(packages)}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
        # A mirror that lags makes testing's index run past its date within a week; it is signed all the same.
        '--aptopt=Acquire::Check-Valid-Until "false"',
        *(f"--aptopt={option}" for option in _apt_options()),
        suite, str(unfinished), _mirror(),
    ]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise NoBase(f"mmdebstrap could not build {suite} from {command[-1]}:\n{done.stdout.strip()[-2000:]}")
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _mirror() -> str:
    """The Debian mirror this machine's apt uses."""
    if given := os.environ.get(MIRROR_VARIABLE):
        return given
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True, text=True,
    )
    for target in targets.stdout.splitlines():
        if match := re.fullmatch(r"Debian Debian (\S+)", target):
            return match[1]
    raise NoBase(
        f"apt's sources here name no Debian mirror (or `apt-get update` never ran): set {MIRROR_VARIABLE}=http://…/debian"
    )


def _apt_options() -> list[str]:
    """What this machine's apt was told about reaching its mirror: proxies, and how old an index may be."""
    configuration = subprocess.run(["apt-config", "dump"], capture_output=True, text=True).stdout
    wanted = re.compile(r'Acquire::(https?::Proxy|https?::Verify|Check-Valid-Until|Check-Date)\S* ".+";')
    return [line.rstrip(";") for line in configuration.splitlines() if wanted.match(line)]
