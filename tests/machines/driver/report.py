"""Progress: one plain line an event, with the seconds since the scenario began."""

import sys
import threading
import time

_lock = threading.Lock()
_begun = time.monotonic()


def begin() -> None:
    """Starts counting the seconds anew."""
    global _begun
    _begun = time.monotonic()


def elapsed() -> float:
    """Seconds since `begin`."""
    return time.monotonic() - _begun


def event(who: str, what: str) -> None:
    """One line: when, which machine or step, what happened."""
    line(f"{elapsed():7.2f}  {who:<8} {what}")


def line(text: str) -> None:
    """A line of its own."""
    with _lock:
        print(text, flush=True)


def block(title: str, text: str) -> None:
    """A block of somebody else's output, told apart by its margin; nothing when there is none."""
    if not text.strip():
        return
    with _lock:
        print(f"--- {title}")
        for each in text.rstrip("\n").splitlines():
            print(f"    {each}")
        sys.stdout.flush()
