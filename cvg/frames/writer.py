"""Writing a frame store: shard after shard, then the index."""

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from cvg.files import sha256_file, write_json
from cvg.frames.store import FORMAT_VERSION, content_digest
from cvg.segments import Segment, write_segments


class FrameWriter:
    """Writes a store into an empty folder, holding one shard at most; use as a context manager."""

    def __init__(self, folder: Path, *, height: int, width: int, shard_bytes: int) -> None:
        self.folder = folder
        self.frame_shape = (height, width, 3)
        self.frames_per_shard = max(1, shard_bytes // (height * width * 3))
        self.num_frames = 0
        self._buffer = np.empty((self.frames_per_shard, *self.frame_shape), dtype=np.uint8)
        self._shards: list[dict[str, Any]] = []
        self._segments: list[Segment] = []

    def __enter__(self) -> "FrameWriter":
        return self

    def append(self, frames: UInt8[np.ndarray, "t h w c"]) -> int:
        """Store frames after those before; returns the number of the first.

        Raises:
            ValueError: the frames have another size or type than the store.
        """
        if frames.shape[1:] != self.frame_shape or frames.dtype != np.uint8:
            raise ValueError(
                f"frames are {frames.dtype} {frames.shape[1:]}, the store holds uint8 "
                f"{self.frame_shape}"
            )
        first = self.num_frames
        done = 0
        while done < len(frames):
            filled = self.num_frames % self.frames_per_shard
            count = min(len(frames) - done, self.frames_per_shard - filled)
            self._buffer[filled : filled + count] = frames[done : done + count]
            self.num_frames += count
            done += count
            if filled + count == self.frames_per_shard:
                self._flush(self.frames_per_shard)
        return first

    def add(self, segment: Segment) -> None:
        """Put a segment into the index, in the order of its id.

        Raises:
            ValueError: its number is not the next, or its frames are not in the store.
        """
        if segment.id != len(self._segments):
            raise ValueError(f"segment id is {segment.id}, expected {len(self._segments)}")
        stop = segment.first_frame + segment.num_frames
        if segment.num_frames < 1 or not 0 <= segment.first_frame < stop <= self.num_frames:
            raise ValueError(
                f"segment {segment.id} has frames [{segment.first_frame}, {stop}), the store has "
                f"{self.num_frames}"
            )
        self._segments.append(segment)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._flush(self.num_frames % self.frames_per_shard)
            self._write_index()

    def _flush(self, count: int) -> None:
        if count == 0:
            return
        path = self.folder / f"frames-{len(self._shards):05d}.npy"
        np.save(path, self._buffer[:count], allow_pickle=False)
        self._shards.append(
            {
                "file": path.name,
                "frames": count,
                "bytes": path.stat().st_size,
                "sha256": sha256_file(path),
            }
        )

    def _write_index(self) -> None:
        path = self.folder / "index.parquet"
        write_segments(path, self._segments)
        index_sha256 = sha256_file(path)
        counts = {
            split: sum(s.num_frames for s in self._segments if s.split == split)
            for split in ("train", "held_out")
        }
        write_json(
            self.folder / "store.json",
            {
                "format_version": FORMAT_VERSION,
                "size": list(self.frame_shape[:2]),
                "frames": self.num_frames,
                "frames_per_split": counts,
                "frames_per_shard": self.frames_per_shard,
                "index_sha256": index_sha256,
                "digest": content_digest(self._segments, self._shards),
                "shards": self._shards,
            },
        )
