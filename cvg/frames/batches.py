"""Batches of single frames from the store, as tensors in [-1, 1]."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from cvg.errors import UserError
from cvg.frames.pixels import to_channels_first, to_unit
from cvg.frames.store import FrameStore
from cvg.segments import Split, Windows
from cvg.tensors import Float, Tensor


class FrameBatches:
    """The frames of one split, seen as one long list."""

    def __init__(self, store: FrameStore, split: Split) -> None:
        """List the frames of `split`.

        Raises:
            UserError: the split has no frame.
        """
        self._store = store
        self._frames = Windows(store.segments(split), length=1)
        if not self._frames:
            raise UserError(
                f"the frame store has no {split} frames; lower extract.min_frames or add videos, "
                "then run extract again"
            )

    def random(self, size: int, *, rng: torch.Generator) -> Float[Tensor, "b c h w"]:
        """Draw frames with repetition."""
        return self._gather(torch.randint(len(self._frames), (size,), generator=rng).tolist())

    def in_order(self, size: int) -> Iterator[Float[Tensor, "b c h w"]]:
        """Give every frame once, in the order of the store."""
        total = len(self._frames)
        for first in range(0, total, size):
            yield self._gather(range(first, min(first + size, total)))

    def _gather(self, numbers: Sequence[int]) -> Float[Tensor, "b c h w"]:
        windows = [self._frames[number] for number in numbers]
        frames = [self._store.window(w.segment, w.start, w.length) for w in windows]
        return to_channels_first(to_unit(torch.from_numpy(np.concatenate(frames))))
