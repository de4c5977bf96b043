"""Codes of all frames on disk, with the hash of the VQGAN that made them.

Frames keep the global numbers of the frame store. Shard i holds the codes of frames [i *
shard_frames, (i + 1) * shard_frames) as `codes-00000.safetensors`, one array a level, in the
smallest integer type that holds them, and beside them one array for each track: what else is known
of every frame, such as its map. `index.parquet` lists the segments, `codebooks.safetensors`
the codebook vectors, `codes.json` all that a reader must know, with a checksum of each file.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from cvg.codes.layout import Grid
from cvg.errors import UserError
from cvg.files import save_arrays, sha256_file, write_json
from cvg.remote.kept import OpenFiles
from cvg.remote.stored import Stored, StoredFiles, files_of
from cvg.remote.url import Place
from cvg.segments import Segment, Split, read_segments, write_segments

FORMAT = 2
SHARD_FRAMES = 16_384
INDEX = "index.parquet"
CODEBOOKS = "codebooks.safetensors"
HEADER = "codes.json"
AGAIN = "run tokenize again"


@dataclass(frozen=True, kw_only=True)
class CodeTrack:
    """Numbers that every frame has besides its codes.

    Attributes:
        name: of the array; no level's.
        dtype: of its numbers, as NumPy names it.
        item_shape: of what one frame has.
    """

    name: str
    dtype: str
    item_shape: tuple[int, ...]


class CodeWriter:
    """Streams codes into a folder and holds at most one shard; call `finish` at the end.

    Attributes:
        shard_frames: frames of a shard; the last may hold fewer.
        num_frames: number of the next frame.
    """

    def __init__(
        self,
        folder: Path,
        *,
        grids: tuple[Grid, ...],
        tracks: tuple[CodeTrack, ...] = (),
        shard_frames: int = SHARD_FRAMES,
    ) -> None:
        """Write into `folder`.

        Args:
            folder: an existing empty folder.
            grids: of all levels, coarse to fine.
            tracks: what else every frame has.
            shard_frames: frames of a shard, at least 1.
        """
        self.shard_frames = shard_frames
        self._folder = folder
        self._grids = grids
        self._tracks = tracks
        self._shard = {
            grid.level: np.empty(
                (shard_frames, grid.rows, grid.columns), smallest_type(grid.codebook_size)
            )
            for grid in grids
        } | {
            track.name: np.empty((shard_frames, *track.item_shape), track.dtype) for track in tracks
        }
        self._sha256: dict[str, str] = {}
        self.num_frames = 0

    def append(self, codes: Mapping[str, np.ndarray]) -> None:
        """Add the next frames: codes `[frames, rows, columns]` a level, and each track's numbers.

        Raises:
            UserError: a code is not of the codebook.
        """
        counts = {len(codes[name]) for name in self._shard}
        assert len(counts) == 1, f"arrays disagree on the number of frames: {counts}"
        for grid in self._grids:
            _refuse_foreign_codes(codes[grid.level], grid)
        count, done = counts.pop(), 0
        while done < count:
            row = self.num_frames % self.shard_frames
            length = min(count - done, self.shard_frames - row)
            for name, array in self._shard.items():
                array[row : row + length] = codes[name][done : done + length]
            self.num_frames += length
            done += length
            if row + length == self.shard_frames:
                self._write_shard(self.shard_frames)

    def finish(
        self, segments: Iterable[Segment], *, vqgan_hash: str, codebooks: Mapping[str, np.ndarray]
    ) -> None:
        """Write the last shard, the index, the codebooks and the header."""
        rest = self.num_frames % self.shard_frames
        if rest:
            self._write_shard(rest)
        write_segments(self._folder / INDEX, segments)
        save_arrays(self._folder / CODEBOOKS, codebooks)
        checksums = {name: sha256_file(self._folder / name) for name in (INDEX, CODEBOOKS)}
        header = {
            "format": FORMAT,
            "vqgan": vqgan_hash,
            "grids": [asdict(grid) for grid in self._grids],
            "tracks": [
                asdict(track) | {"item_shape": [*track.item_shape]} for track in self._tracks
            ],
            "shard_frames": self.shard_frames,
            "shards": list(self._sha256),
            "sha256": checksums | self._sha256,
        }
        write_json(self._folder / HEADER, header)

    def _write_shard(self, count: int) -> None:
        name = _shard_name(len(self._sha256))
        save_arrays(self._folder / name, {key: array[:count] for key, array in self._shard.items()})
        self._sha256[name] = sha256_file(self._folder / name)


@dataclass(frozen=True)
class CodeStore:
    """Read access to a folder of codes; any window of frames without reading others."""

    folder: Place
    grids: tuple[Grid, ...]
    tracks: Mapping[str, CodeTrack]
    vqgan_hash: str
    _header: dict[str, Any]
    _segments: tuple[Segment, ...]
    _files: StoredFiles
    _shards: OpenFiles[Any]

    @classmethod
    def open(cls, folder: Place) -> "CodeStore":
        """Open a folder written by `CodeWriter`.

        Args:
            folder: of the codes, a path or a URL; shards behind a URL are fetched into the cache of
                this machine when they are first read.

        Raises:
            UserError: a file is missing, of another format, or damaged.
        """
        files = files_of(folder, again=AGAIN)
        header = files.header(HEADER)
        if header.get("format") != FORMAT:
            raise UserError(
                f"{folder / HEADER}: format {header.get('format')}, expected {FORMAT}; {AGAIN}"
            )
        index = _stored(header, INDEX)
        return cls(
            folder=folder,
            grids=tuple(Grid(**grid) for grid in header["grids"]),
            tracks={
                track["name"]: CodeTrack(**track | {"item_shape": tuple(track["item_shape"])})
                for track in header["tracks"]
            },
            vqgan_hash=header["vqgan"],
            _header=header,
            _segments=tuple(files.use(index, read_segments)),
            _files=files,
            _shards=OpenFiles(files),
        )

    @property
    def digest(self) -> str:
        """Hash of the VQGAN's hash, the grids and the checksums of all files, for provenance."""
        return hashlib.sha256(json.dumps(self._header, sort_keys=True).encode()).hexdigest()

    def segments(self, split: Split) -> list[Segment]:
        """List the segments of a split, "train" or "held_out"."""
        return [segment for segment in self._segments if segment.split == split]

    def codebooks(self) -> dict[str, np.ndarray]:
        """Give the codebook vectors of each level, float32 `[codebook_size, code_dim]`."""
        return self._files.use(_stored(self._header, CODEBOOKS), load_file)

    def count_codes(self) -> dict[str, np.ndarray]:
        """Count how often each code occurs, int64 `[codebook_size]` a level; a shard at a time.

        Raises:
            UserError: a shard is damaged, or holds a code that the codebook does not have.
        """
        counts = {grid.level: np.zeros(grid.codebook_size, np.int64) for grid in self.grids}
        for shard in range(len(self._header["shards"])):
            for level, codes in self._read(shard, slice(None), list(counts)).items():
                counts[level] += np.bincount(codes.ravel(), minlength=len(counts[level]))
        return counts

    def window(self, segment: Segment, start: int, length: int) -> dict[str, np.ndarray]:
        """Give the codes of `length` frames of a segment, int64 `[length, rows, columns]` a level.

        The tracks are beside them, as they were written.

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
        names = [*(grid.level for grid in self.grids), *self.tracks]
        parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        while length > 0:
            shard, row = divmod(first, size)
            count = min(length, size - row)
            for name, array in self._read(shard, slice(row, row + count), names).items():
                parts[name].append(array)
            first, length = first + count, length - count
        return {name: np.concatenate(arrays) for name, arrays in parts.items()}

    def _read(self, shard: int, rows: slice, names: Iterable[str]) -> dict[str, np.ndarray]:
        stored = _stored(self._header, self._header["shards"][shard])
        file = self._shards.get(stored, lambda path: safe_open(path, framework="np"))
        arrays = {name: file.get_slice(name)[rows] for name in names}
        for grid in self.grids:
            if grid.level in arrays:
                arrays[grid.level] = arrays[grid.level].astype(np.int64)
                _refuse_foreign_codes(arrays[grid.level], grid)
        return arrays


def _stored(header: Mapping[str, Any], name: str) -> Stored:
    return Stored(name=name, algorithm="sha256", checksum=header["sha256"][name])


def _shard_name(number: int) -> str:
    return f"codes-{number:05d}.safetensors"


def smallest_type(codebook_size: int) -> type[np.unsignedinteger]:
    """Give the smallest type of numbers that holds the codes of a codebook."""
    return np.uint8 if codebook_size <= 256 else np.uint16


def _refuse_foreign_codes(codes: np.ndarray, grid: Grid) -> None:
    if codes.size and not 0 <= codes.min() <= codes.max() < grid.codebook_size:
        raise UserError(
            f"{grid.level} codes run from {codes.min()} to {codes.max()}, expected 0 to "
            f"{grid.codebook_size - 1}: they are of another codebook; run tokenize again"
        )
