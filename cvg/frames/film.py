"""One row of a manifest, decoded once and forwards into scratch files: the work of a child process.

Nothing of it is in the store yet; the caller decides what of it enters.
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import xxhash
from jaxtyping import Float32, Float64, Int64

from cvg.config import ExtractParams
from cvg.remote.files import RemoteFile
from cvg.videos.aligned import read_actions
from cvg.videos.allowed import check_hdr, read_limits
from cvg.videos.content import Source, at_rest, content_hash
from cvg.videos.location import SourcePlace, UnusableError
from cvg.videos.look import red_green_blue
from cvg.videos.manifest import Entry
from cvg.videos.opening import local, reading
from cvg.videos.shots import find_cuts
from cvg.videos.skips import Note, NoteCode, SkipCode
from cvg.videos.source import Header, Look, SourceFrame, read_frames, read_header
from cvg.videos.timing import ROUNDING_S, mean_rate, resample

BLOCK = 64  # frames written at once
STATIC_CHANGE = 0.02  # grey levels; a film whose frames all change less shows one picture
UNEVEN = 0.75  # a frame this far off its place, in frames, is noted
END_TOLERANCE_S = 0.1
BREAKS = (SkipCode.TRUNCATED, SkipCode.CORRUPT)


@dataclass(frozen=True, kw_only=True)
class Order:
    """One row to be decoded, and the scratch file for its frames."""

    entry: Entry
    params: ExtractParams
    scratch: Path

    @property
    def map_scratch(self) -> Path:
        """Name the scratch file of the maps."""
        return self.scratch.with_suffix(".maps")

    def copy_of(self, what: Literal["path", "map", "actions"]) -> Path:
        """Name the copy of a remote file that cannot be read where it is."""
        return self.scratch.with_suffix(f".{what}{getattr(self.entry, what).suffix}")

    def discard(self) -> None:
        """Remove the scratch files."""
        self.scratch.unlink(missing_ok=True)
        self.map_scratch.unlink(missing_ok=True)
        for what in ("path", "map", "actions"):
            if isinstance(getattr(self.entry, what), RemoteFile):
                # A child that was ended in the midst leaves it.
                self.copy_of(what).unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class Film:
    """What a row gave, at the rate and size wanted; its frames and maps are in the scratch files.

    Attributes:
        sha256: of the whole source.
        content: hash of the frames kept.
        width: pixels of the source, before any rotation.
        height: pixels of the source, before any rotation.
        fps: frames a second as kept.
        times_s: of each frame, seconds after the first of the source.
        changes: mean absolute change from the frame before, grey levels; the first is 0.
        cuts: frames that begin a new shot.
        actions: one row a frame, None where the manifest names none.
        notes: what a reader should know.
    """

    sha256: str
    content: str
    width: int
    height: int
    fps: float
    times_s: Float64[np.ndarray, " n"]
    changes: Float32[np.ndarray, " n"]
    cuts: tuple[int, ...]
    actions: Float32[np.ndarray, "n a"] | None
    notes: tuple[Note, ...]

    @property
    def num_frames(self) -> int:
        """Count the frames kept."""
        return len(self.times_s)


def shoot(order: Order) -> Film:
    """Decode one row into its scratch files.

    Raises:
        UnusableError: it cannot be used.
    """
    place = order.entry.path
    with at_rest(place):
        return reading(place, lambda source: _shoot(order, source), copy=order.copy_of("path"))


def _shoot(order: Order, source: Source) -> Film:
    entry, params = order.entry, order.params
    header = _header(source, entry, params)
    with order.scratch.open("wb") as file:
        reel = _Reel(file, size=params.frame_size)
        broken = _wind(reel, source, entry, params)
    _check_not_empty(reel, entry)
    times_s = np.array(reel.times_s)
    numbers = np.array(reel.numbers, dtype=np.int64)
    changes = np.array(reel.changes, dtype=np.float32)
    whole = None if broken or not reel.at_end else reel.num_read
    if entry.map is not None:
        _wind_maps(entry.map, numbers, order=order, expected=whole)
    return Film(
        sha256=content_hash(source),
        content=reel.digest.hexdigest(),
        width=header.width,
        height=header.height,
        # A single frame has no rate; what it is said to be matters to nobody.
        fps=params.fps or mean_rate(len(times_s), times_s[-1] - times_s[0]) or 1.0,
        times_s=times_s,
        changes=changes,
        cuts=_cuts(changes, params),
        actions=_actions(order, numbers, expected=whole),
        notes=tuple(
            entry.note(code, text)
            for code, text in (
                *_source_notes(header),
                *_range_notes(entry, reel, broken),
                *_film_notes(reel, changes, times_s, fps=params.fps),
            )
        ),
    )


class _Reel:
    """Takes frames one by one; holds a block of them and what was measured."""

    def __init__(self, file: BinaryIO, *, size: int) -> None:
        self.numbers = array("q")
        self.times_s = array("d")
        self.changes = array("f")
        self.largest_offset_s = 0.0
        self.num_read = 0
        self.last_read_s = 0.0
        self.at_end = False
        self.digest = xxhash.xxh3_128()
        self._file = file
        # The first place holds the last frame of the block before.
        self._block = np.zeros((BLOCK + 1, size, size, 3), dtype=np.uint8)
        self._filled = 0

    def take(self, time_s: float, frame: SourceFrame) -> None:
        pixels = frame.pixels()
        # Only now, because there may be none, and what was taken before is kept then.
        self._filled += 1
        self._block[self._filled] = pixels
        self.numbers.append(frame.index)
        self.times_s.append(time_s)
        self.largest_offset_s = max(self.largest_offset_s, abs(frame.time_s - time_s))
        if self._filled == BLOCK:
            self.flush()

    def flush(self) -> None:
        if self._filled == 0:
            return
        before, now = self._block[: self._filled], self._block[1 : self._filled + 1]
        difference = np.maximum(now, before) - np.minimum(now, before)
        changes = difference.reshape(len(now), -1).sum(axis=1, dtype=np.int64) / now[0].size
        if not self.changes:
            changes[0] = 0.0
        self.changes.extend(changes.tolist())
        self._file.write(now.data)
        self.digest.update(now.data)
        self._block[0] = self._block[self._filled]
        self._filled = 0


def _header(source: Source, entry: Entry, params: ExtractParams) -> Header:
    header = read_header(source, fps=entry.fps, limits=read_limits(params))
    check_hdr(header, params)
    return header


def _wind(reel: _Reel, source: Source, entry: Entry, params: ExtractParams) -> UnusableError | None:
    """Decode the frames wanted; give the error that cut them short, where they are to be kept."""
    look = Look(
        size=params.frame_size, fit=params.fit, background=red_green_blue(params.background)
    )
    frames = read_frames(source, look=look, limits=read_limits(params), fps=entry.fps)
    try:
        for time_s, frame in _chosen(_counted(frames, reel), entry, params):
            _check_room(reel, params)
            reel.take(time_s, frame)
    except UnusableError as error:
        if params.on_truncated == "skip" or error.code not in BREAKS:
            raise
        return error
    finally:
        reel.flush()
    return None


def _check_room(reel: _Reel, params: ExtractParams) -> None:
    """Refuse one frame more than the limit, which frames far apart in time reach by copies."""
    if len(reel.numbers) == params.limits.frames:
        raise UnusableError(
            SkipCode.TOO_LONG,
            f"found more than {params.limits.frames} frames at the rate of extract.fps; "
            "expected at most that many",
        )


def _counted(frames: Iterable[SourceFrame], reel: _Reel) -> Iterator[SourceFrame]:
    for frame in frames:
        reel.num_read += 1
        reel.last_read_s = frame.time_s
        yield frame
    reel.at_end = True


def _chosen(
    frames: Iterable[SourceFrame], entry: Entry, params: ExtractParams
) -> Iterator[tuple[float, SourceFrame]]:
    """Give the frames of the range at the rate wanted, each with its time in the source."""
    start_s = entry.start_s or 0.0
    within = _within(frames, start_s, entry.end_s)
    if params.fps is None:
        chosen = islice(within, 0, None, params.stride)
    else:
        chosen = resample(within, fps=params.fps)
    for time_s, frame in chosen:
        yield start_s + time_s, frame


def _within(
    frames: Iterable[SourceFrame], start_s: float, end_s: float | None
) -> Iterator[tuple[float, SourceFrame]]:
    """Give the frames of a range, with their times after its start; nothing behind it is read."""
    for frame in frames:
        if end_s is not None and frame.time_s >= end_s - ROUNDING_S:
            return
        if frame.time_s >= start_s - ROUNDING_S:
            yield max(0.0, frame.time_s - start_s), frame


def _check_not_empty(reel: _Reel, entry: Entry) -> None:
    if reel.numbers:
        return
    if entry.start_s is None and entry.end_s is None:
        raise UnusableError(SkipCode.CORRUPT, "found no frame; expected at least one")
    raise UnusableError(
        SkipCode.BAD_RANGE,
        f"found no frame from start = {entry.start_s or 0:g} s to end = "
        f"{'the end' if entry.end_s is None else f'{entry.end_s:g} s'}; expected a range within "
        f"the video, which has {reel.num_read} frames before its end or that of the range",
    )


def _actions(
    order: Order, numbers: Int64[np.ndarray, " n"], *, expected: int | None
) -> Float32[np.ndarray, "n a"] | None:
    """Read the actions of the frames kept; `expected` rows where the source was read whole."""
    place = order.entry.actions
    if place is None:
        return None
    with local(place, copy=order.copy_of("actions")) as path:
        rows = read_actions(path)
    _check_aligned(len(rows), "rows", numbers, expected, SkipCode.BAD_ACTIONS)
    return rows[numbers]


def _wind_maps(
    place: SourcePlace, numbers: Int64[np.ndarray, " n"], *, order: Order, expected: int | None
) -> None:
    """Write the maps of the frames kept; the map is read in step with their numbers."""

    def wind(source: Source) -> None:
        _wind_map(source, numbers, order=order, expected=expected)

    reading(place, wind, copy=order.copy_of("map"))


def _wind_map(
    source: Source, numbers: Int64[np.ndarray, " n"], *, order: Order, expected: int | None
) -> None:
    params = order.params
    look = Look(size=params.frame_size, fit=params.fit, channels=1)
    frames = read_frames(source, look=look, limits=read_limits(params))
    wanted = iter(numbers.tolist())
    number, found = next(wanted), 0
    try:
        with order.map_scratch.open("wb") as file:
            for frame in frames:
                found += 1
                while number == frame.index:
                    file.write(frame.pixels().data)
                    number = next(wanted, None)
                if number is None and expected is None:
                    break
    except UnusableError as error:
        raise UnusableError(SkipCode.BAD_MAP, f"its map: {error.code}: {error.reason}") from error
    _check_aligned(found, "frames of the map", numbers, expected, SkipCode.BAD_MAP)


def _check_aligned(
    found: int,
    what: str,
    numbers: Int64[np.ndarray, " n"],
    expected: int | None,
    code: SkipCode,
) -> None:
    least = int(numbers[-1]) + 1
    if found < least or expected not in (None, found):
        wanted = f"at least {least}" if expected is None else str(expected)
        raise UnusableError(
            code, f"found {found} {what}; expected {wanted}, one for each frame of the video"
        )


def _cuts(changes: Float32[np.ndarray, " n"], params: ExtractParams) -> tuple[int, ...]:
    if params.shots == "none":
        return ()
    return find_cuts(changes, ratio=params.shot_ratio, least=params.shot_change)


def _source_notes(header: Header) -> Iterator[tuple[NoteCode, str]]:
    if header.hdr is not None:
        yield (
            NoteCode.HDR_NOT_TONE_MAPPED,
            f"high dynamic range ({header.hdr}) is used as it is, which looks flat and grey; "
            "convert it first, or set extract.hdr to skip",
        )
    if header.alpha:
        yield NoteCode.ALPHA_FLATTENED, "transparent pixels show extract.background"


def _range_notes(
    entry: Entry, reel: _Reel, broken: UnusableError | None
) -> Iterator[tuple[NoteCode, str]]:
    if broken is not None:
        text = f"the {len(reel.numbers)} frames before a break are kept: {broken.reason}"
        yield NoteCode.CUT_KEPT, text
    last_s = reel.last_read_s
    # The last frame is shown for as long as the others are on average.
    stop_s = last_s + max(END_TOLERANCE_S, last_s / max(1, reel.num_read - 1))
    if entry.end_s is not None and reel.at_end and stop_s < entry.end_s:
        yield (
            NoteCode.RANGE_CUT,
            f"end is {entry.end_s:g} s, but the last frame is at {last_s:.2f} s",
        )


def _film_notes(
    reel: _Reel,
    changes: Float32[np.ndarray, " n"],
    times_s: Float64[np.ndarray, " n"],
    *,
    fps: float | None,
) -> Iterator[tuple[NoteCode, str]]:
    if len(changes) > 1 and changes.max() < STATIC_CHANGE:
        yield NoteCode.STATIC, "all frames show the same picture"
    if fps is not None and reel.largest_offset_s * fps > UNEVEN:
        yield (
            NoteCode.UNEVEN_TIMES,
            f"frames are up to {reel.largest_offset_s:.3f} s off the grid of {fps:g} a second",
        )
    gaps = np.diff(times_s)
    if fps is None and len(gaps) and gaps.max() > (1 + UNEVEN) * np.median(gaps):
        yield (
            NoteCode.UNEVEN_TIMES,
            f"frames are {np.median(gaps):.3f} s apart, some up to {gaps.max():.3f} s; set "
            "extract.fps for an even rate",
        )
