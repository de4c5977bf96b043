"""Captions, class labels, frame rates and motion as numbers; that one is missing is a number too.

A prefix is a row of integers: a place for the label, one for the frame rate, one for the motion,
then the words of the caption. Where one is missing, its place has the number of its absence, and
so it is in training where it is dropped: what is missing has been trained.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from cvg.conditions.condition import Condition
from cvg.config import CaptionUnits

PADDING, NO_CAPTION, NO_LABEL, NO_RATE, NO_MOTION, SENTENCE = range(6)
NUM_SPECIAL = 6
LABEL_PLACE, RATE_PLACE, MOTION_PLACE, CAPTION_PLACE = range(4)
WORD = re.compile(r"\w+(?:'\w+)?")
# Frame rates that differ by less than this factor are one: 23.976 and 24, 29.97 and 30.
SAME_RATE = 1.03


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What a model was trained with.

    Attributes:
        words: or characters, of captions.
        labels: of classes.
        rates: frames a second, rising.
        motion_edges: mean changes between frames that part the buckets of motion, rising, grey
            levels of 0 to 255; one less than there are buckets, None where motion is no condition.
        caption_units: what a caption is split into; sentences are left to an encoder.
        caption_length: units of a caption that are read.
    """

    words: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    rates: tuple[float, ...] = ()
    motion_edges: tuple[float, ...] | None = None
    caption_units: CaptionUnits = "words"
    caption_length: int = 0

    @property
    def num_buckets(self) -> int:
        """Buckets of motion."""
        return 0 if self.motion_edges is None else len(self.motion_edges) + 1

    @property
    def size(self) -> int:
        """Distinct numbers in a prefix."""
        return self._first_bucket + self.num_buckets

    @property
    def length(self) -> int:
        """Numbers in a prefix."""
        return CAPTION_PLACE + max(1, self.caption_length)

    def encode(self, condition: Condition) -> list[int]:
        """Give the prefix of one video; what the model does not know is taken as missing.

        >>> vocabulary = Vocabulary(words=("cat", "runs"), labels=("pet",), caption_length=3)
        >>> vocabulary.encode(Condition(caption="A cat runs", label="pet"))
        [8, 3, 4, 6, 7, 0]
        >>> vocabulary.encode(Condition())
        [2, 3, 4, 1, 0, 0]
        """
        units = self._caption_numbers(condition.caption) or [NO_CAPTION]
        padding = [PADDING] * (self.length - CAPTION_PLACE - len(units))
        return [
            self._label_numbers.get(condition.label or "", NO_LABEL),
            self._rate_number(condition.fps),
            self._motion_number(condition.motion),
            *units,
            *padding,
        ]

    def bucket_of(self, change: float) -> int | None:
        """Give the bucket of a mean change between frames, grey levels; None where none is known.

        >>> Vocabulary(motion_edges=(2.0, 5.0)).bucket_of(3.0)
        2
        """
        if self.motion_edges is None or math.isnan(change):
            return None
        return 1 + bisect_right(self.motion_edges, change)

    def unknown_words(self, caption: str) -> list[str]:
        """List what is read of a caption but was never seen in training."""
        if self.caption_units == "sentences":
            return []
        read = split_caption(caption, self.caption_units)[: self.caption_length]
        return [unit for unit in read if unit not in self._numbers]

    def rate_near(self, fps: float) -> float | None:
        """Give the frame rate of training that `fps` counts as; None where there is none."""
        nearest = min(self.rates, key=lambda rate: abs(math.log(rate / fps)), default=None)
        if nearest is None or abs(math.log(nearest / fps)) > math.log(SAME_RATE):
            return None
        return nearest

    def _caption_numbers(self, caption: str | None) -> list[int]:
        if self.caption_units == "sentences":
            return [SENTENCE] if caption and self.caption_length else []
        read = split_caption(caption or "", self.caption_units)[: self.caption_length]
        return [self._numbers[unit] for unit in read if unit in self._numbers]

    def _rate_number(self, fps: float | None) -> int:
        near = None if fps is None else self.rate_near(fps)
        return NO_RATE if near is None else self._first_rate + self.rates.index(near)

    def beyond(self, bucket: int | None, change: float) -> float:
        """Give by how much a mean change between frames misses a bucket, grey levels.

        >>> words = Vocabulary(motion_edges=(2.0, 5.0))
        >>> words.beyond(3, 4.5), words.beyond(1, 1.0), words.beyond(None, 1.0)
        (0.5, 0.0, 0.0)
        """
        if bucket is None or not 1 <= bucket <= self.num_buckets:
            return 0.0
        edges = (0.0, *(self.motion_edges or ()), math.inf)
        return max(edges[bucket - 1] - change, change - edges[bucket], 0.0)

    def _motion_number(self, bucket: int | None) -> int:
        if bucket is None or not 1 <= bucket <= self.num_buckets:
            return NO_MOTION
        return self._first_bucket + bucket - 1

    @property
    def _first_rate(self) -> int:
        return NUM_SPECIAL + len(self.words) + len(self.labels)

    @property
    def _first_bucket(self) -> int:
        return self._first_rate + len(self.rates)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: NUM_SPECIAL + i for i, word in enumerate(self.words)}

    @cached_property
    def _label_numbers(self) -> dict[str, int]:
        first = NUM_SPECIAL + len(self.words)
        return {label: first + i for i, label in enumerate(self.labels)}


def collect_words(
    captions: Iterable[str | None], *, units: CaptionUnits, length: int
) -> tuple[str, ...]:
    """Collect the units that are read, sorted: the order of videos is lost."""
    if units == "sentences":
        return ()
    read = (split_caption(caption or "", units)[:length] for caption in captions)
    return tuple(sorted({unit for caption in read for unit in caption}))


def collect_rates(rates: Iterable[float]) -> tuple[float, ...]:
    """Collect frame rates, rising, those that count as one only once.

    >>> collect_rates([30, 24, 29.97, 23.976])
    (23.976, 29.97)
    """
    kept: list[float] = []
    for rate in sorted(set(rates)):
        if not kept or rate / kept[-1] > SAME_RATE:
            kept.append(rate)
    return tuple(kept)


def split_caption(caption: str, units: CaptionUnits) -> Sequence[str]:
    """Split a caption into lower-case words, or characters.

    >>> split_caption("A man's hat, 2 dogs.", "words")
    ['a', "man's", 'hat', '2', 'dogs']
    """
    return list(caption.lower()) if units == "characters" else WORD.findall(caption.lower())
