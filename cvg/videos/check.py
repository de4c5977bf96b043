"""A look at a manifest before any work: headers only, no frame is decoded."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cvg.config import ExtractParams
from cvg.files import sha256_file
from cvg.videos.decode import Header, read_header
from cvg.videos.location import UnusableError
from cvg.videos.manifest import Entry, read_manifest
from cvg.videos.skips import Skip, SkipCode
from cvg.videos.split import choose_rule, split_by_time


@dataclass(frozen=True, kw_only=True)
class UsableVideo:
    """One video that extraction would try to use, and what its header says."""

    entry: Entry
    header: Header


@dataclass(frozen=True, kw_only=True)
class Check:
    """What extraction would use and skip, as far as headers tell."""

    found: int
    usable: tuple[UsableVideo, ...]
    skips: tuple[Skip, ...]

    def __post_init__(self) -> None:
        if self.found != len(self.usable) + len(self.skips):
            raise AssertionError(f"{self.sum_sentence()} does not add up")

    def sum_sentence(self) -> str:
        """Give the sum that must hold."""
        return f"found {self.found} = usable {len(self.usable)} + skipped {len(self.skips)}"


def check_manifest(path: Path, *, min_frames: int, fps: float | None) -> Check:
    """Say what extraction would use, and why not the rest.

    Damage behind the header is not seen here. Files are read whole only where two have the same
    size, to tell duplicates.

    Args:
        path: CSV manifest or folder of videos.
        min_frames: videos that declare fewer are too short.
        fps: frames a second that extraction would keep, None for all.

    Raises:
        UserError: the manifest cannot be read.
    """
    manifest = read_manifest(path)
    skips, usable = list(manifest.skips), []
    originals = _originals(manifest.entries)
    for index, entry in enumerate(manifest.entries):
        if index in originals:
            reason = f"found the content of {originals[index]}; expected each video once"
            skips.append(entry.skip(SkipCode.DUPLICATE, reason))
            continue
        try:
            usable.append(UsableVideo(entry=entry, header=_header(entry, min_frames, fps)))
        except UnusableError as error:
            skips.append(entry.skip(error.code, error.reason))
    skips.sort(key=lambda skip: (skip.row or 0, skip.file))
    return Check(found=manifest.found, usable=tuple(usable), skips=tuple(skips))


def count_held_out(check: Check, params: ExtractParams) -> int:
    """Count the usable videos of which something would be held out, as far as headers tell.

    A video that declares no number of frames counts as long enough.
    """
    rule = choose_rule(
        params.split, num_videos=len(check.usable), min_videos=params.split_min_videos
    )
    fixed = [video.entry.split for video in check.usable if video.entry.split is not None]
    free = [video for video in check.usable if video.entry.split is None]
    if rule == "video":
        chosen = min(len(free), max(1, int(len(check.usable) * params.held_out + 0.5)))
    else:
        declared = [_frames_wanted(video.header, params.fps) for video in free]
        chosen = sum(
            frames is None
            or len(split_by_time(frames, share=params.held_out, gap=0)[1]) >= params.min_frames
            for frames in declared
        )
    return chosen + fixed.count("held_out")


def _frames_wanted(header: Header, fps: float | None) -> int | None:
    if fps is not None and header.duration_s is not None:
        return round(header.duration_s * fps)
    return header.num_frames


def _header(entry: Entry, min_frames: int, fps: float | None) -> Header:
    header = read_header(entry.path)
    frames = _frames_wanted(header, fps)
    if frames is not None and frames < min_frames:
        raise UnusableError(
            SkipCode.TOO_SHORT,
            f"declares {frames} frames at the rate wanted, expected at least "
            f"extract.min_frames = {min_frames}",
        )
    return header


def _originals(entries: Sequence[Entry]) -> dict[int, str]:
    """Map the position of each duplicate to the name of the first video with its content."""
    by_size = defaultdict(list)
    for index, entry in enumerate(entries):
        by_size[entry.path.stat().st_size].append(index)
    originals: dict[int, str] = {}
    for indices in by_size.values():
        first: dict[str, int] = {}
        for index in indices if len(indices) > 1 else ():
            original = first.setdefault(sha256_file(entries[index].path), index)
            if original != index:
                originals[index] = entries[original].name
    return originals
