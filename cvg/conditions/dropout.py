"""Conditions taken away: at random in training, on purpose in sampling."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch

from cvg.conditions.batch import Conditions
from cvg.conditions.condition import KINDS, Kind
from cvg.conditions.vocabulary import (
    CAPTION_PLACE,
    LABEL_PLACE,
    MOTION_PLACE,
    NO_CAPTION,
    NO_LABEL,
    NO_MOTION,
    NO_RATE,
    PADDING,
    RATE_PLACE,
)
from cvg.tensors import Bool, Float, Tensor
from cvg.training.share import Share, of_all

_ABSENCES: Mapping[Kind, tuple[int, int]] = {
    "label": (LABEL_PLACE, NO_LABEL),
    "fps": (RATE_PLACE, NO_RATE),
    "motion": (MOTION_PLACE, NO_MOTION),
}


def drop(conditions: Conditions, hits: Mapping[Kind, Bool[Tensor, "b"]]) -> Conditions:
    """Take kinds of conditions away from the videos that are hit."""
    prefix = conditions.prefix.clone()
    for kind, (place, absence) in _ABSENCES.items():
        if kind in hits:
            prefix[hits[kind], place] = absence
    if "caption" in hits:
        prefix[hits["caption"], CAPTION_PLACE:] = PADDING
        prefix[hits["caption"], CAPTION_PLACE] = NO_CAPTION
    return replace(
        conditions,
        prefix=prefix,
        sentences=_blank(conditions.sentences, hits.get("caption"), 0.0),
        actions=_blank(conditions.actions, hits.get("actions"), torch.nan),
        maps=_blank(conditions.maps, hits.get("map"), torch.nan),
    )


def without(conditions: Conditions, kinds: Collection[Kind]) -> Conditions:
    """Take kinds away from all videos; without all of them it is the null condition."""
    everyone = torch.ones(len(conditions), dtype=torch.bool, device=conditions.prefix.device)
    return drop(conditions, dict.fromkeys(kinds, everyone))


def drop_at_random(
    conditions: Conditions,
    shares: Mapping[Kind, float],
    *,
    everything: float,
    rng: torch.Generator,
    share: Share | None = None,
) -> Conditions:
    """Take each kind away from a random share of the videos, and from some all kinds at once.

    Source: Ho & Salimans 2022, arXiv:2207.12598, algorithm 1, for one condition.

    Args:
        conditions: on the CPU.
        shares: of the videos that lose each kind, independent of the other kinds.
        everything: share of the videos that lose all kinds.
        rng: where chance comes from.
        share: which videos of a batch these are, where they are not all.
    """
    share = share or of_all(len(conditions))
    null = torch.rand(share.total, generator=rng)[share.rows] < everything
    draws = torch.rand(len(KINDS), share.total, generator=rng)[:, share.rows]
    hits: dict[Kind, Tensor] = {
        kind: null | (row < shares[kind]) for kind, row in zip(KINDS, draws, strict=True)
    }
    return drop(conditions, hits)


def _blank(
    values: Float[Tensor, "b *n"] | None, hit: Bool[Tensor, "b"] | None, filler: float
) -> Float[Tensor, "b *n"] | None:
    if values is None or hit is None:
        return values
    return torch.where(hit.view(-1, *[1] * (values.ndim - 1)), filler, values)
