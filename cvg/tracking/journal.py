"""The journal of a run: what a stage logs, one JSON object a line, until MLflow has it."""

import json
import shutil
import sys
import time
from pathlib import Path
from typing import IO, Any

Event = dict[str, Any]


class Journal:
    """Appends events to a file; when the file cannot be written, says so once and gives up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None
        self._is_broken = False
        self._num_copies = 0

    def append(self, kind: str, **content: Any) -> None:
        """Append one event, and hand it to the system at once."""
        if self._is_broken:
            return
        event = {"kind": kind, "time_ms": time.time_ns() // 1_000_000, **content}
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("a", encoding="utf-8")
            self._file.write(json.dumps(event) + "\n")
            self._file.flush()
        except OSError as error:
            self._is_broken = True
            warn(f"{self.path} cannot be written, nothing more of this run is logged: {error}")

    def append_artifact(self, path: Path, folder: str, *, of_pipeline: bool) -> None:
        """Copy a file beside the journal, as it is now, and append where it belongs."""
        # A folder a file, so that the copy keeps its name.
        copy = copies_folder(self.path) / str(self._num_copies) / path.name
        self._num_copies += 1
        try:
            copy.parent.mkdir(parents=True)
            shutil.copyfile(path, copy)
        except OSError as error:
            warn(f"{path} is not logged: {error}")
        else:
            self.append("artifact", path=str(copy), folder=folder, of_pipeline=of_pipeline)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def read_appended(file: IO[bytes]) -> list[Event]:
    """Read the events from the place of a binary file to its end.

    A line without its end is still being written: it is left for the next time.
    """
    events = []
    while (line := file.readline()).endswith(b"\n"):
        events.append(json.loads(line))
    file.seek(-len(line), 1)
    return events


def remove_journal(path: Path) -> None:
    """Remove a journal and the copies beside it."""
    shutil.rmtree(copies_folder(path), ignore_errors=True)
    path.unlink()


def copies_folder(path: Path) -> Path:
    """Give the folder of the copied artifacts of a journal."""
    return path.with_suffix(".files")


def warn(sentence: str) -> None:
    """Tell people, in one line, that the record of a run is not complete."""
    sys.stderr.write(f"warning: tracking: {sentence}\n")
    sys.stderr.flush()
