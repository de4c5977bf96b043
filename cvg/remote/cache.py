"""The folder of what was fetched from URLs: how large it may be, and what makes room in it."""

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cvg.errors import UserError
from cvg.files import cache_folder

FOLDER_VARIABLE, LIMIT_VARIABLE = "CVG_CACHE", "CVG_CACHE_GB"
BYTES_PER_GB = 1_000_000_000
RESERVE = BYTES_PER_GB  # left free on its disk
SECONDS_OF_A_FETCH = 3600.0  # an unfinished file that was not written to for so long is left over


def shard_cache() -> Path:
    """Give the folder: $CVG_CACHE, else cvg/shards in the user's cache folder."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen) if chosen else cache_folder() / "shards"


def cache_limit() -> int | None:
    """Give the bytes that it may take; None for what its disk holds.

    Raises:
        UserError: the variable is no number of gigabytes.
    """
    text = os.environ.get(LIMIT_VARIABLE)
    if not text:
        return None
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not 0 < limit < float("inf"):
        raise UserError(f"{LIMIT_VARIABLE}={text}: expected a number of gigabytes above 0")
    return int(limit * BYTES_PER_GB)


def make_room(size: int) -> None:
    """Remove what was not used for longest, until a file of `size` bytes fits.

    A process that reads what is removed here goes on doing so; the room is free when it lets go.

    Raises:
        UserError: it cannot fit.
    """
    folder, limit = shard_cache(), cache_limit()
    kept = sorted(_removable(folder))
    total = sum(taken for _, taken, _ in kept)

    def fits() -> bool:
        is_within = limit is None or total + size <= limit
        return is_within and shutil.disk_usage(folder).free >= size + RESERVE

    while not fits():
        if not kept:
            raise UserError(
                f"{folder}: no room for {size} bytes beside {RESERVE} that are left free on the "
                f"disk; free some space, raise {LIMIT_VARIABLE}, or let {FOLDER_VARIABLE} name a "
                "folder on another disk"
            )
        _, taken, path = kept.pop(0)
        path.unlink(missing_ok=True)
        total -= taken


@contextmanager
def explaining_a_full_disk() -> Iterator[None]:
    """Tell what to do where the disk gets full all the same.

    Raises:
        UserError: it got full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"{shard_cache()}: the disk is full ({error.strerror}); free some space, or let "
            f"{FOLDER_VARIABLE} name a folder on another disk"
        ) from error


def _removable(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Give time of the last use, bytes and path of the files."""
    for path in folder.glob("*/*"):
        with suppress(FileNotFoundError):
            status = path.stat()
            is_left = time.time() - status.st_mtime > SECONDS_OF_A_FETCH
            if path.suffix != ".lock" and (is_left or not path.name.startswith(".")):
                yield status.st_mtime, status.st_size, path
