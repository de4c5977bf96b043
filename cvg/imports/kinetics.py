"""Kinetics 400, 600 and 700: trimmed videos named by source and time, and tables of classes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cvg.errors import UserError
from cvg.imports.account import Import, Ledger, Request, layout_error
from cvg.imports.kinds import Kind
from cvg.imports.texts import read_table, words_of
from cvg.imports.tree import LINK, list_tree
from cvg.videos.location import VIDEO_SUFFIXES

SPLITS = {
    "train": "train",
    "val": "held_out",
    "validate": "held_out",
    "validation": "held_out",
    "test": "held_out",
}
REPLACEMENTS, ANNOTATIONS = "replacement", "annotations"
NEEDED = ("youtube_id", "time_start", "time_end")
NAME = re.compile(r"(?P<id>.{11})_(?P<start>[0-9]{6})_(?P<end>[0-9]{6})")
LAYOUT = """
  train/<class>/<youtube id>_<start>_<end>.mp4     times as six digits; val, test the same
  annotations/train.csv, val.csv, test.csv         where there are no class folders
"""

Clip = tuple[str, int, int]  # source, first and last second


@dataclass(frozen=True)
class _Said:
    """What a table says of a clip."""

    label: str | None
    split: str | None


@dataclass(frozen=True)
class _File:
    """A video, and why it cannot be used."""

    name: str
    clip: Clip | None
    label: str | None
    split: str | None
    trouble: str | None


_NOTHING = _Said(None, None)


def import_kinetics(request: Request) -> Import:
    """Read the videos below class folders, flat folders or both; val and test are held out.

    The tables are those of `annotations`, or else the CSV files of the folder and of its folder
    `annotations` that have the columns of the official ones. The videos are trimmed already, so
    the times in their names become no `start` and `end`.

    Raises:
        UserError: no video is named so, or a table cannot be read.
    """
    tree = list_tree(request.path, VIDEO_SUFFIXES)
    if not any(NAME.fullmatch(Path(name).stem) for name in tree.names):
        raise layout_error(request, "video <youtube id>_<start>_<end>", LAYOUT)
    ledger = Ledger(Kind.KINETICS, request)
    said, num_rows = _read_tables(request, ledger)
    files = [_file(name, said) for name in tree.names]
    used: set[Clip] = set()
    # What is held out comes first, so that no copy of it is trained on.
    for file in sorted(files, key=lambda file: (file.split != "held_out", file.name)):
        reason = file.trouble or ("the same clip as another file" if file.clip in used else None)
        if file.clip is None or reason:
            ledger.leave(file.name, str(reason))
            continue
        used.add(file.clip)
        ledger.use(
            tree.folder / file.name,
            what=file.name,
            caption=words_of(file.label) if file.label else None,
            label=file.label,
            split=file.split,
            group=file.clip[0],
        )
    for link in tree.links:
        ledger.leave(link, LINK)
    _warn_of_unread_lists(request, ledger, [file for file in files if file.clip in used])
    absent = set(said) - {file.clip for file in files}
    for source, start, end in sorted(absent):
        ledger.leave(f"{source}_{start:06}_{end:06}", "in a table, but there is no such file")
    bad_rows = num_rows - len(said)
    return ledger.close(found=len(files) + len(tree.links) + len(absent) + bad_rows)


def _warn_of_unread_lists(request: Request, ledger: Ledger, files: Sequence[_File]) -> None:
    """Say where clips lack a class that a list of another format may hold."""
    bare = len({file.clip for file in files if not file.label})
    lists = sorted((request.path / ANNOTATIONS).glob("*.txt"))
    unread = [path.name for path in lists if path not in (request.annotations or ())]
    if bare and unread:
        ledger.warn(
            f"{bare} clips have no class, and {ANNOTATIONS}/ holds {', '.join(unread)}, which this "
            "command does not read: it reads CSV with a header "
            f"({', '.join(('label', *NEEDED))}); give such files with --annotations"
        )


def _file(name: str, said: Mapping[Clip, _Said]) -> _File:
    """Put together what name, folders and tables say of a file."""
    found = NAME.fullmatch(Path(name).stem)
    clip = (found["id"], int(found["start"]), int(found["end"])) if found else None
    table = said.get(clip, _NOTHING) if clip else _NOTHING
    folders = PurePosixPath(name).parent.parts
    split = SPLITS.get(folders[0].lower()) if folders else None
    inner = folders[1:] if split else folders
    label = inner[0].replace("_", " ") if inner else None
    trouble = None
    if folders[:1] == (REPLACEMENTS,):
        trouble = "a replacement of a damaged clip; copy it over the clip of that name"
    elif len(inner) > 1:
        trouble = "not in <split>/<class> or <class>"
    elif clip is None:
        trouble = "not named <youtube id>_<start>_<end>"
    elif split and table.split and split != table.split:
        trouble = "its folder and the table put it on different sides of the split"
    elif label and table.label and words_of(label) != words_of(table.label):
        trouble = "its folder and the table name different classes"
    return _File(name, clip, table.label or label, table.split or split, trouble)


def _read_tables(request: Request, ledger: Ledger) -> tuple[Mapping[Clip, _Said], int]:
    """Give what the tables say of each clip, and the number of their rows."""
    said: dict[Clip, _Said] = {}
    num_rows = 0
    for path, row in _rows(request):
        num_rows += 1
        try:
            clip = (row["youtube_id"], _second(row["time_start"]), _second(row["time_end"]))
        except (ValueError, OverflowError):
            ledger.leave(f"{path.name}: {row['youtube_id']}", "a row whose times are no numbers")
            continue
        if clip in said:
            ledger.leave(f"{path.name}: {row['youtube_id']}", "in the tables twice")
            continue
        said[clip] = _Said(row.get("label", "").strip() or None, _side(row))
    return said, num_rows


def _second(cell: str) -> int:
    return int(float(cell))


def _rows(request: Request) -> list[tuple[Path, Mapping[str, str]]]:
    """Give the rows of the tables, those that are held out first, whatever table says so."""
    return sorted(
        _unsorted_rows(request),
        key=lambda pair: (_side(pair[1]) != "held_out", "train" in pair[0].name),
    )


def _side(row: Mapping[str, str]) -> str | None:
    return SPLITS.get(row.get("split", "").strip().lower())


def _unsorted_rows(request: Request) -> Iterator[tuple[Path, Mapping[str, str]]]:
    given = request.annotations
    folders = (request.path, request.path / ANNOTATIONS)
    paths = given or [path for folder in folders for path in folder.glob("*.csv")]
    for path in sorted(paths):
        table = read_table(path, needed=NEEDED)
        if table is None and given:
            raise UserError(
                f"{path}: the header lacks one of {', '.join(NEEDED)}; give a CSV file of the "
                "official annotations"
            )
        for row in table or ():
            yield path, row
