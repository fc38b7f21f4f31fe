"""Commands inside a machine, through its namespaces."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Result:
    """How a command ended."""

    status: int
    output: str
    errors: str


class Guest:
    """A way into a running machine, given its first process."""

    def __init__(self, leader: int, cgroup: Path) -> None:
        self._leader = leader
        self._capabilities = _bounding_set(leader)
        self._cgroup = cgroup / "commands"
        self._cgroup.mkdir(exist_ok=True)

    def run(self, command: str, timeout: float) -> Result:
        """Runs a shell command, which ends with status 124 after the time-out."""
        words = ["timeout", "--kill-after=1", str(timeout), "bash", "-c", f"set -euo pipefail; {command}"]
        done = subprocess.run(
            self._inside(words), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            env={"PATH": _PATH}, cwd="/",
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def shell(self) -> None:
        """An interactive shell on this terminal."""
        subprocess.run(self._inside(["bash", "-i"]), env={"PATH": _PATH, "TERM": "linux", "HOME": "/root"})

    def _inside(self, words: list[str]) -> list[str]:
        # The cgroup first, so that a crash or a freeze of the machine takes the command with it. nsenter keeps the
        # caller's capabilities: without setpriv, `date -s` inside would set the clock of the machine we run on.
        return [
            "sh", "-c", f'echo $$ > {self._cgroup}/cgroup.procs; exec "$@"', "sh",
            "nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root",
            "--", "setpriv", f"--bounding-set={self._capabilities}", "--", *words,
        ]


def _bounding_set(process: int) -> str:
    """A process' capability bounding set, as setpriv(1) takes it."""
    status = Path(f"/proc/{process}/status").read_text()
    mask = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapBnd:"))
    # By number: setpriv inside may know other names than the kernel does.
    held = [f"+cap_{number}" for number in range(64) if mask >> number & 1]
    return ",".join(["-all", *held])
