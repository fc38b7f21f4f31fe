"""Daemons that are held up now and then, as on a machine with too much to do. A script that looks at what has yet to happen,
instead of waiting for it, passes on an idle machine and fails with this."""

import contextlib
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from . import report

# The longest pause, in seconds.
VARIABLE = "MESHER_MACHINES_STUTTER"
# Below a machine's cgroup.
_SERVICE = "payload/system.slice/data-mesher.service"
_STEP = 0.02


@contextlib.contextmanager
def daemons(cgroups: Callable[[], list[Path]]) -> Iterator[None]:
    """Holds up the daemons of the machines in these cgroups, each at moments of its own, if the variable says so."""
    longest = float(os.environ.get(VARIABLE) or 0)
    if longest <= 0:
        yield
        return
    seed = random.getrandbits(32)
    report.event("stutter", f"the daemons pause for up to {longest} s (choices of seed {seed})")
    ended = threading.Event()
    thread = threading.Thread(target=_hold_up, args=(cgroups, longest, random.Random(seed), ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _hold_up(cgroups: Callable[[], list[Path]], longest: float, chance: random.Random, ended: threading.Event) -> None:
    now = 0.0
    # Until when each service pauses, and when the next pause begins.
    pauses: dict[Path, tuple[float, float]] = {}
    while not ended.wait(_STEP):
        now += _STEP
        for service in [group / _SERVICE for group in cgroups()]:
            until, following = pauses.get(service, (0.0, 0.0))
            if now >= following:
                until = now + chance.uniform(0, longest)
                following = until + chance.uniform(0, longest)
                pauses[service] = until, following
            _set_frozen(service, now < until)
    for service in pauses:
        _set_frozen(service, False)


def _set_frozen(service: Path, frozen: bool) -> None:
    # The service may have ended, or not begun.
    with contextlib.suppress(OSError):
        (service / "cgroup.freeze").write_text("1" if frozen else "0")
