"""Codes of all frames on disk, with the hash of the VQGAN that made them.

Frames keep the global numbers of the frame store. Shard i holds the codes of frames [i *
shard_frames, (i + 1) * shard_frames) as `codes-00000.safetensors`, one array a level, in the
smallest integer type that holds them; `index.parquet` lists the segments, `codebooks.safetensors`
the codebook vectors, `codes.json` all that a reader must know, with a checksum of each file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from cvg.codes.layout import Grid
from cvg.errors import UserError
from cvg.files import read_json, sha256_file, write_json
from cvg.segments import Segment, Split, read_segments, write_segments

FORMAT = 1
SHARD_FRAMES = 100_000
INDEX = "index.parquet"
CODEBOOKS = "codebooks.safetensors"
HEADER = "codes.json"


class CodeWriter:
    """Streams codes into a folder; call `finish` at the end."""

    def __init__(
        self, folder: Path, *, grids: tuple[Grid, ...], shard_frames: int = SHARD_FRAMES
    ) -> None:
        """Write into an empty folder."""
        self._folder = folder
        self._grids = grids
        self._shard_frames = shard_frames
        self._pending: dict[str, list[np.ndarray]] = {grid.level: [] for grid in grids}
        self._num_pending = 0
        self._shards: list[str] = []

    def append(self, codes: Mapping[str, np.ndarray]) -> None:
        """Add the codes of the next frames, `[frames, rows, columns]` a level."""
        counts = {len(codes[grid.level]) for grid in self._grids}
        assert len(counts) == 1, f"levels disagree on the number of frames: {counts}"
        for grid in self._grids:
            array = codes[grid.level]
            _refuse_foreign_codes(array, grid)
            self._pending[grid.level].append(array.astype(_smallest_type(grid.codebook_size)))
        self._num_pending += counts.pop()
        while self._num_pending >= self._shard_frames:
            self._write_shard(self._shard_frames)

    def finish(
        self, segments: Iterable[Segment], *, vqgan_hash: str, codebooks: Mapping[str, np.ndarray]
    ) -> None:
        """Write the last shard, the index, the codebooks and the header."""
        if self._num_pending:
            self._write_shard(self._num_pending)
        write_segments(self._folder / INDEX, segments)
        save_file(dict(codebooks), self._folder / CODEBOOKS)
        names = [INDEX, CODEBOOKS, *self._shards]
        header = {
            "format": FORMAT,
            "vqgan": vqgan_hash,
            "grids": [asdict(grid) for grid in self._grids],
            "shard_frames": self._shard_frames,
            "shards": self._shards,
            "sha256": {name: sha256_file(self._folder / name) for name in names},
        }
        write_json(self._folder / HEADER, header)

    def _write_shard(self, count: int) -> None:
        name = f"codes-{len(self._shards):05d}.safetensors"
        arrays = {}
        for level, parts in self._pending.items():
            joined = np.concatenate(parts)
            arrays[level] = np.ascontiguousarray(joined[:count])
            self._pending[level] = [joined[count:]]
        save_file(arrays, self._folder / name)
        self._shards.append(name)
        self._num_pending -= count


@dataclass(frozen=True)
class CodeStore:
    """Read access to a folder of codes; any window of frames without reading others."""

    folder: Path
    grids: tuple[Grid, ...]
    vqgan_hash: str
    _header: dict[str, Any]
    _segments: tuple[Segment, ...]
    _verified: set[str]

    @classmethod
    def open(cls, folder: Path) -> "CodeStore":
        """Open a folder written by `CodeWriter`.

        Raises:
            UserError: a file is missing, of another format, or damaged.
        """
        header = read_json(folder / HEADER)
        if header.get("format") != FORMAT:
            raise UserError(
                f"{folder / HEADER}: format {header.get('format')}, expected {FORMAT}; "
                "run tokenize again"
            )
        store = cls(
            folder=folder,
            grids=tuple(Grid(**grid) for grid in header["grids"]),
            vqgan_hash=header["vqgan"],
            _header=header,
            _segments=(),
            _verified=set(),
        )
        store._verify(INDEX)
        object.__setattr__(store, "_segments", tuple(read_segments(folder / INDEX)))
        return store

    def segments(self, split: Split) -> list[Segment]:
        """List the segments of a split, "train" or "held_out"."""
        return [segment for segment in self._segments if segment.split == split]

    def codebooks(self) -> dict[str, np.ndarray]:
        """Give the codebook vectors of each level, float32 `[codebook_size, code_dim]`."""
        self._verify(CODEBOOKS)
        return load_file(self.folder / CODEBOOKS)

    def window(self, segment: Segment, start: int, length: int) -> dict[str, np.ndarray]:
        """Give the codes of `length` frames of a segment, int64 `[length, rows, columns]` a level.

        Raises:
            ValueError: the window does not lie within the segment.
            UserError: a shard is damaged, or holds a code that the codebook does not have.
        """
        if start < 0 or start + length > segment.num_frames:
            raise ValueError(
                f"window [{start}, {start + length}) leaves segment {segment.id} of "
                f"{segment.num_frames} frames"
            )
        first = segment.first_frame + start
        size = self._header["shard_frames"]
        parts: dict[str, list[np.ndarray]] = {grid.level: [] for grid in self.grids}
        while length > 0:
            shard, row = divmod(first, size)
            count = min(length, size - row)
            for level, array in self._read(shard, row, count).items():
                parts[level].append(array)
            first, length = first + count, length - count
        return {level: np.concatenate(arrays) for level, arrays in parts.items()}

    def _read(self, shard: int, row: int, count: int) -> dict[str, np.ndarray]:
        name = self._header["shards"][shard]
        self._verify(name)
        arrays = {}
        with safe_open(self.folder / name, framework="np") as file:
            for grid in self.grids:
                array = file.get_slice(grid.level)[row : row + count].astype(np.int64)
                _refuse_foreign_codes(array, grid)
                arrays[grid.level] = array
        return arrays

    def _verify(self, name: str) -> None:
        """Compare a file with its checksum, once."""
        if name in self._verified:
            return
        path = self.folder / name
        try:
            found = sha256_file(path)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; run tokenize again") from error
        expected = self._header["sha256"][name]
        if found != expected:
            raise UserError(
                f"{path}: damaged: SHA-256 {found[:12]}, expected {expected[:12]}; "
                "run tokenize again"
            )
        self._verified.add(name)


def _smallest_type(codebook_size: int) -> type[np.unsignedinteger]:
    return np.uint8 if codebook_size <= 256 else np.uint16


def _refuse_foreign_codes(codes: np.ndarray, grid: Grid) -> None:
    if codes.size and not 0 <= codes.min() <= codes.max() < grid.codebook_size:
        raise UserError(
            f"{grid.level} codes run from {codes.min()} to {codes.max()}, expected 0 to "
            f"{grid.codebook_size - 1}: they are of another codebook; run tokenize again"
        )
