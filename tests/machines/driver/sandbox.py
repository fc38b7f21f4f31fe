"""Namespaces of our own: processes, mounts, network and IPC. When the driver ends, for whatever reason, the kernel takes
everything in them away, down to the last container."""

import contextlib
import os
import subprocess
from pathlib import Path

INSIDE = "MESHER_MACHINES_INSIDE"
# Everything the driver makes lies here, on a tmpfs that only it sees.
WORK = Path("/run/machines")
_CGROUPS = Path("/sys/fs/cgroup")
_PREFIX = "mesher-machines-"
# Where this process was when it began, on the cgroup tree.
_home: Path | None = None


def is_inside() -> bool:
    """Whether this process runs in the sandbox already."""
    return INSIDE in os.environ


def enter(arguments: list[str]) -> None:
    """Replaces this process by the same driver in a sandbox. Does not return."""
    os.environ[INSIDE] = str(os.getpid())
    command = [
        # Whoever started us is gone: so are we, and with us, by --kill-child, the sandbox.
        "setpriv", "--pdeathsig", "KILL",
        "unshare", "--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child=KILL", "--mount-proc",
        "python3", "-m", "driver", *arguments,
    ]
    os.execvp(command[0], command)


def prepare() -> None:
    """Sets the sandbox up: private mounts, an empty /run, the cgroup tree, the loopback interface."""
    _run("mount", "--make-rprivate", "/")
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    WORK.mkdir()
    Path("/run/netns").mkdir()
    _run("mount", "-t", "cgroup2", "cgroup2", str(_CGROUPS))
    _run("ip", "link", "set", "lo", "up")
    _sweep()
    # The driver is in its run's cgroup: so that is not empty, and no other run sweeps it away.
    _join(cgroup("driver"))


def cgroup(name: str) -> Path:
    """A new cgroup for one machine, beside this run's others."""
    path = _run_cgroup() / name
    path.mkdir(parents=True)
    return path


def remove_cgroup(path: Path) -> None:
    """Removes an empty cgroup with all below it."""
    for directory, _, _ in os.walk(path, topdown=False):
        os.rmdir(directory)


def leave() -> None:
    """Removes the one thing that outlives the sandbox: this run's cgroup."""
    _join(_own_cgroup())
    # After an error there may be machines in it still: they end with the sandbox, and the next run sweeps it away.
    with contextlib.suppress(OSError):
        remove_cgroup(_run_cgroup())


def _run_cgroup() -> Path:
    return _own_cgroup() / f"{_PREFIX}{os.environ[INSIDE]}"


def _own_cgroup() -> Path:
    global _home
    if _home is None:
        # "0::/some/where" is the unified hierarchy's line.
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        own = next((line[3:] for line in lines if line.startswith("0::")), "/")
        _home = _CGROUPS / own.lstrip("/")
    return _home


def _join(group: Path) -> None:
    (group / "cgroup.procs").write_text("0")


def _sweep() -> None:
    """Removes the empty cgroups of runs that were killed."""
    for run in _own_cgroup().glob(f"{_PREFIX}*"):
        try:
            if "populated 0" in (run / "cgroup.events").read_text():
                remove_cgroup(run)
        except OSError:
            continue  # another run removes it at this moment


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
