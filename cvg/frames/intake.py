"""Taking decoded films into a store: duplicates are refused, each film is cut into segments."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cvg.config import ExtractParams
from cvg.frames.film import Film, Order
from cvg.frames.report import motion_histogram
from cvg.frames.writer import FrameWriter
from cvg.segments import Split
from cvg.videos.location import SourcePlace, UnusableError
from cvg.videos.manifest import Entry
from cvg.videos.skips import Note, NoteCode, SkipCode
from cvg.videos.split import Rule, shared_moments, split_by_time

FRAMES_AT_ONCE = 256
SEVERAL_RANGES = (
    "all of it is for training: where a file has several ranges, only the end of the last is held "
    "out (nothing, if that one is skipped), so that no moment stands on both sides"
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Frames in the store that are not in its index yet; split None is still to be settled."""

    split: Split | None
    first_frame: int
    num_frames: int
    first_action: int | None
    first_map: int | None
    start_s: float
    motion: float
    motion_counts: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A row of the manifest whose frames are in the store.

    Attributes:
        sha256: of the source.
        width: pixels of the source, before any rotation.
        height: pixels of the source, before any rotation.
        frames: kept at the rate wanted.
        fps: frames a second as kept.
        motion: mean absolute change from frame to frame, grey levels.
        shots: found in what was kept.
        dropped: frames that were kept and not stored, by reason.
        parts: in the store.
    """

    entry: Entry
    sha256: str
    width: int
    height: int
    frames: int
    fps: float
    motion: float
    shots: int
    dropped: Mapping[str, int]
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class _Cutting:
    """Where a film is cut, and what is lost by it."""

    pieces: tuple[tuple[Split | None, range], ...]
    dropped: Mapping[str, int]
    notes: tuple[tuple[NoteCode, str], ...]


@dataclass(kw_only=True)
class Intake:
    """Takes films into the store, one after the other.

    Attributes:
        writer: of the store.
        params: what is taken, and how it is cut.
        rule: whether the end of each film is held out, or whole films.
        last_starts: for each file, where the last of its ranges starts, seconds.
        taken: what is in the store, in the order of the manifest.
        notes: on what is in the store.
        by_source: rows taken, by the hash of their source.
        by_content: rows taken, by the hash of their frames.
    """

    writer: FrameWriter
    params: ExtractParams
    rule: Rule
    last_starts: Mapping[SourcePlace, float]
    taken: list[Taken] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    by_source: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    by_content: dict[str, Entry] = field(default_factory=dict)

    def take(self, order: Order, film: Film) -> None:
        """Store a film, or raise UnusableError and leave the store as it was."""
        entry = order.entry
        self._refuse_duplicate(entry, film)
        self._check_action_width(film)
        cutting = self._cut(entry, film)
        parts = tuple(self._store(order, film, split, span) for split, span in cutting.pieces)
        self.by_source[film.sha256].append(entry)
        self.by_content[film.content] = entry
        self.notes += [*film.notes, *(entry.note(code, text) for code, text in cutting.notes)]
        self.taken.append(
            Taken(
                entry=entry,
                sha256=film.sha256,
                width=film.width,
                height=film.height,
                frames=film.num_frames,
                fps=film.fps,
                motion=_mean(film.changes[1:]),
                shots=len(film.cuts) + 1,
                dropped=cutting.dropped,
                parts=parts,
            )
        )

    def _refuse_duplicate(self, entry: Entry, film: Film) -> None:
        for other in self.by_source[film.sha256]:
            if entry.range_s == other.range_s:
                reason = f"found the content of {other.name}; expected each video once"
                raise UnusableError(SkipCode.DUPLICATE, reason)
            if self.rule == "time" and entry.path != other.path:
                reason = f"found the content of {other.name}; expected one file for all its ranges"
                raise UnusableError(SkipCode.DUPLICATE, reason)
            if reason := shared_moments(entry, other, self.rule):
                raise UnusableError(SkipCode.DUPLICATE, reason)
        if film.content in self.by_content:
            name = self.by_content[film.content].name
            reason = f"found the very frames of {name}; expected each video once"
            raise UnusableError(SkipCode.DUPLICATE, reason)

    def _check_action_width(self, film: Film) -> None:
        expected = self.writer.action_width
        if film.actions is not None and expected not in (None, film.actions.shape[1]):
            raise UnusableError(
                SkipCode.BAD_ACTIONS,
                f"found {film.actions.shape[1]} columns; expected {expected}, as in the videos "
                "before",
            )

    def _cut(self, entry: Entry, film: Film) -> _Cutting:
        """Choose which frames go where.

        Raises:
            UnusableError: there are too few.
        """
        whole = range(film.num_frames)
        if entry.split is not None or self.rule == "video":
            return self._pieces(film, [(entry.split, whole)])
        if (entry.start_s or 0.0) < self.last_starts[entry.path]:
            note = (NoteCode.ALL_FOR_TRAINING, SEVERAL_RANGES)
            return self._pieces(film, [("train", whole)], note)
        train, held_out = split_by_time(
            film.times_s.tolist(), share=self.params.held_out, gap_s=self.params.split_gap_s
        )
        if not self._long_enough(film, held_out):
            text = (
                f"all of its {len(whole)} frames are for training; the held-out part would have "
                f"{len(held_out)}, and no shot of extract.min_frames = {self.params.min_frames}"
            )
            return self._pieces(film, [("train", whole)], (NoteCode.ALL_FOR_TRAINING, text))
        if not self._long_enough(film, train):
            self._refuse_short(
                len(train),
                f" for training of {len(whole)}, before {len(held_out)} held out and a gap of "
                f"{held_out.start - train.stop},",
            )
        return self._pieces(film, [("train", train), ("held_out", held_out)])

    def _pieces(
        self, film: Film, spans: list[tuple[Split | None, range]], *notes: tuple[NoteCode, str]
    ) -> _Cutting:
        """Cut spans at the cuts between shots; what is too short is dropped, and counted."""
        pieces: list[tuple[Split | None, range]] = [
            (split, piece) for split, span in spans for piece in _shots(film, span)
        ]
        least = self.params.min_frames
        kept: list[tuple[Split | None, range]] = [
            (split, piece) for split, piece in pieces if len(piece) >= least
        ]
        if not kept:
            self._refuse_short(
                max((len(piece) for _, piece in pieces), default=0),
                " in its longest shot," if film.cuts else ",",
            )
        in_spans = sum(len(span) for _, span in spans)
        short = in_spans - sum(len(piece) for _, piece in kept)
        if short:
            text = (
                f"{short} frames are left out; they are in shots or parts of shots with fewer "
                f"than extract.min_frames = {self.params.min_frames}"
            )
            notes = (*notes, (NoteCode.SHORT_SHOTS, text))
        dropped = {"gap": film.num_frames - in_spans, "short_shots": short}
        return _Cutting(pieces=tuple(kept), dropped=dropped, notes=notes)

    def _long_enough(self, film: Film, span: range) -> bool:
        return any(len(piece) >= self.params.min_frames for piece in _shots(film, span))

    def _refuse_short(self, num_frames: int, what: str) -> None:
        raise UnusableError(
            SkipCode.TOO_SHORT,
            f"found {num_frames} frames{what} expected at least "
            f"extract.min_frames = {self.params.min_frames}",
        )

    def _store(self, order: Order, film: Film, split: Split | None, span: range) -> Part:
        size = self.params.frame_size
        first_frame = self.writer.num_frames
        for block in _blocks(order.scratch, span, (size, size, 3)):
            self.writer.append(block)
        first_map = None
        if order.entry.map is not None:
            for block in _blocks(order.map_scratch, span, (size, size)):
                first = self.writer.append_maps(block)
                first_map = first if first_map is None else first_map
        first_action = None
        if film.actions is not None:
            first_action = self.writer.append_actions(film.actions[span.start : span.stop])
        changes = film.changes[span.start + 1 : span.stop]
        return Part(
            split=split,
            first_frame=first_frame,
            num_frames=len(span),
            first_action=first_action,
            first_map=first_map,
            start_s=round(float(film.times_s[span.start]), 6),
            motion=_mean(changes),
            motion_counts=motion_histogram(changes),
        )


def _mean(values: np.ndarray) -> float:
    """Give the mean, the same on every machine; 0 of nothing."""
    return round(math.fsum(values.tolist()) / len(values), 6) if len(values) else 0.0


def _shots(film: Film, span: range) -> list[range]:
    """Cut a span where a new shot begins."""
    edges = [span.start, *(cut for cut in film.cuts if span.start < cut < span.stop), span.stop]
    return [range(*pair) for pair in pairwise(edges) if pair[0] < pair[1]]


def _blocks(
    path: Path, span: range, shape: tuple[int, ...]
) -> Iterator[UInt8[np.ndarray, "t ..."]]:
    """Read items from a scratch file, some at a time."""
    item = math.prod(shape)
    for start in range(span.start, span.stop, FRAMES_AT_ONCE):
        count = min(FRAMES_AT_ONCE, span.stop - start)
        flat = np.fromfile(path, dtype=np.uint8, count=count * item, offset=start * item)
        yield flat.reshape(count, *shape)
