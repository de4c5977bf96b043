"""From a manifest of videos to a frame store.

Child processes decode, each one row at a time into a scratch file; only what was read whole enters
the store, in the order of the manifest, whatever the number of processes. Memory holds a few
frames, whatever the length of the videos.
"""

import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from cvg.config import ExtractParams
from cvg.errors import UserError
from cvg.files import replacing_folder
from cvg.frames.contact import write_contact_sheet
from cvg.frames.intake import Intake, Part, Taken
from cvg.frames.overview import write_overview
from cvg.frames.parts import films_of_parts
from cvg.frames.report import MOTION_EDGES, ExtractReport, UsedVideo, write_report
from cvg.frames.shooting import Shot, shoot_all
from cvg.frames.store import FrameStore
from cvg.frames.writer import FrameWriter
from cvg.progress import Steps
from cvg.remote.url import Place
from cvg.segments import SPLITS, Segment, Split
from cvg.videos.check import check_manifest
from cvg.videos.location import SourcePlace, UnusableError
from cvg.videos.manifest import Entry, Manifest, read_manifest
from cvg.videos.skips import Skip
from cvg.videos.split import Rule, advice, check_sides, choose_rule, settle_sides

BYTES_PER_MB = 1_000_000
MAX_REASONS = 20


def extract(
    manifest_path: Place,
    *,
    out: Path,
    params: ExtractParams,
    seed: int,
    workers: int,
    parts: Sequence[Path] | None = None,
) -> ExtractReport:
    """Decode, resize, split and store the videos of a manifest.

    Writes the store, the report with its tables and pictures, and two contact sheets into `out`,
    which is replaced as a whole at the end.

    Args:
        manifest_path: CSV or Parquet manifest, or folder of videos; a path or a URL.
        out: folder of the store.
        params: what is taken, at which size and rate, and the split.
        seed: which videos are held out, where whole videos are.
        workers: processes that decode; does not change the result.
        parts: folders that `Extraction.make` has filled, for all rows; None decodes them here.

    Raises:
        UserError: the manifest cannot be read, too many videos cannot be used, or one side of the
            split has no frames.
    """
    manifest = read_manifest(
        manifest_path, folder_files=params.folder_files, follow_links=params.follow_links
    )
    rule = _settle_rule(manifest_path, manifest, params, workers=workers)
    check_sides(manifest_path, manifest.entries, rule)
    with replacing_folder(out, marker="store.json") as folder:
        writer = FrameWriter(
            folder,
            height=params.frame_size,
            width=params.frame_size,
            shard_bytes=params.shard_mb * BYTES_PER_MB,
        )
        with writer:
            intake = Intake(
                writer=writer,
                params=params,
                rule=rule,
                last_starts=_last_starts(manifest.entries),
            )
            if parts is None:
                shots = _decoded(manifest, params, folder=folder, workers=workers)
            else:
                shots = films_of_parts(manifest.entries, params, parts)
            skips = _take_all(manifest, intake, shots)
            if not intake.taken:
                head = f"{manifest_path}: none of its {len(skips)} videos can be used:"
                raise UserError(_with_reasons(head, skips))
            used = _index(intake.taken, writer=writer, share=params.held_out, seed=seed)
        report = _account(manifest, intake, skips, used)
        _check_skipped(report, manifest_path, params)
        _check_both_sides(report, manifest_path, manifest.entries, rule)
        write_report(report, folder)
        _draw(report, folder)
    return report


def _settle_rule(path: Place, manifest: Manifest, params: ExtractParams, *, workers: int) -> Rule:
    """Settle `auto`, before the first video is decoded."""
    count = len(manifest.entries)
    least = params.split_min_videos
    by_number = choose_rule(params.split, manifest.entries, min_videos=count + 1) == "time"
    if params.split == "auto" and by_number and count >= least:
        # Only the number of those that look usable says whether there are enough.
        return check_manifest(path, params, workers=workers).rule
    return choose_rule(params.split, manifest.entries, min_videos=least)


def _last_starts(entries: Iterable[Entry]) -> Mapping[SourcePlace, float]:
    starts: dict[SourcePlace, float] = {}
    for entry in entries:
        starts[entry.path] = max(starts.get(entry.path, 0.0), entry.start_s or 0.0)
    return starts


def _decoded(
    manifest: Manifest, params: ExtractParams, *, folder: Path, workers: int
) -> Generator[Shot, None, None]:
    """Decode all rows; what one leaves in scratch files is removed when the next is asked for."""
    shots = shoot_all(manifest.entries, params, folder=folder, workers=workers)
    with closing(shots):
        for order, film in shots:
            try:
                yield order, film
            finally:
                order.discard()


