"""Batches of code windows, with the segment that each window is from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cvg.codes.layout import Layout
from cvg.codes.store import CodeStore
from cvg.errors import UserError
from cvg.segments import Segment, Split, Window, Windows
from cvg.tensors import Int64, Tensor
from cvg.training.messages import warn


@dataclass(frozen=True, kw_only=True)
class CodeBatch:
    """Windows of codes in a layout's order.

    Attributes:
        sequence: codes of every `stride`-th frame.
        segments: of each window.
        stride: frames of the store from one frame of a window to the next.
        tracks: what the store has besides codes, `[b, frames, ...]`, of all frames of the store
            from the first of a window to the last.
    """

    sequence: Int64[Tensor, "b t m"]
    segments: Sequence[Segment]
    stride: int
    tracks: Mapping[str, np.ndarray]

    def take(self, rows: Int64[Tensor, "r"]) -> "CodeBatch":
        """Give some windows, by their numbers."""
        return CodeBatch(
            sequence=self.sequence[rows],
            segments=[self.segments[row] for row in rows.tolist()],
            stride=self.stride,
            tracks={name: track[rows.numpy()] for name, track in self.tracks.items()},
        )


class CodeBatches:
    """All windows of one length in one split."""

    def __init__(
        self,
        store: CodeStore,
        split: Split,
        *,
        layout: Layout,
        length: int,
        strides: Sequence[int] = (1,),
    ) -> None:
        """List the windows of `length` frames of `split`.

        Args:
            store: of the codes.
            split: "train" or "held_out".
            layout: order of the codes.
            length: frames of a window.
            strides: of every n-th frame; those for which no segment is long enough are left out,
                and that is said.

        Raises:
            UserError: no segment is that long.
        """
        self._store = store
        self._layout = layout
        segments = store.segments(split)
        spans = {stride: (length - 1) * stride + 1 for stride in strides}
        every = {stride: Windows(segments, length=span) for stride, span in spans.items()}
        self._windows = {stride: windows for stride, windows in every.items() if windows}
        for stride in sorted(set(strides) - set(self._windows)):
            if self._windows:
                warn(
                    f"no {split} segment has the {spans[stride]} frames that {length} need at "
                    f"stride {stride}, which is left out"
                )
        if not self._windows:
            raise UserError(
                f"no {split} segment has {min(spans.values())} frames; lower clip_frames in "
                "params.yaml, or add longer videos"
            )

    def random(self, size: int, *, rng: torch.Generator) -> CodeBatch:
        """Draw windows of one stride with repetition; of one stride, all are equally likely."""
        strides = list(self._windows)
        stride = strides[0]
        if len(strides) > 1:
            stride = strides[int(torch.randint(len(strides), (), generator=rng))]
        windows = self._windows[stride]
        numbers = torch.randint(len(windows), (size,), generator=rng).tolist()
        chosen = [windows[number] for number in numbers]
        return gather_codes(self._store, chosen, layout=self._layout, stride=stride)

    def in_order(self, size: int, *, most: int) -> Iterator[CodeBatch]:
        """Give windows spread evenly over all, at most `most`, in batches of `size`.

        They are of the smallest stride.
        """
        stride = min(self._windows)
        windows = self._windows[stride].spread(most)
        for first in range(0, len(windows), size):
            chosen = windows[first : first + size]
            yield gather_codes(self._store, chosen, layout=self._layout, stride=stride)


def gather_codes(
    store: CodeStore, windows: Iterable[Window], *, layout: Layout, stride: int = 1
) -> CodeBatch:
    """Read windows of equal length, in the order of a layout; of every `stride`-th frame."""
    windows = list(windows)
    read = [store.window(window.segment, window.start, window.length) for window in windows]
    codes = {
        grid.level: torch.from_numpy(np.stack([window[grid.level] for window in read]))
        for grid in layout.grids
    }
    return CodeBatch(
        sequence=layout.to_sequence(codes)[:, ::stride],
        segments=[window.segment for window in windows],
        stride=stride,
        tracks={name: np.stack([window[name] for window in read]) for name in store.tracks},
    )
