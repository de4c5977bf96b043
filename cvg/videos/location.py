"""Where the files of a manifest lie on this machine, and whether they can be read at all."""

import importlib.util
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from cvg.remote.files import RemoteFile
from cvg.videos.skips import SkipCode

SourcePlace = Path | RemoteFile

PACKAGE_PREFIX = "package:"
VIDEO_SUFFIXES = frozenset(
    [
        *(".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".ogv"),
        *(".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".mjpg", ".mjpeg", ".y4m", ".gif"),
    ]
)
IMAGE_SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"])

# What `Ignored.kind` says where a suffix would not say it.
HIDDEN = ".hidden"
INNER_LINK = ".link"

# Control characters, line separators, and marks that turn the direction of a text.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

# Halves of characters, as JSON may hold them, that stand for no byte of a name.
LONE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


class UnusableError(Exception):
    """A file that cannot be used.

    Attributes:
        code: of its skip.
        reason: what was found and what was expected, as a sentence.
    """

    def __init__(self, code: SkipCode, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason

    def __reduce__(self) -> tuple[type["UnusableError"], tuple[SkipCode, str]]:
        """Come whole out of another process, which an exception with two arguments does not."""
        return type(self), (self.code, self.reason)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file of a folder that is tried as a video.

    Attributes:
        path: the file.
        inside: its path in the folder.
        problem: why it cannot be read; None where it can.
    """

    path: SourcePlace
    inside: PurePosixPath
    problem: UnusableError | None = None


@dataclass(frozen=True)
class Ignored:
    """A file of a folder that is not tried; `kind` is its suffix in lower case, or what it is."""

    kind: str


def shown(text: str) -> str:
    r"""Escape what would break a line, a table or a terminal; all else stays as it is.

    >>> print(shown("two\nlines"), shown("\udcff.mp4"), shown("\ud800"))
    two\nlines \xff.mp4 \ud800
    """
    whole = os.fsencode(LONE.sub(_escaped, text)).decode("utf-8", "backslashreplace")
    return UNSAFE.sub(_escaped, whole)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def locate(text: str, *, folder: Path) -> Path:
    """Find the regular file that a cell of a manifest names.

    Args:
        text: a path relative to `folder`, an absolute path, or `package:NAME/PATH`, a file inside
            an installed package, which is found without importing it.
        folder: the folder of the manifest.

    Raises:
        UnusableError: there is no such file, or it is no regular file that can be read.
    """
    path = _place(text, folder)
    check_regular(path, text=text)
    return path


def locate_source(text: str, *, folder: Path) -> Path:
    """Find the video, the folder of images or the array that a cell of a manifest names.

    Args:
        text: as `locate` takes it.
        folder: the folder of the manifest.

    Raises:
        UnusableError: there is nothing that could be read.
    """
    path = _place(text, folder)
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where the path is too long
        _check_images(path)
    else:
        check_regular(path, text=text)
    return path


def check_regular(path: Path, *, text: str = "") -> None:
    """Refuse everything but a regular file with content; nothing is opened, so no FIFO can hang.

    Args:
        path: of the file.
        text: how the manifest names it.

    Raises:
        UnusableError: with the code and the sentence of the skip.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        reason = "no such file; expected a path relative to the manifest"
        if path.is_symlink():
            reason = "a link to a file that does not exist; expected a file"
        elif "\\" in text:
            reason = "no such file; found `\\` in its path, expected `/` between folders"
        raise UnusableError(SkipCode.MISSING_FILE, reason) from None
    except (OSError, ValueError) as error:
        reason = f"cannot be looked up ({system_reason(error)}); expected a readable file"
        raise UnusableError(SkipCode.UNREADABLE, reason) from None
    if not stat.S_ISREG(status.st_mode):
        reason = f"found {kind_of(status.st_mode)}; expected a regular file"
        raise UnusableError(SkipCode.NOT_REGULAR_FILE, reason)
    if status.st_size == 0:
        raise UnusableError(SkipCode.EMPTY_FILE, "found 0 bytes; expected a file with content")
    try:
        path.open("rb").close()
    except OSError as error:
        reason = f"cannot be opened ({system_reason(error)}); expected a readable file"
        raise UnusableError(SkipCode.UNREADABLE, reason) from None


def kind_of(mode: int) -> str:
    """Name what is no regular file, from the mode that `stat` gives."""
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "a special file")


def system_reason(error: Exception) -> str:
    """Name the reason without the path, which would differ from machine to machine."""
    return getattr(error, "strerror", None) or str(error)


def walk(
    folder: Path, *, folder_files: Literal["videos", "all"], follow_links: bool
) -> Iterator[Found | Ignored]:
    """Give every file below a folder, in the order of the bytes of the names.

    The files and folders of a folder come in one order, the content of a folder behind its files.
    What is hidden is ignored, but for files that are named as videos. A folder that is named as a
    video is a problem, and what lies in it is found all the same, so that nothing is lost.

    Args:
        folder: where to look.
        folder_files: videos: files named as videos are tried, the others ignored; all: every file
            is tried.
        follow_links: whether links may lead outside of `folder`, and into folders. Each folder is
            entered through a link once at most, so links in circles end.
    """
    # Not os.walk: up to Python 3.11 it recurses, and a deep tree would end it.
    walker = _Walker(folder, folder_files, follow_links)
    waiting = [(folder, PurePosixPath())]
    while waiting:
        place, inside = waiting.pop()
        try:
            with os.scandir(place) as entries:
                listed = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            yield Found(path=place, inside=inside, problem=_unlisted(error))
            continue
        deeper = []
        for entry in listed:
            path, name = place / entry.name, inside / entry.name
            if not _is_folder(entry):
                yield walker.file(path, name)
                continue
            outcome, enter = walker.folder(path, name)
            if outcome is not None:
                yield outcome
            if enter:
                deeper.append((path, name))
        waiting += reversed(deeper)


def passed_over(inside: PurePosixPath, *, all_files: bool) -> Ignored | None:
    """Say of which kind a file is that is not tried; None where it is."""
    suffix = inside.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return None
    if inside.name.startswith("."):
        return Ignored(HIDDEN)
    return None if all_files else Ignored(shown(suffix))


class _Walker:
    """What is done with each file and folder on the way."""

    def __init__(
        self, top: Path, folder_files: Literal["videos", "all"], follow_links: bool
    ) -> None:
        self._real_top = os.path.realpath(top)
        self._all = folder_files == "all"
        self._follow = follow_links
        self._entered = {_identity(top)}

    def file(self, path: Path, inside: PurePosixPath) -> Found | Ignored:
        if ignored := passed_over(inside, all_files=self._all):
            return ignored
        try:
            check_regular(path)
            if not self._follow and path.is_symlink():
                self._check_inside(path, "a file")
        except UnusableError as error:
            return Found(path=path, inside=inside, problem=error)
        return Found(path=path, inside=inside)

    def folder(self, path: Path, inside: PurePosixPath) -> tuple[Found | Ignored | None, bool]:
        """Give what is to be said of a folder, and whether to enter it."""
        if inside.name.startswith("."):
            return Ignored(HIDDEN), False
        try:
            if path.is_symlink():
                self._check_link(path)
            enter = self._follow or not path.is_symlink()
            if enter:
                self._entered.add(_identity(path))
        except UnusableError as error:
            return Found(path=path, inside=inside, problem=error), False
        except OSError as error:
            return Found(path=path, inside=inside, problem=_unlisted(error)), False
        if inside.suffix.lower() in VIDEO_SUFFIXES:
            reason = "found a folder; expected a regular file; the videos in it count by themselves"
            problem = UnusableError(SkipCode.NOT_REGULAR_FILE, reason)
            return Found(path=path, inside=inside, problem=problem), enter
        return (None, True) if enter else (Ignored(INNER_LINK), False)

    def _check_link(self, path: Path) -> None:
        if not self._follow:
            self._check_inside(path, "a folder")
        elif _identity(path) in self._entered:
            above = any(path.samefile(parent) for parent in path.parents)
            known = "back to a folder above it" if above else "to a folder that was entered already"
            reason = f"found a link {known}; expected each folder once"
            raise UnusableError(SkipCode.NOT_REGULAR_FILE, reason)

    def _check_inside(self, path: Path, kind: str) -> None:
        if not Path(os.path.realpath(path)).is_relative_to(self._real_top):
            reason = (
                f"found a link to {kind} outside of the folder of videos; expected one inside, or "
                "extract.follow_links: true"
            )
            raise UnusableError(SkipCode.OUTSIDE_FOLDER, reason)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _place(text: str, folder: Path) -> Path:
    if text.startswith(PACKAGE_PREFIX):
        return _package_file(text.removeprefix(PACKAGE_PREFIX))
    return folder / text


def _check_images(folder: Path) -> None:
    try:
        with os.scandir(folder) as entries:
            if any(is_image(entry) for entry in entries):
                return
    except OSError as error:
        raise _unlisted(error) from None
    suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
    reason = f"found a folder without images; expected a video, or a folder of images ({suffixes})"
    raise UnusableError(SkipCode.NOT_REGULAR_FILE, reason)


def _unlisted(error: OSError) -> UnusableError:
    reason = f"this folder cannot be listed ({system_reason(error)}); expected a readable folder"
    return UnusableError(SkipCode.UNREADABLE, reason)


def is_image(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry of a folder counts as one of its images."""
    suffix = PurePosixPath(entry.name).suffix.lower()
    return suffix in IMAGE_SUFFIXES and not entry.name.startswith(".") and entry.is_file()


def _package_file(text: str) -> Path:
    package, _, inside = text.partition("/")
    parts = PurePosixPath(inside).parts
    if not package.isidentifier() or not parts or ".." in parts or inside.startswith("/"):
        reason = f"found {shown(PACKAGE_PREFIX + text)}; expected package:NAME/PATH without `..`"
        raise UnusableError(SkipCode.BAD_ROW, reason)
    roots = _package_folders(package)
    if not roots:
        reason = f"the Python package {package} is not installed; install it with pip"
        raise UnusableError(SkipCode.MISSING_FILE, reason)
    for root in roots:
        path = Path(root).joinpath(*parts)
        real = Path(os.path.realpath(path))
        if real.is_relative_to(os.path.realpath(root)) and os.path.exists(real):  # noqa: PTH110
            return path
    reason = f"the installed package {package} has no file {shown(inside)} inside its folder"
    raise UnusableError(SkipCode.MISSING_FILE, reason)


def _package_folders(package: str) -> list[str]:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return []
    return list(spec.submodule_search_locations or ()) if spec else []
