"""What each frame brings along besides its pixels: its motion, its action, its map in small."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float32, UInt8

from cvg.frames.pixels import changes
from cvg.frames.store import FrameStore
from cvg.segments import Segment

MOTION, ACTIONS, MAP = "motion", "actions", "map"


class Aligned:
    """Reads what frames bring along, whatever segments they are of."""

    def __init__(self, store: FrameStore, segments: Sequence[Segment], *, map_cells: int) -> None:
        """Look at `segments` of `store`.

        Args:
            store: of the frames.
            segments: in the order of the store.
            map_cells: rows and columns of a map in small; the frame's side is a multiple.
        """
        self._store = store
        self._segments = segments
        self._starts = [segment.first_frame for segment in segments]
        self._cells = map_cells
        self.has_maps = any(segment.first_map is not None for segment in segments)

    @property
    def item_shapes(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Give type and shape of what a frame has; a kind that no segment has is left out."""
        shapes: dict[str, tuple[str, tuple[int, ...]]] = {MOTION: ("float32", ())}
        if self._store.action_width is not None:
            shapes[ACTIONS] = ("float32", (self._store.action_width,))
        if self.has_maps:
            shapes[MAP] = ("uint8", (self._cells, self._cells))
        return shapes

    def read(self, first: int, length: int) -> dict[str, np.ndarray]:
        """Give it for `length` frames of the store from `first` on.

        Returns:
            `motion`: mean absolute change from the frame before, grey levels of 0 to 255; NaN in
            the first frame of a segment. `actions`: NaN where there are none. `map`: mean of each
            cell, 0 to 255; 0 where there is none.
        """
        arrays = {
            name: np.full((length, *shape), 0 if dtype == "uint8" else np.nan, dtype)
            for name, (dtype, shape) in self.item_shapes.items()
        }
        for segment, start, count in self._pieces(first, length):
            row = segment.first_frame + start - first
            rows = slice(row, row + count)
            arrays[MOTION][rows] = self._motion(segment, start, count)
            if segment.first_action is not None:
                arrays[ACTIONS][rows] = self._store.actions(segment, start, count)
            if segment.first_map is not None:
                arrays[MAP][rows] = shrink_maps(
                    self._store.maps(segment, start, count), self._cells
                )
        return arrays

    def _pieces(self, first: int, length: int) -> Iterator[tuple[Segment, int, int]]:
        """Give segment, start and number of frames of each segment that has a share."""
        for segment in self._segments[max(0, bisect_right(self._starts, first) - 1) :]:
            begin = max(first, segment.first_frame)
            end = min(first + length, segment.first_frame + segment.num_frames)
            if segment.first_frame >= first + length:
                return
            if begin < end:
                yield segment, begin - segment.first_frame, end - begin

    def _motion(self, segment: Segment, start: int, count: int) -> Float32[np.ndarray, "t"]:
        before = min(start, 1)
        change = changes(self._store.window(segment, start - before, count + before))
        missing = np.full(count - len(change), np.nan)
        return np.concatenate([missing, change]).astype(np.float32)


def shrink_maps(maps: UInt8[np.ndarray, "t h w"], cells: int) -> UInt8[np.ndarray, "t cells cells"]:
    """Average each cell of maps.

    Raises:
        ValueError: the sides are no multiples of `cells`.
    """
    t, h, w = maps.shape
    if h % cells or w % cells:
        raise ValueError(f"maps of {h} x {w} pixels do not divide into {cells} x {cells} cells")
    parts = maps.reshape(t, cells, h // cells, cells, w // cells)
    return np.rint(parts.mean(axis=(2, 4))).astype(np.uint8)
