"""The processes of one training run, its ranks: what they share out and what they agree on.

All ranks do the same steps, in the same order, on the same draws; each computes its own rows of
every batch. What a rank computes of them is its part of a mean over the ranks. So a loss is scaled
such that its mean over the ranks is that of the whole batch, and gradients are averaged.

A call here that involves several ranks must be made by all of them, or the others wait in vain.
`Ranks` itself is one process alone, where each of these calls gives back what it was given;
cvg/training/group.py has the others.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from cvg.errors import UserError
from cvg.tensors import Tensor
from cvg.training.finite import NonFiniteError
from cvg.training.share import Share, of_all

Value = TypeVar("Value")
Batch = TypeVar("Batch")


class Ranks:
    """One process alone: all rows are its own, and there is nobody to agree with."""

    number = 0
    count = 1

    def share(self, total: int, *, together: int = 1) -> Share:
        """Give the rows of a batch of `total` that this rank computes.

        Args:
            total: rows of the whole batch.
            together: so many rows that lie beside each other go to one rank.
        """
        del together
        return of_all(total)

    def gathered(self, rows: Tensor, *, together: int = 1) -> Tensor:
        """Give the rows of all ranks in the order of the whole batch, without gradient."""
        del together
        return rows.detach()

    def mean(self, value: Tensor) -> Tensor:
        """Give the mean over the ranks, without gradient; the same bits on each."""
        return value.detach()

    def sum(self, value: Tensor) -> Tensor:
        """Give the sum over the ranks, without gradient; the same bits on each."""
        return value.detach()

    def means(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Give the means of several numbers over the ranks at once, without gradient."""
        return [value.detach() for value in values]

    def most(self, value: int) -> int:
        """Give the largest value that a rank has; it knows of no device."""
        return value

    def of_first(self, value: Value) -> Value:
        """Give what the first rank has: JSON values, which need not agree."""
        return value

    def from_first(self, tensor: Tensor) -> Tensor:
        """Give the tensor of the first rank, without gradient."""
        return tensor.detach()

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace gradients by their means over the ranks."""

    def reseed(self, seed: int, *purpose: str | int) -> None:
        """Let several ranks draw apart from the global generator, which dropout draws from.

        The draws then depend on seed, purpose and rank alone, so that a run that goes on needs the
        state of no rank but the first.
        """


ALONE = Ranks()


def require_share(size: int, ranks: Ranks, *, field: str, together: int = 1) -> None:
    """Refuse a batch that cannot be dealt out evenly.

    Raises:
        UserError: the rows do not divide by the ranks.
    """
    if size % (ranks.count * together) == 0:
        return
    dealt = f", {together} rows at a time" if together > 1 else ""
    raise UserError(
        f"{field}: found {size}, which is the batch of all {ranks.count} ranks{dealt}; expected a "
        f"multiple of {ranks.count * together}. Change it, or start another number of processes"
    )


def add_up(
    batches: Iterable[Batch], figures: Callable[[Batch], Mapping[str, Tensor]], ranks: Ranks
) -> dict[str, Tensor]:
    """Add up figures of batches that the ranks take in turn.

    The sums are those of one process to the last bit: each rank adds what all have found, batch
    after batch. Where batches do not come out even, some ranks do the last one again and it counts
    once, because weights in parts need all ranks at each pass.

    Args:
        batches: the same ones on all ranks.
        figures: of one batch, always of the same names and shapes.
        ranks: that share them out.

    Returns:
        Sums in float64 on the CPU.

    Raises:
        NonFiniteError: a rank has raised it.
    """
    totals: dict[str, Tensor] = {}
    for group in _groups(batches, ranks.count):
        own: Mapping[str, Tensor] = {}
        error = None
        try:
            own = figures(group[min(ranks.number, len(group) - 1)])
        except NonFiniteError as found:
            error = found
        if ranks.most(int(error is not None)):
            raise error or NonFiniteError("a number of another rank is not finite")
        for name, value in own.items():
            rows = ranks.gathered(value.double().cpu()[None])
            for row in rows[: len(group)]:
                totals[name] = totals[name] + row if name in totals else row
    return totals


def _groups(items: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """Give items in groups of `size`; the last one may be smaller."""
    group: list[Value] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
