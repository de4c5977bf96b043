"""Manifests: which videos there are, and what is said of each."""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

from cvg.errors import UserError
from cvg.videos.location import UnusableError, check_regular, locate
from cvg.videos.skips import Skip, SkipCode

Split = Literal["train", "held_out"]

PATH_COLUMNS = ("path", "path_to_video")
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".gif"})


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One video of a manifest.

    Attributes:
        name: as the manifest names it; relative to the folder for a folder of videos.
        path: the file on this machine.
        row: line of the manifest, 1 is its header; None for a folder of videos.
        caption: a sentence, None where there is none.
        label: a class, None where there is none.
        split: the side that the manifest puts it on, None to let the split decide.
        metadata: all other columns.
    """

    name: str
    path: Path
    row: int | None
    caption: str | None = None
    label: str | None = None
    split: Split | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def skip(self, code: SkipCode, reason: str) -> Skip:
        """Leave this video out."""
        return Skip(file=self.name, row=self.row, code=code, reason=reason)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The videos that can be looked at, and those that cannot; together all that were found."""

    entries: tuple[Entry, ...]
    skips: tuple[Skip, ...]
    found: int

    def __post_init__(self) -> None:
        if self.found != len(self.entries) + len(self.skips):
            raise AssertionError(
                f"found {self.found} != used {len(self.entries)} + skipped {len(self.skips)}"
            )


def read_manifest(path: Path) -> Manifest:
    """Read a CSV manifest, or take a folder of videos as one.

    The CSV is UTF-8 with a header: `path` or `path_to_video`, and optionally `caption`, `label`
    and `split` (train | held_out); other columns are kept as metadata. Paths are relative to its
    folder. In a folder, the name of a sub-folder is the label of the videos in it.

    Raises:
        UserError: nothing can be read from it, or it lists no video.
    """
    if path.is_dir():
        items: Iterator[Entry | Skip] = _folder_items(path)
        empty = f"{path}: this folder holds no video ({', '.join(sorted(VIDEO_SUFFIXES))})"
    else:
        items = _table_items(path)
        empty = f"{path}: the header has no rows below it; add a row for each video"
    found = list(items)
    if not found:
        raise UserError(empty)
    return Manifest(
        entries=tuple(item for item in found if isinstance(item, Entry)),
        skips=tuple(item for item in found if isinstance(item, Skip)),
        found=len(found),
    )


def _folder_items(folder: Path) -> Iterator[Entry | Skip]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            continue
        inside = path.relative_to(folder)
        # A name that is not UTF-8 is shown escaped, so that every report can hold it.
        name = os.fsencode(inside.as_posix()).decode("utf-8", "backslashreplace")
        label = inside.parts[0] if len(inside.parts) > 1 else None
        try:
            check_regular(path)
        except UnusableError as error:
            yield Skip(file=name, row=None, code=error.code, reason=error.reason)
        else:
            yield Entry(name=name, path=path, row=None, label=label)


def _table_items(path: Path) -> Iterator[Entry | Skip]:
    rows = _rows(path)
    header = [name.strip() for name in next(rows, (1, [""]))[1]]
    _check_header(path, header)
    for row, cells in rows:
        try:
            yield _entry(dict(_cells(header, cells)), row=row, folder=path.parent)
        except UnusableError as error:
            name = dict(zip(header, cells, strict=False)).get(_path_column(header), "")
            yield Skip(file=name.strip(), row=row, code=error.code, reason=error.reason)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the cells of each row that is not blank."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: not valid CSV: {error}") from error


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such manifest; set extract.manifest in params.yaml, or give --manifest"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if 0 in data:
        line = data.count(b"\n", 0, data.index(0)) + 1
        raise UserError(f"{path}:{line}: found a NUL byte; expected CSV text in UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: found the byte 0x{data[error.start]:02x}, which is not UTF-8; save "
            "the manifest as UTF-8"
        ) from error


def _check_header(path: Path, header: Sequence[str]) -> None:
    listed = ", ".join(header)
    columns = [name for name in PATH_COLUMNS if name in header]
    if not columns:
        raise UserError(
            f"{path}:1: the header needs a column `path` or `path_to_video`; found: {listed}"
        )
    if len(columns) > 1:
        raise UserError(f"{path}:1: found both {' and '.join(columns)}; keep one of them")
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise UserError(f"{path}:1: the column `{twice[0]}` stands in the header twice")


def _path_column(header: Sequence[str]) -> str:
    return next(name for name in PATH_COLUMNS if name in header)


def _cells(header: Sequence[str], cells: Sequence[str]) -> Iterator[tuple[str, str]]:
    if len(cells) != len(header):
        raise UnusableError(
            SkipCode.BAD_ROW,
            f"found {len(cells)} cells, expected {len(header)} ({', '.join(header)}); "
            "put a text with commas in double quotes",
        )
    yield from zip(header, (cell.strip() for cell in cells), strict=True)


def _entry(cells: dict[str, str], *, row: int, folder: Path) -> Entry:
    name = cells.pop(_path_column(list(cells)))
    caption, label, split = (cells.pop(key, "") or None for key in ("caption", "label", "split"))
    if not name:
        raise UnusableError(SkipCode.EMPTY_PATH, "the path is empty; expected the path of a video")
    if split not in (None, *get_args(Split)):
        raise UnusableError(
            SkipCode.BAD_ROW, f"split is {split!r}; expected train, held_out or nothing"
        )
    return Entry(
        name=name,
        path=locate(name, folder=folder),
        row=row,
        caption=caption,
        label=label,
        split=cast("Split | None", split),
        metadata=cells,
    )
