"""Manifests: which videos there are, and what is said of each."""

import csv
import difflib
import math
import re
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO, cast, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from cvg.errors import UserError
from cvg.videos.aligned import ACTION_SUFFIXES
from cvg.videos.location import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    Ignored,
    UnusableError,
    kind_of,
    locate,
    locate_source,
    shown,
    system_reason,
    walk,
)
from cvg.videos.skips import Note, NoteCode, Skip, SkipCode

Split = Literal["train", "held_out"]
FolderFiles = Literal["videos", "all"]

PATH_COLUMNS = ("path", "path_to_video")
OPTIONAL_COLUMNS = ("caption", "label", "split", "group", "start", "end", "fps", "actions", "map")
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

MAX_CELL = 1_000_000  # characters; a row with a longer cell is skipped
MAX_TEXT = 64_000_000  # characters of a line, or of a cell; beyond it no manifest is read
MAX_NAME = 1000  # characters shown of a path
BATCH = 1024  # rows of Parquet in memory

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
# What decoding leaves of a byte that is not UTF-8, and NUL.
NOT_TEXT = re.compile("[\x00\udc80-\udcff]")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One video of a manifest.

    Attributes:
        name: as the manifest names it; relative to the folder for a folder of videos. Control
            characters and bytes that are not UTF-8 are escaped.
        path: the file, or the folder of images, on this machine.
        row: line of the manifest, 1 is its header, also in Parquet; None for a folder of videos.
        caption: a sentence, None where there is none.
        label: a class, None where there is none.
        split: the side that the manifest puts it on, None to let the split decide.
        group: what must stay on one side of the split has the same; None for a group of its own.
        start_s: seconds after the first frame, 0 or more; None for the first frame.
        end_s: seconds after the first frame, above `start_s`; None for the last frame.
        fps: frames a second of folders of images and arrays, which do not say theirs.
        actions: file of actions, one row a source frame.
        map: video, folder of images or array with one picture a source frame.
        metadata: all other columns.
    """

    name: str
    path: Path
    row: int | None
    caption: str | None = None
    label: str | None = None
    split: Split | None = None
    group: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    fps: float | None = None
    actions: Path | None = None
    map: Path | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def range_s(self) -> tuple[float, float]:
        """Give start and end, seconds after the first frame."""
        return self.start_s or 0.0, math.inf if self.end_s is None else self.end_s

    def overlaps(self, other: "Entry") -> bool:
        """Tell whether the ranges share a moment, whatever the files."""
        (start, end), (other_start, other_end) = self.range_s, other.range_s
        return start < other_end and other_start < end

    def skip(self, code: SkipCode, reason: str) -> Skip:
        """Leave this video out."""
        return Skip(file=self.name, row=self.row, code=code, reason=reason)

    def note(self, code: NoteCode, text: str) -> Note:
        """Say something about this video, which is used."""
        return Note(file=self.name, row=self.row, code=code, text=text)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The videos that can be looked at, and those that cannot; together all that were found.

    Attributes:
        entries: in the order of the manifest.
        skips: in the order of the manifest.
        found: number of both.
        ignored: suffix to number of files in a folder of videos that were not tried; ".hidden"
            counts hidden files and folders, ".link" links to folders inside.
    """

    entries: tuple[Entry, ...]
    skips: tuple[Skip, ...]
    found: int
    ignored: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.found != len(self.entries) + len(self.skips):
            raise AssertionError(
                f"found {self.found} != used {len(self.entries)} + skipped {len(self.skips)}"
            )


def read_manifest(
    path: Path, *, folder_files: FolderFiles = "videos", follow_links: bool = False
) -> Manifest:
    """Read a CSV or Parquet manifest, or take a folder of videos as one.

    A CSV is UTF-8 with a header; a name that ends in `.parquet` is Parquet. Columns: `path` or
    `path_to_video`, and optionally `caption`, `label`, `split` (train | held_out), `group`, `start`
    and `end` (seconds), `fps`, `actions`, `map`; others are kept as metadata. Paths are relative to
    the folder of the manifest. In a folder, the name of a sub-folder is the label of the videos in
    it.

    Args:
        path: of the manifest.
        folder_files: of a folder, try files named as videos, or all.
        follow_links: of a folder, whether links may lead outside of it, and into folders.

    Raises:
        UserError: nothing can be read from it, or it lists no video.
    """
    if path.is_dir():
        return _read_folder(path, folder_files=folder_files, follow_links=follow_links)
    with _long_cells():
        items = list(_table_items(path))
    if not items:
        raise UserError(f"{path}: the header has no rows below it; add a row for each video")
    return _manifest(items, {})


def _manifest(items: Sequence[Entry | Skip], ignored: Mapping[str, int]) -> Manifest:
    return Manifest(
        entries=tuple(item for item in items if isinstance(item, Entry)),
        skips=tuple(item for item in items if isinstance(item, Skip)),
        found=len(items),
        ignored=ignored,
    )


def _read_folder(folder: Path, *, folder_files: FolderFiles, follow_links: bool) -> Manifest:
    items: list[Entry | Skip] = []
    ignored: Counter[str] = Counter()
    for file in walk(folder, folder_files=folder_files, follow_links=follow_links):
        if isinstance(file, Ignored):
            ignored[file.kind] += 1
            continue
        # A backslash of the name itself is doubled: no two files have the same name.
        parts = [shown(part.replace("\\", "\\\\")) for part in file.inside.parts]
        name = "/".join(parts) or "."
        if file.problem is not None:
            skip = Skip(file=name, row=None, code=file.problem.code, reason=file.problem.reason)
            items.append(skip)
        else:
            label = parts[0] if len(parts) > 1 else None
            items.append(Entry(name=name, path=file.path, row=None, label=label))
    if not items:
        raise UserError(_no_video(folder, folder_files, ignored))
    return _manifest(items, dict(sorted(ignored.items())))