def _take_all(manifest: Manifest, intake: Intake, shots: Generator[Shot, None, None]) -> list[Skip]:
    """Take what can be used of all rows; returns what cannot, with that of the manifest."""
    skips = list(manifest.skips)
    with closing(shots), Steps("extract", total=len(manifest.entries)) as steps:
        for order, film in shots:
            try:
                if isinstance(film, UnusableError):
                    raise film
                intake.take(order, film)
            except UnusableError as error:
                skips.append(order.entry.skip(error.code, error.reason))
            steps.advance(note=order.entry.name)
    return sorted(skips, key=lambda skip: (skip.row or 0, skip.file))


def _index(
    taken: Sequence[Taken], *, writer: FrameWriter, share: float, seed: int
) -> list[tuple[Taken, tuple[Segment, ...]]]:
    """Settle the side of whole videos, and put every part into the index."""
    entries, contents = [one.entry for one in taken], [one.sha256 for one in taken]
    sides = settle_sides(entries, contents, share=share, seed=seed)
    used, number = [], 0
    for side, one in zip(sides, taken, strict=True):
        segments = []
        for part in one.parts:
            segments.append(_segment(one, part, number, part.split or side))
            writer.add(segments[-1])
            number += 1
        used.append((one, tuple(segments)))
    return used


def _segment(taken: Taken, part: Part, number: int, split: Split) -> Segment:
    entry = taken.entry
    return Segment(
        id=number,
        video=entry.name,
        split=split,
        first_frame=part.first_frame,
        num_frames=part.num_frames,
        fps=taken.fps,
        start_s=part.start_s,
        motion=part.motion,
        first_action=part.first_action,
        first_map=part.first_map,
        caption=entry.caption,
        label=entry.label,
        metadata=json.dumps(dict(entry.metadata), ensure_ascii=False, sort_keys=True),
    )


def _account(
    manifest: Manifest,
    intake: Intake,
    skips: Sequence[Skip],
    used: Sequence[tuple[Taken, tuple[Segment, ...]]],
) -> ExtractReport:
    parts = [pair for one, segments in used for pair in zip(one.parts, segments, strict=True)]
    return ExtractReport(
        found=manifest.found,
        used=len(used),
        skips=tuple(skips),
        notes=tuple(intake.notes),
        videos=tuple(_used_video(one, segments) for one, segments in used),
        ignored=manifest.ignored,
        motion_counts={
            split: _add_up(part.motion_counts for part, segment in parts if segment.split == split)
            for split in SPLITS
        },
    )


def _used_video(one: Taken, segments: tuple[Segment, ...]) -> UsedVideo:
    return UsedVideo(
        file=one.entry.name,
        row=one.entry.row,
        sha256=one.sha256,
        width=one.width,
        height=one.height,
        frames=one.frames,
        fps=one.fps,
        seconds=round(one.frames / one.fps, 3),
        motion=one.motion,
        shots=one.shots,
        dropped=one.dropped,
        segments=segments,
    )


def _add_up(histograms: Iterable[np.ndarray]) -> tuple[int, ...]:
    total = np.zeros(len(MOTION_EDGES) - 1, dtype=np.int64)
    for histogram in histograms:
        total += histogram
    return tuple(total.tolist())


def _check_skipped(report: ExtractReport, manifest_path: Place, params: ExtractParams) -> None:
    skipped = len(report.skips)
    if skipped > params.max_skipped * report.found:
        raise UserError(
            _with_reasons(
                f"{manifest_path}: {skipped} of its {report.found} videos cannot be used, more "
                f"than extract.max_skipped = {params.max_skipped:g} of them; mend or remove them, "
                "or raise the limit:",
                report.skips,
            )
        )


def _with_reasons(head: str, skips: Sequence[Skip]) -> str:
    lines = [skip.sentence() for skip in skips[:MAX_REASONS]]
    if len(skips) > MAX_REASONS:
        lines.append(f"... and {len(skips) - MAX_REASONS} more")
    return "\n  ".join([head, *lines])


def _check_both_sides(
    report: ExtractReport, manifest_path: Place, entries: Sequence[Entry], rule: Rule
) -> None:
    for split, frames in report.frames.items():
        if frames == 0:
            head = (
                f"{manifest_path}: no frames are left for {split}; {report.sum_sentence()}. Every "
                f"later stage needs both sides: {advice(entries, rule, split)}"
            )
            lines = [note.sentence() for note in report.notes[:MAX_REASONS]]
            raise UserError("\n  ".join([head, *lines]))


def _draw(report: ExtractReport, folder: Path) -> None:
    write_overview(report, folder / "overview.png")
    store = FrameStore.open(folder)
    for split in SPLITS:
        write_contact_sheet(store, split, folder / f"contact_{split}.png")
