"""Files of a store that are read again and again, kept open."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from cvg.remote.stored import Stored, StoredFiles

Handle = TypeVar("Handle")

# Each may hold a file descriptor, and a process may have no more than a thousand or so.
MOST_OPEN = 128


class OpenFiles(Generic[Handle]):
    """Opens each file once, as long as few others are read in between.

    It can be pickled, for the workers of a DataLoader: what is open stays behind. To a cache of
    bounded size a file counts as used when it is opened.
    """

    def __init__(self, files: StoredFiles) -> None:
        """Begin with nothing open."""
        self._files = files
        self._handles: dict[Stored, Handle] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_handles": {}}

    def get(self, file: Stored, open_file: Callable[[Path], Handle]) -> Handle:
        """Give a file, opened by `open_file`.

        Raises:
            UserError: it is not what was written.
        """
        if file not in self._handles:
            if len(self._handles) >= MOST_OPEN:
                self._handles.pop(next(iter(self._handles)))
            handle = self._files.use(file, open_file)
            self._let_go()
            self._handles[file] = handle
        return self._handles[file]

    def _let_go(self) -> None:
        """Close files that a cache has removed, for they still take room."""
        for file in list(self._handles):
            if not self._files.keeps(file):
                del self._handles[file]
