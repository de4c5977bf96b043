"""Which part of which video is held out."""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Literal

from cvg.errors import UserError
from cvg.remote.url import Place
from cvg.segments import Split
from cvg.videos.location import SourcePlace, shown
from cvg.videos.manifest import Entry
from cvg.videos.timing import ROUNDING_S

Rule = Literal["video", "time"]


def choose_rule(
    rule: Literal["auto", "video", "time"], entries: Sequence[Entry], *, min_videos: int
) -> Rule:
    """Settle `auto`: by time where there are fewer than `min_videos`, none of them in a group.

    Where the manifest puts every video on a side, none is cut.
    """
    if rule != "auto":
        return rule
    settled = all(entry.split is not None for entry in entries)
    grouped = any(entry.group is not None for entry in entries)
    return "video" if settled or grouped or len(entries) >= min_videos else "time"


def check_sides(manifest: Place, entries: Sequence[Entry], rule: Rule) -> None:
    """Refuse a manifest whose columns `split` and `group` contradict each other or the rule.

    Raises:
        UserError: rows of one group are on both sides; videos in groups would be cut; or some rows
            of a file have a side and others do not, so that they would stand beside each other.
    """
    _check_groups(manifest, [entry for entry in entries if entry.group is not None], rule)
    by_path: dict[SourcePlace, list[Entry]] = {}
    for entry in entries:
        by_path.setdefault(entry.path, []).append(entry)
    for path, rows in by_path.items():
        sides = {entry.split for entry in rows if entry.split is not None}
        free = [entry for entry in rows if entry.split is None]
        if free and len(sides) > (0 if rule == "time" else 1):
            raise UserError(
                f"{manifest}:{free[0].row}: found no split for a part of {shown(path.name)}, and "
                "one for other parts; expected a split in every row of a file, or in none"
            )


def _check_groups(manifest: Place, entries: Sequence[Entry], rule: Rule) -> None:
    settled: dict[str | None, Entry] = {}
    for entry in entries:
        if entry.split is None and rule == "time":
            raise UserError(
                f"{manifest}:{entry.row}: found a group, which stays on one side, and "
                "extract.split = time, which cuts every video; set extract.split to video or "
                "auto, or leave the column `group` out"
            )
        if entry.split is None:
            continue
        first = settled.setdefault(entry.group, entry)
        if entry.split != first.split:
            raise UserError(
                f"{manifest}:{entry.row}: found the split {entry.split} in the group "
                f"{shown(entry.group or '')}, which row {first.row} puts on {first.split}; "
                "expected one side for all rows of a group"
            )


def advice(entries: Sequence[Entry], rule: Rule, missing: Split) -> str:
    """Say what to do where nothing of these videos is left for one side."""
    if all(entry.split is not None for entry in entries):
        return f"the column `split` settles all videos; put some of them on {missing}"
    if rule == "video":
        return "add videos, set extract.split to time, or change extract.held_out"
    return (
        "add longer videos, lower extract.min_frames, set extract.split to video, or change "
        "extract.held_out"
    )


def shared_moments(entry: Entry, other: Entry, rule: Rule) -> str | None:
    """Say why a range cannot be used beside another of the same source; None where it can.

    It can where they share no moment, and where both are sure to stand on the same side.
    """
    if not entry.overlaps(other) or (rule == "video" and entry.split == other.split):
        return None
    return f"shares moments with {other.name}; expected no moment that may be on both sides"


def split_by_time(times_s: Sequence[float], *, share: float, gap_s: float) -> tuple[range, range]:
    """Hold out the end of a video; what lies less than `gap_s` before it belongs to nobody.

    The gap is taken from the training part. It keeps frames that are all but equal off the two
    sides.

    Args:
        times_s: of the frames of the video, rising, seconds.
        share: of the frames that is held out, between 0 and 1.
        gap_s: seconds from the end of the one part to the start of the other.

    Returns:
        The frames for training, and those held out; either may be empty.

    >>> split_by_time([frame / 10 for frame in range(100)], share=0.2, gap_s=0.5)
    (range(0, 75), range(80, 100))
    >>> split_by_time([0.0, 0.1, 0.2], share=0.5, gap_s=1)
    (range(0, 0), range(1, 3))
    """
    count = len(times_s)
    start = count - min(count, int(count * share + 0.5))
    if start == count:
        return range(count), range(count, count)
    # A frame lasts until the next one begins.
    last = bisect_right(times_s, times_s[start] - gap_s + ROUNDING_S)
    return range(max(0, last - 1)), range(start, count)


def join_units(keys: Sequence[Sequence[str]]) -> list[str]:
    """Join what has a key in common, directly or through others; these stay on one side.

    Args:
        keys: of each video, at least one: hash of its content, name of its group.

    Returns:
        For each video the name of its unit: the smallest of all keys of the unit.

    >>> join_units([["a"], ["b", "g"], ["c", "g"], ["c"]])
    ['a', 'b', 'b', 'b']
    """
    parents: dict[str, str] = {}

    def root(key: str) -> str:
        while parents.setdefault(key, key) != key:
            key = parents[key]
        return key

    for first, *others in keys:
        for other in others:
            low, high = sorted((root(first), root(other)))
            parents[high] = low
    return [root(first) for first, *_ in keys]


def split_by_video(
    ids: Sequence[str], *, share: float, seed: int, fixed: Mapping[str, Split]
) -> dict[str, Split]:
    """Put each video on one side, in an order that a hash of seed and id gives.

    Nothing but the id moves a video: not its name, nor its place in the manifest.

    Args:
        ids: of the videos, all different; hashes of their content.
        share: of the videos that is held out, between 0 and 1.
        seed: another seed, another choice.
        fixed: sides that the manifest has settled; they count towards the share.

    Returns:
        The side of each id. Each side has at least one video where there are two videos that are
        not fixed, and the held-out side is as near to `share` as the fixed ones allow.

    Raises:
        ValueError: an id stands there twice.
    """
    if len(set(ids)) != len(ids):
        raise ValueError("ids of videos must differ; leave duplicates out first")
    free = sorted((name for name in ids if name not in fixed), key=lambda name: _rank(seed, name))
    settled = [fixed[name] for name in ids if name in fixed]
    wanted = int(len(ids) * share + 0.5) - settled.count("held_out")
    least = 0 if "held_out" in settled else 1
    most = len(free) if "train" in settled else len(free) - 1
    held_out = set(free[: max(0, min(max(wanted, least), most))])
    return {name: fixed.get(name) or ("held_out" if name in held_out else "train") for name in ids}


def settle_sides(
    entries: Sequence[Entry], contents: Sequence[str], *, share: float, seed: int
) -> list[Split]:
    """Give the side of each row where videos are not cut.

    Rows of equal content, and those of one group, are a unit; a unit goes where the first row of
    it that has a side of its own goes, and so does each row that has none.

    Args:
        entries: the rows.
        contents: of each row, a hash of what it holds.
        share: of the units that is held out, between 0 and 1.
        seed: another seed, another choice.
    """
    groups = [[] if entry.group is None else [f"group {entry.group}"] for entry in entries]
    units = join_units([[one, *group] for one, group in zip(contents, groups, strict=True)])
    fixed: dict[str, Split] = {}
    for unit, entry in zip(units, entries, strict=True):
        if entry.split is not None:
            fixed.setdefault(unit, entry.split)
    sides = split_by_video(list(dict.fromkeys(units)), share=share, seed=seed, fixed=fixed)
    return [entry.split or sides[unit] for unit, entry in zip(units, entries, strict=True)]


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"split/{seed}/{name}".encode()).digest()
