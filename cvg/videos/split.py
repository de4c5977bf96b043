"""Which part of which video is held out."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

from cvg.videos.manifest import Split


def choose_rule(
    rule: Literal["auto", "video", "time"], *, num_videos: int, min_videos: int
) -> Literal["video", "time"]:
    """Settle `auto`: by video where there are at least `min_videos`, else by time.

    >>> choose_rule("auto", num_videos=3, min_videos=20)
    'time'
    """
    if rule != "auto":
        return rule
    return "video" if num_videos >= min_videos else "time"


def split_by_time(num_frames: int, *, share: float, gap: int) -> tuple[range, range]:
    """Hold out the end of a video; the `gap` frames before it belong to nobody.

    The gap is taken from the training part. It keeps frames that are all but equal off the two
    sides.

    Args:
        num_frames: of the video.
        share: of the frames that is held out, between 0 and 1.
        gap: frames between the two parts.

    Returns:
        The frames for training, and those held out; either may be empty.

    >>> split_by_time(100, share=0.2, gap=5)
    (range(0, 75), range(80, 100))
    >>> split_by_time(3, share=0.5, gap=10)
    (range(0, 0), range(1, 3))
    """
    start = num_frames - min(num_frames, int(num_frames * share + 0.5))
    return range(max(0, start - gap)), range(start, num_frames)


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


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"split/{seed}/{name}".encode()).digest()
