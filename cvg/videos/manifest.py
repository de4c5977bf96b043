"""Manifests: which videos there are, and what is said of each."""

import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, cast, get_args

from cvg.errors import UserError
from cvg.remote.files import copy_to, look_up
from cvg.remote.url import Place, Url, explaining
from cvg.segments import Split
from cvg.videos.aligned import ACTION_SUFFIXES
from cvg.videos.bucket import Finder, walk_url
from cvg.videos.location import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    Found,
    Ignored,
    SourcePlace,
    UnusableError,
    locate,
    locate_source,
    shown,
    walk,
)
from cvg.videos.skips import Note, NoteCode, Skip, SkipCode
from cvg.videos.table import OPTIONAL_COLUMNS, path_column, read_table

FolderFiles = Literal["videos", "all"]

TABLES = (".csv", ".parquet")  # ends of URLs that are no folders
FILES = ("actions", "map")  # columns that name files besides the path

MAX_CELL = 1_000_000  # characters; a row with a longer cell is skipped
MAX_NAME = 1000  # characters shown of a path or a header
MAX_SHOWN = 100  # characters shown of another cell
RATES = (1e-3, 1e4)  # frames a second


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One video of a manifest.

    Attributes:
        name: as the manifest names it; relative to the folder for a folder of videos. Control
            characters and bytes that are not UTF-8 are escaped.
        path: the file, or the folder of images; behind a URL a file alone.
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
    path: SourcePlace
    row: int | None
    caption: str | None = None
    label: str | None = None
    split: Split | None = None
    group: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    fps: float | None = None
    actions: SourcePlace | None = None
    map: SourcePlace | None = None
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
    place: Place, *, folder_files: FolderFiles = "videos", follow_links: bool = False
) -> Manifest:
    """Read a CSV or Parquet manifest, or take a folder of videos as one.

    A CSV is UTF-8 with a header; a name that ends in `.parquet` is Parquet. Columns: `path` or
    `path_to_video`, and optionally `caption`, `label`, `split` (train | held_out), `group`, `start`
    and `end` (seconds), `fps`, `actions`, `map`; others are kept as metadata. Paths are relative to
    the folder of the manifest, or URLs. In a folder, the name of a sub-folder is the label of the
    videos in it. A URL that does not end in `.csv` or `.parquet` is one of a folder.

    Args:
        place: of the manifest, on this machine or behind a URL.
        folder_files: of a folder, try files named as videos, or all.
        follow_links: of a folder, whether links may lead outside of it, and into folders.

    Raises:
        UserError: nothing can be read from it, or it lists no video.
    """
    if isinstance(place, Url) and PurePosixPath(place.name).suffix.lower() not in TABLES:
        return _read_folder(place, walk_url(place, folder_files=folder_files), folder_files)
    if isinstance(place, Path) and place.is_dir():
        files = walk(place, folder_files=folder_files, follow_links=follow_links)
        return _read_folder(place, files, folder_files)
    with _table(place) as path:
        items = list(_table_items(path, place))
    if not items:
        raise UserError(f"{place}: the header has no rows below it; add a row for each video")
    return _manifest(items, {})


@contextmanager
def _table(place: Place) -> Iterator[Path]:
    """Give a table on this machine; what is wrong with a copy is told of the original."""
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / place.name
        with explaining(place):
            copy_to(look_up(place.text), path)
        try:
            yield path
        except UserError as error:
            raise UserError(str(error).replace(str(path), str(place))) from error


def _manifest(items: Sequence[Entry | Skip], ignored: Mapping[str, int]) -> Manifest:
    return Manifest(
        entries=tuple(item for item in items if isinstance(item, Entry)),
        skips=tuple(item for item in items if isinstance(item, Skip)),
        found=len(items),
        ignored=ignored,
    )


def _read_folder(
    folder: Place, files: Iterable[Found | Ignored], folder_files: FolderFiles
) -> Manifest:
    items: list[Entry | Skip] = []
    ignored: Counter[str] = Counter()
    for file in files:
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


def _no_video(folder: Place, folder_files: FolderFiles, ignored: Counter[str]) -> str:
    if folder_files == "all":
        return f"{folder}: this folder holds no video: no file but hidden ones"
    counts = ", ".join(f"{count} {kind or 'without a suffix'}" for kind, count in ignored.items())
    images = " A folder of images is one video; a manifest can name it."
    return (
        f"{folder}: this folder holds no video ({', '.join(sorted(VIDEO_SUFFIXES))}); found "
        f"{counts[:MAX_NAME] or 'nothing'}. extract.folder_files: all tries every file."
        f"{images if IMAGE_SUFFIXES & set(ignored) else ''}"
    )


