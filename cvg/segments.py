"""Segments: successive frames of one video on one side of the split; the index of all stores."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import accumulate
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from cvg.errors import UserError

Split = Literal["train", "held_out"]
SPLITS: tuple[Split, ...] = ("train", "held_out")

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("video", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("first_frame", pa.int64(), nullable=False),
        pa.field("num_frames", pa.int64(), nullable=False),
        pa.field("fps", pa.float64(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("motion", pa.float64(), nullable=False),
        pa.field("first_action", pa.int64()),
        pa.field("first_map", pa.int64()),
        pa.field("caption", pa.string()),
        pa.field("label", pa.string()),
        pa.field("metadata", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Successive frames of one video, all on one side of the split.

    Attributes:
        id: number of the segment, its row in the index.
        video: name of the video in the manifest.
        split: "train" or "held_out".
        first_frame: number in the store.
        num_frames: of the segment.
        fps: frames a second as stored.
        start_s: time of its first frame in the video, seconds.
        motion: mean absolute change from frame to frame, grey levels of 0 to 255.
        first_action: row of its first frame in the store's actions, None where it has none.
        first_map: number of its first frame in the store's maps, None where it has none.
        caption: a sentence, None where there is none.
        label: a class, None where there is none.
        metadata: the other columns of the manifest, as a JSON object.
    """

    id: int
    video: str
    split: Split
    first_frame: int
    num_frames: int
    fps: float
    start_s: float
    motion: float
    first_action: int | None
    first_map: int | None
    caption: str | None
    label: str | None
    metadata: str


@dataclass(frozen=True)
class Window:
    """`length` frames of a segment from `start` on, counted in the segment."""

    segment: Segment
    start: int
    length: int


class Windows(Sequence[Window]):
    """All windows of one length, one frame apart, in the order of the segments; none is stored.

    Segments that are too short have no window.
    """

    def __init__(self, segments: Iterable[Segment], *, length: int) -> None:
        """Number the windows of `length` frames."""
        self._length = length
        self._segments = [s for s in segments if s.num_frames >= length]
        self._ends = list(accumulate(s.num_frames - length + 1 for s in self._segments))

    def __len__(self) -> int:
        """Number of windows."""
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, number: int) -> Window:  # type: ignore[override]
        """Give one window by its number, 0 to len - 1."""
        if not 0 <= number < len(self):
            raise IndexError(f"window {number} of {len(self)}")
        which = bisect_right(self._ends, number)
        segment = self._segments[which]
        first = self._ends[which] - (segment.num_frames - self._length + 1)
        return Window(segment, number - first, self._length)

    def spread(self, count: int) -> list[Window]:
        """Pick `count` different windows, each in the middle of its share of all; fewer if need be.

        >>> Windows([], length=4).spread(2)
        []
        """
        total = len(self)
        count = min(count, total)
        return [self[(2 * i + 1) * total // (2 * count)] for i in range(count)]


def write_segments(path: Path, segments: Iterable[Segment]) -> None:
    """Write the index as Parquet."""
    table = pa.Table.from_pylist([asdict(segment) for segment in segments], schema=SCHEMA)
    pq.write_table(table, path, compression="zstd")


def read_segments(path: Path) -> list[Segment]:
    """Read an index; columns that later versions add are ignored.

    Raises:
        UserError: an earlier version wrote it, without columns that are needed now.
    """
    table = pq.ParquetFile(path).read()
    names = [field.name for field in fields(Segment)]
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise UserError(
            f"{path}: found no column {', '.join(missing)}, expected those of this version of the "
            "program; run the stage that writes it again (see dvc.yaml)"
        )
    return [Segment(**row) for row in table.select(names).to_pylist()]
