"""A look at a manifest before any work: headers only, no frame is decoded."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from cvg.config import ExtractParams
from cvg.progress import Steps
from cvg.remote.stream import HEADER_BLOCK
from cvg.remote.url import Place
from cvg.videos.aligned import actions_shape
from cvg.videos.allowed import check_hdr, read_limits
from cvg.videos.content import Source, content_hash, hash_of_ends, sizes_of
from cvg.videos.location import SourcePlace, UnusableError
from cvg.videos.manifest import Entry, read_manifest
from cvg.videos.opening import local, reading
from cvg.videos.pool import run_in_order
from cvg.videos.skips import Skip, SkipCode
from cvg.videos.source import Header, ReadLimits, read_header
from cvg.videos.split import (
    Rule,
    check_sides,
    choose_rule,
    settle_sides,
    shared_moments,
    split_by_time,
)


@dataclass(frozen=True, kw_only=True)
class UsableVideo:
    """One video that extraction would try to use, and what its header says.

    Attributes:
        entry: of the manifest.
        header: of the file.
        action_width: numbers of an action, None where the manifest names no actions.
        warnings: what may make extraction skip it, as sentences.
    """

    entry: Entry
    header: Header
    action_width: int | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Check:
    """What extraction would use and skip, as far as headers tell.

    Attributes:
        found: number of videos.
        usable: in the order of the manifest.
        skips: in the order of the manifest.
        ignored: suffix to number of files in a folder of videos that were not tried.
        rule: how the usable videos would be split.
    """

    found: int
    usable: tuple[UsableVideo, ...]
    skips: tuple[Skip, ...]
    ignored: Mapping[str, int]
    rule: Rule

    def __post_init__(self) -> None:
        if self.found != len(self.usable) + len(self.skips):
            raise AssertionError(f"{self.sum_sentence()} does not add up")

    def sum_sentence(self) -> str:
        """Give the sum that must hold."""
        return f"found {self.found} = usable {len(self.usable)} + skipped {len(self.skips)}"

    def skip_counts(self) -> dict[str, int]:
        """Count the skips by code, the most frequent first."""
        return dict(Counter(str(skip.code) for skip in self.skips).most_common())

    def coverage(self) -> dict[str, int]:
        """Count the usable videos that have each kind of condition."""
        entries = [video.entry for video in self.usable]
        labels = [entry.label for entry in entries if entry.label is not None]
        groups = [entry.group for entry in entries if entry.group is not None]
        return {
            "caption": sum(entry.caption is not None for entry in entries),
            "label": len(labels),
            "different_labels": len(set(labels)),
            "group": len(groups),
            "different_groups": len(set(groups)),
            "actions": sum(entry.actions is not None for entry in entries),
            "map": sum(entry.map is not None for entry in entries),
            "split": sum(entry.split is not None for entry in entries),
        }

    def sizes(self) -> dict[str, int]:
        """Count the usable videos of each `width x height`, the most frequent first."""
        headers = [video.header for video in self.usable]
        return dict(Counter(f"{one.width}x{one.height}" for one in headers).most_common())


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What the split would give, as far as headers tell.

    Attributes:
        train: usable videos of which something is for training.
        held_out: usable videos of which something is held out.
    """

    train: int
    held_out: int


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The spread of the values that are declared; `unknown` videos declare none."""

    smallest: float
    median: float
    largest: float
    unknown: int


def check_manifest(place: Place, params: ExtractParams, *, workers: int) -> Check:
    """Say what extraction would use, and why not the rest.

    Damage behind the header is not seen here. Files are read whole only where two are likely to
    be the same, and actions only where they are CSV.

    Args:
        place: CSV or Parquet manifest, or folder of videos; on this machine or behind a URL.
        params: what extraction would be told.
        workers: processes that read headers.

    Raises:
        UserError: the manifest cannot be read, or its sides contradict each other.
    """
    manifest = read_manifest(
        place, folder_files=params.folder_files, follow_links=params.follow_links
    )
    outcomes = _look_at_all(manifest.entries, params, workers=workers)
    videos = _same_actions(_only_once(outcomes))
    entries = [video.entry for video in videos if isinstance(video, UsableVideo)]
    rule = choose_rule(params.split, entries, min_videos=params.split_min_videos)
    check_sides(place, entries, rule)
    videos = _apart(videos, rule)
    skips = [*manifest.skips, *(video for video in videos if isinstance(video, Skip))]
    if any(skip.row is not None for skip in skips):
        skips.sort(key=lambda skip: skip.row or 0)
    return Check(
        found=manifest.found,
        usable=tuple(video for video in videos if isinstance(video, UsableVideo)),
        skips=tuple(skips),
        ignored=manifest.ignored,
        rule=rule,
    )


def foresee_split(check: Check, params: ExtractParams) -> Sides:
    """Count the usable videos of each side of the split, as far as headers tell.

    A video that declares no number of frames counts as long enough.
    """
    if check.rule == "time":
        return _split_in_time(check.usable, params)
    entries = [video.entry for video in check.usable]
    # Which units are held out depends on hashes; how many does not.
    stand_ins = [f"{number:09}" for number in range(len(entries))]
    sides = settle_sides(entries, stand_ins, share=params.held_out, seed=0)
    return Sides(train=sides.count("train"), held_out=sides.count("held_out"))


def spread(values: Iterable[float | None]) -> Spread | None:
    """Give smallest, median and largest of what is not None; None where nothing is left.

    >>> spread([3.0, None, 1.0])
    Spread(smallest=1.0, median=2.0, largest=3.0, unknown=1)
    """
    listed = list(values)
    known = [value for value in listed if value is not None]
    if not known:
        return None
    return Spread(
        smallest=min(known),
        median=statistics.median(known),
        largest=max(known),
        unknown=len(listed) - len(known),
    )


def describe(check: Check, params: ExtractParams) -> dict[str, Any]:
    """Give all of it as a tree of plain values, for machines."""
    return {
        "found": check.found,
        "usable": [_describe_video(video) for video in check.usable],
        "skips": [asdict(skip) for skip in check.skips],
        "skip_counts": check.skip_counts(),
        "ignored": dict(check.ignored),
        "coverage": check.coverage(),
        "sizes": check.sizes(),
        "split": {"rule": check.rule, **asdict(foresee_split(check, params))},
    }


def _describe_video(video: UsableVideo) -> dict[str, Any]:
    entry = video.entry
    return {
        "file": entry.name,
        "row": entry.row,
        **asdict(video.header),
        "start_s": entry.start_s,
        "end_s": entry.end_s,
        "caption": entry.caption,
        "label": entry.label,
        "split": entry.split,
        "group": entry.group,
        "action_width": video.action_width,
        "map": entry.map is not None,
        "metadata": dict(entry.metadata),
        "warnings": list(video.warnings),
    }


def _look_at_all(
    entries: Sequence[Entry], params: ExtractParams, *, workers: int
) -> list[UsableVideo | Skip]:
    """Read headers in child processes: they may be made to crash or hang whoever reads them."""
    looks = run_in_order(
        _look,
        ((entry, params) for entry in entries),
        workers=workers,
        seconds=params.limits.seconds,
        memory_mb=params.limits.memory_mb,
    )
    videos: list[UsableVideo | Skip] = []
    with closing(looks), Steps("check", total=len(entries)) as steps:
        for (entry, _), video in looks:
            unusable = isinstance(video, UnusableError)
            videos.append(entry.skip(video.code, video.reason) if unusable else video)
            steps.advance()
    return videos


def _look(row: tuple[Entry, ExtractParams]) -> UsableVideo | Skip:
    entry, params = row
    limits = read_limits(params)
    try:
        header = _header(entry.path, limits, fps=entry.fps)
        _check_limits(header, entry, params)
        _check_length(header, entry, params)
        if entry.map is not None:
            _check_map(entry.map, limits)
        if entry.actions is None:
            return UsableVideo(entry=entry, header=header)
        with local(entry.actions) as actions:
            rows, width = actions_shape(actions)
    except UnusableError as error:
        return entry.skip(error.code, error.reason)
    warnings = tuple(_action_warnings(rows, header, entry))
    return UsableVideo(entry=entry, header=header, action_width=width, warnings=warnings)


def _header(place: SourcePlace, limits: ReadLimits, *, fps: float | None = None) -> Header:
    def read(source: Source) -> Header:
        return read_header(source, fps=fps, limits=limits)

    return reading(place, read, block=HEADER_BLOCK)


def _check_limits(header: Header, entry: Entry, params: ExtractParams) -> None:
    check_hdr(header, params)
    frames = _frames_until_end(header, entry)
    if frames is not None and frames > params.limits.frames:
        reason = (
            f"declares {frames} frames to decode; expected at most extract.limits.frames = "
            f"{params.limits.frames}"
        )
        raise UnusableError(SkipCode.TOO_LONG, reason)


def _check_length(header: Header, entry: Entry, params: ExtractParams) -> None:
    start_s, duration_s = entry.start_s or 0.0, header.duration_s
    if start_s > 0 and duration_s is not None and start_s >= duration_s:
        reason = (
            f"start is {start_s:g} s, and the video declares {duration_s:g} s; expected a start "
            "before its end"
        )
        raise UnusableError(SkipCode.BAD_RANGE, reason)
    frames = _frames_wanted(header, entry, params)
    if frames is not None and frames < params.min_frames:
        reason = (
            f"declares {frames} frames at the rate wanted, expected at least extract.min_frames = "
            f"{params.min_frames}"
        )
        raise UnusableError(SkipCode.TOO_SHORT, reason)


def _frames_until_end(header: Header, entry: Entry) -> int | None:
    """Count the declared frames before the end of the range; all of them are decoded."""
    if header.num_frames is None or entry.end_s is None:
        return header.num_frames
    if not header.duration_s:
        return None
    return math.ceil(header.num_frames * min(1.0, entry.end_s / header.duration_s))


def _frames_wanted(header: Header, entry: Entry, params: ExtractParams) -> int | None:
    """Count the frames that extraction would keep; None where the header does not tell."""
    ranged = entry.start_s is not None or entry.end_s is not None
    frames = header.num_frames
    if header.duration_s:
        stop_s = min(header.duration_s, math.inf if entry.end_s is None else entry.end_s)
        seconds = stop_s - (entry.start_s or 0.0)
        if params.fps is not None:
            return round(seconds * params.fps)
        if ranged and frames is not None:
            frames = round(frames * seconds / header.duration_s)
    elif ranged:
        return None
    return None if frames is None else math.ceil(frames / params.stride)


def _check_map(place: SourcePlace, limits: ReadLimits) -> None:
    try:
        _header(place, limits)
    except UnusableError as error:
        reason = f"its map: {error.code}: {error.reason}"
        raise UnusableError(SkipCode.BAD_MAP, reason) from error


def _action_warnings(rows: int, header: Header, entry: Entry) -> Iterator[str]:
    frames = _frames_until_end(header, entry)
    if frames is None:
        return
    if rows < frames or (rows != frames and entry.end_s is None):
        yield (
            f"{rows} rows of actions, but {frames} frames declared"
            f"{'' if entry.end_s is None else ' before its end'}; extract expects one row a frame"
        )


def _only_once(videos: Sequence[UsableVideo | Skip]) -> list[UsableVideo | Skip]:
    """Skip what has the content and the range of a video before it."""
    usable = [(at, video) for at, video in enumerate(videos) if isinstance(video, UsableVideo)]
    result = list(videos)
    hashes: dict[SourcePlace, str] = {}
    for group in _alike(_alike([usable], _weight), _ends):
        first: dict[str, str] = {}
        for at, video in group:
            result[at] = _refuse_second(video, first, hashes)
    return result


def _refuse_second(
    video: UsableVideo, first: dict[str, str], hashes: dict[SourcePlace, str]
) -> UsableVideo | Skip:
    entry = video.entry
    try:
        if entry.path not in hashes:
            hashes[entry.path] = reading(entry.path, content_hash)
    except UnusableError as error:
        return entry.skip(error.code, error.reason)
    original = first.get(hashes[entry.path])
    if original is None:
        first[hashes[entry.path]] = entry.name
        return video
    reason = f"found the content of {original}; expected each video once"
    return entry.skip(SkipCode.DUPLICATE, reason)


def _apart(videos: Sequence[UsableVideo | Skip], rule: Rule) -> list[UsableVideo | Skip]:
    """Skip ranges that share moments with one before them in the same file."""
    taken: dict[SourcePlace, list[Entry]] = defaultdict(list)
    return [
        _beside(video, taken[video.entry.path], rule) if isinstance(video, UsableVideo) else video
        for video in videos
    ]


def _beside(video: UsableVideo, taken: list[Entry], rule: Rule) -> UsableVideo | Skip:
    """Add a range to those taken of its file, unless it shares moments with one of them."""
    for other in taken:
        if reason := shared_moments(video.entry, other, rule):
            return video.entry.skip(SkipCode.DUPLICATE, reason)
    taken.append(video.entry)
    return video


def _alike(
    groups: Iterable[Iterable[tuple[int, UsableVideo]]], trait: Callable[[Entry], object]
) -> list[list[tuple[int, UsableVideo]]]:
    """Divide groups of videos by a trait; what is alone then is no duplicate."""
    divided: dict[object, list[tuple[int, UsableVideo]]] = defaultdict(list)
    for number, group in enumerate(groups):
        for at, video in group:
            divided[number, trait(video.entry)].append((at, video))
    return [group for group in divided.values() if len(group) > 1]


def _ends(entry: Entry) -> bytes:
    """Hash what is equal for equal content, and far less than all of it."""
    try:
        return reading(entry.path, hash_of_ends, block=HEADER_BLOCK)
    except (OSError, UnusableError):
        return b""


def _weight(entry: Entry) -> object:
    """Give what is equal for equal content and range, and costs nothing to look up."""
    try:
        sizes = sizes_of(entry.path)
    except OSError:
        sizes = []
    return tuple(sizes), entry.start_s or 0.0, entry.end_s


def _same_actions(videos: Sequence[UsableVideo | Skip]) -> list[UsableVideo | Skip]:
    """Skip actions that have other columns than those before: a store has one kind."""
    result: list[UsableVideo | Skip] = []
    expected = None
    for video in videos:
        width = video.action_width if isinstance(video, UsableVideo) else None
        expected = expected or width
        if isinstance(video, UsableVideo) and width not in (None, expected):
            reason = f"found {width} columns; expected {expected}, as in the videos before"
            result.append(video.entry.skip(SkipCode.BAD_ACTIONS, reason))
        else:
            result.append(video)
    return result


def _split_in_time(videos: Sequence[UsableVideo], params: ExtractParams) -> Sides:
    train = held_out = 0
    last_starts: dict[SourcePlace, float] = {}
    for video in videos:
        start_s = video.entry.start_s or 0.0
        last_starts[video.entry.path] = max(start_s, last_starts.get(video.entry.path, 0.0))
    for video in videos:
        entry = video.entry
        # Where a file has several ranges, only the end of the last is held out.
        last = (entry.start_s or 0.0) == last_starts[entry.path]
        cut = entry.split is None and last and _has_end(video, params)
        held_out += cut or entry.split == "held_out"
        train += entry.split != "held_out"
    return Sides(train=train, held_out=held_out)


def _has_end(video: UsableVideo, params: ExtractParams) -> bool:
    """Tell whether the end of a video gives enough frames to be held out."""
    frames = _frames_wanted(video.header, video.entry, params)
    if frames is None:
        return True
    _, held_out = split_by_time(range(frames), share=params.held_out, gap_s=0.0)
    return len(held_out) >= params.min_frames
