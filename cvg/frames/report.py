"""What an extraction used, left out and noted; found = used + skipped, always.

`report.json` holds everything exactly; the CSV files hold lists of it for people.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from cvg.errors import UserError
from cvg.files import read_json, replacing_file, write_json
from cvg.segments import SPLITS, Segment, Split
from cvg.videos.skips import Note, Skip

FORMAT_VERSION = 2

# Bounds of the bins of motion, grey levels: one bin for what stands still, then two for each
# doubling. No change is larger than 255.
MOTION_EDGES = (0.0, *(round(2.0 ** (half / 2), 4) for half in range(-8, 17)))

# A cell that begins with one of these is a formula to a spreadsheet.
FORMULA_STARTS = ("=", "+", "-", "@")


@dataclass(frozen=True, kw_only=True)
class UsedVideo:
    """One video in the store.

    Attributes:
        file: as the manifest names it.
        row: line of the manifest, None for a folder of videos.
        sha256: of the file.
        width: pixels of the source, before any rotation.
        height: pixels of the source, before any rotation.
        frames: kept at the rate wanted, over all ranges, before anything was dropped.
        fps: frames a second as stored.
        seconds: length of what was kept, over all ranges.
        motion: mean absolute change between successive kept frames, grey levels of 0 to 255; 0
            where only one was kept.
        shots: number of shots found, 1 where there is no cut.
        dropped: frames kept but stored in no segment, by reason: "gap", "short_shots".
        segments: parts in the store.
    """

    file: str
    row: int | None
    sha256: str
    width: int
    height: int
    frames: int
    fps: float
    seconds: float
    motion: float
    shots: int
    dropped: Mapping[str, int]
    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        dropped = sum(self.dropped.values())
        if self.frames != self.stored + dropped:
            raise AssertionError(
                f"{self.file}: {self.frames} frames = stored {self.stored} + dropped {dropped} "
                "does not add up"
            )

    @property
    def stored(self) -> int:
        """Count the frames in the store."""
        return sum(segment.num_frames for segment in self.segments)


@dataclass(frozen=True, kw_only=True)
class SideTotals:
    """What one side of the split holds.

    Attributes:
        videos: that have a segment on this side.
        segments: on this side.
        frames: stored.
        seconds: of the stored frames.
    """

    videos: int
    segments: int
    frames: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How much of the store has a condition.

    Attributes:
        videos: with a segment that has it.
        segments: that have it.
    """

    videos: int
    segments: int


@dataclass(frozen=True, kw_only=True)
class ExtractReport:
    """The account of an extraction.

    Attributes:
        found: videos in the manifest.
        used: videos in the store.
        skips: videos left out, in the order of the manifest.
        notes: what else a reader should know, in the order of the manifest.
        videos: the used ones, in the order of the manifest.
        ignored: files of a folder that were not tried, by suffix.
        motion_counts: for each side, the number of changes between successive stored frames in
            each bin of `MOTION_EDGES`; see `motion_histogram`.
    """

    found: int
    used: int
    skips: tuple[Skip, ...]
    notes: tuple[Note, ...]
    videos: tuple[UsedVideo, ...]
    ignored: Mapping[str, int]
    motion_counts: Mapping[Split, tuple[int, ...]]

    def __post_init__(self) -> None:
        if self.found != self.used + len(self.skips) or self.used != len(self.videos):
            raise AssertionError(f"{self.sum_sentence()} does not add up")
        bins = {split: len(counts) for split, counts in self.motion_counts.items()}
        if bins != {split: len(MOTION_EDGES) - 1 for split in SPLITS}:
            raise AssertionError(f"motion_counts has {bins} bins, not those of MOTION_EDGES")

    @property
    def frames(self) -> Mapping[Split, int]:
        """Count the stored frames of each side."""
        return {split: side.frames for split, side in self.sides.items()}

    @property
    def seconds(self) -> Mapping[Split, float]:
        """Add up the stored seconds of each side."""
        return {split: side.seconds for split, side in self.sides.items()}

    @property
    def sides(self) -> Mapping[Split, SideTotals]:
        """Add up what each side holds."""
        return {split: self._side(split) for split in SPLITS}

    @property
    def conditions(self) -> Mapping[str, Coverage]:
        """Count the videos and segments that have a caption, a label, actions, a map."""
        held = [[_conditions(part) for part in video.segments] for video in self.videos]
        return {
            name: Coverage(
                videos=sum(any(name in part for part in parts) for parts in held),
                segments=sum(name in part for parts in held for part in parts),
            )
            for name in ("caption", "label", "actions", "map")
        }

    @property
    def dropped(self) -> Mapping[str, int]:
        """Add up the frames that were kept but are stored in no segment, by reason."""
        total: Counter[str] = Counter()
        for video in self.videos:
            total.update(video.dropped)
        return dict(sorted(total.items()))

    @property
    def sizes(self) -> Mapping[tuple[int, int], int]:
        """Count the videos of each width and height in pixels, the most frequent size first."""
        return _by_count((video.width, video.height) for video in self.videos)

    @property
    def rates(self) -> Mapping[float, int]:
        """Count the videos of each rate in frames a second, the most frequent rate first."""
        return _by_count(round(video.fps, 3) for video in self.videos)

    @property
    def skip_codes(self) -> Mapping[str, int]:
        """Count the videos left out by code, the most frequent code first."""
        return _by_count(skip.code.value for skip in self.skips)

    @property
    def note_codes(self) -> Mapping[str, int]:
        """Count the notes by code, the most frequent code first."""
        return _by_count(note.code.value for note in self.notes)

    def sum_sentence(self) -> str:
        """Give the sum that must hold."""
        return f"found {self.found} = used {self.used} + skipped {len(self.skips)}"

    def _side(self, split: Split) -> SideTotals:
        parts = [part for video in self.videos for part in video.segments if part.split == split]
        return SideTotals(
            videos=sum(
                any(part.split == split for part in video.segments) for video in self.videos
            ),
            segments=len(parts),
            frames=sum(part.num_frames for part in parts),
            seconds=round(sum((part.num_frames / part.fps for part in parts), 0.0), 3),
        )


