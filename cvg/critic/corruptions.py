"""What is wrong with a clip of real frames: its order, its pace, or its pixels.

A critic that tells these from real clips has learned time; the noise keeps it from taking whatever
looks odd in a single frame for a fault of time.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from cvg.tensors import Bool, Int64, Tensor

Corruption = Literal["shuffled", "doubled", "frozen", "spliced", "noisy"]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
TIME_CORRUPTIONS = tuple(kind for kind in CORRUPTIONS if kind != "noisy")  # unseen in one frame


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """Which frames clips are made of.

    Attributes:
        clips: for each frame, the clip of the batch that it is from.
        frames: for each frame, its number in that clip.
        pairs: whether each frame but the first follows the frame before it as in a real clip.
        noisy: whether a clip gets noise.
        real: whether nothing at all is wrong with a clip.
    """

    clips: Int64[Tensor, "b t"]
    frames: Int64[Tensor, "b t"]
    pairs: Bool[Tensor, "b q"]
    noisy: Bool[Tensor, "b"]
    real: Bool[Tensor, "b"]


def span(frames: int) -> int:
    """Give how many real frames a clip of `frames` is made from: at doubled speed all are used."""
    return 2 * frames - 1


def arrange(
    kinds: list[Corruption | None],
    *,
    frames: int,
    videos: Int64[Tensor, "b"],
    rng: torch.Generator,
) -> Arrangement:
    """Draw the frames of clips, each from its own `span(frames)` successive real ones.

    Args:
        kinds: what is to be wrong with each clip; None: nothing.
        frames: of a clip, 3 or more.
        videos: a number for the video of each clip; clips are spliced with those of other videos,
            and where there is none, with later frames of their own.
        rng: where chance comes from.
    """
    count = len(kinds)
    clips = torch.arange(count)[:, None].repeat(1, frames)
    numbers = torch.empty(count, frames, dtype=torch.int64)
    pairs = torch.ones(count, frames - 1, dtype=torch.bool)
    for row, kind in enumerate(kinds):
        start = _draw(frames, rng)
        order = start + torch.arange(frames)
        if kind == "shuffled":
            permutation = _shuffle(frames, rng)
            order = start + permutation
            pairs[row] = permutation.diff() == 1
        elif kind == "doubled":
            order = 2 * torch.arange(frames)
            pairs[row] = False
        elif kind == "frozen":
            still = _draw(frames - 1, rng)  # the last frame that is reached
            order = order.clamp(max=start + still)
            pairs[row] = torch.arange(frames - 1) < still
        elif kind == "spliced":
            cut = 1 + _draw(frames - 1, rng)  # the first frame of the other clip
            other = _draw_other(row, videos, rng)
            if other is None:  # its own frames from before and after a gap
                order = torch.arange(frames) + (torch.arange(frames) >= cut) * (frames - 1)
            else:
                clips[row, cut:] = other
            pairs[row, cut - 1] = False
        elif kind == "noisy":
            pairs[row] = False
        numbers[row] = order
    return Arrangement(
        clips=clips,
        frames=numbers,
        pairs=pairs,
        noisy=torch.tensor([kind == "noisy" for kind in kinds]),
        real=torch.tensor([kind is None for kind in kinds]),
    )


def draw_kinds(count: int, *, rng: torch.Generator) -> list[Corruption | None]:
    """Leave half of the clips real, and draw a corruption for each of the others."""
    draws = torch.randint(len(CORRUPTIONS), (count,), generator=rng).tolist()
    return [None if row % 2 else CORRUPTIONS[kind] for row, kind in enumerate(draws)]


def _draw(below: int, rng: torch.Generator) -> int:
    return int(torch.randint(below, (), generator=rng))


def _shuffle(frames: int, rng: torch.Generator) -> Int64[Tensor, "t"]:
    """Draw an order that is neither the right one nor its reverse: many motions run both ways."""
    right = torch.arange(frames)
    while True:
        order = torch.randperm(frames, generator=rng)
        if not (order.equal(right) or order.equal(right.flip(0))):
            return order


def _draw_other(row: int, videos: Int64[Tensor, "b"], rng: torch.Generator) -> int | None:
    """Draw a clip of the batch that is of another video; None where there is none."""
    others = torch.nonzero(videos != videos[row]).flatten()
    return int(others[_draw(len(others), rng)]) if len(others) else None
