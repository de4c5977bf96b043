"""Files of any file system that fsspec knows, and what tells that one has changed."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from cvg.remote.url import Url, explaining, open_file_system

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

GONE = (FileNotFoundError, IsADirectoryError)

Item = TypeVar("Item")
Result = TypeVar("Result")

REQUESTS = 32  # at once, of look-ups and listings

_one_at_a_time = threading.RLock()

# What file systems say of the content of a file, and of the time of its last change; the first
# that is there counts.
STATES = (
    *("ETag", "etag", "md5Hash", "md5", "Content-MD5", "content_md5", "crc32c", "checksum"),
    *("CRC", "sha", "hex", "blob_id", "LastModified", "Last-Modified", "last_modified"),
    *("updated", "mtime", "modified", "modificationTime", "date_time", "time", "created"),
)


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file as it was when it was looked up.

    Attributes:
        url: by which its file system is opened.
        path: in that file system.
        size: bytes; None where the file system does not say.
        state: what else it says that changes with the content, and by which name.
    """

    url: str
    path: str
    size: int | None
    state: str

    def __str__(self) -> str:
        """Give a URL of its own."""
        if is_web(self.path):
            return self.path
        _, own = open_file_system(self.url)
        inside = self.path.removeprefix(own).lstrip("/")
        return str(Url(self.url) / inside) if inside else self.url

    @property
    def name(self) -> str:
        """The last part of its path."""
        return _last(self.path)

    @property
    def suffix(self) -> str:
        """The suffix of its name, in lower case."""
        return PurePosixPath(self.name).suffix.lower()

    def is_as_before(self, now: "RemoteFile") -> bool:
        """Say whether a second look shows the same content, as far as both looks tell."""
        before, after = self.state.partition("="), now.state.partition("=")
        return self.size == now.size and (before[0] != after[0] or before == after)


def described(url: str, path: str, info: Mapping[str, Any]) -> RemoteFile:
    """Describe a file from what `info` or `ls` of its file system say."""
    told = (f"{key}={info[key]}" for key in STATES if info.get(key) not in (None, ""))
    return RemoteFile(url=url, path=path, size=info.get("size"), state=next(told, ""))


def look_up(url: str, path: str | None = None) -> RemoteFile:
    """Ask the file system for a file.

    Args:
        url: of the file, or of another one of its file system.
        path: of the file, in that file system; None for that of the URL.

    Raises:
        FileNotFoundError: there is none.
        IsADirectoryError: it is a folder.
        UserError: the protocol is not known, or its package is not installed.
    """
    fs, own = open_file_system(url)
    place = own if path is None else path
    with _turn(fs):
        info = fs.info(place)
    if info.get("type") == "directory":
        raise IsADirectoryError(place)
    return described(url, place, info)


def look_again(file: RemoteFile) -> RemoteFile | None:
    """Ask once more, past all that is remembered; None where the file is gone."""
    fs, _ = open_file_system(file.url)
    fs.invalidate_cache()
    with explaining(file, but=GONE):
        try:
            return look_up(file.url, file.path)
        except GONE:
            return None


def look_up_all(urls: Iterable[str]) -> dict[str, RemoteFile | Exception]:
    """Look up many files at once; an exception stands for what could not be looked up."""
    listed = list(dict.fromkeys(urls))
    return dict(zip(listed, concurrently(look_up, listed), strict=True))


def children(url: Url, folder: str) -> list[tuple[str, Mapping[str, Any]]]:
    """List a folder: the name of each file and folder in it, and what the file system says.

    Args:
        url: by which the file system is opened.
        folder: its path in that file system.
    """
    fs, _ = open_file_system(url.text)
    found: dict[str, Mapping[str, Any]] = {}
    start = folder.rstrip("/") + "/" if folder.strip("/") else ""
    with _turn(fs):
        listed = fs.ls(folder, detail=True)
    for info in listed:
        path = info["name"].rstrip("/")
        inside = path[len(start) :] if path.startswith(start) else ""
        # Object stores list the folder itself; index pages have links that sort them.
        if inside.strip("/") and "/" not in inside.strip("/") and not inside.startswith("?"):
            found[unquote(inside) if is_web(path) else inside.strip("/")] = info
    return list(found.items())


def copy_to(file: RemoteFile, path: Path) -> None:
    """Copy a whole file to the disk.

    Raises:
        FileNotFoundError: it is gone.
        UserError: it cannot be read.
    """
    fs, _ = open_file_system(file.url)
    with explaining(file, but=GONE), _turn(fs):
        fs.get_file(file.path, str(path))


def concurrently(
    function: Callable[[Item], Result], items: Sequence[Item]
) -> list[Result | Exception]:
    """Call a function on each item, some at a time; an exception is handed back as a value."""

    def call(item: Item) -> Result | Exception:
        try:
            return function(item)
        except Exception as error:
            return error

    if len(items) < 2:
        return [call(item) for item in items]
    with ThreadPoolExecutor(REQUESTS) as threads:
        return list(threads.map(call, items))


def _turn(fs: "AbstractFileSystem") -> AbstractContextManager[Any]:
    """Give the lock under which a file system is used that takes one request at a time."""
    return nullcontext() if fs.async_impl else _one_at_a_time


def is_web(path: str) -> bool:
    """Tell an address of the web, in which names are quoted."""
    return path.startswith(("http://", "https://"))


def _last(path: str) -> str:
    if is_web(path):
        path = unquote(urlsplit(path).path)
    return PurePosixPath(path).name
