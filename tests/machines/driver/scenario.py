"""Runs one scenario: its machines, its script, and, when it fails, everything there is to see."""

import contextlib
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import unittest
from dataclasses import dataclass
from pathlib import Path

from . import lookups, network, nodes, pages, product, report, sandbox, stutter
from .machine import Machine

# How many of the last lines of the daemon's journal, and of a machine's whole one, are shown; all is in the logs.
_UNIT_LINES = 40
_MACHINE_LINES = 15
_UNIT = "data-mesher"
_SEED = "MESHER_MACHINES_SEED"


@dataclass
class Setup:
    """What all scenarios of a run share."""

    base: Path
    dist: Path | None
    installer: Path | None
    packages: Path | None
    layer: Path | None
    logs: Path
    keep: bool


@dataclass
class Outcome:
    """How a scenario ended."""

    name: str
    suite: str
    passed: bool
    seconds: float
    # Of a failed one: where in the script, and the first line of what went wrong.
    why: str = ""


def run(script: Path, nodes_file: Path, setup: Setup, suite: str) -> Outcome:
    """Runs a scenario from clean machines."""
    name = nodes_file.parent.name if nodes_file.name == "nodes.toml" else script.stem
    report.line(f"\n{name}")
    report.begin()
    machines: list[Machine] = []
    passed = False
    why = ""
    try:
        scenario = nodes.read(nodes_file)
        network.create()
        _make_machines(scenario, setup, machines)
        with _time_limit(scenario.timeout), stutter.daemons(lambda: _cgroups(machines)):
            exec(compile(script.read_text(), str(script), "exec"), _names(machines))
        passed = True
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a script's sys.exit() is no success either
        _show_failure(error, script, machines)
        why = _why(error, script)
    finally:
        seconds = report.elapsed()
        report.event(name, "passed" if passed else "FAILED")
        _save_logs(machines, setup.logs / name, passed)
        if setup.keep:
            _look_around(machines)
        for machine in machines:
            machine.container.destroy()
        network.delete()
    return Outcome(name, suite, passed, seconds, why)


def _make_machines(scenario: nodes.Nodes, setup: Setup, machines: list[Machine]) -> None:
    layers = [setup.base] if scenario.network is None else [setup.layer, setup.base]
    for node in scenario.machines:
        machines.append(Machine(node, layers))
    if scenario.carries_packages:
        for machine in machines:
            for package in setup.packages.rglob("*.deb"):
                machine.copy_from_host(str(package), f"/root/deb/{package.relative_to(setup.packages)}")
    if scenario.carries_release:
        for machine in machines:
            machine.copy_from_host(str(setup.dist), "/root/dist")
            machine.copy_from_host(str(setup.installer), "/root/xtask")
    if scenario.network is None:
        return
    with tempfile.TemporaryDirectory(dir=sandbox.WORK) as directory:
        # init makes the directory itself, with the modes it wants.
        files = Path(directory) / "network"
        network_id = product.create_network(scenario.network, setup.dist, files)
        for node, machine in zip(scenario.machines, machines, strict=True):
            product.configure(machine.container.root, node, scenario.network, files, network_id)


def _cgroups(machines: list[Machine]) -> list[Path]:
    groups = [machine.container.cgroup for machine in machines]
    return [group for group in groups if group is not None]


