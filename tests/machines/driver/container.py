"""A machine's body: a systemd-nspawn container with a disk, a cgroup and a link of its own."""

import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from pathlib import Path

from . import network, report, sandbox
from .disk import StateDisk
from .guest import Guest
from .nodes import Node

BOOT_TIMEOUT = 60.0
SHUTDOWN_TIMEOUT = 30.0
_POLL = 0.02


class Failure(Exception):
    """Something a script expected did not happen."""


class Container:
    """A machine that is on or off."""

    def __init__(self, node: Node, layers: list[Path]) -> None:
        self.name = node.name
        self._number = node.number
        self._work = sandbox.WORK / node.name
        self._upper = self._work / "upper"
        self.root = self._work / "root"
        self.console = self._work / "console"
        self._nspawn: subprocess.Popen | None = None
        self._guest: Guest | None = None
        # While the machine is on.
        self.cgroup: Path | None = None
        self._leader: int | None = None
        self._booted = threading.Event()
        self._begun = 0.0
        self._make_disk(node, layers)
        self._state_disk = StateDisk(self._work, self.root, node.state_disk) if node.state_disk else None
        self._notify = _Notify(self._work / "notify", self._notified)

    def power_on(self) -> None:
        """Switches the machine on, and does not wait until it has booted."""
        if self._nspawn:
            return
        self._begun = time.monotonic()
        self._booted.clear()
        self._leader = None
        self.cgroup = sandbox.cgroup(f"{self.name}-{uuid.uuid4().hex[:6]}")
        namespace = network.plug(self.name, self._number)
        with self.console.open("ab") as console:
            self._nspawn = subprocess.Popen(
                self._nspawn_command(namespace), stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(self._notify.path),
                     "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_LOG_LEVEL": "notice"},
            )
        if self._state_disk:
            self._state_disk.wait_until_attached(self._nspawn)

    def power_off(self) -> None:
        """Ends everything in the machine at this instant. Peers hear nothing, not even that ports are closed."""
        network.set_link(self.name, False)
        if self._state_disk:
            # Nobody is to see his disk fail before he dies.
            self._freeze_whole()
            self._state_disk.cut(self._nspawn)
        (self.cgroup / "cgroup.freeze").write_text("0")
        (self.cgroup / "cgroup.kill").write_text("1")
        self._nspawn.wait()
        self._off()

    def connect(self) -> Guest:
        """The way in, once the machine has booted; it is switched on if it is off."""
        self.power_on()
        if self._guest:
            return self._guest
        deadline = self._begun + BOOT_TIMEOUT
        while not self._booted.wait(_POLL):
            if self._nspawn.poll() is not None:
                status = self._nspawn.returncode
                self._off()
                raise Failure(f"{self.name}: went off while it booted (status {status}):\n{self._console_end()}")
            if time.monotonic() > deadline:
                raise Failure(f"{self.name}: has not booted within {BOOT_TIMEOUT:.0f} s:\n{self._console_end()}")
        report.event(self.name, f"booted in {time.monotonic() - self._begun:.2f} s")
        self._guest = Guest(self._leader, self.cgroup)
        return self._guest

    def wait_for_exit(self) -> int:
        """Waits until the machine has gone off by itself. Returns how systemd-nspawn ended."""
        try:
            status = self._nspawn.wait(SHUTDOWN_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{self.name}: has not gone off within {SHUTDOWN_TIMEOUT:.0f} s") from error
        self._off()
        return status

    def is_on(self) -> bool:
        """Whether the machine is on."""
        return self._nspawn is not None

    def has_booted(self) -> bool:
        """Whether the machine is on and has booted."""
        return self.is_on() and self._booted.is_set()

    def set_frozen(self, frozen: bool) -> None:
        """Stops every process of the machine, or lets them go on."""
        (self.cgroup / "cgroup.freeze").write_text("1" if frozen else "0")

    def journal(self, *options: str) -> str:
        """The machine's journal, whether it is on or off."""
        shown = subprocess.run(
            ["journalctl", f"--directory={self.root}/var/log/journal", "--no-pager", "--quiet", "--output=short-monotonic",
             *options],
            capture_output=True, text=True, errors="replace",
        )
        return shown.stdout or shown.stderr

    def destroy(self) -> None:
        """Takes the machine away with its disk."""
        if self.is_on():
            self.power_off()
        # Also when switching on came to nothing.
        network.unplug(self.name)
        self._notify.close()
        subprocess.run(["umount", str(self.root)], check=True)
        shutil.rmtree(self._work)

    # Helpers.

    def _freeze_whole(self) -> None:
        self.set_frozen(True)
        deadline = time.monotonic() + 1
        while "frozen 1" not in (self.cgroup / "cgroup.events").read_text() and time.monotonic() < deadline:
            time.sleep(0.001)

    def _make_disk(self, node: Node, layers: list[Path]) -> None:
        for directory in (self._upper, self._work / "overlay", self.root):
            directory.mkdir(parents=True)
        lower = ":".join(str(layer) for layer in layers)
        options = f"lowerdir={lower},upperdir={self._upper},workdir={self._work / 'overlay'}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", str(self.root)], check=True)
        # A machine that knows who it is has no first boot, which would enable every unit.
        (self.root / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
        (self.root / "etc/hostname").write_text(f"{node.name}\n")
        addresses = "".join(f"Address={address}\n" for address in node.addresses)
        (self.root / "etc/systemd/network/10-link.network").write_text(
            f"[Match]\nName={network.INTERFACE}\n\n[Network]\nIPv6AcceptRA=no\nIPv6DuplicateAddressDetection=0\n"
            # A cut link keeps its addresses, as on a machine whose addresses were set by hand.
            f"ConfigureWithoutCarrier=yes\nLinkLocalAddressing=ipv6\n{addresses}"
        )

    def _nspawn_command(self, namespace: Path) -> list[str]:
        command = [
            "systemd-nspawn", "--quiet", "--settings=no", "--register=no", "--keep-unit", "--boot",
            f"--directory={self.root}", f"--machine={self.name}", f"--hostname={self.name}",
            f"--network-namespace-path={namespace}", "--resolv-conf=off", "--timezone=off", "--link-journal=no",
            "--notify-ready=yes", "--console=read-only", "--system-call-filter=bpf @keyring",
            "--capability=CAP_NET_ADMIN,CAP_BPF,CAP_PERFMON",
        ]
        if self._state_disk:
            command = self._state_disk.attached(command)
        return ["sh", "-c", f'echo $$ > {self.cgroup}/cgroup.procs; exec "$@"', "sh", *command]

    def _notified(self, message: str) -> None:
        for line in message.splitlines():
            if line.startswith("X_NSPAWN_LEADER_PID="):
                self._leader = int(line.partition("=")[2])
            elif line == "READY=1":
                self._booted.set()

    def _console_end(self) -> str:
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-20:])

    def _off(self) -> None:
        """Clears what a machine that is off leaves: processes that outlived nspawn, the cgroup, the link."""
        deadline = time.monotonic() + 10
        (self.cgroup / "cgroup.kill").write_text("1")
        while "populated 1" in (self.cgroup / "cgroup.events").read_text():
            if time.monotonic() > deadline:
                raise Failure(f"{self.name}: processes that cannot be killed are left in {self.cgroup}")
            time.sleep(0.005)
        sandbox.remove_cgroup(self.cgroup)
        network.unplug(self.name)
        self._booted.clear()
        self._nspawn = self._guest = self.cgroup = self._leader = None


class _Notify:
    """The socket on which systemd-nspawn tells of the machine's first process and of its readiness. It is read to the
    end of the machine's days: systemd inside writes to it too, and would wait for room."""

    def __init__(self, path: Path, handle) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._handle = handle
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        # Ends the thread's recv(), which would otherwise go on with whoever gets the descriptor's number next.
        self._socket.shutdown(socket.SHUT_RD)
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        while message := self._socket.recv(65536):
            self._handle(message.decode(errors="replace"))
