"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cvg import launch

SECONDS_BETWEEN_LINES = 10.0


class Steps:
    """Counts steps of one task and shows them; use as a context manager."""

    def __init__(self, label: str, *, total: int) -> None:
        self.label = label
        self.total = total
        self.done = 0
        self.note = ""
        self._start = self._last_line = time.monotonic()
        self._bar = _bar() if sys.stderr.isatty() and launch.is_first() else None

    def __enter__(self) -> "Steps":
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self.label, total=self.total, note="")
        return self

    def advance(self, count: int = 1, *, note: str = "") -> None:
        """Count `count` steps as done; `note` is a short text such as the current loss."""
        self.done += count
        self.note = note or self.note
        if self._bar is not None:
            self._bar.update(self._task, advance=count, note=self.note)
        elif time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._print_line()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None:
            self._print_line()

    def _print_line(self) -> None:
        self._last_line = time.monotonic()
        if not launch.is_first():
            return
        elapsed = self._last_line - self._start
        line = f"{self.label}: {self.done}/{self.total} in {elapsed:.0f} s"
        sys.stderr.write(line + (f", {self.note}" if self.note else "") + "\n")
        sys.stderr.flush()


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    )
