"""Writing a frame store: frames, actions and maps as they come, then the index."""

from dataclasses import asdict
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Float32, UInt8

from cvg.files import sha256_file, write_json
from cvg.frames.shards import ShardWriter, Track
from cvg.frames.store import FORMAT_VERSION, content_digest
from cvg.segments import Segment, write_segments


class FrameWriter:
    """Writes a store into an empty folder, and keeps no frames; use as a context manager."""

    def __init__(self, folder: Path, *, height: int, width: int, shard_bytes: int) -> None:
        """Write into `folder`.

        Args:
            folder: an existing empty folder.
            height: of every frame and map, pixels.
            width: of every frame and map, pixels.
            shard_bytes: largest size of the items of a file.
        """
        self.folder = folder
        self._shard_bytes = shard_bytes
        self._frames = ShardWriter(folder, "frames", (height, width, 3), np.uint8, shard_bytes)
        self._maps = ShardWriter(folder, "maps", (height, width), np.uint8, shard_bytes)
        self._actions: ShardWriter | None = None
        self._segments: list[Segment] = []

    def __enter__(self) -> "FrameWriter":
        return self

    @property
    def num_frames(self) -> int:
        """Count the frames stored; the number of the next."""
        return self._frames.num_items

    @property
    def action_width(self) -> int | None:
        """Numbers in a row of actions, None before the first."""
        return None if self._actions is None else self._actions.item_shape[0]

    def append(self, frames: UInt8[np.ndarray, "t h w c"]) -> int:
        """Store frames after those before; returns the number of the first.

        Raises:
            ValueError: the frames have another size or type than the store.
            UserError: the disk is full.
        """
        return self._frames.append(frames)

    def append_actions(self, actions: Float32[np.ndarray, "t a"]) -> int:
        """Store rows of actions after those before; returns the number of the first.

        The first call settles `action_width`.

        Raises:
            ValueError: the rows have another width or type than those before, or none.
            UserError: the disk is full.
        """
        width = actions.shape[1]
        if self.action_width not in (None, width):
            raise ValueError(
                f"actions have {width} numbers a row, those before have {self.action_width}"
            )
        if actions.dtype != np.float32:
            raise ValueError(f"actions are {actions.dtype}, the store holds float32")
        if self._actions is None:
            self._actions = ShardWriter(
                self.folder, "actions", (width,), np.float32, self._shard_bytes
            )
        return self._actions.append(actions)

    def append_maps(self, maps: UInt8[np.ndarray, "t h w"]) -> int:
        """Store maps after those before; returns the number of the first.

        Raises:
            ValueError: the maps have another size or type than the store.
            UserError: the disk is full.
        """
        return self._maps.append(maps)

    def add(self, segment: Segment) -> None:
        """Put a segment into the index, in the order of its id.

        Raises:
            ValueError: its number is not the next, or its frames, actions or maps are not in the
                store.
        """
        if segment.id != len(self._segments):
            raise ValueError(f"segment id is {segment.id}, expected {len(self._segments)}")
        num_actions = 0 if self._actions is None else self._actions.num_items
        _check_span(segment, "frames", segment.first_frame, self.num_frames)
        if segment.first_action is not None:
            _check_span(segment, "actions", segment.first_action, num_actions)
        if segment.first_map is not None:
            _check_span(segment, "maps", segment.first_map, self._maps.num_items)
        self._segments.append(segment)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        writers = [self._frames, self._maps, *([self._actions] if self._actions else [])]
        try:
            if kind is None:
                self._write_index({writer.name: writer.close() for writer in writers})
        finally:
            for writer in writers:
                writer.abandon()

    def _write_index(self, written: dict[str, Track]) -> None:
        tracks = {
            name: track for name, track in written.items() if track.shards or name == "frames"
        }
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
                "frames": self.num_frames,
                "frames_per_split": counts,
                "index_sha256": index_sha256,
                "digest": content_digest(self._segments, tracks),
                "tracks": {name: asdict(track) for name, track in tracks.items()},
            },
        )


def _check_span(segment: Segment, what: str, first: int, stored: int) -> None:
    stop = first + segment.num_frames
    if segment.num_frames < 1 or not 0 <= first < stop <= stored:
        raise ValueError(
            f"segment {segment.id} has {what} [{first}, {stop}), the store has {stored}"
        )
