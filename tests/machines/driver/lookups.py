"""What a machine's programs get when they look names up: for scripts of this driver alone, beside the NixOS test driver's
names."""

import contextlib
import time
from collections.abc import Iterator

from . import report
from .machine import Machine

_POLL = 0.1
# A loop that ran less often shows nothing.
_FEWEST = 20


def answers(machine: Machine, names: list[str]) -> dict[str, set[str]]:
    """The addresses of every name, as `getent ahosts` has them: none for one that does not resolve."""
    lookups = "; ".join(
        # 2 is "not found"; anything else but success would be an answer of its own.
        f"echo {name} $(getent ahosts {name} | cut -d' ' -f1 | sort -u; test ${{PIPESTATUS[0]}} -le 2 || echo error)"
        for name in names
    )
    lines = machine.succeed(f"set +e +o pipefail; {lookups}; true").splitlines()
    return {name: set(found) for name, *found in (line.split() for line in lines)}


def wait_for_answers(machines: list[Machine], wanted: dict[str, list[str]], within: float = 15.0,
                     meanwhile: dict[str, list[list[str]]] | None = None) -> float:
    """Waits until every machine gets exactly these addresses. What it gets before that for names in `meanwhile` must be
    one of the answers there. Returns how many seconds it took."""
    begun = time.monotonic()
    goal = {name: set(addresses) for name, addresses in wanted.items()}
    allowed = {name: [set(each) for each in each_of] for name, each_of in (meanwhile or {}).items()}
    waiting = list(machines)
    while True:
        for machine in list(waiting):
            seen = answers(machine, [*goal, *(name for name in allowed if name not in goal)])
            for name, choice in allowed.items():
                if seen[name] not in choice:
                    raise AssertionError(f"{machine.name} sees {name} as {_told(seen[name])}, allowed: {choice}")
            if all(seen[name] == addresses for name, addresses in goal.items()):
                waiting.remove(machine)
        took = time.monotonic() - begun
        if not waiting:
            return took
        if took > within:
            raise AssertionError("\n".join(_lacking(machine, goal, within) for machine in waiting))
        time.sleep(_POLL)


@contextlib.contextmanager
def lookups(machine: Machine, wanted: dict[str, list[str]]) -> Iterator[None]:
    """A loop of `getent ahosts` on a machine, which must get all these addresses every time."""
    checks = ""
    for name, addresses in wanted.items():
        checks += f'\n    out=$(getent ahosts {name}) || out="status $? $out"'
        for address in addresses:
            checks += f'\n    case "$out" in *{address}" "*) ;; *) echo "$(date +%T.%N) {name}: $out" >> /var/tmp/loop.missed ;; esac'
        checks += "\n    count=$((count + 1))"
    loop = f"count=0\nuntil [ -e /var/tmp/loop.stop ]; do{checks}\n    echo $count > /var/tmp/loop.count\ndone\n"
    machine.succeed("rm -f /var/tmp/loop.*", f"cat > /var/tmp/loop.sh <<'END'\n{loop}END")
    machine.succeed("systemd-run --quiet --unit=lookup-loop --service-type=exec bash /var/tmp/loop.sh")
    machine.wait_until_succeeds("test -s /var/tmp/loop.count", timeout=30)
    try:
        yield
    finally:
        machine.succeed("touch /var/tmp/loop.stop")
        machine.wait_until_fails("systemctl is-active --quiet lookup-loop.service", timeout=30)
    count = int(machine.succeed("cat /var/tmp/loop.count"))
    missed = machine.succeed("cat /var/tmp/loop.missed 2>/dev/null || true").splitlines()
    if missed:
        raise AssertionError(f"{len(missed)} of {count} lookups on {machine.name} went wrong:\n" + "\n".join(missed[:20]))
    if count < _FEWEST:
        raise AssertionError(f"only {count} lookups on {machine.name}: the loop shows nothing")
    report.event(machine.name, f"{count} lookups, each right")


def _lacking(machine: Machine, goal: dict[str, set[str]], within: float) -> str:
    seen = answers(machine, list(goal))
    wrong = {name: f"{_told(seen[name])}, expected {_told(addresses)}" for name, addresses in goal.items() if seen[name] != addresses}
    return f"{machine.name}, after {within:.1f} s: {wrong or 'right only now'}"


def _told(addresses: set[str]) -> str:
    return " ".join(sorted(addresses)) or "nothing"
