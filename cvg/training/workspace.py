"""Where a stage keeps what an interrupted run needs to go on: found by all that shapes the run."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import cvg
from cvg.errors import UserError
from cvg.files import project_root

FORMAT = 1
RUNS = ".runs"


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A folder that belongs to one run at a time."""

    folder: Path

    @classmethod
    @contextmanager
    def open(
        cls, stage: str, *, key: Mapping[str, Any], fresh: bool = False
    ) -> "Iterator[Workspace]":
        """Give the folder of a run; it is removed on success and kept after a failure.

        The folder is `.runs/<stage>/<fingerprint>` of the project, or of `CVG_STATE_DIR`.

        Args:
            stage: name of the stage.
            key: all that the result depends on, as JSON values. The code of this package is added,
                all of it: a changed line never goes on from a state that other code has left.
            fresh: remove what an earlier run left.

        Raises:
            UserError: the folder cannot be written, or another process is at work in it.
        """
        parent = _root() / RUNS / stage
        folder = parent / fingerprint(stage, key)
        with _locked(parent / f"{folder.name}.lock", stage=stage, folder=folder):
            if fresh:
                shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
            yield cls(folder=folder)
            shutil.rmtree(folder)


def fingerprint(stage: str, key: Mapping[str, Any]) -> str:
    """Name a run by all that shapes it, in 16 hexadecimal digits."""
    content = {"format": FORMAT, "stage": stage, "key": dict(key), "code": _code_digest()}
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _root() -> Path:
    given = os.environ.get("CVG_STATE_DIR")
    return Path(given).expanduser().resolve() if given else project_root()


@cache
def _code_digest() -> str:
    """Give the SHA-256 over names and content of all modules of the package."""
    folder = Path(cvg.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()


@contextmanager
def _locked(path: Path, *, stage: str, folder: Path) -> Iterator[None]:
    """Hold a lock that the system frees when the process ends, however it ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _lock(path)
    except BlockingIOError as error:
        raise UserError(
            f"{folder}: another {stage} with the same parameters and data is at work in it; "
            "wait for it, or stop it"
        ) from error
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be used for the state of an unfinished run ({error.strerror}); "
            "let CVG_STATE_DIR name a folder that can be written"
        ) from error
    with file:
        yield
        path.unlink()


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
