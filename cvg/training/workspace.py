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
    """A folder that belongs to one run at a time.

    Attributes:
        folder: named by all that shapes the run.
        key: what that is, besides the code.
    """

    folder: Path
    key: Mapping[str, Any]

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
        workspace = cls.named(stage, key=key)
        folder = workspace.folder
        busy = f"{folder}: another {stage} with the same parameters and data is at work in it"
        with only_one(folder.with_name(f"{folder.name}.lock"), busy=busy):
            if fresh:
                shutil.rmtree(folder, ignore_errors=True)
            workspace.make()
            yield workspace
            shutil.rmtree(folder)
            workspace._description.unlink(missing_ok=True)

    @classmethod
    def named(cls, stage: str, *, key: Mapping[str, Any]) -> "Workspace":
        """Name the folder of a run, for one of several processes that fill it together.

        It is neither made nor locked, and it stays: a run that opens it later finds what they left.

        Args:
            stage: name of the stage.
            key: as of `open`.
        """
        return cls(folder=state_root() / RUNS / stage / fingerprint(stage, key), key=key)

    def make(self) -> None:
        """Make the folder where it is not there, and say beside it what its name is made of."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._description.is_file():
            write_json(self._description, dict(self.key) | {"code": code_digest()})

    @property
    def _description(self) -> Path:
        """The file for people and for `cvg explain`."""
        return self.folder.with_name(f"{self.folder.name}.json")


def fingerprint(stage: str, key: Mapping[str, Any]) -> str:
    """Name a run by all that shapes it, in 16 hexadecimal digits."""
    content = {"format": FORMAT, "stage": stage, "key": dict(key), "code": code_digest()}
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def code_digest() -> str:
    """Give the hash of all code of this package."""
    return hash_code(Path(cvg.__file__).parent)
