"""Several scenarios at a time, each lane in a sandbox of its own: most of a scenario's time is waiting. What a lane has to
say of a scenario is shown when the scenario has ended, whole."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from . import report
from .scenario import Outcome

# Ends what a lane says of one scenario: the line after it is the outcome.
_END = "\x1e"
# The number of a scenario on the queue: of one length, so that a read takes exactly one, whoever reads beside.
_NUMBER = 5


def run(arguments: list[str], scenarios: list[tuple[Path, Path]], alone: list[bool], lanes: int) -> list[Outcome]:
    """Runs the scenarios: first those that want the machine for themselves, then the rest in that many lanes."""
    outcomes: dict[int, Outcome] = {}
    for wanted, width in ((True, 1), (False, lanes)):
        numbers = [number for number, each in enumerate(alone) if each == wanted]
        if numbers:
            _run(arguments, scenarios, numbers, min(width, len(numbers)), outcomes)
    return [outcomes[number] for number in sorted(outcomes)]


def turns(queue: int | None, count: int) -> Iterator[int]:
    """The numbers of the scenarios that this process runs: all, or one after another from the queue of a lane."""
    if queue is None:
        yield from range(count)
        return
    while number := os.read(queue, _NUMBER):
        yield int(number)


def tell(number: int, outcome: Outcome) -> None:
    """Says in a lane how a scenario ended."""
    report.line(_END)
    report.line(json.dumps([number, outcome.name, outcome.suite, outcome.passed, outcome.seconds, outcome.why]))


def _run(arguments: list[str], scenarios: list, numbers: list[int], lanes: int, outcomes: dict[int, Outcome]) -> None:
    queue, entry = os.pipe()
    os.write(entry, "".join(f"{number:{_NUMBER}}" for number in numbers).encode())
    os.close(entry)
    # The setting-up of a lane ends with its parent's thread: so they begin here, in the main one.
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "driver", *arguments, "--queue", str(queue)], pass_fds=[queue],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )
        for _ in range(lanes)
    ]
    os.close(queue)
    readers = [threading.Thread(target=_read, args=(lane.stdout, outcomes)) for lane in running]
    for reader in readers:
        reader.start()
    for lane, reader in zip(running, readers, strict=True):
        lane.wait()
        reader.join()
    for number in numbers:
        # A lane that died said why, and took its scenario with it.
        outcomes.setdefault(number, Outcome(scenarios[number][1].parent.name, "?", False, 0.0, "its lane died"))


def _read(output, outcomes: dict[int, Outcome]) -> None:
    said: list[str] = []
    for line in output:
        line = line.rstrip("\n")
        if line != _END:
            said.append(line)
            continue
        number, *outcome = json.loads(output.readline())
        outcomes[number] = Outcome(*outcome)
        report.line("\n".join(said))
        said.clear()
    if any(each.strip() for each in said):
        report.line("\n".join(said))
