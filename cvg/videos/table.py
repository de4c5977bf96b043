"""Writing manifests: what importers and makers of data leave behind."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from cvg.files import replacing_file

KNOWN_COLUMNS = (
    "path",
    "caption",
    "label",
    "split",
    "group",
    "start",
    "end",
    "fps",
    "actions",
    "map",
)


def write_manifest(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows as a CSV manifest in UTF-8, whole or not at all.

    Columns that no row fills are left out; the known ones come first, others in the order of their
    first use. None is an empty cell.

    Raises:
        ValueError: a row has no `path`.
    """
    if any(not row.get("path") for row in rows):
        raise ValueError("every row of a manifest needs a path")
    filled = {name: None for row in rows for name, cell in row.items() if cell is not None}
    columns = [name for name in KNOWN_COLUMNS if name in filled]
    columns += [name for name in filled if name not in KNOWN_COLUMNS]
    with (
        replacing_file(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        # Where lines end in a line feed, csv would leave a carriage return without quotes.
        loose = any("\r" in str(cell) for row in rows for cell in row.values())
        writer = csv.DictWriter(
            file,
            columns,
            lineterminator="\n",
            extrasaction="ignore",
            quoting=csv.QUOTE_ALL if loose else csv.QUOTE_MINIMAL,
        )
        writer.writeheader()
        writer.writerows({name: row.get(name) for name in columns} for row in rows)
