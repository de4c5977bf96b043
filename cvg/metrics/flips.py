"""Codes that change although the picture stands still: what a transformer must then predict."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from einops import reduce

from cvg.frames.pixels import STILL
from cvg.tensors import Bool, Int64, UInt8


def still_cells(
    frames: UInt8[np.ndarray, "t h w c"], *, grid: int
) -> Bool[np.ndarray, "_ {grid} {grid}"]:
    """Say for each pair of successive frames which cells of a grid stand still.

    Args:
        frames: at least 1; their height and width are multiples of `grid`.
        grid: rows and columns of the codes.

    Returns:
        True where no byte of the cell changes by more than `STILL`, a row a pair: t - 1 rows.
    """
    change = np.abs(np.diff(frames.astype(np.int16), axis=0))
    pattern = "t (rows y) (columns x) c -> t rows columns"
    return reduce(change, pattern, "max", rows=grid, columns=grid) <= STILL


class Flips:
    """Counts, over successive frames, how often the code of a still cell changes.

    A network sees more than the cell of its code: where something moves nearby, a code may change
    with good reason. So some of the flips are rightful, and 0 is not the aim.
    """

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._counts: dict[str, _Count] = {}
        self._last: tuple[np.ndarray, dict[str, np.ndarray]] | None = None

    def add(
        self,
        frames: UInt8[np.ndarray, "t h w c"],
        codes: Mapping[str, Int64[np.ndarray, "t _ _"]],
        *,
        follows: bool,
    ) -> None:
        """Count the pairs of a batch.

        Args:
            frames: successive frames of one segment, as stored.
            codes: the codes of these frames, of each level.
            follows: True where the first frame comes right after the last one of the batch before:
                then these two are a pair as well.
        """
        last_frame = frames[-1:]
        last_codes = {level: grids[-1:] for level, grids in codes.items()}
        if follows and self._last is not None:
            frame_before, codes_before = self._last
            frames = np.concatenate([frame_before, frames])
            codes = {
                level: np.concatenate([codes_before[level], grids])
                for level, grids in codes.items()
            }
        self._last = last_frame, last_codes
        for level, grids in codes.items():
            still = still_cells(frames, grid=grids.shape[1])
            count = self._counts.setdefault(level, _Count())
            count.cells += still.size
            count.still += int(still.sum())
            count.flipped += int((still & (grids[1:] != grids[:-1])).sum())

    def figures(self) -> dict[str, dict[str, float]]:
        """Give, for each level, `still` and `flips`.

        `still` is the share of all cells that stand still; it is absent without successive frames.
        `flips` is the share of the still cells whose code changes; it is absent where no cell is
        still.
        """
        return {level: dict(_shares(count)) for level, count in self._counts.items()}


@dataclass
class _Count:
    """Of one level, over all pairs of successive frames."""

    cells: int = 0
    still: int = 0
    flipped: int = 0


def _shares(count: _Count) -> dict[str, float]:
    shares: dict[str, float] = {}
    if count.cells:
        shares["still"] = count.still / count.cells
    if count.still:
        shares["flips"] = count.flipped / count.still
    return shares
