"""What lies below a folder: files by suffix, in the same order on every machine."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cvg.errors import UserError

LINK = "a link to a folder, which is not followed"


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Files and links to folders, named from the folder on with `/`.

    Attributes:
        folder: the root.
        names: of the files.
        leaves: folders without folders in them.
        links: folders that are links; nothing in them was looked at.
    """

    folder: Path
    names: tuple[str, ...]
    leaves: tuple[str, ...]
    links: tuple[str, ...]


def list_tree(folder: Path, suffixes: Collection[str]) -> Tree:
    """List the files with one of the suffixes, in any case; links to folders are not followed.

    A folder that is not there is empty.

    Raises:
        UserError: a folder cannot be read.
    """
    names: list[str] = []
    leaves: list[str] = []
    links: list[str] = []
    # Not os.walk: up to Python 3.11 it recurses, and a deep tree would end it.
    waiting = [PurePosixPath()] if folder.exists() else []
    while waiting:
        inside = waiting.pop()
        below: list[PurePosixPath] = []
        for entry in _entries(folder / inside):
            path = inside / entry.name
            if entry.is_dir(follow_symlinks=False):
                below.append(path)
            elif entry.is_symlink() and entry.is_dir():
                links.append(path.as_posix())
            elif path.suffix.lower() in suffixes:
                names.append(path.as_posix())
        if not below:
            leaves.append(inside.as_posix())
        waiting += below
    return Tree(
        folder=folder,
        names=tuple(sorted(names)),
        leaves=tuple(sorted(leaves)),
        links=tuple(sorted(links)),
    )


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed: {error.strerror}") from error


def leads_out(name: str) -> bool:
    """Whether a name of a list leaves the folder it is relative to.

    >>> leads_out("a/../../b.avi"), leads_out("/b.avi"), leads_out("a/b.avi")
    (True, True, False)
    """
    return name.startswith("/") or ".." in name.split("/")
