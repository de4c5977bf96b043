"""Which rows of a batch a process computes.

All processes of a run draw the same numbers for the whole batch and take their rows of them, so
that a sample is the same whichever process it falls to.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cvg.tensors import Int64, Tensor


@dataclass(frozen=True, kw_only=True)
class Share:
    """Some rows of a batch.

    Attributes:
        numbers: of the rows, in rising order.
        total: rows of the whole batch.
    """

    numbers: Sequence[int]
    total: int

    @property
    def rows(self) -> Int64[Tensor, "r"]:
        """The numbers of the rows, to take them of a tensor."""
        return torch.tensor(self.numbers, dtype=torch.int64)

    def below(self, number: int) -> int:
        """Count the rows before a row."""
        return sum(row < number for row in self.numbers)

    def groups(self, size: int) -> "Share":
        """Give which groups of `size` successive rows these are; they must be whole ones."""
        groups = [number // size for number in self.numbers[::size]]
        return Share(numbers=groups, total=self.total // size)


def of_all(total: int) -> Share:
    """Give all rows of a batch."""
    return Share(numbers=range(total), total=total)
