"""Classifier-free guidance, with a scale for each kind of condition."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Shaped

from cvg.conditions.batch import Conditions, stack_conditions
from cvg.conditions.condition import KINDS, Kind
from cvg.conditions.dropout import without
from cvg.tensors import Float, Int64, Tensor


class Guidance:
    """Exaggerates what a condition changes in the logits.

    For one condition it is Ho & Salimans 2022, arXiv:2207.12598, eq. 6, with scale = 1 + w. With
    several, each kind pushes away from the prediction that lacks that kind alone:
    all + sum over kinds of (scale - 1) * (all - without the kind).

    A scale of 1 leaves the prediction as it is; 0 ignores the kind, which is then not told at all;
    above 1 it is exaggerated. Neither 0 nor 1 costs anything. All variants are in one batch.
    """

    def __init__(self, scales: Mapping[Kind, float]) -> None:
        """Guide by kinds whose scale is neither 0 nor 1."""
        given: dict[Kind, float] = {kind: scales.get(kind, 1.0) for kind in KINDS}
        self._ignored: list[Kind] = [kind for kind in KINDS if given[kind] == 0]
        self._scales: dict[Kind, float] = {k: given[k] for k in KINDS if given[k] not in (0, 1)}

    def spread(self, conditions: Conditions) -> Conditions:
        """Give the conditions of all variants: as they are, then without each guided kind."""
        conditions = without(conditions, self._ignored)
        lacking = [without(conditions, [kind]) for kind in self._scales]
        return stack_conditions([conditions, *lacking])

    def repeat(self, codes: Shaped[Tensor, "b *n"]) -> Shaped[Tensor, "rows *n"]:
        """Give codes, or what is known of them, to all variants."""
        if not self._scales:
            return codes
        return codes.repeat(1 + len(self._scales), *[1] * (codes.ndim - 1))

    def rows(self, videos: Int64[Tensor, "r"], *, count: int) -> Int64[Tensor, "rows"]:
        """Give the rows of all variants of some of `count` videos."""
        return torch.cat([videos + variant * count for variant in range(1 + len(self._scales))])

    def join(self, logits: Float[Tensor, "rows *n v"]) -> Float[Tensor, "b *n v"]:
        """Give the guided logits of each video from those of all variants."""
        if not self._scales:
            return logits
        full, *lacking = logits.chunk(1 + len(self._scales))
        return guide(full, lacking, list(self._scales.values()))


def guide(
    full: Float[Tensor, "b *n v"],
    lacking: Sequence[Float[Tensor, "b *n v"]],
    scales: Sequence[float],
) -> Float[Tensor, "b *n v"]:
    """Push logits away from those that lack a condition each."""
    pushes = [(scale - 1) * (full - less) for less, scale in zip(lacking, scales, strict=True)]
    return full + torch.stack(pushes).sum(0)
