"""What a source holds, as one hash, and whether it stayed the same while it was read."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cvg.files import sha256_file
from cvg.videos.location import UnusableError
from cvg.videos.skips import SkipCode


def content_hash(path: Path) -> str:
    """Hash a file; of a folder, the names and contents of its files, in the order of the names.

    Returns:
        SHA-256 in hexadecimal.

    Raises:
        UnusableError: something of it cannot be read.
    """
    try:
        if not path.is_dir():
            return sha256_file(path)
        digest = hashlib.sha256()
        for file in _files(path):
            digest.update(f"{file.name!r} {sha256_file(file)}\n".encode())
        return digest.hexdigest()
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); expected a readable file"
        raise UnusableError(SkipCode.UNREADABLE, reason) from error


@contextmanager
def at_rest(path: Path) -> Iterator[None]:
    """Refuse a source that changes while the block runs, whatever else is wrong with it then.

    Raises:
        UnusableError: it was written to, or removed.
    """
    before = _state(path)
    try:
        yield
    except UnusableError:
        _check_same(path, before)
        raise
    _check_same(path, before)


def _check_same(path: Path, before: object) -> None:
    if _state(path) != before:
        reason = "size or time of change moved while it was read; expected a file at rest"
        raise UnusableError(SkipCode.CHANGED, reason)


def _state(path: Path) -> object:
    """Give what every write changes, None where nothing is left."""
    try:
        return [
            (file.name, status.st_size, status.st_mtime_ns)
            for file in (_files(path) if path.is_dir() else [path])
            for status in (file.stat(),)
        ]
    except OSError:
        return None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())
