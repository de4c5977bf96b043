"""The frame store: any N successive frames of any video in constant time.

Frames are numbered through the whole store. Shard i holds the frames [i * S, (i + 1) * S), so that
the shard of a frame is a division, and no table grows with the number of frames.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from cvg.errors import UserError
from cvg.files import read_json, sha256_file
from cvg.segments import Segment, Split, read_segments

FORMAT_VERSION = 1
AGAIN = "run the extract stage again (dvc repro -f extract)"


def content_digest(segments: Sequence[Segment], shards: Sequence[dict[str, Any]]) -> str:
    """Hash the content; the bytes of the index would also tell which program wrote them."""
    digest = hashlib.sha256(f"{FORMAT_VERSION}\n".encode())
    for row in (*map(asdict, segments), *({"sha256": shard["sha256"]} for shard in shards)):
        digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


class FrameStore:
    """Reads a store; open it with `FrameStore.open`.

    Attributes:
        folder: where it lies.
        size: height and width of every frame, pixels.
        frames_per_shard: S.
        digest: hash of all its content, for provenance.
    """

    def __init__(self, folder: Path, header: dict[str, Any], segments: Sequence[Segment]) -> None:
        self.folder = folder
        self.size: tuple[int, int] = (header["size"][0], header["size"][1])
        self.frames_per_shard: int = header["frames_per_shard"]
        self.digest: str = header["digest"]
        self._shards: list[dict[str, Any]] = header["shards"]
        self._segments = tuple(segments)
        self._opened: dict[int, np.ndarray] = {}

    @classmethod
    def open(cls, folder: Path) -> "FrameStore":
        """Open a store; the index is verified now, each shard when it is first read.

        Raises:
            UserError: a file is missing, or is not what was written.
        """
        header = read_json(folder / "store.json")
        version = header.get("format_version") if isinstance(header, dict) else None
        if version != FORMAT_VERSION:
            raise UserError(
                f"{folder}/store.json: format_version is {version}, this program reads "
                f"{FORMAT_VERSION}; {AGAIN}"
            )
        index = folder / "index.parquet"
        if not index.is_file():
            raise UserError(f"{index}: no such file, though store.json names it; {AGAIN}")
        _verify(index, header["index_sha256"])
        for shard in header["shards"]:
            _verify_bytes(folder / shard["file"], shard["bytes"])
        segments = read_segments(index)
        if content_digest(segments, header["shards"]) != header["digest"]:
            raise UserError(f"{folder}/store.json: digest does not match the content; {AGAIN}")
        return cls(folder, header, segments)

    def segments(self, split: Split) -> list[Segment]:
        """Give the segments of one side, in the order of the store."""
        return [segment for segment in self._segments if segment.split == split]

    def num_frames(self, split: Split) -> int:
        """Count the frames of one side."""
        return sum(segment.num_frames for segment in self.segments(split))

    def window(self, segment: Segment, start: int, length: int) -> UInt8[np.ndarray, "t h w c"]:
        """Read successive frames of a segment, 0 to 255, as a copy.

        The time depends on `length` alone; no other frames are touched, except that the first
        read of a shard verifies its hash.

        Args:
            segment: of this store.
            start: first frame, counted in the segment.
            length: frames, at least 1.

        Raises:
            ValueError: the segment does not have these frames.
            UserError: a shard is not what was written.
        """
        if length < 1 or start < 0 or start + length > segment.num_frames:
            raise ValueError(
                f"window [{start}, {start + length}) is not within the {segment.num_frames} "
                f"frames of segment {segment.id} ({segment.video})"
            )
        frames = np.empty((length, *self.size, 3), dtype=np.uint8)
        done = 0
        while done < length:
            number, offset = divmod(segment.first_frame + start + done, self.frames_per_shard)
            part = self._shard(number)[offset : offset + length - done]
            frames[done : done + len(part)] = part
            done += len(part)
        return frames

    def _shard(self, number: int) -> np.ndarray:
        if number not in self._opened:
            shard = self._shards[number]
            path = self.folder / shard["file"]
            _verify_bytes(path, shard["bytes"])
            _verify(path, shard["sha256"])
            frames = np.load(path, mmap_mode="r", allow_pickle=False)
            expected = (shard["frames"], *self.size, 3)
            if frames.shape != expected or frames.dtype != np.uint8:
                raise UserError(
                    f"{path}: holds {frames.dtype} {frames.shape}, expected uint8 {expected}; "
                    f"{AGAIN}"
                )
            self._opened[number] = frames
        return self._opened[number]


def _verify_bytes(path: Path, expected: int) -> None:
    found = path.stat().st_size if path.is_file() else None
    if found != expected:
        size = "no such file" if found is None else f"has {found} bytes"
        raise UserError(f"{path}: {size}, expected {expected} bytes; {AGAIN}")


def _verify(path: Path, expected: str) -> None:
    found = sha256_file(path)
    if found != expected:
        raise UserError(
            f"{path}: sha256 is {found}, expected {expected}: the file was changed or damaged; "
            f"{AGAIN}"
        )