def _names(machines: list[Machine]) -> dict:
    """What a script finds by name."""

    def start_all() -> None:
        for machine in machines:
            machine.start()

    def join_all() -> None:
        for machine in machines:
            machine.wait_for_shutdown()

    def retry(fn, timeout: float = 900) -> None:
        deadline = time.monotonic() + timeout
        while not fn(False):
            if time.monotonic() > deadline:
                if fn(True):
                    return
                raise AssertionError(f"not within {timeout} s")
            time.sleep(0.05)

    def partition(one_side: list[Machine], other_side: list[Machine]) -> None:
        network.cut([machine.name for machine in one_side], [machine.name for machine in other_side])
        report.event("network", "cut")

    def lose(percent: int) -> None:
        network.lose(percent)
        report.event("network", f"losing {percent} %")

    def heal() -> None:
        network.mend()
        report.event("network", "whole again")

    def follow(page: str, replace: dict, directory: str = "/root") -> None:
        pages.follow(page, {machine.name: machine for machine in machines}, replace, directory)

    def random_numbers() -> random.Random:
        seed = os.environ.get(_SEED) or f"{random.getrandbits(32)}"
        report.event("script", f"{_SEED}={seed} repeats its choices")
        return random.Random(seed)

    return {
        **{machine.name.replace("-", "_"): machine for machine in machines},
        "machines": machines, "start_all": start_all, "join_all": join_all, "subtest": _subtest, "retry": retry,
        "log": _Log(), "t": unittest.TestCase(), "partition": partition, "lose": lose, "heal": heal,
        "follow": follow, "random_numbers": random_numbers, "answers": lookups.answers, "wait_for_answers": lookups.wait_for_answers,
        "lookups": lookups.lookups,
    }


class _Log:
    """The NixOS test driver's `log`."""

    def info(self, message: str) -> None:
        report.event("script", message)

    log = warning = error = info


@contextlib.contextmanager
def _subtest(name: str):
    report.event("·", name)
    begun = time.monotonic()
    try:
        yield
    except BaseException:
        report.event("✗", f"{name}: failed after {time.monotonic() - begun:.2f} s")
        raise
    report.event("✓", f"{time.monotonic() - begun:.2f} s")


@contextlib.contextmanager
def _time_limit(seconds: float):
    def expire(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"the script ran for {seconds:.0f} s, its time limit")

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _show_failure(error: BaseException, script: Path, machines: list[Machine]) -> None:
    for machine in machines:
        state = "on" if machine.container.is_on() else "off"
        report.block(f"{machine.name} ({state}): the last of its journal",
                     machine.container.journal(f"--lines={_MACHINE_LINES}"))
        report.block(f"{machine.name} ({state}): the last of {_UNIT}'s journal",
                     machine.container.journal(f"--lines={_UNIT_LINES}", f"--unit={_UNIT}.service", f"--unit={_UNIT}.socket"))
    frames = _frames(error, script)
    where = "".join(traceback.format_list(frames))
    message = "".join(traceback.format_exception_only(error))
    if not frames and not isinstance(error, TimeoutError):
        where = "".join(traceback.format_tb(error.__traceback__))
    report.block("failed", f"{where}{message}")


def _frames(error: BaseException, script: Path) -> list[traceback.FrameSummary]:
    """The script's own lines only: what the driver does below them tells a reader nothing."""
    return [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(script)]


def _why(error: BaseException, script: Path) -> str:
    frames = _frames(error, script)
    where = f"line {frames[-1].lineno}: " if frames else ""
    said = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"{where}{said}" if str(error) or not frames else f"{where}{frames[-1].line}"


def _save_logs(machines: list[Machine], directory: Path, passed: bool) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for machine in machines:
        (directory / f"{machine.name}.journal").write_text(machine.container.journal())
        if machine.container.console.exists():
            (directory / f"{machine.name}.console").write_bytes(machine.container.console.read_bytes())
    if not passed and machines:
        report.line(f"whole journals and consoles: {directory}")


def _look_around(machines: list[Machine]) -> None:
    names = ", ".join(machine.name for machine in machines)
    report.line(f"kept: type a machine's name ({names}) for a shell on it, an empty line to end")
    known = {machine.name: machine for machine in machines}
    for typed in sys.stdin:
        if not typed.strip():
            return
        if machine := known.get(typed.strip()):
            machine.container.connect().shell()
        else:
            report.line(f"there is no {typed.strip()!r}; there are {names}")