def motion_histogram(changes: Float32[np.ndarray, "n"]) -> Int64[np.ndarray, "bins"]:
    """Count changes in the bins of `MOTION_EDGES`; counts of several videos can be added.

    Args:
        changes: mean absolute change between two successive frames, grey levels of 0 to 255.

    Returns:
        One count for each pair of neighbouring edges; a bin holds its lower edge.

    Raises:
        ValueError: a change is not a number of 0 to 255.

    >>> motion_histogram(np.array([0.0, 0.01, 255.0], dtype=np.float32))[[0, -1]].tolist()
    [2, 1]
    """
    counts = np.histogram(changes, bins=MOTION_EDGES)[0].astype(np.int64)
    if counts.sum() != len(changes):
        raise ValueError("changes: found a value that is not a number of 0 to 255")
    return counts


def write_report(report: ExtractReport, folder: Path) -> None:
    """Write `report.json`, `skipped.csv`, `notes.csv` and `motion.csv` into a folder.

    In the CSV files, a text that a spreadsheet would take for a formula gets an apostrophe in
    front; `report.json` has it as it is.
    """
    write_json(folder / "report.json", _as_json(report))
    _write_rows(
        folder / "skipped.csv",
        ["file", "row", "code", "reason"],
        [[_plain(one.file), one.row, one.code, _plain(one.reason)] for one in report.skips],
    )
    _write_rows(
        folder / "notes.csv",
        ["file", "row", "code", "text"],
        [[_plain(one.file), one.row, one.code, _plain(one.text)] for one in report.notes],
    )
    bins = zip(
        MOTION_EDGES[:-1],
        MOTION_EDGES[1:],
        *(report.motion_counts[split] for split in SPLITS),
        strict=True,
    )
    _write_rows(folder / "motion.csv", ["bin_low", "bin_high", *SPLITS], bins)


def read_report(path: Path) -> dict[str, Any]:
    """Read a `report.json` as `write_report` wrote it.

    Raises:
        UserError: the file is missing, is not JSON, or is of another version.
    """
    report = read_json(path)
    version = report.get("format_version") if isinstance(report, dict) else None
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path}: format_version is {version}, this program reads {FORMAT_VERSION}; run the "
            "extract stage again (dvc repro -f extract)"
        )
    return report


def _as_json(report: ExtractReport) -> dict[str, Any]:
    lengths = [video.seconds for video in report.videos] or [0.0]
    return {
        "format_version": FORMAT_VERSION,
        "found": report.found,
        "used": report.used,
        "sides": {split: asdict(side) for split, side in report.sides.items()},
        "dropped": report.dropped,
        "ignored": dict(sorted(report.ignored.items())),
        "skip_codes": report.skip_codes,
        "note_codes": report.note_codes,
        "conditions": {name: asdict(one) for name, one in report.conditions.items()},
        "durations_s": {
            "min": round(min(lengths), 3),
            "median": round(median(lengths), 3),
            "max": round(max(lengths), 3),
            "total": round(sum(lengths), 3),
        },
        "shots": {
            "total": sum(video.shots for video in report.videos),
            "videos_with_cuts": sum(video.shots > 1 for video in report.videos),
        },
        "sizes": [
            {"width": width, "height": height, "videos": count}
            for (width, height), count in report.sizes.items()
        ],
        "rates": [{"fps": fps, "videos": count} for fps, count in report.rates.items()],
        "motion": {"edges": MOTION_EDGES, **report.motion_counts},
        "skipped": [asdict(skip) for skip in report.skips],
        "notes": [asdict(note) for note in report.notes],
        "videos": [_video(video) for video in report.videos],
    }


def _video(video: UsedVideo) -> dict[str, Any]:
    parts = [
        {
            "segment": part.id,
            "split": part.split,
            "start_s": part.start_s,
            "frames": part.num_frames,
            "motion": part.motion,
            "conditions": _conditions(part),
        }
        for part in video.segments
    ]
    fields = {name: value for name, value in vars(video).items() if name != "segments"}
    return {**fields, "dropped": dict(video.dropped), "segments": parts}


def _conditions(part: Segment) -> list[str]:
    values = {
        "caption": part.caption,
        "label": part.label,
        "actions": part.first_action,
        "map": part.first_map,
    }
    return [name for name, value in values.items() if value is not None]


def _by_count(items: Iterable[Any]) -> dict[Any, int]:
    return dict(sorted(Counter(items).items(), key=lambda pair: (-pair[1], pair[0])))


def _write_rows(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    with (
        replacing_file(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
