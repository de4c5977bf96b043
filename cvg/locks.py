"""Locks that the system frees when a process ends, however it ends."""

import fcntl
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from cvg.errors import UserError
from cvg.files import state_root

SECONDS_TO_WAIT = 30.0  # a run whose parent died needs so long to leave, at most
SECONDS_BETWEEN_TRIES = 0.1


@contextmanager
def only_one(path: Path, *, busy: str) -> Iterator[None]:
    """Hold the lock file `path`, which is made and, at the end, removed.

    Args:
        path: of the lock.
        busy: what another holder is, for the message: a sentence without its end.

    Raises:
        UserError: another process holds it, and did not end while it was waited for; or the file
            cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _wait_for(path, busy=busy)
    except BlockingIOError as error:
        raise UserError(f"{busy}; wait for it, or stop it") from error
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}), so nothing keeps a second run away; "
            "let CVG_STATE_DIR name a folder that can be written"
        ) from error
    with file:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def if_free(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` where no other process does; say whether it is held.

    Raises:
        OSError: the file cannot be written, or its file system knows no locks.
    """
    try:
        file = _lock(path)
    except BlockingIOError:
        yield False
        return
    with file:
        try:
            yield True
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, however long another process does; its folder must be there."""
    while True:
        file = path.open("w")
        with suppress(OSError):  # Some network file systems know no locks.
            fcntl.flock(file, fcntl.LOCK_EX)
        if _is_at(path, file):
            break
        file.close()
    with file:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def one_writer(out: Path, *, stage: str) -> Iterator[None]:
    """Let one process at a time write an output, in whatever folder the others stand.

    Raises:
        UserError: another process writes it.
    """
    name = hashlib.sha256(os.fsencode(out.resolve())).hexdigest()[:16]
    busy = f"{out}: another {stage} is writing it"
    with only_one(state_root() / ".runs/locks" / f"{name}.lock", busy=busy):
        yield


def _wait_for(path: Path, *, busy: str) -> IO[str]:
    until, is_told = time.monotonic() + SECONDS_TO_WAIT, False
    while True:
        try:
            return _lock(path)
        except BlockingIOError:
            if time.monotonic() > until:
                raise
        if not is_told:
            sys.stderr.write(f"{busy}; waiting up to {SECONDS_TO_WAIT:.0f} s for its end\n")
            sys.stderr.flush()
            is_told = True
        time.sleep(SECONDS_BETWEEN_TRIES)


def _lock(path: Path) -> IO[str]:
    """Open and lock a file; again where the one who held it removed it meanwhile."""
    while True:
        file = path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, file):
                return file
        except OSError:
            file.close()
            raise
        file.close()


def _is_at(path: Path, file: IO[str]) -> bool:
    return path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino
