"""What an extraction used, left out and noted; found = used + skipped, always."""

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cvg.files import replacing_file, write_json
from cvg.segments import Segment
from cvg.videos.skips import Skip


@dataclass(frozen=True, kw_only=True)
class UsedVideo:
    """One video in the store.

    Attributes:
        file: as the manifest names it.
        row: line of the manifest, None for a folder of videos.
        sha256: of the file.
        width: pixels of the source, upright.
        height: pixels of the source, upright.
        frames: kept at the rate wanted, before any gap was dropped.
        fps: frames a second as stored.
        segments: parts in the store.
    """

    file: str
    row: int | None
    sha256: str
    width: int
    height: int
    frames: int
    fps: float
    segments: tuple[Segment, ...]


@dataclass(frozen=True, kw_only=True)
class ExtractReport:
    """The account of an extraction.

    Attributes:
        found: videos in the manifest.
        used: videos in the store.
        skips: videos left out, in the order of the manifest.
        notes: what else a reader should know, as sentences.
        videos: the used ones, in the order of the manifest.
    """

    found: int
    used: int
    skips: tuple[Skip, ...]
    notes: tuple[str, ...]
    videos: tuple[UsedVideo, ...]

    def __post_init__(self) -> None:
        if self.found != self.used + len(self.skips) or self.used != len(self.videos):
            raise AssertionError(f"{self.sum_sentence()} does not add up")

    @property
    def frames(self) -> Mapping[str, int]:
        """Count the stored frames of each side."""
        return {
            split: sum(segment.num_frames for segment in self._segments(split))
            for split in ("train", "held_out")
        }

    @property
    def seconds(self) -> Mapping[str, float]:
        """Add up the stored seconds of each side."""
        return {
            split: round(
                sum((item.num_frames / item.fps for item in self._segments(split)), 0.0), 3
            )
            for split in ("train", "held_out")
        }

    def sum_sentence(self) -> str:
        """Give the sum that must hold."""
        return f"found {self.found} = used {self.used} + skipped {len(self.skips)}"

    def _segments(self, split: str) -> list[Segment]:
        return [part for video in self.videos for part in video.segments if part.split == split]


def write_report(report: ExtractReport, folder: Path) -> None:
    """Write `report.json` and `skipped.csv` into the folder of the store."""
    write_json(
        folder / "report.json",
        {
            "found": report.found,
            "used": report.used,
            "skipped": [asdict(skip) for skip in report.skips],
            "notes": list(report.notes),
            "frames": dict(report.frames),
            "seconds": dict(report.seconds),
            "videos": [_video(video) for video in report.videos],
        },
    )
    with (
        replacing_file(folder / "skipped.csv") as path,
        path.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "row", "code", "reason"])
        writer.writerows([skip.file, skip.row, skip.code, skip.reason] for skip in report.skips)


def _video(video: UsedVideo) -> dict[str, object]:
    parts = [
        {
            "segment": part.id,
            "split": part.split,
            "start_s": part.start_s,
            "frames": part.num_frames,
        }
        for part in video.segments
    ]
    return {**asdict(video), "segments": parts}
