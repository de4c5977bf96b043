"""Files that a header lists with their checksums, in a folder or behind a URL.

What is behind a URL is fetched into a cache when it is first asked for. A file of the cache is
named by its checksum, so it is never stale, and stores that share files share them there too.
"""

import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from xxhash import xxh3_128

from cvg import launch
from cvg.errors import UserError
from cvg.files import read_json, replacing_file, sha256_file
from cvg.locks import held
from cvg.remote.cache import (
    BYTES_PER_GB,
    LIMIT_VARIABLE,
    cache_limit,
    explaining_a_full_disk,
    make_room,
    shard_cache,
)
from cvg.remote.url import Place, Url, explaining, open_file_system

Result = TypeVar("Result")
Algorithm = Literal["xxh3_128", "sha256"]

READ_BYTES = 1 << 20
TRIES = 3  # where another process makes room in the cache between fetching and opening


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A file as it was written.

    Attributes:
        name: in its folder.
        algorithm: of the checksum.
        checksum: of all its bytes, hexadecimal.
        bytes: its length; None where the header does not tell.
    """

    name: str
    algorithm: Algorithm
    checksum: str
    bytes: int | None = None


class StoredFiles(ABC):
    """The files of one store; can be pickled, and what was verified is verified again then."""

    def __init__(self, *, again: str) -> None:
        """Take note of how a damaged store is made again."""
        self._again = again
        self._verified: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_verified": set()}

    @abstractmethod
    def header(self, name: str) -> Any:
        """Read the header, a JSON file whose content nothing vouches for.

        Raises:
            UserError: it is missing, or is not JSON.
        """

    @abstractmethod
    def check_sizes(self, files: Iterable[Stored]) -> None:
        """Say early what is wrong with files, as far as it costs nothing.

        Raises:
            UserError: one is missing, or has another length.
        """

    def keeps(self, file: Stored) -> bool:
        """Say whether a file that was used is the one that would be used again."""
        return file.name in self._verified

    @abstractmethod
    def use(self, file: Stored, read: Callable[[Path], Result]) -> Result:
        """Read a file, which is verified when it is first used in a process.

        Raises:
            UserError: it is not what was written.
        """

    def _refuse_other(self, path: Path, file: Stored, *, source: Place) -> None:
        """Refuse a file that is not what was written; `source` is where it comes from."""
        found = checksum_of(path, file.algorithm)
        if found != file.checksum:
            raise UserError(
                f"{source}: {file.algorithm} is {found}, expected {file.checksum}: the file was "
                f"changed or damaged; {self._again}"
            )


def files_of(place: Place, *, again: str) -> StoredFiles:
    """Give the files of a folder or URL.

    Args:
        place: of the store.
        again: how a damaged one is made again.
    """
    if isinstance(place, Path):
        return LocalFiles(place, again=again)
    return CachedFiles(place, again=again)


class LocalFiles(StoredFiles):
    """Files of a folder on this machine, or on a mount."""

    def __init__(self, folder: Path, *, again: str) -> None:
        """Read from `folder`."""
        super().__init__(again=again)
        self._folder = folder

    def header(self, name: str) -> Any:
        """Read the header."""
        return read_json(self._folder / name)

    def check_sizes(self, files: Iterable[Stored]) -> None:
        """Compare the length of every file with what was written, without reading them."""
        for file in files:
            self._check_size(file)

    def use(self, file: Stored, read: Callable[[Path], Result]) -> Result:
        """Read a file."""
        path = self._check_size(file)
        if file.name not in self._verified:
            self._refuse_other(path, file, source=path)
            self._verified.add(file.name)
        return read(path)

    def _check_size(self, file: Stored) -> Path:
        path = self._folder / file.name
        found = path.stat().st_size if path.is_file() else None
        if found is None or file.bytes not in (None, found):
            size = "no such file" if found is None else f"has {found} bytes"
            expected = "the file" if file.bytes is None else f"{file.bytes} bytes"
            raise UserError(f"{path}: {size}, expected {expected}; {self._again}")
        return path


class CachedFiles(StoredFiles):
    """Files behind a URL, each fetched once into the cache of this machine."""

    def __init__(self, url: Url, *, again: str) -> None:
        """Fetch from `url`."""
        super().__init__(again=again)
        self._url = url

    def header(self, name: str) -> Any:
        """Read the header, each time from where it is."""
        url = self._url / name
        fs, path = open_file_system(url.text)
        with explaining(url):
            text = fs.cat_file(path)
        try:
            return json.loads(text)
        except ValueError as error:
            raise UserError(f"{url}: not JSON ({error}); {self._again}") from error

    def check_sizes(self, files: Iterable[Stored]) -> None:
        """Warn where the cache is smaller than the store; no file is looked at."""
        total, limit = sum(file.bytes or 0 for file in files), cache_limit()
        if limit is not None and total > limit:
            _warn(
                f"{self._url}: has {total / BYTES_PER_GB:.3g} GB, more than {LIMIT_VARIABLE} = "
                f"{limit / BYTES_PER_GB:g}: what is read at random is fetched again and again"
            )

    def keeps(self, file: Stored) -> bool:
        """Say whether the cache has not removed it."""
        return self._path(file).is_file()

    def use(self, file: Stored, read: Callable[[Path], Result]) -> Result:
        """Read a file, fetched if need be; a damaged one of the cache is fetched again."""
        for _ in range(TRIES):
            try:
                return read(self._provided(file))
            except FileNotFoundError:
                continue  # another process made room
        raise UserError(
            f"{self._path(file)}: is removed as soon as it is fetched; expected room for all that "
            f"several processes read at a time: raise {LIMIT_VARIABLE}"
        )

    def _path(self, file: Stored) -> Path:
        name = f"{file.checksum}{Path(file.name).suffix}"
        return shard_cache() / file.checksum[:2] / name

    def _provided(self, file: Stored) -> Path:
        """Give a file of the cache; it is there, unless another process removes it meanwhile."""
        path = self._path(file)
        if file.checksum not in self._verified or not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with held(path.with_suffix(".lock")):
                if not _is_whole(path, file):
                    self._fetch(file, path)
            self._verified.add(file.checksum)
        with suppress(PermissionError):  # somebody else's, in a cache that several people share
            os.utime(path)  # what was used last is removed last
        return path

    def _fetch(self, file: Stored, path: Path) -> None:
        url = self._url / file.name
        fs, source = open_file_system(url.text)
        with explaining(url):
            make_room(file.bytes or fs.info(source)["size"] or 0)
            with replacing_file(path) as temporary:
                with explaining_a_full_disk():
                    fs.get_file(source, str(temporary))
                self._refuse_other(temporary, file, source=url)


def checksum_of(path: Path, algorithm: Algorithm) -> str:
    """Give the checksum of a file, hexadecimal."""
    if algorithm == "sha256":
        return sha256_file(path)
    checksum = xxh3_128()
    buffer = memoryview(bytearray(READ_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            checksum.update(buffer[:count])
    return checksum.hexdigest()


def _is_whole(path: Path, file: Stored) -> bool:
    """Say whether the cache has a file; a damaged one is removed."""
    if not path.is_file():
        return False
    if checksum_of(path, file.algorithm) == file.checksum:
        return True
    _warn(f"{path}: damaged in the cache; it is fetched again")
    path.unlink()
    return False


def _warn(sentence: str) -> None:
    if launch.is_first():
        sys.stderr.write(f"WARNING: {sentence}\n")
        sys.stderr.flush()
