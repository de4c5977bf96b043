"""Taking videos into a store, one after the other: read whole first, then stored."""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cvg.config import ExtractParams
from cvg.files import sha256_file
from cvg.frames.writer import FrameWriter
from cvg.segments import Split
from cvg.videos.decode import decode
from cvg.videos.location import UnusableError
from cvg.videos.manifest import Entry
from cvg.videos.resize import fit_square
from cvg.videos.skips import SkipCode
from cvg.videos.split import split_by_time
from cvg.videos.timing import mean_rate, resample

FRAMES_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class Part:
    """Frames in the store that are not in its index yet; split None is still to be settled."""

    split: Split | None
    first_frame: int
    num_frames: int
    start_s: float


@dataclass(frozen=True, kw_only=True)
class Film:
    """A video as decoded into the scratch file; `width` and `height` are those of the source."""

    times_s: Sequence[float]
    fps: float
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A video whose frames are in the store."""

    entry: Entry
    sha256: str
    film: Film
    parts: tuple[Part, ...]


@dataclass(kw_only=True)
class Intake:
    """Takes videos into the store, one after the other."""

    writer: FrameWriter
    params: ExtractParams
    cut: bool
    folder: Path
    taken: list[Taken] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)

    def take(self, entry: Entry) -> None:
        """Store one video, or raise UnusableError and leave the store as it was."""
        sha256 = _hash(entry.path)
        if sha256 in self.seen:
            reason = f"found the content of {self.seen[sha256]}; expected each video once"
            raise UnusableError(SkipCode.DUPLICATE, reason)
        self.seen[sha256] = entry.name
        scratch = self.folder / "scratch.raw"
        try:
            film = _decode(entry.path, scratch, params=self.params)
            sides = self._sides(entry, film)
            frames = np.memmap(
                scratch,
                dtype=np.uint8,
                mode="r",
                shape=(len(film.times_s), self.params.frame_size, self.params.frame_size, 3),
            )
            parts = tuple(self._store(frames, film, split, span) for split, span in sides)
        finally:
            scratch.unlink(missing_ok=True)
        self.taken.append(Taken(entry=entry, sha256=sha256, film=film, parts=parts))

    def _sides(self, entry: Entry, film: Film) -> list[tuple[Split | None, range]]:
        """Choose which frames go where.

        Raises:
            UnusableError: there are too few.
        """
        whole, least = range(len(film.times_s)), self.params.min_frames
        if entry.split is not None or not self.cut:
            self._check_long_enough(len(whole), "")
            return [(entry.split, whole)]
        gap = math.ceil(self.params.split_gap_s * film.fps - 1e-6)
        train, held_out = split_by_time(len(whole), share=self.params.held_out, gap=gap)
        if len(held_out) < least:
            self._check_long_enough(len(whole), "")
            self.notes.append(
                f"{entry.name}: all of its {len(whole)} frames are for training; the held-out part "
                f"would have {len(held_out)}, fewer than extract.min_frames = {least}"
            )
            return [("train", whole)]
        self._check_long_enough(
            len(train),
            f" for training of {len(whole)}, after {len(held_out)} held out and a gap of {gap},",
        )
        return [("train", train), ("held_out", held_out)]

    def _check_long_enough(self, num_frames: int, what: str) -> None:
        if num_frames < self.params.min_frames:
            raise UnusableError(
                SkipCode.TOO_SHORT,
                f"found {num_frames} frames{what or ','} expected at least "
                f"extract.min_frames = {self.params.min_frames}",
            )

    def _store(
        self,
        frames: UInt8[np.ndarray, "t h w c"],
        film: Film,
        split: Split | None,
        span: range,
    ) -> Part:
        first = self.writer.num_frames
        for start in range(span.start, span.stop, FRAMES_AT_ONCE):
            self.writer.append(frames[start : min(start + FRAMES_AT_ONCE, span.stop)])
        return Part(
            split=split,
            first_frame=first,
            num_frames=len(span),
            start_s=round(film.times_s[span.start], 6),
        )


def _hash(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); expected a readable file"
        raise UnusableError(SkipCode.UNREADABLE, reason) from error


def _decode(path: Path, scratch: Path, *, params: ExtractParams) -> Film:
    """Decode a video into the scratch file, as bytes of the size wanted."""
    times_s = array("d")
    width = height = 0
    source = ((frame.time_s, frame.pixels) for frame in decode(path))
    with scratch.open("wb") as file:
        for time_s, pixels in resample(source, fps=params.fps):
            height, width = pixels.shape[:2]
            file.write(fit_square(pixels, size=params.frame_size, fit=params.fit).tobytes())
            times_s.append(time_s)
    # A single frame has no rate; what it is said to be matters to nobody.
    fps = params.fps or mean_rate(len(times_s), times_s[-1]) or 1.0
    return Film(times_s=times_s, fps=fps, width=width, height=height)
