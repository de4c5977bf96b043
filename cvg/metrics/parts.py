"""Sets of clips in parts: each is of some clips of one set."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors.numpy import load_file

from cvg.files import save_arrays
from cvg.metrics.clips import rows_at_once
from cvg.metrics.measure import Rows, joined

# Whole batches of all networks, so that what is embedded together does not depend on the cut.
FEWEST_CLIPS = 16
MOST_CLIPS = 64  # in memory at once; of more, a search among the training clips is hardly faster
PARTS = 8  # about, of a set; fewer of a small one
PART = "measured.safetensors"  # in the folder of a part


class Parts:
    """The parts of some sets, set by set, and what was measured of them on disk.

    Attributes:
        sizes: clips of each part.
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        """Cut sets of `counts` clips, by their names."""
        self._parts = [
            (name, rows)
            for name, count in counts.items()
            for rows in rows_at_once(count, clips_of_part(count))
        ]
        self.sizes = [rows.stop - rows.start for _, rows in self._parts]

    def __getitem__(self, number: int) -> tuple[str, slice]:
        """Give the set of a part, and which of its clips."""
        return self._parts[number]

    def of(self, name: str) -> list[slice]:
        """Give the parts of a set."""
        return [rows for one, rows in self._parts if one == name]

    def read(self, name: str, folders: Sequence[Path]) -> Rows:
        """Read what was measured of a set.

        Args:
            name: of the set.
            folders: of all parts, in order.
        """
        own = zip(self._parts, folders, strict=True)
        return joined([load_file(folder / PART) for (one, _), folder in own if one == name])


def write_part(folder: Path, rows: Rows) -> None:
    """Write what was measured of some clips."""
    save_arrays(folder / PART, rows)


def clips_of_part(count: int) -> int:
    """Give the clips of a part of a set of `count`.

    >>> [clips_of_part(count) for count in (5, 16, 256, 2048)]
    [16, 16, 32, 64]
    """
    whole = count // (PARTS * FEWEST_CLIPS)
    return min(MOST_CLIPS, FEWEST_CLIPS * max(1, whole))
