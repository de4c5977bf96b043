"""Batches of code windows, with the segment that each window is from."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cvg.codes.layout import Layout
from cvg.codes.store import CodeStore
from cvg.errors import UserError
from cvg.segments import Segment, Split, Window, Windows
from cvg.tensors import Int64, Tensor


@dataclass(frozen=True, kw_only=True)
class CodeBatch:
    """Windows of codes in a layout's order."""

    sequence: Int64[Tensor, "b t m"]
    segments: Sequence[Segment]


class CodeBatches:
    """All windows of one length in one split."""

    def __init__(self, store: CodeStore, split: Split, *, layout: Layout, length: int) -> None:
        """List the windows of `length` frames of `split`.

        Raises:
            UserError: no segment is that long.
        """
        self._store = store
        self._layout = layout
        self._windows = Windows(store.segments(split), length=length)
        if not self._windows:
            raise UserError(
                f"no {split} segment has {length} frames; lower clip_frames in params.yaml, or "
                "add longer videos"
            )

    def random(self, size: int, *, rng: torch.Generator) -> CodeBatch:
        """Draw windows with repetition; every window is equally likely."""
        numbers = torch.randint(len(self._windows), (size,), generator=rng).tolist()
        return gather_codes(self._store, [self._windows[n] for n in numbers], layout=self._layout)

    def in_order(self, size: int, *, most: int) -> Iterator[CodeBatch]:
        """Give windows spread evenly over all, at most `most`, in batches of `size`."""
        windows = self._windows.spread(most)
        for first in range(0, len(windows), size):
            yield gather_codes(self._store, windows[first : first + size], layout=self._layout)


def gather_codes(store: CodeStore, windows: Iterable[Window], *, layout: Layout) -> CodeBatch:
    """Read windows of equal length, in the order of a layout."""
    windows = list(windows)
    read = [store.window(window.segment, window.start, window.length) for window in windows]
    codes = {
        grid.level: torch.from_numpy(np.stack([window[grid.level] for window in read]))
        for grid in layout.grids
    }
    return CodeBatch(
        sequence=layout.to_sequence(codes), segments=[window.segment for window in windows]
    )
