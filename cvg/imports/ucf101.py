"""UCF101: videos in class folders, and the official lists of three splits."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from cvg.errors import UserError
from cvg.imports.account import Import, Ledger, Request, layout_error
from cvg.imports.kinds import Kind
from cvg.imports.texts import read_lines, words_of
from cvg.imports.tree import LINK, leads_out, list_tree

VIDEOS, LISTS = "UCF-101", "ucfTrainTestlist"
LAYOUT = f"""
  {VIDEOS}/<Class>/v_<Class>_gNN_cNN.avi
  {LISTS}/classInd.txt, trainlist01.txt, testlist01.txt, ...
"""
MENTION = re.compile(r"(?P<name>.+?\.\w+)(?:\s+(?P<number>[0-9]{1,9}))?")
FILE = re.compile(r"v_.+_(?P<group>g[0-9]+)_c[0-9]+\.avi", re.IGNORECASE)


def import_ucf101(request: Request) -> Import:
    """Read the videos that the lists of a fold name; testlist is held out.

    Raises:
        UserError: the folder is not laid out so, or a list cannot be read.
    """
    videos, lists = request.path / VIDEOS, request.path / LISTS
    for folder in (videos, lists):
        if not folder.is_dir():
            raise layout_error(request, f"folder {folder.name}", LAYOUT)
    classes = _read_classes(lists / "classInd.txt")
    tree = list_tree(videos, {".avi"})
    ledger = Ledger(Kind.UCF101, request)
    mentions = list(_mentions(lists, request.fold or 1))
    # The name of one class is written in two ways: HandstandPushups/v_HandStandPushups_g01_c01.avi.
    unlisted: dict[str, str] = {}
    twins = [name for name in tree.names if unlisted.setdefault(name.casefold(), name) != name]
    seen: set[str] = set()
    for listed, number, split in mentions:
        key = listed.casefold()
        name = unlisted.pop(key, None)
        reason = _trouble(listed, number=number, classes=classes)
        if key in seen:
            reason = "listed before; the test list goes before the training list"
        seen.add(key)
        if reason:
            ledger.leave(listed, reason)
        elif name is None:
            ledger.leave(listed, "listed, but there is no such file")
        else:
            _use(ledger, videos / name, label=listed.partition("/")[0], split=split)
    for name in unlisted.values():
        ledger.leave(name, f"in no list of fold {request.fold or 1}")
    for name in twins:
        ledger.leave(name, "its name differs from another only in case")
    for link in tree.links:
        ledger.leave(link, LINK)
    found = len(mentions) + len(unlisted) + len(twins) + len(tree.links)
    return ledger.close(found=found)


def _use(ledger: Ledger, path: Path, *, label: str, split: str) -> None:
    group = FILE.fullmatch(path.name)
    ledger.use(
        path,
        what=f"{label}/{path.name}",
        caption=words_of(label),
        label=label,
        split=split,
        group=f"{label}_{group['group'].lower()}" if group else None,
    )


def _trouble(name: str, *, number: str | None, classes: Mapping[str, int]) -> str | None:
    """Say why a line cannot be used, whatever the files are."""
    if leads_out(name):
        return "the list names a path that leads out of the data"
    folder, _, file = name.rpartition("/")
    if not FILE.fullmatch(file):
        return "listed, but not named <Class>/v_<Class>_gNN_cNN.avi"
    if folder not in classes:
        return "its class is not in classInd.txt"
    if number is not None and int(number) != classes[folder]:
        return "the number of its class is another in classInd.txt"
    return None


def _mentions(lists: Path, fold: int) -> Iterator[tuple[str, str | None, str]]:
    """Give name, number of the class where there is one, and split, of each line."""
    for split, stem in (("held_out", "testlist"), ("train", "trainlist")):
        for line in read_lines(lists / f"{stem}{fold:02}.txt"):
            parts = MENTION.fullmatch(line)
            yield (parts["name"], parts["number"], split) if parts else (line, None, split)


def _read_classes(path: Path) -> dict[str, int]:
    classes = {}
    for row, line in enumerate(read_lines(path), 1):
        number, _, name = line.partition(" ")
        if not number.isdecimal() or not name.strip():
            raise UserError(f"{path}: line {row}: found {line!r}; expected NUMBER CLASS")
        classes[name.strip()] = int(number)
    return classes
