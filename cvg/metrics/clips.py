"""Sets of clips, in memory or on disk, of which some are looked at together and never all."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol as Interface
from typing import runtime_checkable

import numpy as np

CLIPS_AT_ONCE = 8


@runtime_checkable
class Clips(Interface):
    """Clips of one shape; an array `[n, t, h, w, 3]` of uint8 is one, and so is `ClipFolder`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Clips, frames, height, width, colours."""
        ...

    def __len__(self) -> int:
        """Give the number of clips."""
        ...

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        """Give some clips, uint8 `[m, t, h, w, 3]`."""
        ...


def rows_at_once(count: int, size: int | None = None) -> Iterator[slice]:
    """Part `count` rows into slices of `size`, or of `CLIPS_AT_ONCE`.

    >>> [(rows.start, rows.stop) for rows in rows_at_once(5, 2)]
    [(0, 2), (2, 4), (4, 5)]
    """
    size = size or CLIPS_AT_ONCE
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


@dataclass(frozen=True)
class Chosen:
    """Some clips of a set, in any order; they are read when they are asked for."""

    clips: Clips
    numbers: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Clips, frames, height, width, colours."""
        return len(self.numbers), *self.clips.shape[1:]

    def __len__(self) -> int:
        """Give the number of clips."""
        return len(self.numbers)

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        """Give some of them."""
        return np.concatenate([self.clips[n : n + 1] for n in self.numbers[rows]])
