"""Batches whose loss or gradient is not finite: a few are left out and told, many stop the run."""

from pathlib import Path

from cvg.errors import UserError
from cvg.training.messages import warn

MOST_IN_A_ROW = 3
MOST_IN_ALL = 20


class BadBatches:
    """Counts the steps whose batch was not used."""

    def __init__(self, label: str) -> None:
        """Count for the run called `label`."""
        self.label = label
        self.in_a_row = 0
        self.in_all = 0

    def good(self) -> None:
        """Note a step that was finite."""
        self.in_a_row = 0

    def bad(self, step: int, found: str, *, checkpoint: Path | None) -> None:
        """Tell of a step that was not, or stop.

        Args:
            step: its number, from 1 on.
            found: what was not finite, with the terms of the loss where they are known.
            checkpoint: the newest one, if any.

        Raises:
            UserError: these are too many.
        """
        self.in_a_row += 1
        self.in_all += 1
        if self.in_a_row < MOST_IN_A_ROW and self.in_all < MOST_IN_ALL:
            warn(
                f"{self.label}: the batch of step {step} is not used: {found}; "
                f"{self.in_all} such so far, {MOST_IN_A_ROW} in a row or {MOST_IN_ALL} in all "
                "stop the run"
            )
            return
        kept = f"; the last good state is in {checkpoint}" if checkpoint else ""
        raise UserError(
            f"{self.label}: {found} at step {step}, after {self.in_a_row} bad batches in a row and "
            f"{self.in_all} in all. Lower lr in params.yaml (which begins anew) or check the data. "
            "The stage wrote nothing; `dvc checkout` brings back what an earlier run wrote"
            f"{kept}"
        )

    def state_dict(self) -> dict[str, int]:
        """Give the counts."""
        return {"in_a_row": self.in_a_row, "in_all": self.in_all}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a state."""
        self.in_a_row, self.in_all = state["in_a_row"], state["in_all"]
