"""One machine, as a script sees it. The methods have the NixOS test driver's names and meanings, so that the same script
runs there in virtual machines; the few it does not have are marked."""

import os
import shlex
import shutil
import time
from pathlib import Path

from . import network, report
from .container import Container, Failure
from .guest import Result
from .nodes import Node

# A command that takes longer than this is worth a progress line.
_SLOW = 1.0
_POLL = 0.05
# How often a unit may be restarted while a script waits for it.
_VAIN_RESTARTS = 5
# systemd-nspawn's exit status when the machine rebooted itself.
_REBOOT_STATUS = 133


class Machine:
    """A machine with a disk of its own. Whatever is asked of a machine that is off switches it on."""

    def __init__(self, node: Node, layers: list[Path]) -> None:
        self.name = node.name
        self.container = Container(node, layers)

    def start(self) -> None:
        """Switches the machine on; commands wait until it has booted."""
        self.container.power_on()

    def shutdown(self) -> None:
        """Shuts the machine down in order, and waits until it is off."""
        if not self.container.is_on():
            return
        self._run("systemctl poweroff --no-block", 10)
        self.wait_for_shutdown()

    def wait_for_shutdown(self) -> None:
        """Waits until the machine is off."""
        begun = time.monotonic()
        self.container.wait_for_exit()
        report.event(self.name, f"shut down in {time.monotonic() - begun:.2f} s")

    def crash(self) -> None:
        """Cuts the power. What was written stays; /run goes, and peers hear nothing."""
        if not self.container.is_on():
            return
        self.container.power_off()
        report.event(self.name, "crashed")

    def reboot(self) -> None:
        """Reboots the machine in order; commands wait until it is up again."""
        self._run("systemctl reboot --no-block", 10)
        status = self.container.wait_for_exit()
        if status != _REBOOT_STATUS:
            raise Failure(f"{self.name}: expected a reboot, but the machine went off (status {status})")
        report.event(self.name, "rebooting")
        self.start()

    def block(self) -> None:
        """Cuts the machine's link."""
        network.set_link(self.name, False)
        report.event(self.name, "link cut")

    def unblock(self) -> None:
        """Restores the machine's link."""
        network.set_link(self.name, True)
        report.event(self.name, "link back")

    def execute(self, command: str, check_return: bool = True, check_output: bool = True,
                timeout: float | None = 900) -> tuple[int, str]:
        """Runs a shell command; its status and what it wrote to standard output."""
        del check_return, check_output  # the output is there, whether it is wanted or not
        result = self._run(command, timeout)
        return result.status, result.output

    def succeed(self, *commands: str, timeout: float | None = None) -> str:
        """Runs shell commands that must succeed; their output."""
        output = ""
        for command in commands:
            result = self._run(command, timeout)
            if result.status != 0:
                raise Failure(self._told(f"expected success of `{command}`", result))
            output += result.output
        return output

    def fail(self, *commands: str, timeout: float | None = None) -> str:
        """Runs shell commands that must fail; their output."""
        output = ""
        for command in commands:
            result = self._run(command, timeout)
            if result.status == 0:
                raise Failure(self._told(f"expected failure of `{command}`", result))
            output += result.output
        return output

    def wait_until_succeeds(self, command: str, timeout: float = 900) -> str:
        """Repeats a shell command until it succeeds; its output."""
        return self._repeat(command, timeout, lambda result: result.status == 0, "success").output

    def wait_until_fails(self, command: str, timeout: float = 900) -> str:
        """Repeats a shell command until it fails; its output."""
        return self._repeat(command, timeout, lambda result: result.status != 0, "failure").output

    def systemctl(self, query: str, user: str | None = None) -> tuple[int, str]:
        """Runs systemctl."""
        if user is not None:
            raise Failure("there are no user managers on these machines")
        return self.execute(f"systemctl {query}")

    def get_unit_property(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.succeed(f"systemctl show --property={name} --value {shlex.quote(unit)}").strip()

    def get_unit_info(self, unit: str, user: str | None = None) -> dict[str, str]:
        """All properties of a unit."""
        del user
        lines = self.succeed(f"systemctl --no-pager show {shlex.quote(unit)}").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def require_unit_state(self, unit: str, require_state: str = "active") -> None:
        """Fails unless the unit is in that state."""
        state = self.get_unit_property(unit, "ActiveState")
        if state != require_state:
            raise Failure(f"{self.name}: {unit} is {state}, expected {require_state}\n{self._unit_status(unit)}")

    def wait_for_unit(self, unit: str, user: str | None = None, timeout: float = 900) -> None:
        """Waits until a unit is active. Fails at once when it failed, or is inactive with no job to change that."""
        del user
        deadline = time.monotonic() + timeout
        restarts = None
        while True:
            found = self.succeed(f"systemctl show --property=ActiveState,Job,NRestarts {shlex.quote(unit)}").splitlines()
            state = dict(line.split("=", 1) for line in found)
            if state["ActiveState"] == "active":
                return
            if state["ActiveState"] == "failed":
                raise Failure(f"{self.name}: {unit} has failed\n{self._unit_status(unit)}")
            # The machine has booted, so a unit that was to come by itself would have a job by now.
            if state["ActiveState"] == "inactive" and state.get("Job", "0") in ("", "0"):
                raise Failure(f"{self.name}: {unit} is inactive, and nothing is about to start it")
            # One that systemd starts over and over will not be mended by waiting.
            now = int(state.get("NRestarts", 0))
            restarts = now if restarts is None else restarts
            if now - restarts >= _VAIN_RESTARTS:
                raise Failure(f"{self.name}: {unit} ends as soon as it starts\n{self._unit_status(unit)}")
            if time.monotonic() > deadline:
                raise Failure(f"{self.name}: {unit} is {state['ActiveState']} after {timeout} s\n{self._unit_status(unit)}")
            time.sleep(_POLL)

    def start_job(self, job: str, user: str | None = None) -> tuple[int, str]:
        """Starts a unit."""
        return self.systemctl(f"start {shlex.quote(job)}", user)

    def stop_job(self, job: str, user: str | None = None) -> tuple[int, str]:
        """Stops a unit."""
        return self.systemctl(f"stop {shlex.quote(job)}", user)

    def wait_for_open_port(self, port: int, addr: str = "localhost", timeout: float = 900) -> None:
        """Waits until somebody listens on a TCP port."""
        self.wait_until_succeeds(f"exec 3<>/dev/tcp/{addr}/{port}", timeout)

    def wait_for_closed_port(self, port: int, addr: str = "localhost", timeout: float = 900) -> None:
        """Waits until nobody listens on a TCP port."""
        self.wait_until_fails(f"exec 3<>/dev/tcp/{addr}/{port}", timeout)

    def wait_for_file(self, filename: str, timeout: float = 900) -> None:
        """Waits until a file exists."""
        self.wait_until_succeeds(f"test -e {shlex.quote(filename)}", timeout)

    def copy_from_host(self, source: str, target: str) -> None:
        """Copies a file or folder from this machine's disk, with its modes."""
        place = self.container.root / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        # A running machine sees its disk through the same mount.
        shutil.copytree(source, place, dirs_exist_ok=True) if os.path.isdir(source) else shutil.copy2(source, place)

    def sleep(self, secs: float) -> None:
        """Lets time pass."""
        self.succeed(f"sleep {secs}")

    def log(self, msg: str) -> None:
        """A progress line."""
        report.event(self.name, msg)

    def booted(self) -> bool:
        """Whether the machine is on and has booted."""
        return self.container.has_booted()

    # What the NixOS test driver does not have.

    def freeze(self) -> None:
        """Stops every process of the machine at once, as a suspend does. Only this driver has it."""
        self.container.connect()
        self.container.set_frozen(True)
        report.event(self.name, "frozen")

    def thaw(self) -> None:
        """Lets the machine go on. Only this driver has it."""
        self.container.set_frozen(False)
        report.event(self.name, "thawed")

    # Helpers.

    def _run(self, command: str, timeout: float | None) -> Result:
        guest = self.container.connect()
        begun = time.monotonic()
        result = guest.run(command, timeout if timeout is not None else 900)
        took = time.monotonic() - begun
        if took > _SLOW:
            report.event(self.name, f"`{_short(command)}` took {took:.2f} s")
        return result

    def _repeat(self, command: str, timeout: float, good, wanted: str) -> Result:
        guest = self.container.connect()
        begun = time.monotonic()
        while True:
            left = begun + timeout - time.monotonic()
            result = guest.run(command, max(left, 1.0))
            took = time.monotonic() - begun
            if good(result):
                if took > _SLOW:
                    report.event(self.name, f"{wanted} of `{_short(command)}` after {took:.2f} s")
                return result
            if took > timeout:
                raise Failure(self._told(f"no {wanted} of `{command}` within {timeout} s; the last time", result))
            time.sleep(_POLL)

    def _told(self, what: str, result: Result) -> str:
        said = f"{self.name}: {what}: status {result.status}"
        for title, text in (("output", result.output), ("errors", result.errors)):
            if text.strip():
                said += f"\n{title}:\n" + "\n".join(f"    {line}" for line in text.rstrip("\n").splitlines())
        return said

    def _unit_status(self, unit: str) -> str:
        return self._run(f"systemctl --no-pager --full status {shlex.quote(unit)} || true", 10).output


def _short(command: str) -> str:
    one_line = " ".join(command.split())
    return one_line if len(one_line) <= 70 else one_line[:67] + "…"

