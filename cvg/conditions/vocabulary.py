"""Captions and class labels as numbers; the absence of either is a number too.

A condition is a row of integers: one place for the label, then the words of the caption. A video
without caption or label gets the words of absence, and so does a video in training whose
condition is dropped: there is one null condition, and it is trained.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from cvg.tensors import Int64, Tensor

PADDING, UNKNOWN, NO_CAPTION, NO_LABEL = range(4)
NUM_SPECIAL = 4
WORD = re.compile(r"\w+(?:'\w+)?")


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The words and labels that a model was trained with."""

    words: tuple[str, ...]
    labels: tuple[str, ...]
    caption_words: int  # words of a caption that are read

    @classmethod
    def collect(
        cls,
        captions: Iterable[str | None],
        labels: Iterable[str | None],
        *,
        caption_words: int,
    ) -> "Vocabulary":
        """Collect the words that are read and the labels, sorted: the order of videos is lost."""
        read = (split_words(caption or "")[:caption_words] for caption in captions)
        words = {word for caption in read for word in caption}
        return cls(
            words=tuple(sorted(words)),
            labels=tuple(sorted({label for label in labels if label})),
            caption_words=caption_words,
        )

    @property
    def size(self) -> int:
        """Distinct numbers in a condition."""
        return NUM_SPECIAL + len(self.words) + len(self.labels)

    @property
    def length(self) -> int:
        """Numbers in a condition: the label and the words."""
        return 1 + max(1, self.caption_words)

    def encode(self, caption: str | None, label: str | None) -> list[int]:
        """Give the condition of one video; words never seen become the unknown word.

        >>> vocabulary = Vocabulary(words=("cat", "runs"), labels=("pet",), caption_words=3)
        >>> vocabulary.encode("A cat runs", "pet")
        [6, 1, 4, 5]
        >>> vocabulary.encode(None, None)
        [3, 2, 0, 0]
        """
        words = split_words(caption or "")[: self.caption_words]
        numbers = [self._word_number(word) for word in words] or [NO_CAPTION]
        padding = [PADDING] * (self.length - 1 - len(numbers))
        return [self._label_number(label), *numbers, *padding]

    def encode_all(self, pairs: Iterable[tuple[str | None, str | None]]) -> Int64[Tensor, "b p"]:
        """Give the conditions of several videos from pairs of caption and label."""
        return torch.tensor([self.encode(caption, label) for caption, label in pairs])

    def null(self, count: int) -> Int64[Tensor, "b p"]:
        """Give `count` null conditions."""
        return self.encode_all([(None, None)] * count)

    def unknown_words(self, caption: str) -> list[str]:
        """List the words of a caption that the model never saw."""
        return [word for word in split_words(caption) if word not in self._numbers]

    def _word_number(self, word: str) -> int:
        return self._numbers.get(word, UNKNOWN)

    def _label_number(self, label: str | None) -> int:
        if not label:
            return NO_LABEL
        return self._label_numbers.get(label, UNKNOWN)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: NUM_SPECIAL + i for i, word in enumerate(self.words)}

    @cached_property
    def _label_numbers(self) -> dict[str, int]:
        first = NUM_SPECIAL + len(self.words)
        return {label: first + i for i, label in enumerate(self.labels)}


def split_words(caption: str) -> Sequence[str]:
    """Split a caption into lower-case words.

    >>> split_words("A man's hat, 2 dogs.")
    ['a', "man's", 'hat', '2', 'dogs']
    """
    return WORD.findall(caption.lower())
