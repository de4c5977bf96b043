"""What a video is to be like: every kind of condition, each of which may be missing."""

from dataclasses import dataclass, replace
from typing import get_args

from jaxtyping import Float32
from numpy import ndarray

from cvg.config import Kind

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, kw_only=True, eq=False)
class Condition:
    """What is asked of one video, or known of it; None is missing.

    Attributes:
        caption: a sentence.
        label: a class.
        fps: frames a second.
        motion: how much moves, a bucket from 1 (calm) to the model's number of buckets (lively).
        actions: row i leads from frame i to the next; a row of NaN is missing.
        map: one picture in small a frame, 0 to 1; a picture of NaN is missing.
    """

    caption: str | None = None
    label: str | None = None
    fps: float | None = None
    motion: int | None = None
    actions: Float32[ndarray, "t a"] | None = None
    map: Float32[ndarray, "t c c"] | None = None

    def with_caption(self, caption: str) -> "Condition":
        """Give the same with another sentence."""
        return replace(self, caption=caption)
