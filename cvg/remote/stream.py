"""A remote file as a decoder reads it: here and there, in blocks, and once through for its hash."""

import hashlib
from typing import Any

from cvg.remote.files import RemoteFile
from cvg.remote.url import explaining, open_file_system

BLOCKS = 8  # in memory, of one file
HEADER_BLOCK = 1 << 18  # bytes of a block where headers alone are read
FRAMES_BLOCK = 1 << 22
CHUNK = 1 << 20
HTTP_NOT_FOUND = 404


class UnseekableError(Exception):
    """The server gives files from their beginning only."""


class Stream:
    """A seekable file that keeps a few blocks in memory, and hashes what passes by.

    A file that is read forwards passes once; what a reader leaves out is fetched for the hash.

    Attributes:
        name: of the file, whose suffix tells a decoder what to expect.
        size: of the file, bytes.
    """

    def __init__(self, file: RemoteFile, *, block: int) -> None:
        """Open a file.

        Args:
            file: as it was looked up.
            block: bytes of a block; the memory taken is `BLOCKS` times as much.

        Raises:
            FileNotFoundError: it is gone.
            UnseekableError: its file system does not tell its size.
            UserError: it cannot be read.
        """
        if file.size is None:
            raise UnseekableError(str(file))
        self.name, self.size = file.name, file.size
        self._source = file
        self._failure: Exception | None = None
        self._digest, self._hashed = hashlib.sha256(), 0
        self._near = block * (BLOCKS - 1)
        fs, _ = open_file_system(file.url)
        with explaining(file, but=(FileNotFoundError,)):
            self._file: Any = fs.open(
                file.path,
                "rb",
                block_size=block,
                cache_type="blockcache",
                cache_options={"maxblocks": BLOCKS},
            )

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, count: int) -> bytes:
        """Read up to so many bytes, 0 or more; nothing where it fails, which `check` tells."""
        start = self._file.tell()
        data = self._read(count)
        if self._hashed < start <= self._hashed + self._near:
            # A decoder jumps over what it does not want; that is in memory already, or next.
            self._catch_up(start)
            self._file.seek(start + len(data))
        self._take(start, data)
        return data

    def seek(self, place: int, whence: int = 0) -> int:
        """Go to a place, as in a file on disk."""
        return self._file.seek(place, whence)

    def tell(self) -> int:
        """Give the place."""
        return self._file.tell()

    def sha256(self) -> str:
        """Give the hash of the whole file; what has not passed yet is read now."""
        self._catch_up(self.size)
        return self._digest.hexdigest()

    def check(self) -> None:
        """Say what went wrong with the reading, which the reader took for an end.

        Raises:
            FileNotFoundError: the file is gone.
            UnseekableError: the server gives it from the beginning only.
            UserError: it cannot be read.
        """
        if self._failure is None:
            return
        with explaining(self._source, but=(FileNotFoundError, UnseekableError)):
            raise self._failure

    def _read(self, count: int) -> bytes:
        """Read, or take note of what goes wrong and give nothing from then on.

        An exception would go through the C code of a decoder, which may print or swallow it.
        """
        if self._failure is not None:
            return b""
        try:
            return self._file.read(count)
        # fsspec's way to say so, where a server answers a part with the whole, or cannot seek.
        except (ValueError, NotImplementedError) as error:
            self._failure = UnseekableError(str(error))
        except Exception as error:
            gone = getattr(error, "status", None) == HTTP_NOT_FOUND
            self._failure = FileNotFoundError(str(error)) if gone else error
        return b""

    def _catch_up(self, stop: int) -> None:
        self._file.seek(self._hashed)
        while self._hashed < stop:
            data = self._read(min(CHUNK, stop - self._hashed))
            if not data:
                break
            self._take(self._hashed, data)

    def _take(self, start: int, data: bytes) -> None:
        if start <= self._hashed < start + len(data):
            self._digest.update(memoryview(data)[self._hashed - start :])
            self._hashed = start + len(data)
