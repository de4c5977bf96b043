"""The conditions of several videos as tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch

from cvg.tensors import Float, Int64, Tensor


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The conditions of `b` videos.

    Attributes:
        prefix: what does not change in the course of a video (cvg/conditions/vocabulary.py).
        sentences: vectors of the captions, 0 where there is none; None without an encoder.
        actions: row i leads to frame i; NaN where missing.
        maps: in small, 0 to 1; NaN where missing.
    """

    prefix: Int64[Tensor, "b p"]
    sentences: Float[Tensor, "b e"] | None = None
    actions: Float[Tensor, "b t a"] | None = None
    maps: Float[Tensor, "b t c c"] | None = None

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.prefix)

    def to(self, device: torch.device) -> "Conditions":
        """Give them on another device."""
        return self._each(lambda tensor: tensor.to(device))

    def take(self, rows: Int64[Tensor, "r"]) -> "Conditions":
        """Give those of some videos, by their numbers."""
        return self._each(lambda tensor: tensor[rows])

    def repeat(self, count: int) -> "Conditions":
        """Give those of each video `count` times in a row."""
        return self._each(lambda tensor: tensor.repeat_interleave(count, dim=0))

    def frame(self, number: int) -> "Conditions":
        """Give those of one frame; beyond the last row, actions and maps are missing."""
        return self.rows(number, number + 1)

    def frames(self, count: int) -> "Conditions":
        """Give those of the first `count` frames; beyond the last row, they are missing."""
        return self.rows(0, count)

    def rows(self, start: int, end: int) -> "Conditions":
        """Give those of frames from `start` to before `end`; beyond the last row, missing."""
        return replace(
            self, actions=_rows(self.actions, start, end), maps=_rows(self.maps, start, end)
        )

    def clip(self, start: int, end: int) -> "Conditions":
        """Give those of a clip of its own: the action that leads to its first frame is missing."""
        found = self.rows(start, end)
        if found.actions is None:
            return found
        return replace(found, actions=shift_actions(found.actions.roll(-1, dims=1)))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Conditions":
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: change(v) for k, v in values.items() if v is not None})


def stack_conditions(parts: Sequence[Conditions]) -> Conditions:
    """Put batches of equal shapes one behind the other."""
    columns = {}
    for field in fields(Conditions):
        values = [getattr(part, field.name) for part in parts]
        columns[field.name] = None if values[0] is None else torch.cat(values)
    return Conditions(**columns)


def shift_actions(actions: Float[Tensor, "b t a"]) -> Float[Tensor, "b t a"]:
    """Turn rows that lead away from their frame into rows that lead to it; the first is missing."""
    return torch.cat([torch.full_like(actions[:, :1], torch.nan), actions[:, :-1]], dim=1)


def _rows(values: Tensor | None, start: int, end: int) -> Tensor | None:
    if values is None:
        return None
    rows = values[:, start:end]
    missing = values.new_full(
        (len(values), end - start - rows.shape[1], *values.shape[2:]), torch.nan
    )
    return torch.cat([rows, missing], dim=1)
