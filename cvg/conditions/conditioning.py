"""Which conditions a model takes, and how they become its tensors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch

from cvg.conditions.batch import Conditions, shift_actions
from cvg.conditions.condition import KINDS, Condition, Kind
from cvg.conditions.sentences import SENTENCE_WIDTH, encode_sentences
from cvg.conditions.vocabulary import Vocabulary

MOST_LISTED = 12


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """The conditions that a model was trained with.

    Attributes:
        vocabulary: of captions, labels, frame rates and motion.
        action_width: numbers of an action; 0 where it takes none.
        map_cells: rows and columns of a map in small; 0 where it takes none.
    """

    vocabulary: Vocabulary
    action_width: int = 0
    map_cells: int = 0

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "Conditioning":
        """Rebuild one that was stored as JSON."""
        vocabulary: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in saved["vocabulary"].items()
        }
        return cls(**{**saved, "vocabulary": Vocabulary(**vocabulary)})

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that it takes."""
        words = self.vocabulary
        has: dict[Kind, bool] = {
            "caption": bool(words.words) or self.sentence_width > 0,
            "label": bool(words.labels),
            "fps": bool(words.rates),
            "motion": words.num_buckets > 0,
            "actions": self.action_width > 0,
            "map": self.map_cells > 0,
        }
        return tuple(kind for kind, there in has.items() if there)

    @property
    def sentence_width(self) -> int:
        """Numbers of the vector of a caption; 0 where captions are words or characters."""
        units, length = self.vocabulary.caption_units, self.vocabulary.caption_length
        return SENTENCE_WIDTH if units == "sentences" and length else 0

    def gather(self, conditions: Sequence[Condition], *, frames: int) -> Conditions:
        """Make tensors of what is asked of videos; rows beyond those given are missing.

        Args:
            conditions: of each video.
            frames: of each video.
        """
        prefix = torch.tensor([self.vocabulary.encode(condition) for condition in conditions])
        sentences = actions = maps = None
        if self.sentence_width:
            sentences = encode_sentences([condition.caption for condition in conditions])
        if self.action_width:
            rows = [_padded(one.actions, (frames, self.action_width)) for one in conditions]
            actions = shift_actions(torch.from_numpy(np.stack(rows)))
        if self.map_cells:
            shape = (frames, self.map_cells, self.map_cells)
            maps = torch.from_numpy(np.stack([_padded(one.map, shape) for one in conditions]))
        return Conditions(prefix=prefix, sentences=sentences, actions=actions, maps=maps)

    def refusals(self, condition: Condition) -> Iterator[str]:
        """Yield a sentence for everything that is asked and the model does not know."""
        for kind in kinds_of(condition):
            if kind not in self.kinds:
                yield (
                    f"{kind}: the model was trained without; it takes "
                    f"{', '.join(self.kinds) or 'no condition'}"
                )
        words = self.vocabulary
        if condition.label and words.labels and condition.label not in words.labels:
            yield f"label {condition.label!r}: expected one of {_some(words.labels)}"
        if condition.fps is not None and not condition.fps > 0:
            yield f"fps {condition.fps:g}: expected above 0"
        elif condition.fps and words.rates and words.rate_near(condition.fps) is None:
            known = _some([f"{rate:g}" for rate in words.rates])
            yield f"fps {condition.fps:g}: trained on {known} frames a second"
        buckets = words.num_buckets
        if condition.motion is not None and buckets and not 1 <= condition.motion <= buckets:
            yield f"motion {condition.motion}: expected 1 (calm) to {buckets} (lively)"
        yield from self._refused_rows(condition)

    def unknown_words(self, caption: str) -> dict[str, list[str]]:
        """Give for each word of a caption that training never saw the known ones alike."""
        words = self.vocabulary
        return {word: get_close_matches(word, words.words) for word in words.unknown_words(caption)}

    def _refused_rows(self, condition: Condition) -> Iterator[str]:
        actions, cells = condition.actions, self.map_cells
        if actions is not None and self.action_width and actions.shape[1] != self.action_width:
            yield (
                f"actions: {actions.shape[1]} numbers a row; the model was trained with "
                f"{self.action_width}"
            )
        if condition.map is not None and cells and condition.map.shape[1:] != (cells, cells):
            yield (
                f"map: {condition.map.shape[1]} x {condition.map.shape[2]} cells; the model was "
                f"trained with {cells} x {cells}"
            )


def kinds_of(condition: Condition) -> tuple[Kind, ...]:
    """Give the kinds that are asked for."""
    return tuple(kind for kind in KINDS if getattr(condition, kind) is not None)


def _padded(values: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    result = np.full(shape, np.nan, np.float32)
    if values is not None:
        count = min(len(values), shape[0])
        result[:count] = values[:count]
    return result


def _some(values: Sequence[str]) -> str:
    """List values, the first ones where there are many."""
    more = len(values) - MOST_LISTED
    return ", ".join(values[:MOST_LISTED]) + (f", and {more} more" if more > 0 else "")
