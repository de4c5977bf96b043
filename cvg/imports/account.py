"""What is asked of an importer, and what it gives: rows, and all that it left out with a reason."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cvg.errors import UserError
from cvg.imports.kinds import Kind, View
from cvg.remote.files import RemoteFile
from cvg.remote.url import Place
from cvg.videos.location import SourcePlace, shown

MAX_NAMES = 6


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to import; an option that is None was not given.

    Attributes:
        folder: the data, as the official download unpacks them; a URL for a folder of videos.
        manifest: the CSV file to write; rows name their files relative to its folder.
        fold: number of the official split, 1 to 3.
        view: the camera to take.
        held_out: number of clips at the end that are held out.
        annotations: CSV files of the official annotations.
        fps: frames a second of clips whose files do not say theirs.
        follow_links: whether links may lead outside of a folder of videos.
    """

    folder: Place
    manifest: Path
    fold: int | None = None
    view: View | None = None
    held_out: int | None = None
    annotations: Sequence[Path] | None = None
    fps: float | None = None
    follow_links: bool | None = None

    @property
    def path(self) -> Path:
        """The folder, which must be on this machine.

        Raises:
            UserError: it is a URL.
        """
        if isinstance(self.folder, Path):
            return self.folder
        raise UserError(
            f"{self.folder}: found a URL; expected a folder on this machine: only the kind "
            f"{Kind.FOLDER} is listed behind URLs"
        )


@dataclass(frozen=True, kw_only=True)
class Import:
    """What an importer found; together the rows and what was left out are all of it.

    Attributes:
        kind: of the data.
        rows: of the manifest.
        left_out: what, as the data name it, and the reason; equal reasons are equal texts.
        found: number of things looked at.
        warnings: what the user may want to mend, as sentences.
    """

    kind: Kind
    rows: tuple[Mapping[str, object], ...]
    left_out: tuple[tuple[str, str], ...]
    found: int
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.found != len(self.rows) + len(self.left_out):
            raise AssertionError(
                f"found {self.found} != rows {len(self.rows)} + left out {len(self.left_out)}"
            )


class Ledger:
    """Collects rows and what is left out, in the order of finding."""

    def __init__(self, kind: Kind, request: Request) -> None:
        self.kind = kind
        self._home = request.manifest.parent.resolve()
        self._rows: list[dict[str, object]] = []
        self._left_out: list[tuple[str, str]] = []
        self._warnings: list[str] = []

    def use(self, path: SourcePlace, *, what: str, **cells: object) -> None:
        """Add a row; it is left out instead where a manifest cannot hold the name.

        Args:
            path: the file or folder that the row is about; a remote file is named by its URL.
            what: as the data name it.
            cells: the other columns; a path is written as `path` is.
        """
        row = {"path": path} | cells
        named = {key: self._cell(value) for key, value in row.items()}
        texts = [value for value in named.values() if isinstance(value, str)]
        if not all(_is_writable(text) for text in texts):
            self.leave(
                what, "a text that is not UTF-8, holds a NUL, or begins or ends with a space"
            )
        else:
            self._rows.append(named)

    def leave(self, what: str, reason: str) -> None:
        """Leave something out; `reason` names no single file, so that reasons can be counted."""
        self._left_out.append((shown(what), reason))

    def warn(self, sentence: str) -> None:
        """Say something about the whole."""
        self._warnings.append(sentence)

    def close(self, *, found: int) -> Import:
        """Give the account; `found` is counted apart from rows and what was left out."""
        return Import(
            kind=self.kind,
            rows=tuple(self._rows),
            left_out=tuple(self._left_out),
            found=found,
            warnings=tuple(self._warnings),
        )

    def _cell(self, value: object) -> object:
        if isinstance(value, RemoteFile):
            return str(value)
        return _name_from(value, self._home) if isinstance(value, Path) else value


def layout_error(request: Request, missing: str, layout: str) -> UserError:
    """Say that the data do not lie as expected.

    Args:
        request: what was asked for.
        missing: what was looked for, with where.
        layout: the expected tree, a line an entry.
    """
    names = sorted(path.name for path in request.path.iterdir())
    there = ", ".join(names[:MAX_NAMES]) or "nothing"
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    tree = layout.strip("\n")
    return UserError(
        f"{request.path}: found no {missing}; there is {there}{more}. Expected:\n\n"
        f"{tree}\n\nName the folder that holds this, or unpack the official files again"
    )


def _name_from(path: Path, home: Path) -> str:
    """Name a path relative to the manifest's folder where both can move together."""
    whole = _resolved(path.parent) / path.name
    around = home.parent
    if whole.is_relative_to(home) or (around != around.parent and whole.is_relative_to(around)):
        return Path(os.path.relpath(whole, home)).as_posix()
    return str(whole)


@lru_cache(maxsize=1024)
def _resolved(folder: Path) -> Path:
    return folder.resolve()


def _is_writable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return text == text.strip() and "\0" not in text
