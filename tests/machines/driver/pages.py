"""Follows a page of docs: carries out what it tells the reader to do, in the page's order, on a scenario's machines.

A fenced block says in its first line what it is for:

    sh alpha beta           commands, run as root on each of these machines; they must succeed
    sh alpha fails          … they must fail
    sh alpha eventually     … repeated until they succeed, and until what the block `text` below shows has come
    toml alpha /etc/…       a file with this content, written on each of these machines, in whatever language
    toml alpha >>/etc/…     … added to the file
    text                    what the commands above print: every line of it, in this order; … stands for anything
    sh                      commands that cannot be run here: tests/pages.toml has them, and what checks them instead
    toml, conf, plain …     something to look at

`<!-- alpha: command -->` is run too, and not seen by the reader: it makes the trouble that the page then finds. A page that has a
block of any other kind is not followed at all, so that no command stands in it untried. That no other block has commands, and that no
page is forgotten, is a test of the crate `mesher_manual`.
"""

import re
import shlex
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import report
from .container import Failure

REPOSITORY = Path(__file__).resolve().parents[3]
# How long what comes eventually may take.
_PATIENCE = 60.0
_POLL = 0.2
_FENCE = "```"
_HIDDEN = re.compile(r"<!-- (\w+(?: \w+)*): (.*) -->")


class BadPage(Exception):
    """A page with something on it that cannot be carried out; the text says where."""


@dataclass
class Step:
    """A block to carry out, and what is to come of it."""

    where: str
    kind: str  # "run", "fails", "eventually", "write" or "append"
    machines: list[str]
    text: str
    path: str = ""
    expected: str | None = None


def follow(page: str, machines: dict, replace: dict[str, Callable[[], str]], directory: str = "/root") -> None:
    """Carries a page out. `replace` gives, for texts on the page that differ from run to run, what stands for them here."""
    steps = read(page, (REPOSITORY / page).read_text(), set(machines))
    for step in steps:
        step.text = _fill(step.text, replace)
        for name in step.machines:
            _carry_out(step, machines[name], machines, replace, directory)
    report.event("script", f"{page}: {len(steps)} blocks carried out")


def read(page: str, text: str, machines: set[str]) -> list[Step]:
    """The steps of a page."""
    steps: list[Step] = []
    lines = iter(enumerate(text.splitlines(), start=1))
    before = ""
    for number, line in lines:
        where = f"{page}:{number}"
        if line.startswith(_FENCE):
            block = []
            for _, inner in lines:
                if inner.startswith(_FENCE):
                    break
                block.append(inner)
            _add(steps, where, line.removeprefix(_FENCE).split(), "\n".join(block), machines)
        elif hidden := _HIDDEN.fullmatch(line):
            steps.append(Step(where, "run", _known(where, hidden[1].split(), machines), hidden[2]))
        elif line.startswith("    ") and not before.strip():
            raise BadPage(f"{where}: a block that is only indented is not carried out: put it into a fence")
        before = line
    if not steps:
        raise BadPage(f"{page}: there is nothing to carry out")
    return steps


def _add(steps: list[Step], where: str, words: list[str], block: str, machines: set[str]) -> None:
    if words == ["text"]:
        if not steps or steps[-1].kind in ("write", "append") or steps[-1].expected is not None:
            raise BadPage(f"{where}: a block `text` shows what the commands above it print; there are none")
        steps[-1].expected = block
    elif len(words) > 1 and words[0] == "sh":
        kind = words.pop() if words[-1] in ("fails", "eventually") else "run"
        steps.append(Step(where, kind, _known(where, words[1:], machines), block))
    elif len(words) > 2 and words[-1].startswith(("/", ">>/")):
        kind = "append" if words[-1].startswith(">>") else "write"
        steps.append(Step(where, kind, _known(where, words[1:-1], machines), block + "\n", words[-1].removeprefix(">>")))
    elif len(words) == 1 and (words != ["sh"] or _run_elsewhere(where.split(":")[0], block)):
        pass
    else:
        raise BadPage(f"{where}: {_FENCE}{' '.join(words)}: neither commands nor a file of a machine, so it cannot be carried out")