def _no_video(folder: Path, folder_files: FolderFiles, ignored: Counter[str]) -> str:
    if folder_files == "all":
        return f"{folder}: this folder holds no video: no file but hidden ones"
    counts = ", ".join(f"{count} {kind or 'without a suffix'}" for kind, count in ignored.items())
    images = " A folder of images is one video; a manifest can name it."
    return (
        f"{folder}: this folder holds no video ({', '.join(sorted(VIDEO_SUFFIXES))}); found "
        f"{counts[:MAX_NAME] or 'nothing'}. extract.folder_files: all tries every file."
        f"{images if IMAGE_SUFFIXES & set(ignored) else ''}"
    )


def _table_items(path: Path) -> Iterator[Entry | Skip]:
    _check_file(path)
    rows = _parquet_rows(path) if path.suffix.lower() == ".parquet" else _csv_rows(path)
    header = [name.strip() for name in next(rows, (1, [""]))[1]]
    _check_header(path, header)
    for row, cells in rows:
        try:
            yield _entry(dict(_cells(header, cells)), row=row, folder=path.parent)
        except UnusableError as error:
            name = dict(zip(header, cells, strict=False)).get(_path_column(header), "")
            yield Skip(file=_name(name.strip()), row=row, code=error.code, reason=error.reason)


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
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid Parquet: {shown(str(error))[:MAX_NAME]}") from error


def _check_types(path: Path, schema: pa.Schema) -> None:
    for column in schema:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        plain = any(test(kind) for test in PLAIN_TYPES)
        if column.name.strip() in (*PATH_COLUMNS, *OPTIONAL_COLUMNS) and not plain:
            raise UserError(
                f"{path}: the column `{column.name}` holds {kind}; expected text or numbers"
            )


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


def _path_column(header: Sequence[str]) -> str:
    return next(name for name in PATH_COLUMNS if name in header)


def _cells(header: Sequence[str], cells: Sequence[str]) -> Iterator[tuple[str, str]]:
    if len(cells) != len(header):
        raise _bad_row(
            f"found {len(cells)} cells, expected {len(header)} ({', '.join(header)}); "
            "put a text with commas in double quotes"
        )
    for name, cell in zip(header, cells, strict=True):
        if len(cell) > MAX_CELL:
            raise _bad_row(
                f"{name} has {len(cell)} characters; expected at most {MAX_CELL}, and each double "
                "quote closed"
            )
        if "\0" in cell:
            raise _bad_row(f"{name} holds a NUL character; expected text")
        yield name, cell.strip()


def _entry(cells: dict[str, str], *, row: int, folder: Path) -> Entry:
    text = cells.pop(_path_column(list(cells)))
    known = {key: cells.pop(key, "") or None for key in OPTIONAL_COLUMNS}
    if not text:
        raise UnusableError(SkipCode.EMPTY_PATH, "the path is empty; expected the path of a video")
    split = known["split"]
    if split not in (None, *get_args(Split)):
        raise _bad_row(f"split is {split!r}; expected train, held_out or nothing")
    start_s, end_s = _range(known["start"], known["end"])
    return Entry(
        name=_name(text),
        path=locate_source(text, folder=folder),
        row=row,
        caption=known["caption"],
        label=known["label"],
        split=cast("Split | None", split),
        group=known["group"],
        start_s=start_s,
        end_s=end_s,
        fps=_rate(known["fps"]),
        actions=_actions(known["actions"], folder),
        map=_map(known["map"], folder),
        metadata=cells,
    )


def _range(start: str | None, end: str | None) -> tuple[float | None, float | None]:
    start_s, end_s = _number(start), _number(end)
    right = all(value is None or 0 <= value < math.inf for value in (start_s, end_s))
    if not right or (end_s is not None and end_s <= (start_s or 0)):
        raise UnusableError(
            SkipCode.BAD_RANGE,
            f"start is {start or 'empty'} and end is {end or 'empty'}; expected seconds after the "
            "first frame, 0 <= start < end",
        )
    return start_s, end_s


def _rate(text: str | None) -> float | None:
    rate = _number(text)
    if rate is not None and not 0 < rate < math.inf:
        raise _bad_row(f"fps is {text!r}; expected frames a second, above 0")
    return rate


def _number(text: str | None) -> float | None:
    """Read a number; what is none gives NaN, which no check lets pass."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return math.nan


def _actions(text: str | None, folder: Path) -> Path | None:
    if text is None:
        return None
    try:
        path = locate(text, folder=folder)
    except UnusableError as error:
        reason = f"actions, {_name(text)}: {error.reason}"
        raise UnusableError(SkipCode.BAD_ACTIONS, reason) from None
    if path.suffix.lower() not in ACTION_SUFFIXES:
        reason = f"actions, {_name(text)}: expected a name in {' or '.join(ACTION_SUFFIXES)}"
        raise UnusableError(SkipCode.BAD_ACTIONS, reason)
    return path


def _map(text: str | None, folder: Path) -> Path | None:
    try:
        return None if text is None else locate_source(text, folder=folder)
    except UnusableError as error:
        reason = f"map, {_name(text or '')}: {error.reason}"
        raise UnusableError(SkipCode.BAD_MAP, reason) from None


def _name(text: str) -> str:
    name = shown(text)
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}..."


def _bad_row(reason: str) -> UnusableError:
    return UnusableError(SkipCode.BAD_ROW, reason)
