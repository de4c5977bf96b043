"""Videos behind URLs: what a folder there holds, and where the cells of a manifest lead."""

import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Literal
from urllib.parse import quote, urljoin

from cvg.errors import UserError
from cvg.remote.files import (
    RemoteFile,
    children,
    concurrently,
    described,
    is_web,
    look_up,
    look_up_all,
)
from cvg.remote.url import (
    Place,
    Url,
    explaining,
    is_url,
    open_file_system,
    read_url,
    reason_of,
)
from cvg.videos.location import (
    HIDDEN,
    PACKAGE_PREFIX,
    Found,
    Ignored,
    UnusableError,
    passed_over,
    shown,
)
from cvg.videos.skips import SkipCode

Parts = tuple[str, ...]
Listed = tuple[Parts, Mapping[str, Any]]


def walk_url(url: Url, *, folder_files: Literal["videos", "all"]) -> Iterator[Found | Ignored]:
    """Give every file below a folder behind a URL, in the order of `location.walk`.

    Folders of one depth are listed at the same time. Hidden files and folders are ignored as there.

    Args:
        url: of the folder.
        folder_files: videos: files named as videos are tried, the others ignored; all: every file
            is tried.

    Raises:
        UserError: the folder cannot be listed.
    """
    found: list[tuple[list[tuple[bool, bytes]], Found]] = []
    files: list[Listed] = []
    for parts, listed in _tree(url):
        if isinstance(listed, Ignored):
            yield listed
        elif isinstance(listed, Exception):
            found.append((_order(parts, folder=True), _unlisted(url, parts, listed)))
        elif ignored := passed_over(PurePosixPath(*parts), all_files=folder_files == "all"):
            yield ignored
        else:
            files.append((parts, listed))
    for (parts, _), file in zip(files, _looked_up(url, files), strict=True):
        one = _found(PurePosixPath(*parts), file)
        found.append((_order(parts, folder=False), one))
    yield from (one for _, one in sorted(found, key=lambda pair: pair[0]))


def _tree(url: Url) -> Iterator[tuple[Parts, Mapping[str, Any] | Exception | Ignored]]:
    """List all folders, level by level."""
    _, top = open_file_system(url.text)
    level: list[tuple[Parts, str]] = [((), top)]
    while level:
        deeper: list[tuple[Parts, str]] = []
        listings = concurrently(partial(children, url), [path for _, path in level])
        for (parts, _), listing in zip(level, listings, strict=True):
            if isinstance(listing, Exception):
                if not parts or not isinstance(listing, FileNotFoundError | PermissionError):
                    with explaining(url):
                        raise listing
                yield parts, listing
                continue
            for name, info in listing:
                if info.get("type") != "directory":
                    yield (*parts, name), info
                elif name.startswith("."):
                    yield (*parts, name), Ignored(HIDDEN)
                else:
                    deeper.append(((*parts, name), info["name"]))
        level = deeper


def _order(parts: Parts, *, folder: bool) -> list[tuple[bool, bytes]]:
    """Give what sorts the files of a folder before the content of its folders."""
    is_folder = [True] * (len(parts) - 1) + [folder]
    return [(kind, os.fsencode(part)) for kind, part in zip(is_folder, parts, strict=True)]


def _looked_up(url: Url, files: list[Listed]) -> list[RemoteFile | Exception]:
    """Describe files; those are asked for of which the listing does not say the size."""
    unknown = [info["name"] for _, info in files if info.get("size") is None]
    asked = dict(zip(unknown, concurrently(partial(look_up, url.text), unknown), strict=True))
    return [asked.get(info["name"]) or described(url.text, info["name"], info) for _, info in files]


def _found(inside: PurePosixPath, file: RemoteFile | Exception) -> Found:
    try:
        return Found(path=checked(file), inside=inside)
    except UnusableError as error:
        return Found(path=_nowhere(inside), inside=inside, problem=error)


def _unlisted(url: Url, parts: Parts, error: Exception) -> Found:
    reason = f"this folder of {url} cannot be listed ({shown(reason_of(error))}); expected videos"
    problem = UnusableError(SkipCode.UNREADABLE, reason)
    inside = PurePosixPath(*parts)
    return Found(path=_nowhere(inside), inside=inside, problem=problem)


def _nowhere(inside: PurePosixPath) -> RemoteFile:
    return RemoteFile(url="", path=str(inside), size=None, state="")


def checked(found: RemoteFile | Exception) -> RemoteFile:
    """Refuse what cannot be read.

    Raises:
        UnusableError: there is no such file, or nothing in it.
        UserError: the file system cannot be read, which says nothing of the file.
    """
    if isinstance(found, RemoteFile):
        if found.size == 0:
            raise UnusableError(SkipCode.EMPTY_FILE, "found 0 bytes; expected a file with content")
        return found
    told = shown(reason_of(found))
    if isinstance(found, IsADirectoryError):
        reason = f"found a folder behind a URL ({told}); expected a video, or an .npy file"
        raise UnusableError(SkipCode.NOT_REGULAR_FILE, reason)
    if isinstance(found, FileNotFoundError):
        raise UnusableError(SkipCode.MISSING_FILE, f"no such file ({told}); expected one")
    if isinstance(found, PermissionError | UserError):
        reason = f"may not be looked up ({told}); expected a readable file"
        raise UnusableError(SkipCode.UNREADABLE, reason)
    with explaining("the videos of the manifest"):
        raise found
    raise AssertionError("unreachable")


class Finder:
    """The files that a manifest names and that lie behind URLs."""

    def __init__(self, manifest: Place, cells: Iterable[str]) -> None:
        """Look up all of them, many at once.

        Args:
            manifest: its place, to which paths are relative.
            cells: all paths that it names.
        """
        self._manifest = manifest
        urls: dict[str, str] = {}
        for text in cells:
            try:
                url = self._url(text)
            except UnusableError:
                continue  # it is told where the row is read
            if url is not None:
                urls[text] = url
        looked_up = look_up_all(urls.values())
        self._found = {text: looked_up[url] for text, url in urls.items()}

    def find(self, text: str) -> RemoteFile | None:
        """Find a file; None where the cell names one on this machine.

        Raises:
            UnusableError: there is no such file, or it cannot be read.
            UserError: the file system cannot be read, which says nothing of the file.
        """
        url = self._url(text)
        if url is None:
            return None
        if text not in self._found:
            self._found[text] = look_up_all([url])[url]
        return checked(self._found[text])

    def _url(self, text: str) -> str | None:
        """Give the URL that a cell means.

        Raises:
            UnusableError: it holds a password, or is a path that means nothing there.
        """
        if is_url(text):
            try:
                return read_url(text).text
            except UserError as error:
                raise UnusableError(SkipCode.BAD_ROW, str(error)) from None
        if not isinstance(self._manifest, Url) or text.startswith(PACKAGE_PREFIX):
            return None
        if text.startswith("/"):
            reason = f"found the path {shown(text)} in a manifest behind a URL; expected a path "
            raise UnusableError(SkipCode.BAD_ROW, f"{reason}relative to it, or a URL")
        return _beside(self._manifest, text)


def _beside(manifest: Url, text: str) -> str:
    """Give the URL of a path that is relative to a manifest."""
    first, chain, rest = manifest.text.partition("::")
    if is_web(first):
        return urljoin(first, quote(text)) + chain + rest
    protocol, _, path = first.partition("://")
    inside = posixpath.normpath(posixpath.join(posixpath.dirname(path), text))
    return f"{protocol}://{inside}{chain}{rest}"