def _table_items(path: Path, place: Place) -> Iterator[Entry | Skip]:
    finder = Finder(place, _named_files(path))
    rows = read_table(path)
    _, header = next(rows)
    for row, cells in rows:
        try:
            yield _entry(dict(_cells(header, cells)), row=row, folder=path.parent, finder=finder)
        except UnusableError as error:
            name = dict(zip(header, cells, strict=False)).get(path_column(header), "")
            yield Skip(file=_name(name.strip()), row=row, code=error.code, reason=error.reason)


def _named_files(path: Path) -> Iterator[str]:
    """Give the cells that name files, so that many can be looked up at once."""
    rows = read_table(path)
    _, header = next(rows)
    columns = [at for at, name in enumerate(header) if name in (path_column(header), *FILES)]
    for _, cells in rows:
        if len(cells) == len(header):
            yield from filter(None, (cells[at].strip() for at in columns))


def _cells(header: Sequence[str], cells: Sequence[str]) -> Iterator[tuple[str, str]]:
    if len(cells) != len(header):
        raise _bad_row(
            f"found {len(cells)} cells, expected {len(header)} "
            f"({shown(', '.join(header))[:MAX_NAME]}); "
            "put a text with commas in double quotes"
        )
    for name, cell in zip(header, cells, strict=True):
        if len(cell) > MAX_CELL:
            raise _bad_row(
                f"{_brief(name)} has {len(cell)} characters; expected at most {MAX_CELL}, and each "
                "double quote closed"
            )
        if "\0" in cell:
            raise _bad_row(f"{_brief(name)} holds a NUL character; expected text")
        yield name, cell.strip()


def _entry(cells: dict[str, str], *, row: int, folder: Path, finder: Finder) -> Entry:
    text = cells.pop(path_column(list(cells)))
    known = {key: cells.pop(key, "") or None for key in OPTIONAL_COLUMNS}
    if not text:
        raise UnusableError(SkipCode.EMPTY_PATH, "the path is empty; expected the path of a video")
    split = known["split"]
    if split not in (None, *get_args(Split)):
        raise _bad_row(f"split is `{_brief(split)}`; expected train, held_out or nothing")
    start_s, end_s = _range(known["start"], known["end"])
    return Entry(
        name=_name(text),
        path=finder.find(text) or locate_source(text, folder=folder),
        row=row,
        caption=known["caption"],
        label=known["label"],
        split=cast("Split | None", split),
        group=known["group"],
        start_s=start_s,
        end_s=end_s,
        fps=_rate(known["fps"]),
        actions=_actions(known["actions"], folder, finder),
        map=_map(known["map"], folder, finder),
        metadata=cells,
    )


def _range(start: str | None, end: str | None) -> tuple[float | None, float | None]:
    start_s, end_s = _number(start), _number(end)
    right = all(value is None or 0 <= value < math.inf for value in (start_s, end_s))
    if not right or (end_s is not None and end_s <= (start_s or 0)):
        raise UnusableError(
            SkipCode.BAD_RANGE,
            f"start is {_brief(start) or 'empty'} and end is {_brief(end) or 'empty'}; expected "
            "seconds after the first frame, 0 <= start < end",
        )
    return start_s, end_s


def _rate(text: str | None) -> float | None:
    rate = _number(text)
    least, most = RATES
    if rate is not None and not least <= rate <= most:
        raise _bad_row(f"fps is `{_brief(text)}`; expected frames a second, {least:g} to {most:g}")
    return rate


def _brief(text: str | None) -> str:
    """Give what may be shown of a cell."""
    return shown(text or "")[:MAX_SHOWN]


def _number(text: str | None) -> float | None:
    """Read a number; what is none gives NaN, which no check lets pass."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return math.nan


def _actions(text: str | None, folder: Path, finder: Finder) -> SourcePlace | None:
    if text is None:
        return None
    try:
        path = finder.find(text) or locate(text, folder=folder)
    except UnusableError as error:
        reason = f"actions, {_name(text)}: {error.reason}"
        raise UnusableError(SkipCode.BAD_ACTIONS, reason) from None
    if path.suffix.lower() not in ACTION_SUFFIXES:
        reason = f"actions, {_name(text)}: expected a name in {' or '.join(ACTION_SUFFIXES)}"
        raise UnusableError(SkipCode.BAD_ACTIONS, reason)
    return path


def _map(text: str | None, folder: Path, finder: Finder) -> SourcePlace | None:
    if text is None:
        return None
    try:
        return finder.find(text) or locate_source(text, folder=folder)
    except UnusableError as error:
        reason = f"map, {_name(text)}: {error.reason}"
        raise UnusableError(SkipCode.BAD_MAP, reason) from None


def _name(text: str) -> str:
    name = shown(text)
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}..."


def _bad_row(reason: str) -> UnusableError:
    return UnusableError(SkipCode.BAD_ROW, reason)
