"""Where a stage keeps what an interrupted run needs to go on: found by all that shapes the run."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cvg
from cvg.files import hash_code, state_root, write_json
from cvg.locks import only_one

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
        parent = state_root() / RUNS / stage
        folder = parent / fingerprint(stage, key)
        busy = f"{folder}: another {stage} with the same parameters and data is at work in it"
        with only_one(parent / f"{folder.name}.lock", busy=busy):
            if fresh:
                shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
            # For people, and for `cvg explain`: what the name of the folder is made of.
            described = parent / f"{folder.name}.json"
            write_json(described, dict(key) | {"code": code_digest()})
            yield cls(folder=folder)
            shutil.rmtree(folder)
            described.unlink()


def fingerprint(stage: str, key: Mapping[str, Any]) -> str:
    """Name a run by all that shapes it, in 16 hexadecimal digits."""
    content = {"format": FORMAT, "stage": stage, "key": dict(key), "code": code_digest()}
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def code_digest() -> str:
    """Give the hash of all code of this package."""
    return hash_code(Path(cvg.__file__).parent)
