"""Something-Something V2: numbered videos, and lists of labels in JSON."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cvg.imports.account import Import, Ledger, Request, layout_error
from cvg.imports.kinds import Kind
from cvg.imports.texts import read_json_as, read_lines
from cvg.imports.tree import LINK, list_tree

VIDEOS = "20bn-something-something-v2"
PREFIX = "something-something-v2-"  # of the lists, in the first packing of the data set
SPLITS = {"test": "held_out", "validation": "held_out", "train": "train"}
LAYOUT = f"""
  {VIDEOS}/<id>.webm
  labels/train.json, validation.json, test.json, labels.json, test-answers.csv
"""


def import_something(request: Request) -> Import:
    """Read the videos that the lists name; the lists of validation and of test are held out.

    Raises:
        UserError: the folder is not laid out so, or a list cannot be read.
    """
    videos = request.path / VIDEOS
    if not videos.is_dir():
        raise layout_error(request, f"folder {VIDEOS}", LAYOUT)
    lists = {stem: path for stem in SPLITS if (path := _find(request, f"{stem}.json"))}
    if not lists:
        raise layout_error(request, "labels/train.json, validation.json or test.json", LAYOUT)
    tree = list_tree(videos, {".webm"})
    files = {Path(name).stem: name for name in tree.names}
    classes, answers = _read_classes(request), _read_answers(request)
    ledger = Ledger(Kind.SOMETHING, request)
    entries = list(_entries(lists))
    seen: set[str] = set()
    for what, entry, split in entries:
        number, caption, label = _parts(entry, answers)
        reason = None
        if number is None:
            reason = "an entry without an id"
        elif number in seen:
            reason = "listed before; test goes before validation, validation before train"
        elif number not in files:
            reason = "listed, but there is no such file"
        elif label and classes and label not in classes:
            reason = "its template is not in labels.json"
        if number is None or reason:
            ledger.leave(what if number is None else f"{what}, id {number}", str(reason))
        else:
            ledger.use(videos / files[number], what=what, caption=caption, label=label, split=split)
        seen.add(number or "")
    unlisted = [name for name in tree.names if Path(name).stem not in seen]
    twins = [name for name in tree.names if files[Path(name).stem] != name and name not in unlisted]
    for name in unlisted:
        ledger.leave(name, "a file in no list")
    for name in twins:
        ledger.leave(name, "another file has the same id")
    for link in tree.links:
        ledger.leave(link, LINK)
    found = len(entries) + len(unlisted) + len(twins) + len(tree.links)
    return ledger.close(found=found)


def _find(request: Request, name: str) -> Path | None:
    """Find a list, in the folder `labels` or beside the videos, under both names it has had."""
    folders = (request.path / "labels", request.path)
    paths = (folder / (prefix + name) for folder in folders for prefix in ("", PREFIX))
    return next((path for path in paths if path.is_file()), None)


def _entries(lists: Mapping[str, Path]) -> Iterator[tuple[str, Any, str]]:
    """Give for each entry its place, what it says and its split."""
    for stem, path in lists.items():
        for number, entry in enumerate(read_json_as(path, list), 1):
            yield f"{path.name}, entry {number}", entry, SPLITS[stem]


def _parts(entry: Any, answers: Mapping[str, str]) -> tuple[str | None, str | None, str | None]:
    """Give id, caption and label of an entry, None for what it does not say."""
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str | int):
        return None, None, None
    number = str(entry["id"])
    caption, template = (
        value.strip() or None if isinstance(value := entry.get(key), str) else None
        for key in ("label", "template")
    )
    label = template.replace("[", "").replace("]", "") if template else answers.get(number)
    return number, caption, label


def _read_classes(request: Request) -> frozenset[str]:
    path = _find(request, "labels.json")
    return frozenset(read_json_as(path, dict)) if path else frozenset()


def _read_answers(request: Request) -> dict[str, str]:
    """Read the classes of the test videos, which a later packing of the data set has."""
    path = _find(request, "test-answers.csv")
    lines = read_lines(path) if path else []
    return {number: label for number, _, label in (line.partition(";") for line in lines)}
