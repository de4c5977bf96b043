"""Batches of frames from the store, as tensors in [-1, 1]."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from cvg.errors import UserError
from cvg.frames.pixels import to_channels_first, to_unit
from cvg.frames.store import FrameStore
from cvg.segments import Split, Window, Windows
from cvg.tensors import Float, Tensor
from cvg.training.share import Share, of_all


class FrameBatches:
    """The frames of one split, seen as one long list."""

    def __init__(self, store: FrameStore, split: Split, *, successive: int = 1) -> None:
        """List the frames of `split`.

        Args:
            store: the frames.
            split: "train" or "held_out".
            successive: so many frames that follow each other are drawn together.

        Raises:
            UserError: the split has no frame, or none that is followed by enough others.
        """
        self._store = store
        self._successive = successive
        self._windows = Windows(store.segments(split), length=successive)
        if not self._windows:
            raise UserError(
                f"the frame store has no {split} frames"
                + (
                    f" with {successive} in a row, which a loss that looks at them needs"
                    if successive > 1
                    else ""
                )
                + "; lower extract.min_frames or add videos, then run extract again"
            )

    def random(
        self, size: int, *, rng: torch.Generator, share: Share | None = None
    ) -> Float[Tensor, "b c h w"]:
        """Draw frames with repetition; successive ones lie beside each other in the batch.

        Args:
            size: of the whole batch.
            rng: where chance comes from.
            share: of the batch that is read, where it is not all of it.
        """
        windows = (share or of_all(size)).groups(self._successive)
        numbers = torch.randint(len(self._windows), (windows.total,), generator=rng)
        return self._gather([self._windows[number] for number in numbers[windows.rows].tolist()])

    def in_order(self, size: int, *, most: int) -> Iterator[Float[Tensor, "b c h w"]]:
        """Give the windows in the order of the store, at most `most`, spread evenly."""
        windows = self._windows.spread(most)
        for first in range(0, len(windows), size):
            yield self._gather(windows[first : first + size])

    def _gather(self, windows: Sequence[Window]) -> Float[Tensor, "b c h w"]:
        frames = [self._store.window(w.segment, w.start, w.length) for w in windows]
        return to_channels_first(to_unit(torch.from_numpy(np.concatenate(frames))))
