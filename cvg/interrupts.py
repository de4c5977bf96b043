"""Signals that ask a stage to stop: work ends at its next good place, and nothing is lost.

The first SIGTERM, SIGINT (Ctrl-C) or SIGUSR1 (sent ahead of a time limit by schedulers) raises
`Interrupted` at once, so that temporary files are removed, or is kept until the work asks, where it
is `deferred` because a state is to be saved first. The second one ends the process as if nothing
had been installed.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
PR_SET_PDEATHSIG = 1  # of prctl(2)


class Interrupted(BaseException):
    """A signal asked for the end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_status(self) -> int:
        """What a shell reports of a process that a signal ended."""
        return 128 + self.number


@dataclass
class _State:
    is_deferred: bool = False
    pending: int | None = None  # the signal that came


_state = _State()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let signals raise `Interrupted` within; afterwards, they do what they did before.

    Only the main thread may install handlers: elsewhere nothing changes.
    """
    try:
        before = {number: signal.signal(number, _handle) for number in SIGNALS}
    except ValueError:
        yield
        return
    _state.pending = None
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _state.pending = None


@contextmanager
def deferred() -> Iterator[None]:
    """Keep the first signal within, for `raise_pending`; what is left at the end is raised then."""
    before, _state.is_deferred = _state.is_deferred, True
    try:
        yield
    finally:
        _state.is_deferred = before
    if not before:
        raise_pending()


def pending() -> int | None:
    """Give the signal that was kept, if there is one."""
    return _state.pending


def raise_pending() -> None:
    """Raise the signal that was kept, if there is one."""
    if _state.pending is not None:
        raise Interrupted(_state.pending)


def end_with_parent() -> None:
    """Have the kernel send SIGTERM when the parent process ends, so that no orphan writes on.

    Linux alone knows how; elsewhere the locks of the stages keep a second run from starting.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # It ended before the kernel was asked.
        os.kill(os.getpid(), signal.SIGTERM)


def _handle(number: int, _frame: FrameType | None) -> None:
    if _state.pending is not None:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    _state.pending = number
    if not _state.is_deferred:
        raise Interrupted(number)
