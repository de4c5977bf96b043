"""Which rows of a batch a process computes.

All processes of a run draw the same numbers for the whole batch and take their rows of them, so
that a sample is the same whichever process it falls to.
"""

from dataclasses import dataclass

import torch

from cvg.tensors import Int64, Tensor


@dataclass(frozen=True, kw_only=True)
class Share:
    """Some rows of a batch, in rising order."""

    rows: Int64[Tensor, "r"]
    total: int  # rows of the whole batch

    def groups(self, size: int) -> "Share":
        """Give which groups of `size` successive rows these are; they must be whole ones."""
        return Share(rows=self.rows[::size] // size, total=self.total // size)


def of_all(total: int) -> Share:
    """Give all rows of a batch."""
    return Share(rows=torch.arange(total), total=total)
