"""The frame store: any N successive frames of any video in constant time.

Frames are numbered through the whole store, and so are the rows of actions and the maps of those
videos that bring them: three tracks of shards, in which the place of an item is a division.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from jaxtyping import Float32, UInt8

from cvg.errors import UserError
from cvg.frames.shards import AGAIN, ShardReader, Track
from cvg.remote.stored import Stored, StoredFiles, files_of
from cvg.remote.url import Place
from cvg.segments import Segment, Split, read_segments

FORMAT_VERSION = 2


def content_digest(segments: Sequence[Segment], tracks: Mapping[str, Track]) -> str:
    """Hash the content; the bytes of the index would also tell which program wrote them."""
    digest = hashlib.sha256(f"{FORMAT_VERSION}\n".encode())
    checksums = [
        {"track": name, "xxh3_128": shard.xxh3_128}
        for name, track in sorted(tracks.items())
        for shard in track.shards
    ]
    for row in (*map(asdict, segments), *checksums):
        digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


class FrameStore:
    """Reads a store; open it with `FrameStore.open`.

    It can be pickled, for the workers of a DataLoader.

    Attributes:
        folder: where it lies, a path or a URL.
        size: height and width of every frame, pixels.
        action_width: numbers in a row of actions, None where no video has actions.
        digest: hash of all its content, for provenance.
    """

    def __init__(
        self,
        folder: Place,
        *,
        files: StoredFiles,
        digest: str,
        tracks: Mapping[str, Track],
        segments: Sequence[Segment],
    ) -> None:
        self.folder = folder
        self.digest = digest
        height, width, _ = tracks["frames"].item_shape
        self.size = (height, width)
        self.action_width = tracks["actions"].item_shape[0] if "actions" in tracks else None
        self._tracks = {name: ShardReader(files, track) for name, track in tracks.items()}
        self._segments = tuple(segments)

    @classmethod
    def open(cls, folder: Place) -> "FrameStore":
        """Open a store; the index is verified now, each shard when it is first read.

        Args:
            folder: of the store, a path or a URL; shards behind a URL are fetched into the cache of
                this machine when they are first read.

        Raises:
            UserError: a file is missing, or is not what was written.
        """
        files = files_of(folder, again=AGAIN)
        header = files.header("store.json")
        version = header.get("format_version") if isinstance(header, dict) else None
        if version != FORMAT_VERSION:
            raise UserError(
                f"{folder}/store.json: format_version is {version}, this program reads "
                f"{FORMAT_VERSION}; {AGAIN}"
            )
        index = Stored(name="index.parquet", algorithm="sha256", checksum=header["index_sha256"])
        segments = files.use(index, read_segments)
        tracks = {name: Track.from_json(track) for name, track in header["tracks"].items()}
        digest = content_digest(segments, tracks)
        if digest != header["digest"]:
            raise UserError(f"{folder}/store.json: digest does not match the content; {AGAIN}")
        files.check_sizes(shard.stored for track in tracks.values() for shard in track.shards)
        return cls(folder, files=files, digest=digest, tracks=tracks, segments=segments)

    def segments(self, split: Split) -> list[Segment]:
        """Give the segments of one side, in the order of the store."""
        return [segment for segment in self._segments if segment.split == split]

    def num_frames(self, split: Split) -> int:
        """Count the frames of one side."""
        return sum(segment.num_frames for segment in self.segments(split))

    def window(self, segment: Segment, start: int, length: int) -> UInt8[np.ndarray, "t h w c"]:
        """Read successive frames of a segment, 0 to 255, as a copy.

        The time depends on `length` alone; no other frames are touched, except that the first
        read of a shard verifies its checksum.

        Args:
            segment: of this store.
            start: first frame, counted in the segment.
            length: frames, at least 1.

        Raises:
            ValueError: the segment does not have these frames.
            UserError: a shard is not what was written.
        """
        return self._read("frames", segment, segment.first_frame, start, length)

    def actions(self, segment: Segment, start: int, length: int) -> Float32[np.ndarray, "t a"]:
        """Read the actions of successive frames, a row a frame, as a copy.

        Args and errors are those of `window`; ValueError also where the segment has no actions.
        """
        return self._read("actions", segment, segment.first_action, start, length)

    def maps(self, segment: Segment, start: int, length: int) -> UInt8[np.ndarray, "t h w"]:
        """Read the maps of successive frames, of the size of the frames, as a copy.

        Args and errors are those of `window`; ValueError also where the segment has no maps.
        """
        return self._read("maps", segment, segment.first_map, start, length)

    def _read(
        self, track: str, segment: Segment, first: int | None, start: int, length: int
    ) -> np.ndarray:
        if first is None:
            raise ValueError(f"segment {segment.id} ({segment.video}) has no {track}")
        if length < 1 or start < 0 or start + length > segment.num_frames:
            raise ValueError(
                f"window [{start}, {start + length}) is not within the {segment.num_frames} "
                f"frames of segment {segment.id} ({segment.video})"
            )
        return self._tracks[track].read(first + start, length)
