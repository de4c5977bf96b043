"""Shards: items of one shape and type, numbered through, in .npy files of a bounded size.

Shard i holds the items [i * S, (i + 1) * S), so that the shard of an item is a division, and no
table grows with the number of items. Shards are written as a stream and read as memory maps.
"""

import errno
import io
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped
from numpy.typing import DTypeLike
from xxhash import xxh3_128

from cvg.errors import UserError
from cvg.remote.kept import OpenFiles
from cvg.remote.stored import Stored, StoredFiles, checksum_of

AGAIN = "run the extract stage again (dvc repro -f extract)"

FREE_SPACE = "free some space, or write to another disk"
FULL = {
    errno.ENOSPC: FREE_SPACE,
    errno.EDQUOT: FREE_SPACE,
    errno.EFBIG: "write to a disk that takes larger files (see also `ulimit -f`), or lower "
    "extract.shard_mb",
}


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One file as it was written.

    Attributes:
        file: its name in the folder.
        items: number of items in it.
        bytes: its length.
        xxh3_128: checksum of all its bytes, hexadecimal.
    """

    file: str
    items: int
    bytes: int
    xxh3_128: str

    @cached_property
    def stored(self) -> Stored:
        """What is known of the file."""
        return Stored(
            name=self.file, algorithm="xxh3_128", checksum=self.xxh3_128, bytes=self.bytes
        )


@dataclass(frozen=True, kw_only=True)
class Track:
    """All shards of one name; what a reader must know.

    Attributes:
        item_shape: shape of one item.
        dtype: NumPy's name of the type.
        items_per_shard: S; the last shard may hold fewer.
        shards: in the order of their items.
    """

    item_shape: tuple[int, ...]
    dtype: str
    items_per_shard: int
    shards: tuple[Shard, ...]

    @property
    def num_items(self) -> int:
        """Count the items of all shards."""
        return sum(shard.items for shard in self.shards)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Track":
        """Read what `dataclasses.asdict` gave and JSON kept."""
        return cls(
            item_shape=tuple(value["item_shape"]),
            dtype=value["dtype"],
            items_per_shard=value["items_per_shard"],
            shards=tuple(Shard(**shard) for shard in value["shards"]),
        )


class ShardWriter:
    """Writes shards `NAME-00000.npy` and so on, straight to the disk.

    Call `close` at the end, or `abandon` where the writing failed.

    Attributes:
        name: first part of the files' names.
        item_shape: shape of one item.
        dtype: type of the items.
        items_per_shard: how many fill a shard, at least 1.
        num_items: how many were written, also the number of the next.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        item_shape: tuple[int, ...],
        dtype: DTypeLike,
        shard_bytes: int,
    ) -> None:
        """Write into `folder`; no file is made before the first item.

        Args:
            folder: an existing folder.
            name: first part of the files' names.
            item_shape: shape of one item, none of it 0.
            dtype: type of the items.
            shard_bytes: largest size of the items of a file, where one item is no larger.

        Raises:
            ValueError: an item has no bytes.
        """
        self.name = name
        self.item_shape = item_shape
        self.dtype = np.dtype(dtype)
        item_bytes = self.dtype.itemsize * math.prod(item_shape)
        if item_bytes == 0:
            raise ValueError(f"{name}: items of shape {item_shape} hold nothing")
        self.items_per_shard = max(1, shard_bytes // item_bytes)
        self.num_items = 0
        self._shard_bytes = item_bytes * self.items_per_shard
        self._folder = folder
        self._open: _OpenShard | None = None
        self._shards: list[Shard] = []

    def append(self, items: Shaped[np.ndarray, "n ..."]) -> int:
        """Write items after those before; returns the number of the first.

        Raises:
            ValueError: the items have another shape or type.
            UserError: the disk is full.
        """
        if items.shape[1:] != self.item_shape or items.dtype != self.dtype:
            raise ValueError(
                f"{self.name} are {items.dtype} {items.shape[1:]}, the store holds "
                f"{self.dtype} {self.item_shape}"
            )
        first = self.num_items
        done = 0
        while done < len(items):
            filled = self.num_items % self.items_per_shard
            part = items[done : done + self.items_per_shard - filled]
            self._write(part)
            self.num_items += len(part)
            done += len(part)
            if filled + len(part) == self.items_per_shard:
                self._finish(self.items_per_shard)
        return first

    def close(self) -> Track:
        """Finish the last shard; all shards are then flushed to the disk.

        Raises:
            UserError: the disk is full.
        """
        if self._open is not None:
            self._finish(self.num_items % self.items_per_shard)
        return Track(
            item_shape=self.item_shape,
            dtype=self.dtype.name,
            items_per_shard=self.items_per_shard,
            shards=tuple(self._shards),
        )

    def abandon(self) -> None:
        """Let go of the open file, which stays unfinished; without effect after `close`."""
        if self._open is not None:
            self._open.file.close()
            self._open = None

    def _write(self, items: np.ndarray) -> None:
        path = self._folder / f"{self.name}-{len(self._shards):05d}.npy"
        with _explaining_a_full_disk(path, self._shard_bytes):
            if self._open is None:
                self._open = _OpenShard(path)
                self._open.write(self._header(self.items_per_shard))
            self._open.write(np.ascontiguousarray(items).reshape(-1).view(np.uint8).data)

    def _finish(self, count: int) -> None:
        shard = self._open
        if shard is None:
            raise AssertionError(f"no shard of {self.name} is open")
        with _explaining_a_full_disk(shard.path, self._shard_bytes):
            header = None if count == self.items_per_shard else self._header(count)
            checksum = shard.close(header)
        self._open = None
        self._shards.append(
            Shard(
                file=shard.path.name,
                items=count,
                bytes=shard.path.stat().st_size,
                xxh3_128=checksum,
            )
        )

    def _header(self, count: int) -> bytes:
        """Give the start of a file; NumPy pads it to the same length whatever the count."""
        buffer = io.BytesIO()
        fields = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (count, *self.item_shape),
        }
        np.lib.format.write_array_header_1_0(buffer, fields)
        return buffer.getvalue()


