"""From a manifest of videos to a frame store.

One video is decoded at a time, into a scratch file; only a video that was read whole enters the
store. Memory holds a few source frames and one shard, whatever the length of the videos.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from cvg.config import ExtractParams
from cvg.errors import UserError
from cvg.files import replacing_folder
from cvg.frames.contact import write_contact_sheet
from cvg.frames.intake import Intake, Part, Taken
from cvg.frames.report import ExtractReport, UsedVideo, write_report
from cvg.frames.store import FrameStore
from cvg.frames.writer import FrameWriter
from cvg.progress import Steps
from cvg.segments import Segment, Split
from cvg.videos.check import check_manifest
from cvg.videos.location import UnusableError
from cvg.videos.manifest import Manifest, read_manifest
from cvg.videos.skips import Skip
from cvg.videos.split import choose_rule, split_by_video

BYTES_PER_MB = 1_000_000
MAX_REASONS = 20


def extract(manifest_path: Path, *, out: Path, params: ExtractParams, seed: int) -> ExtractReport:
    """Decode, resize, split and store the videos of a manifest.

    Writes the store, `report.json`, `skipped.csv` and two contact sheets into `out`, which is
    replaced as a whole at the end.

    Args:
        manifest_path: CSV manifest or folder of videos.
        out: folder of the store.
        params: size, rate and split.
        seed: which videos are held out, where whole videos are.

    Raises:
        UserError: the manifest cannot be read, no video can be used, or one side of the split
            has no frames.
    """
    manifest = read_manifest(manifest_path)
    rule = _settle_rule(manifest_path, manifest, params)
    with replacing_folder(out, marker="store.json") as folder:
        writer = FrameWriter(
            folder,
            height=params.frame_size,
            width=params.frame_size,
            shard_bytes=params.shard_mb * BYTES_PER_MB,
        )
        with writer, Steps("extract", total=len(manifest.entries)) as steps:
            intake = Intake(writer=writer, params=params, cut=rule == "time", folder=folder)
            skips = list(manifest.skips)
            for entry in manifest.entries:
                try:
                    intake.take(entry)
                except UnusableError as error:
                    skips.append(entry.skip(error.code, error.reason))
                steps.advance(note=entry.name)
            if not intake.taken:
                raise UserError(_nothing_left(manifest_path, skips))
            videos = _index(intake.taken, writer=writer, share=params.held_out, seed=seed)
        report = ExtractReport(
            found=manifest.found,
            used=len(videos),
            skips=tuple(sorted(skips, key=lambda skip: (skip.row or 0, skip.file))),
            notes=tuple(intake.notes),
            videos=tuple(videos),
        )
        _check_both_sides(report, manifest_path, rule)
        write_report(report, folder)
        _write_contact_sheets(folder)
    return report


def _settle_rule(path: Path, manifest: Manifest, params: ExtractParams) -> Literal["video", "time"]:
    """Settle `auto` by the number of videos that look usable, before the first is decoded."""
    count = len(manifest.entries)
    if params.split == "auto" and count >= params.split_min_videos:
        check = check_manifest(path, min_frames=params.min_frames, fps=params.fps)
        count = len(check.usable)
    return choose_rule(params.split, num_videos=count, min_videos=params.split_min_videos)


def _index(
    taken: Sequence[Taken], *, writer: FrameWriter, share: float, seed: int
) -> list[UsedVideo]:
    """Settle the side of whole videos, and put every part into the index."""
    fixed: dict[str, Split] = {
        video.sha256: side for video in taken if (side := video.entry.split) is not None
    }
    sides = split_by_video([video.sha256 for video in taken], share=share, seed=seed, fixed=fixed)
    used, number = [], 0
    for video in taken:
        segments = []
        for part in video.parts:
            segment = _segment(
                video, replace(part, split=part.split or sides[video.sha256]), number
            )
            writer.add(segment)
            segments.append(segment)
            number += 1
        used.append(
            UsedVideo(
                file=video.entry.name,
                row=video.entry.row,
                sha256=video.sha256,
                width=video.film.width,
                height=video.film.height,
                frames=len(video.film.times_s),
                fps=video.film.fps,
                segments=tuple(segments),
            )
        )
    return used


def _segment(video: Taken, part: Part, number: int) -> Segment:
    if part.split is None:
        raise AssertionError(f"the side of {video.entry.name} is not settled")
    return Segment(
        id=number,
        video=video.entry.name,
        split=part.split,
        first_frame=part.first_frame,
        num_frames=part.num_frames,
        fps=video.film.fps,
        start_s=part.start_s,
        caption=video.entry.caption,
        label=video.entry.label,
        metadata=json.dumps(dict(video.entry.metadata), ensure_ascii=False, sort_keys=True),
    )


def _nothing_left(manifest_path: Path, skips: Sequence[Skip]) -> str:
    lines = [skip.sentence() for skip in skips[:MAX_REASONS]]
    if len(skips) > MAX_REASONS:
        lines.append(f"... and {len(skips) - MAX_REASONS} more")
    head = f"{manifest_path}: none of its {len(skips)} videos can be used:"
    return "\n  ".join([head, *lines])


def _check_both_sides(report: ExtractReport, manifest_path: Path, rule: str) -> None:
    other = "video" if rule == "time" else "time"
    for split, frames in report.frames.items():
        if frames == 0:
            raise UserError(
                "\n  ".join(
                    [
                        f"{manifest_path}: no frames are left for {split} after the split by "
                        f"{rule}; {report.sum_sentence()}. Every later stage needs both sides: add "
                        f"videos, set extract.split to {other}, or change extract.held_out or "
                        "extract.min_frames in params.yaml",
                        *report.notes,
                    ]
                )
            )


def _write_contact_sheets(folder: Path) -> None:
    store = FrameStore.open(folder)
    for split in ("train", "held_out"):
        write_contact_sheet(store, split, folder / f"contact_{split}.png")