def _run_elsewhere(page: str, block: str) -> bool:
    """Whether no machine can carry a block out: it builds the project, or is listed with the reason."""
    listed = tomllib.loads((REPOSITORY / "tests/pages.toml").read_text())["block"]
    lines = {line for entry in listed if entry["page"] == page for line in entry["text"].strip().splitlines()}
    return all(line.startswith("cargo ") or line in lines for line in block.splitlines())


def _known(where: str, names: list[str], machines: set[str]) -> list[str]:
    if unknown := set(names) - machines:
        raise BadPage(f"{where}: there is no machine {', '.join(sorted(unknown))}")
    return names


def _fill(text: str, replace: dict[str, Callable[[], str]]) -> str:
    for old, new in replace.items():
        text = text.replace(old, new()) if old in text else text
    return text


def _carry_out(step: Step, machine, machines: dict, replace: dict[str, Callable[[], str]], directory: str) -> None:
    first = step.path or step.text.strip().splitlines()[0]
    report.event(machine.name, f"{step.where.rsplit('/', 1)[-1]}  {first if len(first) < 70 else first[:67] + '…'}")
    if step.kind in ("write", "append"):
        machine.succeed(f"mkdir -p {shlex.quote(str(Path(step.path).parent))}")
        # In place, as an editor would: the file keeps its mode.
        with (machine.container.root / step.path.lstrip("/")).open("a" if step.kind == "append" else "w") as file:
            file.write(step.text)
        return
    lines = step.text.splitlines()
    copies = [line for line in lines if line.startswith("scp ")]
    # What is copied is copied last: the commands before may make it.
    if copies != lines[len(lines) - len(copies):] or (copies and step.expected):
        raise BadPage(f"{step.where}: scp stands at the end of a block, and prints nothing")
    commands = "\n".join(lines[: len(lines) - len(copies)])
    deadline = time.monotonic() + _PATIENCE
    while True:
        status, output = machine.execute(f"export HOME=/root; cd {directory}; exec 2>&1; {commands}")
        # Only now: the commands may have made what is to be filled in.
        problem = _problem(step, status, output, _fill(step.expected or "", replace) if (status == 0) != (step.kind == "fails") else "")
        if problem is None:
            break
        if step.kind != "eventually" or time.monotonic() > deadline:
            raise Failure(f"{step.where}: on {machine.name}: {problem}; it printed:\n{output}")
        time.sleep(_POLL)
    for line in copies:
        _copy(step.where, machine, machines, shlex.split(line))


def _problem(step: Step, status: int, output: str, expected: str) -> str | None:
    if step.kind == "fails" and status == 0:
        return "the commands were to fail and did not"
    if step.kind != "fails" and status != 0:
        return f"status {status}"
    printed = [" ".join(line.split()) for line in output.splitlines()]
    for wanted in expected.splitlines():
        words = " ".join(wanted.split())
        if words in ("", "…"):
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in words.split("…")))
        match = next((index for index, line in enumerate(printed) if pattern.fullmatch(line)), None)
        if match is None:
            return f"the page shows {wanted!r} here"
        del printed[: match + 1]
    return None


def _copy(where: str, machine, machines: dict, words: list[str]) -> None:
    """`scp FILE… MACHINE:TARGET`. The machines have no ssh: its part is done from outside."""
    *sources, target = [word for word in words[1:] if not word.startswith("-")]
    name, _, path = target.partition(":")
    if name not in machines or not path.startswith("/") or not sources:
        raise BadPage(f"{where}: expected scp FILE… MACHINE:/PATH")
    for source in sources:
        content = machine.container.root / source.lstrip("/") if source.startswith("/") else None
        if content is None or not content.is_file():
            raise Failure(f"{where}: {machine.name} has no {source}")
        place = path + Path(source).name if path.endswith("/") else path
        there = machines[name].container.root / place.lstrip("/")
        is_new = not there.exists()
        there.write_bytes(content.read_bytes())
        # As scp does: the mode goes with a new file, and with -p always.
        if is_new or "-p" in words:
            there.chmod(content.stat().st_mode & 0o777)