class ShardReader:
    """Reads any items of a track; a shard is verified when it is first read in a process.

    It can be pickled, for the workers of a DataLoader.
    """

    def __init__(self, files: StoredFiles, track: Track) -> None:
        self.track = track
        self._maps: OpenFiles[np.ndarray] = OpenFiles(files)

    def read(self, first: int, length: int) -> Shaped[np.ndarray, "n ..."]:
        """Copy the items [first, first + length).

        The time depends on `length` alone; no other items are touched, except that the first
        read of a shard verifies it.

        Raises:
            ValueError: the track does not have these items.
            UserError: a shard is not what was written.
        """
        track = self.track
        if length < 0 or first < 0 or first + length > track.num_items:
            raise ValueError(
                f"items [{first}, {first + length}) are not within the {track.num_items} stored"
            )
        items = np.empty((length, *track.item_shape), dtype=track.dtype)
        done = 0
        while done < length:
            number, offset = divmod(first + done, track.items_per_shard)
            part = self._map(number)[offset : offset + length - done]
            items[done : done + len(part)] = part
            done += len(part)
        return items

    def _map(self, number: int) -> np.ndarray:
        shard = self.track.shards[number]
        return self._maps.get(shard.stored, lambda path: self._open(path, shard))

    def _open(self, path: Path, shard: Shard) -> np.ndarray:
        items = np.load(path, mmap_mode="r", allow_pickle=False)
        expected = (shard.items, *self.track.item_shape)
        if items.shape != expected or items.dtype != self.track.dtype:
            raise UserError(
                f"{path}: holds {items.dtype} {items.shape}, expected {self.track.dtype} "
                f"{expected}; {AGAIN}"
            )
        # As a plain array: slices of a memmap cost several times as much.
        return items.view(np.ndarray)


class _OpenShard:
    """A shard that is being written; unbuffered, so that a full disk shows where it happens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("wb", buffering=0)
        self._checksum = xxh3_128()

    def write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self.file.write(rest) :]
        self._checksum.update(data)

    def close(self, header: bytes | None) -> str:
        """Replace the header where one is given, flush to the disk, and give the checksum."""
        if header is not None:
            self.file.seek(0)
            self.file.write(header)
        os.fsync(self.file.fileno())
        self.file.close()
        # The header comes first, so a new one changes the checksum from the start.
        return self._checksum.hexdigest() if header is None else checksum_of(self.path, "xxh3_128")


@contextmanager
def _explaining_a_full_disk(path: Path, shard_bytes: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        free = shutil.disk_usage(path.parent).free
        raise UserError(
            f"{path}: cannot be written further ({error.strerror}); expected room for a file of "
            f"up to {shard_bytes} bytes, {free} bytes are free; {FULL[error.errno]}"
        ) from error
