"""Manifests as tables: CSV and Parquet read, CSV written."""

import csv
import difflib
import re
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from cvg.errors import UserError
from cvg.files import replacing_file
from cvg.videos.location import kind_of, shown, system_reason

PATH_COLUMNS = ("path", "path_to_video")
OPTIONAL_COLUMNS = ("caption", "label", "split", "group", "start", "end", "fps", "actions", "map")
KNOWN_COLUMNS = ("path", *OPTIONAL_COLUMNS)
OTHER_NAMES = {
    **dict.fromkeys(("file", "filename", "file_name", "file_path", "filepath"), "path"),
    **dict.fromkeys(("video", "video_path", "videos"), "path"),
    **dict.fromkeys(("text", "description", "prompt"), "caption"),
    **dict.fromkeys(("class", "category"), "label"),
    **dict.fromkeys(("start_s", "start_time"), "start"),
    **dict.fromkeys(("end_s", "end_time"), "end"),
    "frame_rate": "fps",
}
ALIKE = 0.85  # of difflib's ratio; "captoin" for "caption" is above it

MAX_TEXT = 64_000_000  # characters of a line, or of a cell; beyond it no manifest is read
MAX_NAME = 1000  # characters shown of a header
BATCH = 1024  # rows of Parquet in memory

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
# What decoding leaves of a byte that is not UTF-8, and NUL.
NOT_TEXT = re.compile("[\x00\udc80-\udcff]")

PLAIN_TYPES = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_boolean,
    pa.types.is_null,
)


def read_table(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the names of the columns, then the cells of each row, all with their line.

    Line 1 is the header, also in Parquet. The header has been checked; the rows have not.

    Raises:
        UserError: the file is no table, or its header none of a manifest.
    """
    _check_file(path)
    with _long_cells():
        rows = _parquet_rows(path) if path.suffix.lower() == ".parquet" else _csv_rows(path)
        _, names = next(rows, (1, [""]))
        header = [name.strip() for name in names]
        _check_header(path, header)
        yield 1, header
        yield from rows


def path_column(header: Sequence[str]) -> str:
    """Give the name under which a header has the path."""
    return next(name for name in PATH_COLUMNS if name in header)


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


def _check_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such manifest; set extract.manifest in params.yaml, or give --manifest"
        ) from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(mode):
        raise UserError(
            f"{path}: found {kind_of(mode)}; expected a CSV or Parquet file, or a folder of videos"
        )


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the cells of each row that is not blank."""
    try:
        # What is not UTF-8 comes as a surrogate, which no valid text holds.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(_text_lines(path, file), strict=True)
            line = 1
            try:
                for cells in reader:
                    if any(cell.strip() for cell in cells):
                        yield line, cells
                    line = reader.line_num + 1
            except csv.Error as error:
                raise UserError(
                    f"{path}:{reader.line_num}: not valid CSV: {error}; the row begins in line "
                    f"{line}. Cells are separated by commas, and quotes within them are doubled"
                ) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _text_lines(path: Path, file: TextIO) -> Iterator[str]:
    number = 0
    while line := file.readline(MAX_TEXT):
        number += 1
        if len(line) == MAX_TEXT:
            raise UserError(f"{path}:{number}: this line has no end; expected CSV text in UTF-8")
        wrong = NOT_TEXT.search(line)
        if wrong is None:
            yield line
        elif wrong[0] == "\0":
            raise UserError(f"{path}:{number}: found a NUL byte; expected CSV text in UTF-8")
        else:
            raise UserError(
                f"{path}:{number}: found the byte 0x{ord(wrong[0]) - 0xDC00:02x}, which is not "
                "UTF-8; save the manifest as UTF-8"
            )


@contextmanager
def _long_cells() -> Iterator[None]:
    """Lift the limit of the csv module, which ends the whole read, and put it back."""
    before = csv.field_size_limit(MAX_TEXT)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _parquet_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the names of the columns, then the records, counted like lines below a header."""
    try:
        with pq.ParquetFile(path) as file:
            _check_types(path, file.schema_arrow)
            yield 1, list(file.schema_arrow.names)
            row = 2
            for batch in file.iter_batches(batch_size=BATCH):
                columns = [column.to_pylist() for column in batch.columns]
                for cells in zip(*columns, strict=True):
                    yield row, [_text(cell) for cell in cells]
                    row += 1
    except OSError as error:
        raise _unreadable(path, error) from error
    except (pa.ArrowException, ValueError, OverflowError, KeyError) as error:
        # The last three: times that Python cannot hold, in zones that it does not know.
        raise UserError(f"{path}: not valid Parquet: {shown(str(error))[:MAX_NAME]}") from error


def _check_types(path: Path, schema: pa.Schema) -> None:
    for column in schema:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        plain = any(test(kind) for test in PLAIN_TYPES)
        if column.name.strip() in (*PATH_COLUMNS, *OPTIONAL_COLUMNS) and not plain:
            raise UserError(
                f"{path}: the column `{column.name}` holds {kind}; expected text or numbers"
            )


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    # A column of whole numbers with gaps comes as float: the label 3 must not turn into 3.0.
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def _unreadable(path: Path, error: OSError | ValueError) -> UserError:
    return UserError(
        f"{path}: cannot be read: {system_reason(error)}; expected a readable manifest"
    )


def _check_header(path: Path, header: Sequence[str]) -> None:
    listed = shown(", ".join(header))[:MAX_NAME]
    columns = [name for name in PATH_COLUMNS if name in header]
    if not columns:
        raise UserError(
            f"{path}:1: the header needs a column `path` or `path_to_video`; found: "
            f"{listed}{_hint(header)}"
        )
    if len(columns) > 1:
        raise UserError(f"{path}:1: found both {' and '.join(columns)}; keep one of them")
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise UserError(f"{path}:1: the column `{shown(twice[0])}` stands in the header twice")
    near = _near_misses(header, [name for name in OPTIONAL_COLUMNS if name not in header])
    for name, meant in near.items():
        raise UserError(
            f"{path}:1: found the column `{shown(name)}`, expected `{meant}`; rename it, or give "
            "it a name that is less alike where it is something else"
        )


def _hint(header: Sequence[str]) -> str:
    """Say what a header without a path seems to be."""
    text = ",".join(header).lower()
    for mark, name in SEPARATORS.items():
        if {part.strip(' "') for part in text.split(mark)} & set(PATH_COLUMNS):
            return f". It is separated by {name}; save the manifest with commas"
    near = _near_misses(header, PATH_COLUMNS)
    return "".join(f". Rename `{shown(name)}` to `{meant}`" for name, meant in near.items())


def _near_misses(header: Iterable[str], absent: Collection[str]) -> dict[str, str]:
    """Map names in a header to the absent columns that they seem to mean."""
    near = {}
    for name in header:
        plain = re.sub(r"[\s-]+", "_", name.lower())
        close = difflib.get_close_matches(plain[:100], absent, n=1, cutoff=ALIKE)
        meant = OTHER_NAMES.get(plain) or (close[0] if close else None)
        if meant in absent and name not in (*PATH_COLUMNS, *OPTIONAL_COLUMNS):
            near[name] = meant
    return near
