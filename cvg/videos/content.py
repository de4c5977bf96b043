"""What a source holds, as one hash, and whether it stayed the same while it was read."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cvg.files import sha256_file
from cvg.remote.files import RemoteFile, look_again
from cvg.remote.stream import Stream
from cvg.videos.location import SourcePlace, UnusableError
from cvg.videos.skips import SkipCode

Source = Path | Stream
ENDS = 65536  # bytes at either end of a file


@contextmanager
def at_start(source: Source) -> Iterator[BinaryIO | Stream]:
    """Give a file at its beginning; whoever reads a stream elsewhere goes on where it was."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
        return
    place = source.tell()
    source.seek(0)
    try:
        yield source
    finally:
        source.seek(place)


def size_of(source: Source) -> int:
    """Give the size of a file, bytes."""
    return source.size if isinstance(source, Stream) else source.stat().st_size


def content_hash(source: Source) -> str:
    """Hash a file; of a folder, the names and contents of its files, in the order of the names.

    Returns:
        SHA-256 in hexadecimal.

    Raises:
        UnusableError: something of it cannot be read.
    """
    if isinstance(source, Stream):
        return source.sha256()
    try:
        if not source.is_dir():
            return sha256_file(source)
        digest = hashlib.sha256()
        for file in _files(source):
            digest.update(f"{file.name!r} {sha256_file(file)}\n".encode())
        return digest.hexdigest()
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); expected a readable file"
        raise UnusableError(SkipCode.UNREADABLE, reason) from error


def hash_of_ends(source: Source) -> bytes:
    """Hash what is equal for equal content, and far less than all of it."""
    with at_start(source) as file:
        digest = hashlib.sha256(file.read(ENDS))
        file.seek(-min(ENDS, file.tell()), os.SEEK_END)
        digest.update(file.read(ENDS))
    return digest.digest()


def sizes_of(place: SourcePlace) -> Sequence[int | None]:
    """Give the sizes of all files of a source, the smallest first; none is opened."""
    if isinstance(place, RemoteFile):
        return [place.size]
    files = place.iterdir() if place.is_dir() else [place]
    return sorted(file.stat().st_size for file in files)


@contextmanager
def at_rest(place: SourcePlace) -> Iterator[None]:
    """Refuse a source that changes while the block runs, whatever else is wrong with it then.

    A remote file must still be what it was when it was listed.

    Raises:
        UnusableError: it was written to, or removed.
    """
    before = _state(place)
    try:
        yield
    except UnusableError:
        _check_same(place, before)
        raise
    _check_same(place, before)


def _check_same(place: SourcePlace, before: object) -> None:
    if isinstance(place, RemoteFile):
        now = look_again(place)
        if now is None or not place.is_as_before(now):
            what = "is gone" if now is None else "has another content"
            reason = f"{what} since it was listed; expected a file at rest"
            raise UnusableError(SkipCode.CHANGED, reason)
    elif _state(place) != before:
        reason = "size or time of change moved while it was read; expected a file at rest"
        raise UnusableError(SkipCode.CHANGED, reason)


def _state(place: SourcePlace) -> object:
    """Give what every write changes, None where nothing is left."""
    if isinstance(place, RemoteFile):
        return place
    try:
        return [
            (file.name, status.st_size, status.st_mtime_ns)
            for file in (_files(place) if place.is_dir() else [place])
            for status in (file.stat(),)
        ]
    except OSError:
        return None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())
