"""The figures of a run by step, and the sums between two rows of them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cvg.files import write_rows
from cvg.tensors import Float, Tensor

Log = Callable[[Mapping[str, float], int], None]  # told of figures and step


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What one training step gives to the loop."""

    loss: Float[Tensor, ""]  # to be minimised
    figures: Mapping[str, Tensor]  # unweighted terms and other scalars to log


def in_words(figures: Mapping[str, Tensor]) -> str:
    """List scalars for a message.

    >>> import torch
    >>> in_words({"l1": torch.tensor(0.25), "l2": torch.tensor(2.0)})
    'l1 0.25, l2 2'
    """
    return ", ".join(f"{name} {value.item():.3g}" for name, value in figures.items())


@dataclass
class History:
    """Figures by step, one row for each time they were looked at."""

    rows: list[dict[str, float]] = field(default_factory=list)

    def write_csv(self, path: Path) -> None:
        """Write the rows as CSV; a figure that a row does not have is left empty."""
        write_rows(path, self.rows)


class Recorder:
    """Averages the figures of steps between two rows of the history."""

    def __init__(self, log: Log) -> None:
        """Record rows, and tell `log` of each."""
        self.history = History()
        self.note = ""
        self._log = log
        self._sums: dict[str, Tensor] = {}
        self._counts: Counter[str] = Counter()  # a figure may begin between two rows
        self._last: dict[str, float] = {}  # of the last step, and not averaged
        self._skipped = 0

    def add(self, parts: Sequence[StepResult], gradient_norm: Tensor, rate: float) -> None:
        """Add the figures of one step, which are the means of its parts."""
        for part in parts:
            self._add({"loss": part.loss, **part.figures})
        self._add({"gradient_norm": gradient_norm})
        self._last = {"learning_rate": rate}

    def skip(self) -> None:
        """Count a step whose batch was not used."""
        self._skipped += 1

    def write(self, step: int, validation: Mapping[str, float] | None = None) -> None:
        """Close a row: means since the last one, and validation figures where there are any."""
        row = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        row |= self._last
        if self._skipped:
            row["skipped_batches"] = self._skipped
        row |= dict(validation or {})
        if "loss" in row:
            self.note = f"loss {row['loss']:.4f}"
        self.history.rows.append({"step": step} | row)
        self._log(row, step)
        self._sums, self._counts, self._skipped = {}, Counter(), 0

    def state_dict(self) -> dict[str, Any]:
        """Give rows and running sums."""
        return {
            "rows": self.history.rows,
            "sums": self._sums,
            "counts": dict(self._counts),
            "last": self._last,
            "skipped": self._skipped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, and tell `log` of its rows: its run has not seen them."""
        self.history = History(rows=[dict(row) for row in state["rows"]])
        self._sums, self._counts = dict(state["sums"]), Counter(state["counts"])
        self._last, self._skipped = state["last"], state["skipped"]
        for row in self.history.rows:
            figures = dict(row)
            self._log(figures, int(figures.pop("step")))

    def _add(self, figures: Mapping[str, Tensor]) -> None:
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach()
            self._counts[name] += 1
